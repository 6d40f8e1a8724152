"""What people write: profiles, cases, traces and site files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fuzz.target import Target
from headgate.config.check import Known
from headgate.config.load import examine
from headgate.env import Files
from headgate.errors import ProfileError
from headgate.messages import render_problem
from headgate.profiles import decode, packaged_folder, resolve
from headgate.profiles.cases import read_case
from headgate.profiles.recording import exchanges_of
from headgate.runtime.fitting import placeholders
from headgate.sdk import Driver, PollingDriver, StreamingDriver
from headgate.testing.env import fake_env
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.dlt645 import Dlt645Driver
from headgate_drivers.manhole.driver import ManholeDriver
from headgate_drivers.modbus import ModbusDriver
from headgate_drivers.serial import PolledSerialDriver, SerialDriver

DRIVERS: Mapping[str, type[Driver]] = {
    driver.name: driver
    for driver in (
        ModbusDriver,
        SerialDriver,
        PolledSerialDriver,
        ManholeDriver,
        Cjt188Driver,
        Dlt645Driver,
    )
}
POINT_KEYS = {name: driver.point_keys for name, driver in DRIVERS.items()}
#: More mistakes than characters there cannot be.
SITE = Path("/site/site.toml")


def _told(problems: Iterable[Any], size: int) -> None:
    """Every mistake is a sentence in both languages, and there are not more of them than is written."""
    told = list(problems)
    assert len(told) <= 4 * size + 16, f"{len(told)} mistakes in {size} bytes"
    for problem in told[:50]:
        for language in ("en", "zh"):
            assert render_problem(problem, language)


def _profile(data: bytes) -> None:
    decoded = decode(data, "profile.toml", POINT_KEYS)
    _told((*decoded.problems, *decoded.notices), len(data))
    profile = decoded.profile
    if profile is None:
        assert decoded.problems, "no profile and nobody says why"
        return
    try:
        device = resolve(
            profile,
            device_id="d",
            number=1,
            channel="c",
            address=1,
            sm3=lambda _: bytes(32),
            params=placeholders(profile),
        )
        driver = DRIVERS[profile.driver]() if profile.driver in DRIVERS else None
        if isinstance(driver, StreamingDriver):
            driver.check(device)
        elif isinstance(driver, PollingDriver):
            driver.plan(device)
    except ProfileError as error:
        _told(error.problems, len(data))


def _case(data: bytes) -> None:
    middle = data.find(b"\0")
    frames, expected = (data[:middle], data[middle + 1 :]) if middle >= 0 else (data, b"")
    try:
        read_case("cases/one", frames, expected)
    except ProfileError as error:
        _told(error.problems, len(data))


def _trace(data: bytes) -> None:
    try:
        exchanges_of(data.decode("utf-8", "replace"), "trace.txt")
    except ProfileError as error:
        _told(error.problems, len(data))


class _OneFile:
    """A disk with nothing on it but the site file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def list(self, path: Path) -> Sequence[str]:
        return []

    def size(self, path: Path) -> int | None:
        return len(self._data)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def _site(data: bytes) -> None:
    env = fake_env(files=cast(Files, _OneFile(data)))
    loaded = examine(env, SITE, Known())
    _told(loaded.problems, len(data))
    assert loaded.site is not None or loaded.errors, "no site and nobody says why"


# ---------------------------------------------------------------- seeds


def _profiles() -> Iterable[bytes]:
    for path in sorted(packaged_folder().glob("*/*/profile.toml")):
        yield path.read_bytes()


def _cases() -> Iterable[bytes]:
    for path in sorted(packaged_folder().glob("*/*/cases/*/frames.txt")):
        yield path.read_bytes() + b"\0" + path.with_name("expected.toml").read_bytes()


def _sites() -> Iterable[bytes]:
    yield b"""schema = 1
[gateway]
id = "gauge-house-7"
[[channel]]
id = "bus"
url = "modbus+rtu:///dev/ttyS1?baud=9600"
[[device]]
id = "level"
channel = "bus"
profile = "generic/radar-level"
address = 3
interval = "10 s"
[device.params]
elevation = 3.5
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtts://broker:8883"
"""


TEXTS: dict[str, Target] = {
    "profile": Target(_profile, _profiles, 8192),
    "profile-case": Target(_case, _cases),
    "trace": Target(_trace, _cases),
    "site": Target(_site, _sites, 8192),
}
