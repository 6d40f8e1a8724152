"""Recorded frames as a device that answers any request: what profile cases are checked with. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.sdk import DeviceRefused, ProtocolError, Status, status_word
from headgate_drivers.modbus.codec import (
    EXCEPTION,
    READ_COILS,
    READ_DISCRETE,
    AsciiFraming,
    MbapFraming,
    Request,
    RtuFraming,
    answer_data,
    crc16,
)
from headgate_drivers.modbus.encoding import unpack_bits


class Recorded:
    """Everything that recorded answers told, register by register."""

    def __init__(self) -> None:
        # (function, register) -> two bytes of a register, one byte of a bit, or a status word.
        self._known: dict[tuple[int, int], bytes | int] = {}

    def learn(self, request: Request, data: bytes | int) -> None:
        """Keep what one answer told: its data, or the status word of its refusal."""
        for at in range(request.count):
            key = request.function, request.start + at
            if isinstance(data, int):
                self._known.setdefault(key, data)
            elif request.function in (READ_COILS, READ_DISCRETE):
                self._known[key] = unpack_bits(data)[at : at + 1]
            else:
                self._known[key] = data[at * 2 : at * 2 + 2]

    def answer(self, request: Request) -> bytes | int:
        """The data of any request over known registers, or the status word of why there is none.

        A register inside a hole that was never read stands as zero: no point looks at it.
        """
        parts = [
            self._known.get((request.function, request.start + at)) for at in range(request.count)
        ]
        if parts[0] is None or parts[-1] is None:
            return status_word(Status.NO_ANSWER)
        refused = next((part for part in parts if isinstance(part, int)), None)
        if refused is not None:
            return refused
        bits = request.function in (READ_COILS, READ_DISCRETE)
        data = b"".join(
            part if isinstance(part, bytes) else bytes(1 if bits else 2) for part in parts
        )
        if not bits:
            return data
        value = sum(1 << at for at, bit in enumerate(data) if bit)
        return value.to_bytes(request.data_size(), "little")


def registers_in(frames: Iterable[tuple[bytes, bytes]]) -> Recorded:
    """What recorded (request, answer) frames told, each checked like a live answer.

    Raises:
        ProtocolError: a frame that is none, an answer to another request, or a function that reads
            nothing.
    """
    recorded = Recorded()
    for sent, received in frames:
        unit, request, key, framing = _request_of(sent)
        buffer = bytearray(received)
        frame = framing.next(buffer)
        if frame is None or buffer or frame.key != key:
            raise ProtocolError(f"{received.hex()} is no answer to {sent.hex()}")
        try:
            recorded.learn(request, answer_data(frame.payload, unit, request))
        except DeviceRefused as error:
            recorded.learn(request, status_word(Status.REFUSED, error.detail))
    return recorded


def looks_at(unit: int, frames: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Of a trace's exchanges those that read this unit, each request once, its last good answer."""
    kept: dict[Request, tuple[bytes, bytes]] = {}
    for sent, received in frames:
        try:
            asked, request, _, _ = _request_of(sent)
            if asked != unit:
                continue
            registers_in([(sent, received)])
        except ProtocolError:
            continue  # a write, an identification, a timeout, noise: no part of a look
        kept[request] = sent, received
    return list(kept.values())


_Framing = MbapFraming | RtuFraming | AsciiFraming


def _request_of(sent: bytes) -> tuple[int, Request, object, _Framing]:
    """(unit, request, key of its answer, how that is framed) of a read request as on the wire."""
    key: object
    framing: _Framing
    if len(sent) == 12 and sent[2:6] == b"\0\0\0\6":
        body, key, framing = sent[6:], sent[0] << 8 | sent[1], MbapFraming()
    elif len(sent) == 8 and crc16(sent[:6]) == sent[6] | sent[7] << 8:
        body, key, framing = sent[:6], (sent[0], sent[1] & ~EXCEPTION), RtuFraming()
    elif sent[:1] == b":" and (ascii_frame := AsciiFraming().next(bytearray(sent))) is not None:
        body, key, framing = ascii_frame.payload, ascii_frame.key, AsciiFraming()
    else:
        raise ProtocolError(f"{sent.hex()} is no Modbus read request: not TCP, RTU or ASCII")
    if len(body) != 6 or body[1] not in (1, 2, 3, 4):
        raise ProtocolError(f"{sent.hex()}: function {body[1]} reads no registers")
    request = Request(body[1], body[2] << 8 | body[3], body[4] << 8 | body[5])
    return body[0], request, key, framing
