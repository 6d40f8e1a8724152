"""Which records of a spool are meant, and what may be said of them: for `dump` and `export`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from headgate import config
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.model import Lane
from headgate.runtime.unsealed import Unsealed
from headgate.spool import State
from headgate.spool.browse import Lying, browse

#: The clock fix of a start rides in its first records.
_FIRST_RECORDS = 16


class Filter(msgspec.Struct, frozen=True):
    """What is wanted. Empty or None: all. Times are unix microseconds."""

    devices: Collection[str] = ()
    lane: Lane | None = None
    since_us: int | None = None
    until_us: int | None = None


class Selected:
    """The records of a site's spool, filtered by their clear index, without touching anything."""

    def __init__(self, env: Env, site: Path, wanted: Filter) -> None:
        self._env = env
        loaded = config.load(env, site)
        self.gateway = loaded.gateway.id
        self._folder = loaded.state_folder / "spool"
        self.state = State(env, loaded.state_folder / "state.db")
        self.state.look()
        provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
        self.unsealed = Unsealed(env, loaded, provider, self.state)
        self.names = {number: name for name, number in self.state.devices().items()}
        self._wanted = wanted
        try:
            self._numbers = {self._number(name) for name in wanted.devices}
        except HeadgateError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the state."""
        self.state.release()

    def _number(self, name: str) -> int:
        if name.isdigit():
            return int(name)
        number = self.state.devices().get(name)
        if number is None:
            raise HeadgateError(f"no device {name}", code="HG-4051", device=name)
        return number

    def learn_times(self) -> None:
        """Open what tells wall times: the first records of each start."""
        for record in browse(self._env, self._folder):
            if record.n < _FIRST_RECORDS:
                self.unsealed.open(record)

    def records(self) -> Iterator[Lying]:
        """Those that are wanted. Of a record whose clear index is damaged nobody knows; it is given, too."""
        wanted = self._wanted
        for record in browse(self._env, self._folder):
            index = record.index
            if wanted.lane is not None and record.lane is not wanted.lane:
                continue
            if index is not None:
                if self._numbers and not self._numbers & {device for device, _ in index.devices}:
                    continue
                if not self._in_time(self.wall_us(record, last=True), self.wall_us(record)):
                    continue
            yield record

    def _in_time(self, last_us: int | None, first_us: int | None) -> bool:
        since, until = self._wanted.since_us, self._wanted.until_us
        if since is not None and last_us is not None and last_us < since:
            return False
        return not (until is not None and first_us is not None and first_us >= until)

    def wants(self, device: str) -> bool:
        """Whether readings of a device are wanted."""
        wanted = self._wanted.devices
        return not wanted or device in wanted or str(self.state.devices().get(device)) in wanted

    def wall_us(self, record: Lying, *, last: bool = False) -> int | None:
        """Wall time of the first or last reading, as far as it is known."""
        index = record.index
        if index is None:
            return None
        return self.wall_of(index.last_us if last else index.first_us, index.boot)

    def wall_of(self, at_us: int, boot: bytes) -> int | None:
        """Wall time of a boottime, as far as it is known."""
        known = self.unsealed.wall_us(at_us, boot)
        clock = self._env.clock
        if known is None and boot == clock.boot_id():
            known = clock.wall_us() - clock.boottime_us() + at_us
        return known


def instant(text: str | None) -> int | None:
    """Unix microseconds of "2026-07-01" or "2026-07-01T08:00+08:00"; without a zone the box's own.

    Raises:
        HeadgateError: this is no time.
    """
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except ValueError:
        raise HeadgateError(f"no time: {text}", code="HG-4052", given=text) from None


def iso(wall_us: int | None) -> str | None:
    """A wall time for people and programs, in UTC."""
    if wall_us is None:
        return None
    return datetime.fromtimestamp(wall_us / 1e6, UTC).isoformat(timespec="milliseconds")
