"""One device as it is heard: which adverts become blocks, which only count. Pure: instants are given.

Policy, each part visible upstream:

- a frame that differs from the last one becomes a block at once, of the points it speaks of;
- the same frame again becomes one only when half of the device's interval has passed, so that who is
  there stays heard and 10 adverts a second do not become 10 blocks; `rssi` is then the mean since;
- the same *sealed* frame again never does: whoever repeats it may be somebody else;
- a frame that does not open, or is a replay, is counted and logged once; when nothing good came for a
  whole interval the device is told bad (`MALFORMED`), so that a wrong key shows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from headgate.sdk import Alarm, Block, Device, Quality, Status
from headgate_drivers.ble.codec import FORMATS, Advert, Fault
from headgate_drivers.ble.codec.freshness import Freshness
from headgate_drivers.ble.points import Reader, Verdict

log = logging.getLogger(__name__)

#: Half of this is how long the same frame is only counted; for devices with no interval of their own.
USUAL_INTERVAL_US = 10_000_000
#: Severity of an alarm point that a sensor raises, of 1000 (OPC 10000-5, 6.4.2: 401-600 is medium).
SEVERITY = 600

Told = Block | Alarm


class Heard:
    """Takes one device's adverts and says what they mean.

    Args:
        key: its bind key, when it has one.
        freshness: its counter, kept by the driver for longer than one line lives.
    """

    def __init__(
        self, device: Device, reader: Reader, key: bytes | None, freshness: Freshness | None = None
    ) -> None:
        self.device = device
        self.reader = reader
        self.counted: Counter[str] = Counter()
        self._key = key
        self._fresh = freshness or freshness_of(reader)
        interval_us = device.table.heartbeat_us or device.interval_us or USUAL_INTERVAL_US
        self._interval_us = interval_us
        self._frame: tuple[object, object] | None = None
        self._values: dict[str, Verdict] = {}
        self._believed = self._sealed = False
        self._told_us: int | None = None
        self._good_us: int | None = None
        self._rssi: list[int] = [0, 0]  # sum and count since the last block
        self._since = 0  # adverts since the last block
        self._active: dict[str, bool] = {}
        self._faults: set[str] = set()

    def advert(self, advert: Advert, now_us: int) -> list[Told]:
        """What one advert of this device tells: often nothing new."""
        self.counted["adverts"] += 1
        self._since += 1
        if advert.rssi is not None:
            self._rssi[0] += advert.rssi
            self._rssi[1] += 1
        if self._good_us is None:
            self._good_us = now_us  # it is given one interval to begin with
        frame = (advert.service, advert.company)
        if frame == self._frame:
            return self._again(now_us)
        self._frame = frame
        self._values, self._believed, self._sealed = self._read(advert, now_us)
        if not self._believed:
            return self._nothing_good(now_us)
        return self._tell(now_us)

    def told_by(self, advert: Advert) -> dict[str, Verdict]:
        """What one recorded advert tells, without regard to when."""
        return self._read(advert, 0)[0]

    def value(self, told: dict[str, Verdict], now_us: int) -> list[Told]:
        """What a connected sensor tells."""
        self.counted["values"] += 1
        self._good_us = now_us
        return [*self._alarms(told, now_us), *self._block(told, now_us)]

    def _again(self, now_us: int) -> list[Told]:
        self.counted["repeated"] += 1
        if self._told_us is not None and now_us - self._told_us < self._interval_us // 2:
            return []
        if not self._believed:
            return self._nothing_good(now_us)
        return [] if self._sealed else self._tell(now_us)

    def _read(self, advert: Advert, now_us: int) -> tuple[dict[str, Verdict], bool, bool]:
        """(values, whether anything in it is to be believed, whether it was sealed)."""
        values: dict[str, Verdict] = {}
        believed, sealed = False, False
        for told in self.reader.frames(advert, self._key):
            if told.counter is not None:
                sealed = True
                before = self._fresh.last
                if not self._fresh.accept(told.counter, now_us, shared=told.counter_shared):
                    # The same number that opens is the same frame, beside other news of the tag.
                    if told.counter != before:
                        self._refuse("replay")
                    continue
            if told.fault is not None:
                # A tag says several things; what is another format's is no fault of this one.
                if told.fault is not Fault.NOT_SUPPORTED or self._key is not None:
                    self._refuse(told.fault)
                if not told.fields:
                    continue
            values.update(self.reader.values(told))
            believed = True
        if self.reader.places:
            laid_out = self.reader.laid_out(advert)
            values.update(laid_out)
            believed = believed or bool(laid_out)
        return values, believed, sealed

    def _refuse(self, fault: str) -> None:
        self.counted[fault] += 1
        if fault not in self._faults:
            self._faults.add(fault)
            log.warning(
                "a frame of a BLE device is not taken",
                extra={"device": self.device.id, "fault": str(fault), "code": _CODES.get(fault)},
            )

    def _nothing_good(self, now_us: int) -> list[Told]:
        """Bad, but only when nothing good came for a whole interval: a stranger may send rubbish too."""
        good_us = now_us if self._good_us is None else self._good_us
        since_us = max(good_us, self._told_us or 0)
        if not self._faults or now_us - since_us < self._interval_us:
            return []
        self._told_us = now_us
        return [self.device.failed(now_us, Status.MALFORMED)]

    def _tell(self, now_us: int) -> list[Told]:
        told = dict(self._values)
        if self._rssi[1]:
            mean = round(self._rssi[0] / self._rssi[1])
            told.update({name: _good(self.reader, name, mean) for name in self.reader.rssi})
        told.update({n: _good(self.reader, n, self._since) for n in self.reader.adverts})
        if not told:
            return []
        self._good_us = now_us
        self._faults.clear()
        return [*self._alarms(told, now_us), *self._block(told, now_us)]

    def _block(self, told: dict[str, Verdict], now_us: int) -> Iterable[Block]:
        self._told_us = now_us
        self._rssi = [0, 0]
        self._since = 0
        yield self.device.partial(now_us, told)

    def _alarms(self, told: dict[str, Verdict], now_us: int) -> Iterable[Alarm]:
        for name in self.reader.alarms:
            value, quality, _ = told.get(name, (None, Quality.BAD, 0))
            if not isinstance(value, bool) or quality is not Quality.GOOD:
                continue
            if value != self._active.get(name, False):
                self._active[name] = value
                yield Alarm(self.device.number, name, name, SEVERITY, value, now_us)


_CODES = {"replay": "HG-3512", Fault.BAD_CHECKSUM: "HG-3511", Fault.NOT_SUPPORTED: "HG-3513"}


def _good(reader: Reader, point: str, value: int) -> Verdict:
    column = reader.columns[point]
    return (float(value) if column in ("f32", "f64") else value), Quality.GOOD, 0


def freshness_of(reader: Reader) -> Freshness:
    """A counter as wide as the device's formats have it."""
    bits = max((FORMATS[n].counter_bits for n in reader.formats if n in FORMATS), default=0)
    return Freshness(bits or 32, reader.counter_restart_us)
