"""What the time is, on a box whose clock may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kit.links import SetClock

from headgate.link.moment import moment

NOW = datetime.now(UTC)


def test_a_synchronised_clock_is_the_time() -> None:
    for wall in (NOW, NOW - timedelta(days=900)):
        found = moment(SetClock(wall), NOW)
        assert found.trusted
        assert abs(found.now - wall) < timedelta(minutes=5)


def test_in_holdover_it_is_still_the_time() -> None:
    assert moment(SetClock(NOW, "holdover")).trusted


def test_without_the_time_it_is_at_least_what_is_known_to_be_past() -> None:
    clock = SetClock(datetime(1970, 1, 1, tzinfo=UTC), "unsynced")
    found = moment(clock, NOW - timedelta(days=3), NOW - timedelta(days=2))
    assert found.now == NOW - timedelta(days=2)
    assert not found.trusted
    # And at least when this release was made, when nothing else is known.
    assert moment(clock).now > datetime(2026, 1, 1, tzinfo=UTC)
