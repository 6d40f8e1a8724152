"""One packet of HJ 212 (clauses 6.3.1 and 6.3.2): its fields, how it is read and written.

## | length, four digits | data | check, four hex characters | CR LF

QN=..;ST=..;CN=..;PW=..;MN=..;Flag=..;PNUM=..;PNO=..;CP=&&..&&
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

from headgate_drivers.hj212 import data
from headgate_drivers.hj212.crc import crc16
from headgate_drivers.hj212.data import Record, moment
from headgate_drivers.hj212.sealed import closed

#: What can be wrong. `truncated` is said only when the line ends; `not_supported` of what is encrypted.
Code = Literal[
    "bad_start", "bad_length", "bad_end", "bad_checksum", "bad_field", "truncated", "not_supported"
]  # fmt: skip

MARK, END, CP = b"##", b"\r\n", b"CP=&&"
#: Bytes before and behind the data segment.
HEAD, TAIL = 6, 6
#: The longest data segment (table 2), and what four digits can say.
LONGEST_DATA, LONGEST_SAID = 1024, 9999

_KNOWN = ("QN", "ST", "CN", "PW", "MN", "Flag", "PNUM", "PNO")
#: A time to the millisecond; some software counts otherwise (unix milliseconds, two digits more).
_ID = re.compile(r"[0-9]{10,20}")
#: The standard's own examples C.18 and C.48 have a comma behind QN, and loggers copy them.
_COMMA = re.compile(r"^(QN=[0-9]{17}),")


class Flag(msgspec.Struct, frozen=True):
    """The Flag field (table 3): the edition's number, whether packets are numbered, whether to answer."""

    version: int
    split: bool
    answer: bool

    @classmethod
    def of(cls, number: int) -> Flag:
        """Of 0 to 255."""
        return cls(number >> 2, bool(number & 2), bool(number & 1))

    @property
    def number(self) -> int:
        """As it is written."""
        return self.version << 2 | self.split << 1 | self.answer


class Packet(msgspec.Struct, frozen=True):
    """One packet whose check is right.

    Attributes:
        qn: which request or upload this belongs to: a time to the millisecond; empty where the field is
            missing, as in many packets of 2005.
        flag: None where the field is missing: an old logger, which expects no answer.
        pnum, pno: how many parts, and which one; 0 where it says none.
        cp: what stands between the && of CP; `data.read` reads it.
        other: fields that the standard does not have, in their order; RF of 2025 (made up for later).
        sealed: CP came encrypted, and `cp` is the plain one.
    """

    qn: str = ""
    st: str = ""
    cn: str = ""
    pw: str = ""
    mn: str = ""
    flag: Flag | None = None
    pnum: int = 0
    pno: int = 0
    cp: str = ""
    other: tuple[tuple[str, str], ...] = ()
    sealed: bool = False

    @property
    def asked_at(self) -> datetime | None:
        """The time in `qn`, in the sender's own zone; None where it is no time."""
        return moment(self.qn)

    @property
    def records(self) -> tuple[Record, ...]:
        """What CP says; most packets have one record."""
        return data.read(self.cp)


class Fault(msgspec.Struct, frozen=True):
    """Bytes that are no right packet.

    Attributes:
        consumed: how many bytes were taken off the stream for it.
        packet: what could be read of it, where its check was right: with `bad_field`; with `bad_end`,
            where only CR LF is missing; with `bad_length`, where zeros in front of the check were left
            out or Chinese characters were counted as one. With `not_supported` what stands before CP.
    """

    code: Code
    consumed: int
    detail: str = ""
    packet: Packet | None = None


def characters(raw: bytes) -> str:
    """The text of a segment: UTF-8 as the standard says, else GB 18030 as many loggers do."""
    for name in ("utf-8", "gb18030"):
        try:
            return raw.decode(name)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


