"""One connection to a bureau: uploads until it answers 9014 (6.2, 6.5.2); its requests go to `requests`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from headgate.sdk import UplinkError
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.commands import Accepted, Kind
from headgate_drivers.hj212.frames import LONGEST_SAID, Fault, Flag, Packet, encode
from headgate_drivers.hj212.parts import split
from headgate_drivers.hj212.replies import id_of, kind
from headgate_drivers.hj212.sealed import must_be
from headgate_plugins.hj212.options import Terms
from headgate_plugins.hj212.requests import Desk, Requests

log = logging.getLogger(__name__)

_READ = 4096


class Bureau:
    """An open connection. `desk` carries out what the bureau asks."""

    def __init__(
        self,
        terms: Terms,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        desk: Desk,
    ) -> None:
        self._terms, self._reader, self._writer = terms, reader, writer
        self._settings = desk.settings
        self._requests = Requests(terms, desk, self._write, self.upload)
        self._answered: dict[str, asyncio.Event] = {}
        self._lost = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name=f"bureau {terms.uplink}")

    async def close(self) -> None:
        """Hang up."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await self._requests.close()
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
            for _ in range(self._settings.tries):
                self._write(packet)
                if await self._first_of(heard):
                    return
            raise UplinkError(
                "the bureau does not answer", code="HG-3632", peer=self._terms.peer, cn=packet.cn,
                tries=self._settings.tries,
            )  # fmt: skip
        finally:
            del self._answered[packet.qn]

    async def _first_of(self, heard: asyncio.Event) -> bool:
        """True: answered. False: not in time. Raises UplinkError when the connection is lost."""
        waits = [asyncio.create_task(heard.wait()), asyncio.create_task(self._lost.wait())]
        try:
            await asyncio.wait(
                waits, timeout=self._settings.answer_s, return_when=asyncio.FIRST_COMPLETED
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
            key = self._terms.key if must_be(packet.cn) else None
            self._writer.write(encode(packet, key=key))

    # ------------------------------------------------------------ what it says

    async def _listen(self) -> None:
        codec = Codec(LONGEST_SAID, lambda mn: self._terms.key)
        try:
            while data := await self._reader.read(_READ):
                for found in codec.feed(data):
                    if isinstance(found, Fault):
                        self._odd(found)
                    else:
                        self._heard(found)
        except OSError as error:
            log.info("lost", extra={"uplink": self._terms.uplink, "reason": str(error)})
        finally:
            self._lost.set()

    def _odd(self, fault: Fault) -> None:
        """Told; a request whose check is right is refused by what is wrong with it."""
        log.info("no packet", extra={"uplink": self._terms.uplink, "what": fault.code})
        if fault.packet is None or fault.packet.mn != self._terms.mn or not fault.packet.qn:
            return
        if fault.code == "bad_field":
            wrong = _WRONG.get(fault.detail.partition(" ")[0], Accepted.UNKNOWN)
            flag = fault.packet.flag or Flag(self._terms.version, split=False, answer=False)
            self._requests.heard(msgspec.structs.replace(fault.packet, flag=flag), wrong)
        elif fault.code in ("bad_end", "bad_length"):
            self._heard(fault.packet)

    def _heard(self, packet: Packet) -> None:
        if packet.cn == "9014":
            waiting = self._answered.get(id_of(packet))
            if waiting is not None and packet.mn in (self._terms.mn, ""):
                waiting.set()
        elif kind(packet, up=False) is not Kind.REPLY:
            self._requests.heard(packet)


#: What of a packet whose check is right cannot be read, as 9011 says it (table 7).
_WRONG = {"QN": Accepted.WRONG_ID, "Flag": Accepted.WRONG_FLAG, "CN": Accepted.WRONG_COMMAND}


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
