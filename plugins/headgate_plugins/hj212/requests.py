"""What a bureau asks of a logger (6.1, 6.5.1), judged and carried out: 9011, data where there are any, 9012.

What concerns this uplink's own reporting is done: time-outs (1000), the time (1011), intervals (1061, 1062,
1063), real time data on and off (2011, 2012), history (2051, 2061, 2031). Everything else is refused: nobody
sets this gateway's clock or password from afar, and none of its outputs is moved by this protocol. What was
set holds until the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from headgate.sdk import UplinkError
from headgate_drivers.hj212.commands import Accepted, Done, Kind
from headgate_drivers.hj212.data import moment
from headgate_drivers.hj212.editions import command
from headgate_drivers.hj212.frames import Flag, Packet
from headgate_drivers.hj212.replies import accepted, done, noticed, wants_answer
from headgate_plugins.hj212.options import Terms
from headgate_plugins.hj212.periods import DAY, HOUR, MINUTES

log = logging.getLogger(__name__)

#: Seconds between real time data that may be set (table 4), and tries at most.
REALTIME_S = range(30, 3601)
MOST_TRIES = 10
_HISTORY = (MINUTES, HOUR, DAY)
_DONE_HERE = ("1000", "1011", "1061", "1062", "1063", "2011", *_HISTORY)
#: A bureau may ask while an answer is under way, and not without end.
_MOST_AT_ONCE = 8


class Settings:
    """What a bureau may change, for all connections until the next start."""

    def __init__(self, terms: Terms) -> None:
        self.answer_s, self.tries = terms.answer_s, terms.tries
        self.realtime_s, self.realtime = terms.realtime_s, terms.realtime_s > 0


class Desk(Protocol):
    """What requests are carried out with."""

    settings: Settings

    def local(self) -> datetime | None:
        """The bureau's wall time; None while it is not trusted."""
        ...

    def set_realtime(self, seconds: int) -> None:
        """Tell real time data each so many seconds from now on."""
        ...

    def history(self, cn: str, begin: datetime, end: datetime) -> Sequence[Packet]:
        """What was told of periods that begin between two times, oldest first, to be told again."""
        ...


class Requests:
    """The requests of one connection."""

    def __init__(
        self,
        terms: Terms,
        desk: Desk,
        write: Callable[[Packet], None],
        upload: Callable[[Packet], Awaitable[None]],
    ) -> None:
        self._terms, self._desk = terms, desk
        self._write, self._upload = write, upload
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def heard(self, packet: Packet, wrong: Accepted | None = None) -> None:
        """A packet of the bureau's that is no answer. `wrong`: what of it could not be read."""
        found = command(packet)
        if wrong is None and found is not None and found.down is Kind.NOTICE:
            if packet.mn == self._terms.mn and packet.pw == self._terms.pw and packet.cn == "2012":
                self._desk.settings.realtime = False
            if wants_answer(packet):
                self._write(noticed(packet))
            return
        result = wrong or self._judged(packet)
        if result is Accepted.READY and len(self._under_way) >= _MOST_AT_ONCE:
            result = Accepted.REFUSED
        self._write(accepted(packet, result))
        log.info(
            "request of a bureau",
            extra={"uplink": self._terms.uplink, "cn": packet.cn, "result": result.name},
        )
        # The same request again: its 9011 was lost, and it is being done.
        if result is Accepted.READY and packet.qn not in self._under_way:
            task = asyncio.create_task(self._carry_out(packet), name=f"bureau asks {packet.cn}")
            self._under_way[packet.qn] = task
            task.add_done_callback(lambda _: self._under_way.pop(packet.qn, None))

    async def close(self) -> None:
        """The line is lost: nobody waits for answers."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _judged(self, packet: Packet) -> Accepted:
        if packet.mn != self._terms.mn:
            return Accepted.WRONG_DEVICE
        if packet.pw != self._terms.pw:
            return Accepted.WRONG_PASSWORD
        if packet.st not in (self._terms.st, "91"):
            return Accepted.WRONG_SYSTEM
        if command(packet) is None:
            return Accepted.WRONG_COMMAND
        if packet.cn not in _DONE_HERE:
            return Accepted.REFUSED
        if packet.cn in ("1062", "2011") and not self._terms.realtime_s:
            return Accepted.REFUSED  # this site tells no real time data
        return Accepted.READY

    async def _carry_out(self, packet: Packet) -> None:
        try:
            result = await self._done(packet)
        except UplinkError as error:  # the line; the bureau asks again
            log.info("not answered", extra={"uplink": self._terms.uplink, "reason": str(error)})
            return
        self._write(done(packet, result))

    async def _done(self, packet: Packet) -> Done:
        settings, record = self._desk.settings, packet.records[0]
        if packet.cn in _HISTORY:
            begin = moment((record.item("BeginTime") or "").strip())
            end = moment((record.item("EndTime") or "").strip())
            if begin is None or end is None or end < begin:
                return Done.WRONG_CONDITION
            told = self._desk.history(packet.cn, begin, end)
            for each in told:
                await self._upload(each)
            return Done.SUCCESS if told else Done.NO_DATA
        if packet.cn == "1000":
            seconds, times = _whole(record.item("OverTime")), _whole(record.item("ReCount"))
            if not (0 < seconds < 100 and 0 < times < 100):
                return Done.WRONG_CONDITION
            settings.answer_s, settings.tries = float(seconds), min(times, MOST_TRIES)
        elif packet.cn == "1062":
            seconds = _whole(record.item("RtdInterval"))
            if seconds not in REALTIME_S:
                return Done.WRONG_CONDITION
            self._desk.set_realtime(seconds)
        elif packet.cn == "2011":
            settings.realtime = True
        else:
            return self._tell(packet)
        return Done.SUCCESS

    def _tell(self, packet: Packet) -> Done:
        now = self._desk.local()
        said = {
            "1011": f"SystemTime={now:%Y%m%d%H%M%S}" if now else "",
            "1061": f"RtdInterval={self._desk.settings.realtime_s}",
            "1063": f"MinInterval={self._terms.minutes_s // 60}",
        }[packet.cn]
        if not said:
            return Done.FAILED
        flag = packet.flag and Flag(packet.flag.version, split=False, answer=False)
        self._write(
            msgspec.structs.replace(packet, st=self._terms.st, flag=flag, cp=said, other=())
        )
        return Done.SUCCESS


def _whole(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else -1
