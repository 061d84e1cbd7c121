"""HTTP with a server that nobody vouches for: bounded in time and in bytes, and it leads nowhere else.

A reply is read as it comes, never unpacked and never followed: a body that is compressed, though none was asked for,
and a redirect elsewhere are refused. No cookie is kept.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import cast
from urllib.parse import urlsplit

import httpx

from relift.teacher.endpoint import Endpoint
from relift.teacher.failure import BadReply, Fault

MOST_ERROR_BYTES = 1 << 16
"""Of an error's body that are read; the rest is left."""
MOST_BYTES_TOGETHER = 48 << 20
"""Of all bodies that are held at the same time."""
CONNECT_SHARE = 0.5
"""Of a request's time that may go by before there is a connection. Where none was made nothing can be billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What came, e.g. status 200 with a JSON body; of an error's body the beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytearray


class Exchange:
    """Connections to one endpoint, which belong to one event loop."""

    def __init__(self, endpoint: Endpoint, *, connections: int) -> None:
        """Raises ValueError or ImportError for proxies in the environment that cannot be used."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"relift/{version('relift')}",
        }
        if endpoint.key is not None:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        self._endpoint = endpoint
        self._held = 0
        self._client = httpx.AsyncClient(
            headers=headers,
            verify=_trusted(),
            follow_redirects=False,
            event_hooks={"response": [self._refuse_redirect]},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, *, most_bytes: int, seconds: float) -> HttpReply:
        """On a connection of its own: a server that fails over this leaves the next request a closed one."""
        return await self._send("GET", path, None, {"Connection": "close"}, most_bytes, seconds)

    async def post(
        self, path: str, content: bytes, headers: Mapping[str, str], *, most_bytes: int, seconds: float
    ) -> HttpReply:
        """``seconds`` bound all of it: the connection, our request, the headers, and the last byte of the body.

        Raises TimeoutError, BadReply or what httpx raises.
        """
        return await self._send("POST", path, content, headers, most_bytes, seconds)

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
        most_bytes: int,
        seconds: float,
    ) -> HttpReply:
        body = bytearray()
        try:
            # httpx times each wait for a byte: a server that sends one now and then would be waited for without end.
            async with asyncio.timeout(seconds):
                request = self._client.stream(
                    method,
                    self._endpoint.at(path),
                    content=content,
                    headers={**headers, **({"Content-Type": "application/json"} if content is not None else {})},
                    timeout=httpx.Timeout(seconds, connect=CONNECT_SHARE * seconds),
                )
                async with request as response:
                    await self._read(response, body, most_bytes)
                    return HttpReply(status=response.status_code, headers=response.headers, body=body)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        finally:
            self._held -= len(body)

    async def _refuse_redirect(self, response: httpx.Response) -> None:
        """The key and the questions are for the address in the recipe alone. Raises BadReply.

        A hook, since httpx makes the next request of a redirect that it does not follow, and may fail over it.
        """
        if not response.is_redirect:
            return
        try:
            host = urlsplit(response.headers.get("Location", "")).hostname
        except ValueError:
            host = None
        where = f"the host {host}" if host else "another path"
        raise BadReply(
            f"the teacher at {self._endpoint.shown} redirects (HTTP {response.status_code}) to {where}, and redirects "
            f"are not followed. Correct the base URL",
            Fault.TEACHER,
        )

    async def _read(self, response: httpx.Response, body: bytearray, most_bytes: int) -> None:
        """The body, as far as it is wanted. Raises BadReply for one that is too long or packed."""
        is_error = not response.is_success
        packed = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            if is_error:
                return
            raise BadReply(f"the reply is compressed ({packed}), which it was not asked to be")
        most = MOST_ERROR_BYTES if is_error else most_bytes
        # A generator, whatever its annotation says; left as it is it would be ended by the loop at some later time.
        async with aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as chunks:
            async for chunk in chunks:
                wanted = chunk[: most - len(body)] if is_error else chunk
                if len(body) + len(wanted) > most:
                    raise BadReply(f"the reply is longer than the {most} bytes that so many tokens can need")
                if self._held + len(wanted) > MOST_BYTES_TOGETHER:
                    raise BadReply(f"the replies under way are longer than {MOST_BYTES_TOGETHER} bytes together")
                self._held += len(wanted)
                body += wanted
                if is_error and len(body) == most:
                    return


def _trusted() -> ssl.SSLContext:
    """The certificates that come with httpx, and those that this machine trusts beside them."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context
