"""A backlog on a link of one's own making: what it costs the live data, and how fast it goes."""

from __future__ import annotations

from collections import deque

import pytest

from headgate.runtime.pacing import HistoryPace

WINDOW = 16


class Link:
    """So many bytes a second, first come first served, and a way back that takes a while."""

    def __init__(self, bytes_s: float, way_us: int) -> None:
        self.bytes_s, self.way_us = bytes_s, way_us
        self.busy_us = 0

    def send(self, size: int, now: int) -> int:
        """When the peer's acknowledgement is here."""
        self.busy_us = max(self.busy_us, now) + int(size / self.bytes_s * 1e6)
        return self.busy_us + self.way_us


def drain(
    link: Link, records: int, *, size: int, live_every_us: int, share: float = 0.5
) -> tuple[list[int], float]:
    """(how long each live record took, how many records of history went per live one)."""
    pace = HistoryPace(share, None, 0)
    ways: list[int] = []
    under_way: deque[tuple[int, bool, int]] = deque()
    history, next_live, now = records, 0, 0
    while history or len(ways) < 200:
        while under_way and under_way[0][0] <= now:
            at, live, sent = under_way.popleft()
            if live:
                ways.append(at - sent)
                pace.live_arrived(at - sent, WINDOW, now)
        if now >= next_live:
            under_way.append((link.send(size, now), True, now))
            next_live += live_every_us
        on_link = sum(not live for _, live, _ in under_way)
        while history and len(under_way) < WINDOW and pace.allows(on_link, WINDOW, now):
            under_way.append((link.send(size, now), False, now))
            pace.took(size)
            history, on_link = history - 1, on_link + 1
        now = min([next_live, *(at for at, _, _ in under_way)])
    return ways, records / (now / live_every_us)


def percentile(ways: list[int], share: float) -> int:
    return sorted(ways)[int(share * (len(ways) - 1))]


@pytest.mark.parametrize(
    ("bytes_s", "way_us"),
    [(20_000, 100_000), (125_000, 60_000), (1_250_000, 40_000), (12_500_000, 2_000)],
    ids=["160 kbit/s", "1 Mbit/s", "10 Mbit/s", "a wire"],
)
def test_live_takes_at_most_twice_as_long_while_a_backlog_drains(
    bytes_s: float, way_us: int
) -> None:
    size = 1000
    alone = int(size / bytes_s * 1e6) + way_us
    ways, times_live = drain(Link(bytes_s, way_us), 12_000, size=size, live_every_us=1_000_000)
    settled = ways[30:]  # the first live records teach how much the link bears
    assert percentile(settled, 0.5) <= 2 * alone
    assert percentile(settled, 0.99) <= 2 * alone + 40_000
    assert times_live >= 9.5


def test_what_the_link_bears_is_learnt_again_when_it_gets_better() -> None:
    pace = HistoryPace(0.5, None, 0)
    pace.live_arrived(50_000, WINDOW, 0)
    for second in range(1, 6):
        pace.live_arrived(900_000, WINDOW, second * 1_000_000)
    assert not pace.allows(1, WINDOW, 6_000_000), "a link that chokes bears one at a time"
    assert pace.allows(0, WINDOW, 6_000_000), "and history is never stopped altogether"
    for second in range(6, 60):
        pace.live_arrived(50_000, WINDOW, second * 1_000_000)
    assert pace.allows(7, WINDOW, 60_000_000)
    assert not pace.allows(8, WINDOW, 60_000_000), "the share of the site file is the most"


def test_a_link_that_has_become_slow_for_good_is_the_usual_after_a_while() -> None:
    pace = HistoryPace(0.5, None, 0)
    pace.live_arrived(50_000, WINDOW, 0)
    for second in range(1, 1300):
        pace.live_arrived(400_000, WINDOW, second * 1_000_000)
    assert pace.allows(7, WINDOW, 1_300_000_000)


def test_bytes_a_second_hold_on_average_and_a_large_record_is_waited_off() -> None:
    pace = HistoryPace(1.0, 1000.0, 0)
    sent = 0
    for now in range(0, 60_000_000, 10_000):
        while pace.allows(0, WINDOW, now):
            pace.took(2500)
            sent += 2500
    assert 60_000 - 2500 <= sent <= 60_000 + 2500
