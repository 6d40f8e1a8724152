"""One connection to a bureau: uploads until it answers 9014, its requests answered or refused.

Of requests (clause 6.5.1) a bureau is given the time (1011) and intervals (1061, 1063). Every other one is
refused (9011, QnRtn=2): nobody sets this gateway's clock, password or intervals from afar, and none of its
outputs is moved by this protocol. A wrong password is QnRtn=3, another MN 4, a command of no meaning 8.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from headgate.sdk import UplinkError
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.commands import COMMANDS, Accepted, Done, Kind
from headgate_drivers.hj212.frames import LONGEST_SAID, Fault, Flag, Packet, encode
from headgate_drivers.hj212.parts import split
from headgate_drivers.hj212.replies import accepted, done, id_of, kind, noticed, wants_answer
from headgate_plugins.hj212.options import Terms

log = logging.getLogger(__name__)

_READ = 4096


class Bureau:
    """An open connection. `local` tells the bureau's wall time, None while it is not trusted."""

    def __init__(
        self,
        terms: Terms,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        local: Callable[[], datetime | None],
    ) -> None:
        self._terms, self._reader, self._writer, self._local = terms, reader, writer, local
        self._answered: dict[str, asyncio.Event] = {}
        self._lost = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name=f"bureau {terms.uplink}")

    async def close(self) -> None:
        """Hang up."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    @property
    def lost(self) -> bool:
        """Whether the bureau has hung up."""
        return self._lost.is_set()

    async def upload(self, packet: Packet) -> None:
        """Send a packet, in parts where it is long, each until it is answered.

        Raises:
            UplinkError: the bureau does not answer, or hung up.
        """
        for part in split(packet):
            await self._until_answered(part)

    async def _until_answered(self, packet: Packet) -> None:
        heard = self._answered[packet.qn] = asyncio.Event()
        try:
            for _ in range(self._terms.tries):
                self._write(packet)
                if await self._first_of(heard):
                    return
            raise UplinkError(
                "the bureau does not answer", code="HG-3632", peer=self._terms.peer, cn=packet.cn,
                tries=self._terms.tries,
            )  # fmt: skip
        finally:
            del self._answered[packet.qn]

    async def _first_of(self, heard: asyncio.Event) -> bool:
        """True: answered. False: not in time. Raises UplinkError when the connection is lost."""
        waits = [asyncio.create_task(heard.wait()), asyncio.create_task(self._lost.wait())]
        try:
            await asyncio.wait(
                waits, timeout=self._terms.answer_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if not heard.is_set() and self.lost:
            raise UplinkError("the bureau hung up", code="HG-3633", peer=self._terms.peer)
        return heard.is_set()

    def _write(self, packet: Packet) -> None:
        if not self.lost:
            self._writer.write(encode(packet))

    # ------------------------------------------------------------ what it says

    async def _listen(self) -> None:
        codec = Codec(LONGEST_SAID)
        try:
            while data := await self._reader.read(_READ):
                for found in codec.feed(data):
                    if isinstance(found, Fault):
                        log.info(
                            "no packet", extra={"uplink": self._terms.uplink, "what": found.code}
                        )
                    else:
                        self._heard(found)
        except OSError as error:
            log.info("lost", extra={"uplink": self._terms.uplink, "reason": str(error)})
        finally:
            self._lost.set()

    def _heard(self, packet: Packet) -> None:
        if packet.cn == "9014":
            waiting = self._answered.get(id_of(packet))
            if waiting is not None and packet.mn in (self._terms.mn, ""):
                waiting.set()
        elif kind(packet, up=False) is Kind.NOTICE:
            if wants_answer(packet):
                self._write(noticed(packet))
        elif kind(packet, up=False) is not Kind.REPLY:
            self._request(packet)

    def _request(self, packet: Packet) -> None:
        result = self._judged(packet)
        self._write(accepted(packet, result))
        log.info(
            "request of a bureau",
            extra={"uplink": self._terms.uplink, "cn": packet.cn, "result": result.name},
        )
        if result is not Accepted.READY:
            return
        now = self._local()
        said = {
            "1011": f"SystemTime={now:%Y%m%d%H%M%S}" if now else "",
            "1061": f"RtdInterval={self._terms.realtime_s}",
            "1063": f"MinInterval={self._terms.minutes_s // 60}",
        }[packet.cn]
        if said:
            flag = packet.flag and Flag(packet.flag.version, split=False, answer=False)
            data = msgspec.structs.replace(packet, st=self._terms.st, flag=flag, cp=said, other=())
            self._write(data)
        self._write(done(packet, Done.SUCCESS if said else Done.FAILED))

    def _judged(self, packet: Packet) -> Accepted:
        if packet.mn != self._terms.mn:
            return Accepted.WRONG_DEVICE
        if packet.pw != self._terms.pw:
            return Accepted.WRONG_PASSWORD
        if packet.cn not in COMMANDS:
            return Accepted.WRONG_COMMAND
        return Accepted.READY if packet.cn in ("1011", "1061", "1063") else Accepted.REFUSED


class Names:
    """QN of what we send: the bureau's time to the millisecond, no two alike."""

    def __init__(self) -> None:
        self._last = datetime.min  # noqa: DTZ901 - the bureau's wall, which has no zone

    def next(self, now: datetime, count: int = 1) -> str:
        """The next one; `count` of them may be used from it on, one millisecond apart."""
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        now = max(now, self._last + timedelta(milliseconds=1))
        self._last = now + timedelta(milliseconds=count - 1)
        return f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03}"
