"""Bytes to values and back, without a line: address, 0x10, int16 and uint16 (tenths), sum of all."""

from headgate.sdk import Frame, ProtocolError

FIELDS = ("temperature", "humidity")
FUNCTION = 0x10
SIZE = 7


def poll(address: int) -> bytes:
    """The request for both values."""
    return bytes([address, FUNCTION, (address + FUNCTION) & 0xFF])


def parse(reply: bytes) -> dict[str, int]:
    """Raw values of a whole reply, in tenths of a degree and of a percent."""
    if len(reply) != SIZE or reply[1] != FUNCTION:
        raise ProtocolError(f"not a TH-20 reply: {reply.hex(' ')}")
    return {
        "temperature": int.from_bytes(reply[2:4], "big", signed=True),
        "humidity": int.from_bytes(reply[4:6], "big"),
    }


class Replies:
    """Finds replies in whatever arrives. The key is the address that answered."""

    def next(self, buffer: bytearray) -> Frame | None:
        while len(buffer) >= SIZE:
            reply = bytes(buffer[:SIZE])
            if reply[1] == FUNCTION and sum(reply[:-1]) & 0xFF == reply[-1]:
                del buffer[:SIZE]
                return Frame(reply[0], reply)
            del buffer[0]  # noise, or the middle of a frame
        return None
