"""What the receiver and the service of its keys say to each other: pure.

    u32 length || msgpack [ id, what, arguments ]            to the service
    u32 length || msgpack [ id, answer, error, reason ]      from it; error "" is none

Answers come in any order. A frame has at most 64 KiB: what is larger ends the connection.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from headgate.errors import EnvelopeError

MAX_FRAME: Final = 64 * 1024
_HEAD: Final = 4

What = Literal["describe", "unwrap", "sign"]
#: `seal`: the ciphertext does not open, for good. `unavailable`: not now. `form`: not understood.
Fault = Literal["", "seal", "unavailable", "form"]


class Request(msgspec.Struct, frozen=True, array_like=True):
    """`describe` takes nothing, `unwrap` a certificate's SM3 and a ciphertext, `sign` a message."""

    id: int
    what: What
    arguments: Annotated[tuple[bytes, ...], Meta(max_length=2)] = ()


class Response(msgspec.Struct, frozen=True, array_like=True):
    """`describe`: recipients, retired. `unwrap`: one secret. `sign`: a signature or several."""

    id: int
    answer: Any = ()
    fault: Fault = ""
    reason: str = ""


class Description(msgspec.Struct, frozen=True, array_like=True):
    """SM3 of the encryption certificates that open grants, newest first, and of those that are retired."""

    recipients: tuple[bytes, ...]
    retired: tuple[bytes, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request).decode
_response = msgspec.msgpack.Decoder(Response).decode


def frame(message: Request | Response) -> bytes:
    """One message as it travels."""
    body = _encode(message)
    return len(body).to_bytes(_HEAD, "big") + body


class Frames:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now.

        Raises:
            EnvelopeError: a frame too large.
        """
        self._buffer += data
        found = []
        while len(self._buffer) >= _HEAD:
            size = int.from_bytes(self._buffer[:_HEAD], "big")
            if size > MAX_FRAME:
                raise EnvelopeError(f"a frame of {size} bytes, {MAX_FRAME} allowed")
            if len(self._buffer) < _HEAD + size:
                break
            found.append(bytes(self._buffer[_HEAD : _HEAD + size]))
            del self._buffer[: _HEAD + size]
        return found


def read_request(data: bytes) -> Request:
    """A request. Raises EnvelopeError."""
    try:
        return _request(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EnvelopeError(f"request: {error}") from None


def read_response(data: bytes) -> Response:
    """A response. Raises EnvelopeError."""
    try:
        return _response(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EnvelopeError(f"response: {error}") from None


def read_description(answer: object) -> Description:
    """What `describe` answered. Raises EnvelopeError."""
    try:
        return msgspec.convert(answer, Description)
    except msgspec.ValidationError as error:
        raise EnvelopeError(f"description: {error}") from None
