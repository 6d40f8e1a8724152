"""The truth file, read into columns: a million looks take some tens of megabytes.

Schema: docs/reference/truth.md.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headgate.errors import HeadgateError
from headgate_receiver.verify.reports import StationTruth

SCHEMA = 1
#: The point that carries the sample counter.
COUNTER = "sample"
_NARROW, _WIDE = 1 << 16, 1 << 32


class TruthError(HeadgateError):
    """The truth file cannot be used."""

    default_code = "HG-7510"


class _Device(msgspec.Struct, frozen=True):
    id: str
    counter: bool = True
    repeats: bool = False


class _Header(msgspec.Struct, frozen=True):
    headgate_truth: int
    devices: list[_Device] = []
    seed: int | None = None
    started: float | None = None


class _Line(msgspec.Struct, frozen=True):
    t: float
    device: str
    sample: int | None = None
    values: dict[str, float | bool | None] = {}
    fault: str | None = None
    #: Of a request that was left without values; a fault that was switched on is none.
    look: bool | None = None
    late_s: float | None = None
    serial: int | str | None = None
    told: list[tuple[float, dict[str, float | bool | str | None]]] | None = None
    confirmed: int | str | None = None
    after_s: float = 0.0
    tries: int = 1


class DeviceTruth:
    """What one device said, look by look, in order."""

    def __init__(self, device: str, *, counted: bool = True, repeats: bool = False) -> None:
        self.device = device
        #: Whether the device tells its sample counter; without it looks are known by values and time.
        self.counted = counted
        #: Whether it says the same again and again, and once in a while is enough.
        self.repeats = repeats
        #: Names of the points, in the order of `values`.
        self.points: list[str] = []
        self.times = array("d")
        #: Sample counters with the wraps undone: they rise.
        self.samples = array("q")
        #: Row after row, one entry a point; NaN where the device said that it has no value.
        self.values = array("d")
        #: Looks whose answer was held back, and how long.
        self.late: dict[int, float] = {}
        #: Requests that were not answered with values, by kind.
        self.faults: dict[str, int] = {}
        self._width = _WIDE

    def __len__(self) -> int:
        return len(self.times)

    def add(self, line: _Line) -> None:
        """The next look. Raises ValueError: it has other points than the one before."""
        if not self.points:
            self.points = list(line.values)
        if line.values.keys() != set(self.points):
            raise ValueError(f"other points than before: {', '.join(line.values)}")
        sample = line.sample
        assert sample is not None
        if self.samples:
            before = self.samples[-1]
            if sample <= before % self._width:
                # It wrapped. Which width it has shows only now: a wide one never wraps below 2^32.
                if self._width == _WIDE and before < _NARROW:
                    self._width = _NARROW
                sample += (before // self._width + 1) * self._width
            else:
                sample += before // self._width * self._width
        if line.late_s is not None:
            self.late[len(self.times)] = line.late_s
        self.times.append(line.t)
        self.samples.append(sample)
        for point in self.points:
            value = line.values[point]
            self.values.append(math.nan if value is None else float(value))

    def find(self, counter: int, near_s: float | None) -> int | None:
        """Index of the look with this counter; of several, a wrap apart, the one nearest in time."""
        if not self.samples:
            return None
        first, last = self.samples[0], self.samples[-1]
        candidate = first + (counter - first) % self._width
        found: int | None = None
        while candidate <= last:
            at = bisect_left(self.samples, candidate)
            if (
                at < len(self.samples)
                and self.samples[at] == candidate
                and (
                    found is None
                    or (
                        near_s is not None
                        and abs(self.times[at] - near_s) < abs(self.times[found] - near_s)
                    )
                )
            ):
                found = at
            candidate += self._width
        return found

    def row(self, index: int) -> array[float]:
        """The values of one look, in the order of `points`."""
        width = len(self.points)
        return self.values[index * width : (index + 1) * width]


class Truth:
    """What every device said."""

    def __init__(
        self, devices: dict[str, DeviceTruth], stations: dict[str, StationTruth], cut_off: bool
    ) -> None:
        self.devices = devices
        #: Those that report by themselves and are confirmed to.
        self.stations = stations
        #: The last line is half a line: the simulator was killed.
        self.cut_off = cut_off

    @property
    def looks(self) -> int:
        """Looks of all devices."""
        reported = sum(len(list(station.told)) for station in self.stations.values())
        return reported + sum(len(device) for device in self.devices.values())


def read_truth(*paths: Path) -> Truth:
    """A truth file, or several of different devices as one.

    Raises:
        TruthError: one cannot be read, or is none, or speaks of another's devices; says which line.
    """
    devices: dict[str, DeviceTruth] = {}
    stations: dict[str, StationTruth] = {}
    cut_off = False
    for path in paths:
        try:
            with path.open("rb") as file:
                one = _read(path, iter(file))
        except OSError as error:
            reason = error.strerror or str(error)
            raise TruthError(
                f"{path}: {reason}", code="HG-7511", path=str(path), reason=reason
            ) from None
        here = one.devices.keys() | one.stations.keys()
        if twice := here & (devices.keys() | stations.keys()):
            reason = f"{min(twice)}: also in another file"
            raise TruthError(f"{path}: {reason}", path=str(path), line=1, reason=reason)
        devices |= one.devices
        stations |= one.stations
        cut_off = cut_off or one.cut_off
    return Truth(devices, stations, cut_off)


def _read(path: Path, lines: Iterator[bytes]) -> Truth:
    try:
        header = msgspec.json.decode(next(lines, b""), type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TruthError(f"{path}: no header", path=str(path), line=1, reason="header") from None
    if header.headgate_truth != SCHEMA:
        version = header.headgate_truth
        raise TruthError(
            f"{path}: schema {version}", code="HG-7512", path=str(path), version=version
        )
    devices = {
        device.id: DeviceTruth(device.id, counted=device.counter, repeats=device.repeats)
        for device in header.devices
    }
    stations: dict[str, StationTruth] = {}
    decode = msgspec.json.Decoder(_Line).decode
    cut_off = False
    for number, written in enumerate(lines, 2):
        try:
            line = decode(written)
            if line.told is not None or line.confirmed is not None:
                _report(stations, line)
                continue
            if line.sample is None and line.look is None:
                continue
            device = devices.get(line.device)
            if device is None:
                device = devices[line.device] = DeviceTruth(line.device)
            if line.sample is not None:
                device.add(line)
            elif line.fault is not None:
                device.faults[line.fault] = device.faults.get(line.fault, 0) + 1
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            if not written.endswith(b"\n"):
                cut_off = True
                break
            raise TruthError(
                f"{path}: line {number}: {error}", path=str(path), line=number, reason=str(error)
            ) from None
    # Of a station there is nothing else to compare.
    return Truth({k: v for k, v in devices.items() if k not in stations}, stations, cut_off)


def _report(stations: dict[str, StationTruth], line: _Line) -> None:
    # A twin is another box with the same number: nobody has to confirm to it.
    name, _, twin = line.device.partition("/")
    station = stations.setdefault(name, StationTruth(name))
    if line.told is not None:
        if line.serial is None:
            raise ValueError("told, and no serial")
        station.tell(line.serial, line.told, kept=not twin)
    elif line.confirmed is not None and not twin:
        station.confirm(line.confirmed, line.after_s, line.tries)
