"""What is said of the medium's wear, and on what it rests."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.cli.wear import wear_lines
from headgate.env import SystemFiles
from headgate.runtime.wear import CAUTIOUS, WearMeter
from headgate.testing.env import ManualClock, fake_env

GIB = 1 << 30


class _Files(SystemFiles):
    """A medium of 32 GiB, and a kernel that counts."""

    counted: int | None = 1_000_000

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if path == Path("/proc/self/io"):
            if self.counted is None:
                raise PermissionError("not in this container")
            return f"rchar: 5\nwrite_bytes: {self.counted}\ncancelled_write_bytes: 7\n".encode()
        return super().read(path, offset, size)

    def capacity(self, folder: Path) -> int:
        return 32 * GIB


@pytest.fixture
def files() -> _Files:
    return _Files()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_the_larger_count_over_long_enough_gives_years(files: _Files, clock: ManualClock) -> None:
    meter = WearMeter(fake_env(clock, files=files), Path("/state"), None)
    clock.advance(599)
    assert meter.look(1000, 1100, 200).years is None, "no years from minutes"
    clock.advance(3600 - 599)
    assert files.counted is not None
    files.counted += 40_000_000
    wear = meter.look(10_000_000, 11_000_000, 3_000_000)
    assert wear.amplification == pytest.approx(1.4)
    assert wear.storage_amplification == pytest.approx(4.0)
    assert wear.day_bytes == 24 * 40_000_000
    assert wear.endurance == CAUTIOUS * 32 * GIB
    assert wear.years == pytest.approx(CAUTIOUS * 32 * GIB / (24 * 40_000_000) / 365)


def test_what_the_maker_states_goes_before_the_guess(files: _Files, clock: ManualClock) -> None:
    files.counted = None
    meter = WearMeter(fake_env(clock, files=files), Path("/state"), 30 * 10**12)
    clock.advance(86_400)
    wear = meter.look(10**9, 10**9, 10**9)
    assert (wear.endurance, wear.endurance_from, wear.storage) == (30 * 10**12, "site", None)
    assert wear.years == pytest.approx(30 * 10**12 / (2 * 10**9) / 365)


def test_the_status_says_what_the_years_rest_on(
    files: _Files, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    monkeypatch.setenv("HEADGATE_LANG", "en")
    meter = WearMeter(fake_env(clock, files=files), Path("/state"), None)
    assert list(wear_lines(msgspec.to_builtins(meter.look(0, 0, 0)))) == []
    clock.advance(86_400)
    lines = list(wear_lines(msgspec.to_builtins(meter.look(10**9, 11 * 10**8, 10**8))))
    assert "1.20" in lines[0]
    assert "32.0 GiB" in lines[1]
    assert "guess" in lines[1]
