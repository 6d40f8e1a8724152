from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.gateway import Gateway, Gauge

from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import MAX_RANGES
from headgate.envelope.wire import MAX_INT
from headgate_receiver.resend import Missing
from headgate_receiver.store import Before

NOW, LAST, FIRST = b"epoch-now", b"epoch-bef", b"epoch-one"
Wishes = list[tuple[bytes, tuple[tuple[int, int], ...]]]


class Store:
    """What a platform has of one gateway."""

    def __init__(self, links: Mapping[bytes, Before] | None = None) -> None:
        self.sets: dict[bytes, RangeSet] = {}
        self.links = dict(links or {})

    def stored(self, gateway: str, epoch: bytes) -> RangeSet:
        return self.sets.setdefault(epoch, RangeSet())

    def before(self, gateway: str, epoch: bytes) -> Before | None:
        return self.links.get(epoch)


class Platform:
    """Looks once a second; `asked` is what it asked for, with the second in which it did."""

    def __init__(self, store: Store, first_s: float = 10.0) -> None:
        self.store, self.missing, self.s = store, Missing(first_s), 0
        self.asked: list[tuple[int, bytes, tuple[tuple[int, int], ...]]] = []

    def take(self, epoch: bytes, first: int, last: int | None = None) -> None:
        self.store.stored("gate", epoch).add(first, last)
        self.missing.met("gate", epoch)

    def run(self, seconds: int) -> Wishes:
        new = len(self.asked)
        for _ in range(seconds):
            for wish in self.missing.wishes(self.store, self.s * 1_000_000):
                assert wish.gateway == "gate"
                self.asked.append((self.s, wish.epoch, wish.ranges))
            self.s += 1
        return [(epoch, ranges) for _, epoch, ranges in self.asked[new:]]


def test_a_store_that_met_an_epoch_in_its_middle_asks_for_what_came_before() -> None:
    platform = Platform(Store())
    platform.take(NOW, 50)
    assert platform.run(10) == []
    assert platform.run(1) == [(NOW, ((0, 49),))]


def test_a_hole_that_fills_by_itself_is_not_asked_for() -> None:
    platform = Platform(Store())
    platform.take(NOW, 50)
    platform.run(9)
    platform.take(NOW, 0, 49)
    assert platform.run(2000) == []


def test_of_a_hole_that_filled_in_part_the_rest_is_asked_for() -> None:
    platform = Platform(Store())
    platform.take(NOW, 50)
    platform.run(5)
    platform.take(NOW, 10, 19)
    assert platform.run(10) == [(NOW, ((0, 9), (20, 49)))]


def test_what_never_comes_is_asked_for_ever_later_for_a_day_and_then_let_be() -> None:
    platform = Platform(Store())
    platform.take(NOW, 50)
    for _ in range(2500):
        platform.missing.met("gate", NOW)
        platform.run(60)
    assert [round(at / 60) for at, _, _ in platform.asked] == [0, 1, 11, 71, 431, 1871]


def test_a_newer_hole_has_its_own_time() -> None:
    platform = Platform(Store())
    platform.take(NOW, 50)
    platform.run(1000)
    platform.asked.clear()
    platform.take(NOW, 60)
    assert platform.run(30) == [(NOW, ((51, 59),))]


def test_the_first_record_of_an_epoch_leads_to_the_one_before_and_so_on() -> None:
    store = Store()
    platform = Platform(store)
    platform.take(NOW, 50)
    assert platform.run(11) == [(NOW, ((0, 49),))]
    store.links[NOW] = Before(LAST, 7)
    platform.take(NOW, 0, 49)
    assert platform.run(11) == [(LAST, ((0, 7),))]
    store.links[LAST] = Before(FIRST, 2)
    platform.take(LAST, 0, 7)
    assert platform.run(11) == [(FIRST, ((0, 2),))]
    platform.take(FIRST, 0, 2)
    assert platform.run(2000) == []


def test_a_restored_store_asks_for_the_end_of_the_epoch_it_was_saved_in() -> None:
    store = Store({NOW: Before(LAST, 99)})
    store.stored("gate", LAST).add(0, 40)
    platform = Platform(store)
    platform.take(NOW, 0)
    assert platform.run(11) == [(LAST, ((41, 99),))]


def test_a_receiver_that_starts_again_finds_the_way_back_in_its_store() -> None:
    store = Store({NOW: Before(LAST, 9), LAST: Before(FIRST, 4)})
    store.stored("gate", NOW).add(0, 3)
    store.stored("gate", LAST).add(0, 9)
    platform = Platform(store)
    platform.take(NOW, 4)
    assert platform.run(12) == [(FIRST, ((0, 4),))]


def test_a_ring_of_links_ends() -> None:
    store = Store({NOW: Before(LAST, None), LAST: Before(NOW, 0)})
    platform = Platform(store)
    platform.take(NOW, 0)
    platform.run(2000)
    assert [epoch for _, epoch, _ in platform.asked] == [LAST] * 3
    platform.asked.clear()
    platform.run(2000)
    assert platform.asked == []


def test_where_nobody_knows_how_far_an_epoch_went_all_of_it_is_asked_for() -> None:
    platform = Platform(Store({NOW: Before(LAST, None)}))
    platform.take(NOW, 0)
    assert platform.run(11) == [(LAST, ((0, MAX_INT),))]


def test_while_a_hole_fills_it_is_asked_for_again_and_again() -> None:
    platform = Platform(Store())
    platform.take(NOW, 1000)
    for first in range(0, 1000, 10):
        platform.run(50)
        platform.take(NOW, first, first + 9)
    assert len(platform.asked) > 50
    assert platform.run(5000) == []


def test_a_store_wiped_again_asks_again() -> None:
    platform = Platform(Store())
    platform.take(NOW, 50)
    platform.run(1000)
    platform.asked.clear()
    platform.store.sets.clear()
    platform.missing.forget()
    platform.take(NOW, 51)
    assert platform.run(30) == [(NOW, ((0, 50),))]


def test_the_first_wait_is_the_users() -> None:
    platform = Platform(Store(), first_s=2.0)
    platform.take(NOW, 1)
    platform.run(500)
    assert [at for at, _, _ in platform.asked] == [2, 14, 134]


def test_more_holes_than_fit_a_receipt_take_several() -> None:
    platform = Platform(Store())
    for n in range(1, 2 * MAX_RANGES + 100, 2):
        platform.take(NOW, n)
    wishes = platform.run(11)
    assert [len(ranges) for _, ranges in wishes] == [MAX_RANGES, MAX_RANGES - (MAX_RANGES - 50)]


async def test_the_store_knows_what_an_epoch_link_said(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    await platform.deliver(gateway.grant(), gateway.link(b"previous", 41))
    assert platform.core.before(gateway.id, gateway.epoch) == Before(b"previous", 41)
    assert platform.core.before(gateway.id, b"previous") is None
