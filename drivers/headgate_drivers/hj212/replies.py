"""The flow of requests, uploads and notices (clause 6.5), and what is answered.

    request   platform -> CN    logger -> 9011 QnRtn    logger -> CN data (0..n)    logger -> 9012 ExeRtn
    upload    logger -> CN      platform -> 9014, where Flag asks for it
    notice    either -> CN      the other -> 9013

An answer has the QN of what it answers, ST 91, and no wish for an answer itself; to a packet of 2005 the
QN stands in CP, as that edition has it. Pure: when to answer is not said here. A reading must be durable
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headgate_drivers.hj212.commands import BETWEEN, Accepted, Done, Kind
from headgate_drivers.hj212.editions import NEW_KEY, Edition, command, edition
from headgate_drivers.hj212.frames import Flag, Packet


def kind(packet: Packet, *, up: bool) -> Kind | None:
    """What a packet begins, or that it is an answer; None for a command that is not known."""
    found = command(packet)
    if found is None:
        return None
    return found.up if up else found.down


def wants_answer(packet: Packet) -> bool:
    """Whether Flag asks for an answer, and the packet is none itself.

    A logger of 2005 says nothing of the sort, and expects none.
    """
    return bool(packet.flag and packet.flag.answer) and packet.cn not in _ANSWERS


_ANSWERS = ("9011", "9012", "9013", "9014")


def answer(packet: Packet) -> Packet | None:
    """What a platform answers to a packet from below: 9014 to data, 9013 to a notice.

    None where nothing is answered: no wish for one, or a wish for a new key (1014, 2025), which is not
    handed out here. Parts are answered one by one: each has its own QN (annex C.50).
    """
    if not wants_answer(packet) or packet.cn == NEW_KEY:
        return None
    begins = kind(packet, up=True)
    notice = begins is Kind.NOTICE
    return _back(packet, "9013" if notice else "9014", "")


def answer_as(packet: Packet, cn: str) -> Packet:
    """An answer under a command that a site's contract names."""
    return _back(packet, cn, "")


def accepted(request: Packet, result: Accepted = Accepted.READY) -> Packet:
    """9011: a logger has a request, and says whether it carries it out."""
    return _back(request, "9011", f"QnRtn={int(result)}")


def done(request: Packet, result: Done = Done.SUCCESS) -> Packet:
    """9012: how it went."""
    return _back(request, "9012", f"ExeRtn={int(result)}")


def noticed(notice: Packet) -> Packet:
    """9013: a notice was heard."""
    return _back(notice, "9013", "")


def _back(packet: Packet, cn: str, cp: str) -> Packet:
    flag = packet.flag and Flag(packet.flag.version, split=False, answer=False)
    old = edition(packet) is Edition.OF_2005
    asked = id_of(packet)
    if old and asked:
        cp = f"QN={asked};{cp}" if cp else f"QN={asked}"
    return Packet(
        qn="" if old else asked,
        st=BETWEEN,
        cn=cn,
        pw=packet.pw,
        mn=packet.mn,
        flag=flag,
        cp=cp,
    )


def id_of(packet: Packet) -> str:
    """Which request or upload a packet belongs to: QN in front, or in CP as in 2005."""
    return packet.qn or packet.records[0].item("QN") or ""


def result_of(packet: Packet) -> Accepted | Done | None:
    """What a 9011 or 9012 says; None for another packet, or a number of no meaning."""
    name = {"9011": "QnRtn", "9012": "ExeRtn"}.get(packet.cn)
    said = packet.records[0].item(name) if name else None
    if not said or len(said) > 3 or not said.isdecimal():
        return None
    try:
        return Accepted(int(said)) if name == "QnRtn" else Done(int(said))
    except ValueError:
        return None


def answers(reply: Packet, request: Packet) -> bool:
    """Whether a packet is an answer to that request: the same QN of the same device."""
    asked = id_of(reply)
    return bool(asked) and (asked, reply.mn) == (id_of(request), request.mn)


class Platform:
    """Writes the requests of a platform to one logger; each has its own QN, the time it was asked at."""

    def __init__(self, mn: str, pw: str, st: str, version: int = 1) -> None:
        self.mn, self.pw, self.st, self.version = mn, pw, st, version

    def ask(self, cn: str, at: datetime, items: Sequence[tuple[str, str]] = ()) -> Packet:
        """Any command that goes down, with its items: `RtdInterval`, `BeginTime`, `PolId` ..."""
        return Packet(
            qn=f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03}",
            st=self.st,
            cn=cn,
            pw=self.pw,
            mn=self.mn,
            flag=Flag(self.version, split=False, answer=True),
            cp=";".join(f"{name}={value}" for name, value in items),
        )

    def set_clock(self, at: datetime, factor: str = "") -> Packet:
        """1012: of the logger, or of the instrument that measures one factor."""
        items = [("PolId", factor)] if factor else []
        return self.ask("1012", at, [*items, ("SystemTime", f"{at:%Y%m%d%H%M%S}")])

    def history(self, cn: str, start: datetime, end: datetime, at: datetime) -> Packet:
        """2031, 2041, 2051, 2061: what was measured between two times."""
        times = (("BeginTime", f"{start:%Y%m%d%H%M%S}"), ("EndTime", f"{end:%Y%m%d%H%M%S}"))
        return self.ask(cn, at, times)
