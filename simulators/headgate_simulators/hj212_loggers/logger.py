"""One logger: it measures, keeps what is not answered, dials, sends again, hangs up."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum

from headgate_simulators.hj212_loggers.asked import Set, answers
from headgate_simulators.hj212_loggers.packets import packet, taken
from headgate_simulators.world import Place, World

_CHINA = timezone(timedelta(hours=8))
#: Clause 6.5: how long an answer is waited for, and how often a packet is sent.
TRIES = 3
#: What a logger keeps of what was not answered; then the oldest is lost, as in the field.
KEEPS = 20_000
#: Minute data that it can be asked for.
KEEPS_MINUTES = 1000


class Wrong(Enum):
    """What can be wrong with a logger."""

    WRONG_CHECK = "wrong-check"  # one packet in five has another check the first time it is sent
    SPLIT = "split"  # each packet in three segments
    GLUED = "glued"  # two packets in one segment, where two wait
    PARTS = "parts"  # each packet cut into parts (PNUM, PNO)
    CLOCK_OFF = "clock-off"  # its clock is `value` seconds off
    HANGS_UP = "hangs-up"  # after each tenth packet, without waiting for the answer
    DEAF = "deaf"  # one answer in five is not heard, so the packet comes again
    NO_END = "no-end"  # without CR LF
    SHORT_CHECK = "short-check"  # zeros in front of the check are left out
    NULL_MN = "null-mn"  # its MN is null
    SILENT = "silent"  # it measures, and does not dial


class Kind(Enum):
    """What stands there, and by which profile the gateway reads it."""

    DUST = "dust"
    OUTFALL = "outfall"


PROFILE = {Kind.DUST: "generic/dust-noise-station", Kind.OUTFALL: "generic/water-outfall"}
SYSTEM = {Kind.DUST: "39", Kind.OUTFALL: "32"}
#: Point of the profile, factor, digits.
FACTORS = {
    Kind.DUST: [
        ("pm10", "a34002", 1), ("pm25", "a34004", 1), ("tsp", "a34001", 1), ("noise", "LA", 1),
        ("temperature", "a01001", 1), ("humidity", "a01002", 1), ("pressure", "a01006", 2),
        ("wind_speed", "a01007", 1), ("wind_direction", "a01008", 0),
    ],
    Kind.OUTFALL: [
        ("flow", "w00000", 2), ("cod", "w01018", 1), ("nh3n", "w21003", 2), ("tp", "w21011", 2),
        ("tn", "w21001", 2), ("ph", "w01001", 2), ("temperature", "w01010", 1),
    ],
}  # fmt: skip


def measured(kind: Kind, world: World, place: Place, t: float, seed: str) -> dict[str, float]:
    """What is true there at an instant of the world."""
    draw = random.Random(f"{seed}:{place.name}:{math.floor(t)}")
    rain = world.rain_mm_h(place, t)
    air = world.air_temperature_c(t)
    day = (t + 8 * 3600) % 86_400 / 86_400
    busy = 0.5 - 0.5 * math.cos(2 * math.pi * day)
    if kind is Kind.DUST:
        pm10 = (60 + 120 * busy + draw.uniform(-5, 5)) / (1 + rain / 4)
        return {
            "pm10": pm10, "pm25": pm10 * 0.45, "tsp": pm10 * 1.7,
            "noise": 48 + 22 * busy + min(8.0, rain / 6) + draw.uniform(-2, 2),
            "temperature": air, "humidity": min(99.0, 62 - air / 2 + 2 * rain),
            "pressure": 101.3 - rain / 100, "wind_speed": 1.5 + draw.uniform(0, 3) + rain / 20,
            "wind_direction": (135 + draw.uniform(-30, 30)) % 360,
        }  # fmt: skip
    flow = 12 + 9 * busy + 0.4 * world.runoff_mm_h(t)
    strength = 1 / (1 + 0.05 * rain)
    return {
        "flow": flow, "cod": (26 + 12 * busy + draw.uniform(-1, 1)) * strength,
        "nh3n": (0.4 + 0.6 * busy) * strength, "tp": 0.12 + 0.1 * busy, "tn": 7.5 + 3 * busy,
        "ph": 7.3 + draw.uniform(-0.1, 0.1), "temperature": world.water_temperature_c(t),
    }  # fmt: skip


@dataclass(slots=True)
class Upload:
    """One packet that wants an answer, and what it says of which points; `at`: DataTime, unix seconds."""

    qn: str
    segment: str
    values: dict[str, float]
    at: int = 0
    function: str = ""
    sent: int = 0
    began: float = 0.0


@dataclass(slots=True)
class Logger:
    """One logger. `answered` and `said` are its own account of what went up, `set` of what it was told.

    Args:
        told: called when a packet is sent for the first time, and when it is answered.
    """

    id: str
    mn: str
    kind: Kind
    place: Place
    world: World
    world_time: Callable[[], float]
    seed: str
    real_s: float = 30.0
    minutes_s: float = 600.0
    answer_s: float = 5.0
    told: Callable[[Logger, Upload], None] = lambda logger, upload: None
    wrong: dict[Wrong, float] = field(default_factory=dict)
    waiting: deque[Upload] = field(default_factory=deque)
    said: dict[str, Upload] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    lost: int = 0
    set: Set = field(default_factory=Set)
    kept: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=KEEPS_MINUTES))
    dialled: int = 0
    late_s: list[float] = field(default_factory=list)
    _number: int = 0
    _writer: asyncio.StreamWriter | None = None
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _draw: random.Random = field(default_factory=random.Random)
    _last: datetime | None = None
    _heard: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)

    # ------------------------------------------------------------ measuring

    async def measure(self) -> None:
        """Real time data every `real_s`, a mean of minutes every `minutes_s`, for ever."""
        loop = asyncio.get_running_loop()
        self._draw.seed(f"{self.seed}:{self.mn}")
        next_s = loop.time() + self._draw.uniform(0, self.real_s)  # spread, as in the field
        minutes_s = next_s + self.minutes_s
        sums: dict[str, list[float]] = {}
        while True:
            await asyncio.sleep(max(0.0, next_s - loop.time()))
            next_s += self.real_s
            values = measured(self.kind, self.world, self.place, self.world_time(), self.seed)
            for point, value in values.items():
                sums.setdefault(point, []).append(value)
            if self.set.real_time:
                self.real_time(values)
            if loop.time() >= minutes_s:
                minutes_s += self.minutes_s
                self.minutes(sums)
                sums = {}

    def now(self) -> datetime:
        """What its clock shows: no instant twice, to the millisecond."""
        off = timedelta(seconds=self.wrong.get(Wrong.CLOCK_OFF, 0.0)) + self.set.clock_off
        now = datetime.now(_CHINA) + off
        if self._last is not None:
            now = max(now, self._last + timedelta(milliseconds=1))
        self._last = now
        return self._last

    def real_time(self, values: dict[str, float]) -> None:
        """One 2011, in parts where it is so."""
        at, rounded, items = self.now(), {}, []
        for point, code, digits in FACTORS[self.kind]:
            text = f"{values[point]:.{digits}f}"
            rounded[point] = float(text)
            items.append((point, f"{code}-Rtd={text},{code}-Flag=N"))
        if Wrong.PARTS in self.wrong:
            half = len(items) // 2
            for number, part in enumerate((items[:half], items[half:]), 1):
                points = {point: rounded[point] for point, _ in part}
                head = f"PNUM=2;PNO={number};"
                self._keep("2011", at, [text for _, text in part], points, 7, head)
        else:
            self._keep("2011", at, [text for _, text in items], rounded)

    def minutes(self, sums: dict[str, list[float]]) -> None:
        """One 2051: least, mean and greatest; the profile has a point for the dust station's mean."""
        begin = self.now() - timedelta(seconds=self.minutes_s)
        items, values = [], {}
        for point, code, digits in FACTORS[self.kind]:
            all_of = sums.get(point) or [0.0]
            mean = f"{sum(all_of) / len(all_of):.{digits}f}"
            items.append(
                f"{code}-Min={min(all_of):.{digits}f},{code}-Avg={mean},"
                f"{code}-Max={max(all_of):.{digits}f},{code}-Flag=N"
            )
            if self.kind is Kind.DUST and point in ("pm10", "noise"):
                values[f"{point}_minutes"] = float(mean)
        self._keep("2051", begin, items, values)
        at = f"{begin:%Y%m%d%H%M%S}"
        self.kept.append((at, ";".join([f"DataTime={at}", *items])))

    def _keep(
        self, cn: str, at: datetime, items: list[str], values: dict[str, float], flag: int = 5,
        head: str = "",
    ) -> None:  # fmt: skip
        mn = "null" if Wrong.NULL_MN in self.wrong else self.mn
        name = self._name()
        cp = ";".join([f"DataTime={at:%Y%m%d%H%M%S}", *items])
        segment = f"QN={name};ST={SYSTEM[self.kind]};CN={cn};PW=123456;MN={mn};Flag={flag};{head}CP=&&{cp}&&"
        upload = Upload(name, segment, values, int(at.timestamp()), cn)
        self.waiting.append(upload)
        self.said[name] = upload
        if len(self.waiting) > KEEPS:
            del self.said[self.waiting.popleft().qn]
            self.lost += 1
        self._more.set()

    def _name(self) -> str:
        qn = self.now()
        return f"{qn:%Y%m%d%H%M%S}{qn.microsecond // 1000:03}"

    # ------------------------------------------------------------ the line

    async def talk(self, host: str, port: int) -> None:
        """Dial, send what waits until it is answered, dial again, for ever."""
        while True:
            if Wrong.SILENT in self.wrong:
                await asyncio.sleep(0.05)
                continue
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):
                await self._call(host, port)
            await asyncio.sleep(self._draw.uniform(0.1, 0.5))

    async def _call(self, host: str, port: int) -> None:
        reader, self._writer = await asyncio.open_connection(host, port)
        self.dialled += 1
        self._heard = asyncio.Queue()
        listening = asyncio.create_task(self._listen(reader))
        try:
            while Wrong.SILENT not in self.wrong:
                while not self.waiting:
                    self._more.clear()
                    await self._more.wait()
                    if listening.done():
                        return
                glue = 2 if Wrong.GLUED in self.wrong else 1
                batch = [self.waiting[i] for i in range(min(glue, len(self.waiting)))]
                if not await self._sent(batch):
                    return
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._writer.close()
            self._writer = None

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Answers go to who waits for them, requests are answered at once."""
        buffer = bytearray()
        try:
            while data := await reader.read(4096):
                buffer += data
                while (said := taken(buffer)) is not None:
                    if said["CN"] == "9014":
                        self._heard.put_nowait(said["QN"])
                    elif said["CN"] not in ("9011", "9012", "9013"):
                        await self._write(b"".join(packet(each) for each in self._asked(said)))
        finally:
            self._heard.put_nowait(None)
            self._more.set()

    def _asked(self, request: dict[str, str]) -> list[str]:
        st, now = SYSTEM[self.kind], self.now()
        return [
            f"QN={qn or self._name()};ST={system};CN={cn};PW=123456;MN={self.mn};Flag=4;CP=&&{cp}&&"
            for qn, system, cn, cp in answers(request, now, st, list(self.kept), self.set)
        ]

    def hang_up(self) -> None:
        """End the call; it dials again."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _sent(self, batch: list[Upload]) -> bool:
        """Send packets until each is answered; False: three times in vain, or it hangs up."""
        loop = asyncio.get_running_loop()
        for _ in range(TRIES):
            left = {upload.qn: upload for upload in batch if upload.qn not in self.answered}
            await self._write(b"".join(self._bytes(upload) for upload in left.values()))
            self._number += 1
            if Wrong.HANGS_UP in self.wrong and self._number % 10 == 0:
                return False
            began = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.answer_s):
                    while left:
                        qn = await self._heard.get()
                        if qn is None:
                            return False
                        if qn not in left:
                            continue
                        if Wrong.DEAF in self.wrong and self._draw.random() < 0.2:
                            continue
                        self.late_s.append(loop.time() - began)
                        upload = left.pop(qn)
                        self.answered.add(upload.qn)
                        self.told(self, upload)
                        self.waiting.remove(upload)
            if not left:
                return True
        return False

    def _bytes(self, upload: Upload) -> bytes:
        if not upload.sent:
            self.told(self, upload)
        upload.sent += 1
        spoilt = Wrong.WRONG_CHECK in self.wrong and upload.sent == 1 and self._draw.random() < 0.2
        return packet(
            upload.segment,
            wrong=spoilt,
            short=Wrong.SHORT_CHECK in self.wrong,
            end=b"" if Wrong.NO_END in self.wrong else b"\r\n",
        )

    async def _write(self, data: bytes) -> None:
        if self._writer is None:
            raise ConnectionError("hung up")
        if Wrong.SPLIT not in self.wrong:
            self._writer.write(data)
            await self._writer.drain()
            return
        third = max(1, len(data) // 3)
        for at in range(0, len(data), third):
            self._writer.write(data[at : at + third])
            await self._writer.drain()
            await asyncio.sleep(0.005)