def read_segment(raw: bytes) -> tuple[Packet, tuple[str, ...]]:
    """A data segment, and what in it was not right."""
    text = characters(raw)
    head, cp_there, cp = text.partition("CP=&&")
    flaws: list[str] = []
    if not cp_there:
        flaws.append("no CP")
    elif not cp.endswith("&&"):
        flaws.append("CP has no end")
    cp = cp.removesuffix("&&")
    said: dict[str, str] = {}
    other: list[tuple[str, str]] = []
    for part in _COMMA.sub(r"\1;", head).split(";"):
        name, equals, value = part.partition("=")
        # `PW=123456;,MN=8888;FLAG=0` occurs: a comma that belongs nowhere, and FLAG for Flag.
        name, value = name.strip(" ,\t"), value.strip()
        name = "Flag" if name == "FLAG" else name
        if name in _KNOWN and name not in said:
            said[name] = value
        elif name:
            other.append((name, value))
            if not equals:
                flaws.append(f"neither a field nor a value: {part[:20]}")
    qn, cn, mn = said.get("QN", ""), said.get("CN", ""), said.get("MN", "")
    if qn and (_ID.fullmatch(qn) is None or (len(qn) == 17 and moment(qn) is None)):
        flaws.append(f"QN is no time: {qn[:20]}")
    if len(cn) != 4 or not (cn.isascii() and cn.isdecimal()):
        flaws.append(f"CN is no command: {cn[:20]}")
    if "MN" not in said:  # empty, it is a logger that nobody set up, and known by no device
        flaws.append("no MN")
    number = _whole(said, "Flag", 255, flaws)
    flag = None if number is None else Flag.of(number)
    pnum, pno = _whole(said, "PNUM", 9999, flaws), _whole(said, "PNO", 9999, flaws)
    # Flag may announce parts where there are none: the packet is whole all the same.
    if (pnum is None) != (pno is None) or ((pnum or 0) > 1 and not 1 <= (pno or 0) <= (pnum or 0)):
        flaws.append(f"part {pno} of {pnum}")
    packet = Packet(
        qn=qn, st=said.get("ST", ""), cn=cn, pw=said.get("PW", ""), mn=mn, flag=flag,
        pnum=pnum or 0, pno=pno or 0, cp=cp, other=tuple(other),
    )  # fmt: skip
    return packet, (*flaws, *data.flaws(packet.records))


def _whole(said: dict[str, str], name: str, most: int, flaws: list[str]) -> int | None:
    text = said.get(name)
    if not text:
        return None
    if len(text) <= 4 and text.isascii() and text.isdecimal() and int(text) <= most:
        return int(text)
    flaws.append(f"{name} is no number up to {most}: {text[:20]}")
    return None


def segment(packet: Packet) -> bytes:
    """The data segment of a packet, its fields in the order of the standard."""
    fields = [("QN", packet.qn)] if packet.qn else []
    fields += [("ST", packet.st), ("CN", packet.cn), ("PW", packet.pw), ("MN", packet.mn)]
    if packet.flag is not None:
        fields.append(("Flag", str(packet.flag.number)))
    if packet.pnum:
        fields += [("PNUM", str(packet.pnum)), ("PNO", str(packet.pno))]
    fields += packet.other
    head = ";".join(f"{name}={value}" for name, value in fields)
    return f"{head};CP=&&{packet.cp}&&".encode()


def encode(packet: Packet, most: int = LONGEST_DATA, key: bytes | None = None) -> bytes:
    """A packet as it goes out; with a key, its CP is encrypted as in 2025.

    Raises:
        ValueError: its data segment is longer than `most`: `parts.split` cuts it.
    """
    raw = segment(packet)
    if len(raw) > min(most, LONGEST_SAID):
        raise ValueError(f"{len(raw)} bytes of data, {most} allowed")
    check = crc16(raw)
    if key is not None:
        head, mark, cp = raw.partition(CP)
        raw = head + mark + closed(key, cp.removesuffix(b"&&")) + b"&&"
    return MARK + b"%04d" % len(raw) + raw + b"%04X" % check + END
