"""Modbus frames and PDUs as bytes, and nothing else: no socket, no clock, no exception on hostile bytes.

Sources: MODBUS Application Protocol V1.1b3 (PDUs, exception codes), MODBUS Messaging on TCP/IP
V1.0b section 3.1 (MBAP header), MODBUS over Serial Line V1.02 section 2.5.1 (RTU frame, CRC).

Both framings give the same payload, unit then PDU, so all above them is one code.
"""

from __future__ import annotations

import msgspec

from headgate.sdk import DeviceRefused, Frame, ProtocolError

READ_COILS = 1
READ_DISCRETE = 2
READ_HOLDING = 3
READ_INPUT = 4
WRITE_COIL = 5
WRITE_REGISTER = 6
WRITE_COILS = 15
WRITE_REGISTERS = 16
MASK_WRITE = 22
#: Encapsulated interface, of which 14 is "read device identification" (V1.1b3 section 6.21).
INTERFACE, DEVICE_ID = 43, 14

#: What a device may be asked for at once (V1.1b3 sections 6.1 to 6.4).
MAX_BITS = 2000
MAX_REGISTERS = 125

#: Exception codes of a function or a register that is not there (V1.1b3 section 7).
ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
DEVICE_FAILURE = 4
#: Set in the function code of an answer that is an exception.
EXCEPTION = 0x80

#: Unit and PDU of the largest frame: 260 bytes with its MBAP header, 256 with its CRC.
_MAX_BODY = 254
_MAX_RTU = 256


class Request(msgspec.Struct, frozen=True):
    """One read: `count` registers or bits of the table that `function` reads, from `start`."""

    function: int
    start: int
    count: int

    def pdu(self) -> bytes:
        """Function, address, quantity."""
        return b"%c%c%c%c%c" % (
            self.function,
            self.start >> 8,
            self.start & 0xFF,
            self.count >> 8,
            self.count & 0xFF,
        )

    def data_size(self) -> int:
        """How many bytes of data the answer must carry, no more and no less."""
        if self.function in (READ_COILS, READ_DISCRETE):
            return (self.count + 7) // 8
        return self.count * 2


def answer_data(payload: bytes, unit: int, request: Request) -> bytes:
    """The data bytes of an answer that is exactly what was asked for.

    Args:
        payload: unit and PDU, as a framing gives them.

    Raises:
        DeviceRefused: an exception answer; `detail` is the Modbus exception code.
        ProtocolError: another unit or function, or another amount of data than asked for.
    """
    size = request.data_size()
    if payload[:3] == bytes((unit, request.function, size)) and len(payload) == size + 3:
        return payload[3:]
    check_head(payload, unit, request.function, request.start, request.count)
    raise _nonsense(unit, f"{len(payload) - 3} bytes of data where {size} were asked for")


def check_head(payload: bytes, unit: int, function: int, start: int, count: int) -> None:
    """Refuse an answer that is an exception, or speaks for another unit or function.

    Raises:
        DeviceRefused: an exception answer; `detail` is the Modbus exception code.
        ProtocolError: another unit or function than asked.
    """
    if len(payload) < 2:
        raise _nonsense(unit, "an answer without a function code")
    if payload[0] != unit:
        raise _nonsense(unit, f"the answer speaks for unit {payload[0]}")
    if payload[1] == function | EXCEPTION and len(payload) == 3:
        code = payload[2]
        raise DeviceRefused(
            f"unit {unit} refuses function {function} at {start}, count {count}: exception {code}",
            detail=code,
            unit=unit,
            exception=code,
            start=start,
            count=count,
        )
    if payload[1] != function:
        raise _nonsense(unit, f"function {payload[1]} answers function {function}")


def check_written(payload: bytes, unit: int, pdu: bytes) -> None:
    """Refuse an answer to a write that does not say back what was written.

    Functions 5, 6 and 22 say all of it back, 15 and 16 the address and the quantity.

    Raises:
        DeviceRefused, ProtocolError: as `check_head`; and an answer that says back something else.
    """
    start, count = pdu[1] << 8 | pdu[2], pdu[3] << 8 | pdu[4]
    check_head(payload, unit, pdu[0], start, count)
    said = pdu[:5] if pdu[0] in (WRITE_COILS, WRITE_REGISTERS) else pdu
    if payload[1:] != said:
        raise _nonsense(unit, f"it confirms {payload[1:].hex()} where {said.hex()} was written")


def _nonsense(unit: int, what: str) -> ProtocolError:
    return ProtocolError(f"unit {unit}: {what}", unit=unit, reason=what)


# ---------------------------------------------------------------- Modbus TCP


class MbapFraming:
    """Modbus TCP: a header with a transaction id, which names the request that a frame answers."""

    unique_keys = True

    def wrap(self, transaction: int, unit: int, pdu: bytes) -> tuple[bytes, int]:
        """The frame of a request, and the key of its answer."""
        head = transaction << 32 | len(pdu) + 1
        return head.to_bytes(6, "big") + bytes((unit,)) + pdu, transaction

    def next(self, buffer: bytearray) -> Frame | None:
        while len(buffer) >= 8:
            length = buffer[4] << 8 | buffer[5]
            if buffer[2] or buffer[3] or not 2 <= length <= _MAX_BODY:
                _resync(buffer)
                continue
            end = 6 + length
            if len(buffer) < end:
                return None
            frame = Frame(buffer[0] << 8 | buffer[1], bytes(buffer[6:end]))
            del buffer[:end]
            return frame
        return None


