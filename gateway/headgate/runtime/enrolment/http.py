"""One HTTPS request at a time, bounded, for the enrolment protocol and nothing else.

No redirect is followed, no cookie kept, no proxy asked: a token goes to the address that a person named.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from headgate.env import Env
from headgate.errors import SecurityError, UplinkUnavailable
from headgate.runtime.enrolment.protocol import MAX_ANSWER, ROOT

TIMEOUT_S: Final = 30.0
_MAX_HEAD: Final = 16 * 1024
_CRLF: Final = b"\r\n"


class Address(NamedTuple):
    """Where a service is."""

    url: str
    host: str
    port: int
    path: str


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


def address_of(url: str) -> Address:
    """The service of a URL.

    Raises:
        SecurityError: not https, or not a URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 443
        plain = url.isprintable() and " " not in url and len(url) <= 2000
    except ValueError:
        raise SecurityError("not a URL", code="HG-6197", url=url[:200]) from None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or not plain:
        raise SecurityError("not https", code="HG-6197", url=url[:200])
    return Address(url, parts.hostname, port, parts.path.rstrip("/") + ROOT)


async def ask(
    env: Env, to: Address, tls: ssl.SSLContext, method: str, path: str, body: bytes = b""
) -> Answer:
    """One request and its answer.

    Raises:
        SecurityError: TLS does not prove the service, or the answer is no HTTP.
        UplinkUnavailable: nobody there, or the line broke.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _ask(env, to, tls, method, path, body)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise SecurityError(
            f"{to.url}: {reason}", code="HG-6191", url=to.url, reason=str(reason)
        ) from error
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        raise UplinkUnavailable(
            f"{to.url}: {reason}", code="HG-6190", url=to.url, reason=reason
        ) from error


async def _ask(
    env: Env, to: Address, tls: ssl.SSLContext, method: str, path: str, body: bytes
) -> Answer:
    reader = asyncio.StreamReader(limit=_MAX_HEAD)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await env.net.connect(lambda: protocol, to.host, to.port, tls=tls)
    try:
        host = f"[{to.host}]" if ":" in to.host else to.host
        head = [
            f"{method} {to.path}{path} HTTP/1.1", f"Host: {host}:{to.port}",
            "Connection: close", "Accept: application/json",
        ]  # fmt: skip
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        transport.write("\r\n".join((*head, "", "")).encode() + body)
        return await _answer(reader)
    finally:
        transport.abort()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    try:
        head = await reader.readuntil(_CRLF * 2)
        first, *lines = head[:-4].decode("ascii").split("\r\n")
        version, status, *_ = first.split(" ")
        fields = {
            k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)
        }
        if not version.startswith("HTTP/1.") or not (status.isdigit() and len(status) == 3):
            raise ValueError(first[:80])
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunks(reader)
        else:
            size = int(fields.get("content-length", "0"))
            if not 0 <= size <= MAX_ANSWER:
                raise ValueError(f"{size} bytes")
            body = await reader.readexactly(size)
    except (ValueError, asyncio.LimitOverrunError) as error:
        reason = f"not HTTP: {error}"[:200]
        raise SecurityError(reason, code="HG-6194", reason=reason) from None
    return Answer(int(status), body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(_CRLF)).split(b";")[0], 16)
        if size < 0 or len(body) + size > MAX_ANSWER:
            raise ValueError("too large")
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            return bytes(body)
