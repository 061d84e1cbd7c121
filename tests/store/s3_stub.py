"""An S3 server of one dictionary, on loopback and in this process: what `make test` can attack a store with.

It knows what relift asks of a server (objects, ranges, listings, conditional writes) and checks no signature; a real
one answers under the marker s3.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

BUCKET = "stub"


@dataclass
class Stub:
    """Objects by key, each with its bytes and metadata; whoever tests writes here what a stranger might."""

    endpoint: str
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    announced: dict[str, int] = field(default_factory=dict)
    """Sizes that are told instead of the true one."""

    def put(self, key: str, content: bytes) -> None:
        self.objects[key] = (content, {"x-amz-meta-sha256": hashlib.sha256(content).hexdigest()})

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "stub",
            "AWS_SECRET_ACCESS_KEY": "stub",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def serving() -> Iterator[Stub]:
    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub = Stub(endpoint=f"http://127.0.0.1:{server.server_address[1]}")
    Handler.stub = stub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    stub: Stub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").removeprefix("/")

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        always = {"Content_Length": str(len(content)), "Last_Modified": formatdate(usegmt=True)}
        for name, value in (always | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in asked:
            self._list(asked.get("prefix", [""])[0], asked.get("delimiter", [""])[0])
            return
        if "uploads" in asked:
            self._answer(200, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>")
            return
        found = self.stub.objects.get(self._key)
        if found is None:
            self._refuse(404, "NoSuchKey")
            return
        content, metadata = found
        headers = {"ETag": _etag(content), **metadata}
        wanted = self.headers.get("Range")
        if wanted:
            start, end = wanted.removeprefix("bytes=").split("-")
            part = content[int(start) : int(end) + 1]
            self._answer(206, part, Content_Range=f"bytes {start}-{end}/{len(content)}", **headers)
        elif self._key in self.stub.announced:  # as many bytes are announced, and the line is cut
            self._answer(200, content, **headers, Content_Length=str(self.stub.announced[self._key]))
            self.close_connection = True
        else:
            self._answer(200, content, **headers)

    def _list(self, prefix: str, delimiter: str) -> None:
        below = sorted(key.removeprefix(prefix) for key in self.stub.objects if key.startswith(prefix))
        folders = sorted({name.partition("/")[0] + "/" for name in below if "/" in name}) if delimiter else []
        keys = [name for name in below if not delimiter or "/" not in name]
        body = "".join(f"<Contents><Key>{quote(prefix + name)}</Key><Size>1</Size></Contents>" for name in keys)
        body += "".join(f"<CommonPrefixes><Prefix>{quote(prefix + name)}</Prefix></CommonPrefixes>" for name in folders)
        head = "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
        self._answer(200, f"<ListBucketResult>{head}{body}</ListBucketResult>".encode())

    def do_PUT(self) -> None:
        content = self._body()
        there = self.stub.objects.get(self._key)
        only_new, replacing = self.headers.get("If-None-Match"), self.headers.get("If-Match")
        if (only_new and there) or (replacing and (there is None or _etag(there[0]) != replacing)):
            self._refuse(412, "PreconditionFailed")
            return
        metadata = {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}
        self.stub.objects[self._key] = (content, metadata)
        self._answer(200, ETag=_etag(content))

    def do_POST(self) -> None:
        """Deletion of several objects, the only thing that is posted."""
        text = self._body().decode()
        for part in text.split("<Key>")[1:]:
            self.stub.objects.pop(unquote(part.partition("</Key>")[0]), None)
        self._answer(200, b"<DeleteResult></DeleteResult>")

    def _body(self) -> bytes:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return content
        whole = b""
        while content:
            size, _, content = content.partition(b"\r\n")
            count = int(size.split(b";")[0], 16)
            whole, content = whole + content[:count], content[count + 2 :] if count else b""
        return whole