def _resync(buffer: bytearray) -> None:
    """Drop bytes up to the next that could start a frame, at least one."""
    # Where noise is in the stream a header alone proves little (zeros are common in it), so the
    # PDU's own size must agree too. Seven bytes may be the beginning of a header and stay.
    for start in range(1, len(buffer) - 7):
        length = buffer[start + 4] << 8 | buffer[start + 5]
        if not (buffer[start + 2] or buffer[start + 3]) and 2 <= length <= _MAX_BODY:
            wanted = _body_size(buffer, start + 6)
            if wanted == length or (wanted is None and buffer[start + 7] in _SIZE_UNSAID):
                del buffer[:start]
                return
    del buffer[: max(1, len(buffer) - 8)]


# ---------------------------------------------------------------- Modbus RTU


class RtuFraming:
    """Modbus RTU: unit, PDU, CRC. The end of a frame is known by its function, not by silence.

    Silence is lost in serial servers and operating systems, so it cannot be what a frame ends with.
    """

    unique_keys = False

    def wrap(self, transaction: int, unit: int, pdu: bytes) -> tuple[bytes, tuple[int, int]]:
        """The frame of a request, and the key of its answer. RTU has no transaction id."""
        body = bytes((unit,)) + pdu
        return body + crc16(body).to_bytes(2, "little"), (unit, pdu[0])

    def next(self, buffer: bytearray) -> Frame | None:
        # Noise can look like the beginning of a long frame. So every place is tried, and only
        # what is whole and has the right CRC is a frame; all before it goes.
        for start in range(len(buffer) - 4):
            size = _body_size(buffer, start)
            if size is None or size + 2 > _MAX_RTU or start + size + 2 > len(buffer):
                continue
            end = start + size + 2
            body = bytes(buffer[start : end - 2])
            if crc16(body) == buffer[end - 2] | buffer[end - 1] << 8:
                del buffer[:end]
                return Frame((body[0], body[1] & ~EXCEPTION), body)
        if len(buffer) > _MAX_RTU:
            del buffer[:-_MAX_RTU]
        return None


#: FIFO queue and encapsulated interface: real functions whose first bytes do not tell the size.
_SIZE_UNSAID = (24, 43)
#: Unit, function, interface type, code, conformity, more, next object, number of objects.
_IDENTITY_HEAD = 8


def _identity_size(buffer: bytearray, start: int) -> int | None:
    """As `_body_size`, of an identification: its objects tell their sizes one by one."""
    at = start + _IDENTITY_HEAD
    if at > len(buffer) or buffer[start + 2] != DEVICE_ID:
        return None
    for _ in range(buffer[at - 1]):
        if at + 2 > len(buffer):
            return None
        at += 2 + buffer[at + 1]
    return at - start


def _body_size(buffer: bytearray, start: int) -> int | None:
    """Bytes of unit and PDU of the answer at `start`, None when its function does not tell."""
    function = buffer[start + 1]
    if function == INTERFACE:
        return _identity_size(buffer, start)
    if function & EXCEPTION:
        return 3
    if function in (1, 2, 3, 4, 12, 17, 20, 21, 23):
        return 3 + buffer[start + 2] if start + 2 < len(buffer) else None
    return {5: 6, 6: 6, 8: 6, 15: 6, 16: 6, 7: 3, 11: 6, 22: 8}.get(function)


# ---------------------------------------------------------------- Modbus ASCII


class AsciiFraming:
    """Modbus ASCII: a colon, unit and PDU and a checksum in hex, CR LF.

    Source: MODBUS over Serial Line V1.02 section 2.5.2.
    """

    unique_keys = False

    def wrap(self, transaction: int, unit: int, pdu: bytes) -> tuple[bytes, tuple[int, int]]:
        """The frame of a request, and the key of its answer. ASCII has no transaction id."""
        body = bytes((unit,)) + pdu
        return b":%s\r\n" % (body + bytes((lrc(body),))).hex().upper().encode(), (unit, pdu[0])

    def next(self, buffer: bytearray) -> Frame | None:
        while (end := buffer.find(b"\n")) >= 0:
            # A colon stands at the beginning of a frame and nowhere else.
            start = buffer.rfind(b":", 0, end)
            line = bytes(buffer[start + 1 : end]).rstrip(b"\r") if start >= 0 else b""
            del buffer[: end + 1]
            try:
                body = bytes.fromhex(line.decode("ascii"))
            except ValueError:
                continue
            if len(body) >= 3 and lrc(body) == 0:
                return Frame((body[0], body[1] & ~EXCEPTION), body[:-1])
        if len(buffer) > _MAX_ASCII:
            del buffer[:-_MAX_ASCII]
        return None


_MAX_ASCII = 513


def lrc(data: bytes) -> int:
    """Two's complement of the sum of all bytes (section 6.2.1); 0 over data and checksum together."""
    return -sum(data) & 0xFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS: reflected polynomial 0xA001, start 0xFFFF; sent low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc
