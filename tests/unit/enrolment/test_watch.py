"""Before a certificate ends everybody is told, by a clock that knows; what has ended does not count."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.enrolment import Box, City, Office, enrolled

from headgate.crypto.crl import Reason
from headgate.crypto.x509 import Role
from headgate.env import SystemNet
from headgate.model import Alarm
from headgate.runtime.enrolment.watch import Watch


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path / "ca")


@pytest.fixture
def box(tmp_path: Path, city: City) -> Box:
    return Box(tmp_path / "box", clock=city.clock, net=SystemNet())


class Watched:
    def __init__(self, box: Box) -> None:
        self.items: list[Any] = []
        self.watch = Watch(box.desk, self.items.append, box.audit, box._take_over)

    async def look(self) -> list[Alarm]:
        self.items.clear()
        await self.watch.look()
        return list(self.items)


async def whole(box: Box, city: City) -> None:
    """Enrolled, with a platform."""
    _, encryption = city.platform(Role.PLATFORM_ENCRYPTION)
    _, receipt = city.platform(Role.PLATFORM_RECEIPT)
    await box.enrol(city, pe=encryption.pem(), pr=receipt.pem())
    assert box.identity.enrolled


async def test_alarms_are_raised_at_60_30_and_7_days_and_when_it_is_over(
    box: Box, city: City
) -> None:
    await whole(box, city)
    watched = Watched(box)
    assert await watched.look() == []
    end = box.identity.chain[0].not_after
    said: list[tuple[int, set[int]]] = []
    now = box.now()
    assert now is not None
    box.clock.advance((end - now - timedelta(days=61)).total_seconds())
    for day in range(63):
        alarms = [each for each in await watched.look() if "gateway/" in each.point]
        if alarms:
            said.append((61 - day, {each.severity for each in alarms}))
            assert all(each.active and each.code == "certificate-expiry" for each in alarms)
        box.later(days=1)
    assert said == [(60, {300}), (30, {500}), (7, {700}), (-1, {900})]
    assert not box.identity.enrolled and box.identity.certified.barred == "HG-6140"
    assert [e.kind for e in box.audit.entries].count("certificate-expiry") >= 12


async def test_a_box_in_1970_does_not_cry(box: Box, city: City) -> None:
    await whole(box, city)
    watched = Watched(box)
    box.later(days=3000)
    box.clock.state = ("unsynced", None)
    assert await watched.look() == []
    assert box.identity.enrolled
    assert box.status()["clock_trusted"] is False
    assert [p["code"] for p in box.status()["problems"]] == []
    box.clock.state = ("synced", 1000)
    assert await watched.look()
    assert not box.identity.enrolled


async def test_an_alarm_is_cleared_by_the_renewal(box: Box, city: City) -> None:
    await whole(box, city)
    watched = Watched(box)
    box.later(days=690)
    raised = await watched.look()
    assert raised and all(each.active for each in raised)
    asked = await box.desk.request("uid:0")
    serial = f"{box.identity.chain[0].serial:x}"
    _, encryption = city.platform(Role.PLATFORM_ENCRYPTION)
    _, receipt = city.platform(Role.PLATFORM_RECEIPT)
    files = {**city.answer(asked, renew=serial), "pe": encryption.pem(), "pr": receipt.pem()}
    await box.desk.bring(files, "uid:0")
    cleared = await watched.look()
    own = {each.point for each in raised if each.point.startswith("headgate-gateway")}
    assert own <= {each.point for each in cleared if not each.active}


async def test_a_restart_neither_repeats_an_alarm_nor_forgets_to_clear_it(
    box: Box, city: City
) -> None:
    await whole(box, city)
    box.later(days=690)
    raised = await Watched(box).look()
    assert raised
    assert await Watched(box).look() == [], "the next start has nothing new to say"
    asked = await box.desk.request("uid:0")
    files = city.answer(asked, renew=f"{box.identity.chain[0].serial:x}")
    await box.desk.bring(files, "uid:0")
    cleared = await Watched(box).look()
    own = {each.point for each in raised if each.point.startswith("headgate-gateway")}
    assert own and own == {each.point for each in cleared if not each.active}
    (box.state / "expiry.json").write_bytes(b"rotten")
    assert await Watched(box).look(), "said once more, then"


async def test_a_revoked_own_certificate_stops_grants_and_not_the_box(box: Box, city: City) -> None:
    await whole(box, city)
    watched = Watched(box)
    city.ca.revoke(box.identity.chain[0].serial, Reason.KEY_COMPROMISE)
    await box.desk.bring({"crl": city.ca.crl().pem()}, "uid:0")
    await watched.look()
    assert box.identity.certified.barred == "HG-6141"
    for _ in range(3):
        await watched.look()
    assert [e.code for e in box.audit.entries if e.kind == "revoked"] == ["HG-6141"]
    assert not box.identity.enrolled and box.identity.kek is not None
    assert box.load().signing_key.public.spki == box.identity.chain[0].spki


async def test_a_revoked_or_ended_platform_certificate_is_sealed_for_no_more(
    box: Box, city: City
) -> None:
    await whole(box, city)
    watched = Watched(box)
    old = box.identity.recipients[0]
    city.ca.revoke(old.serial, Reason.KEY_COMPROMISE)
    await box.desk.bring({"crl": city.ca.crl().pem()}, "uid:0")
    await watched.look()
    assert box.identity.recipients == () and not box.identity.enrolled
    _, following = city.platform(Role.PLATFORM_ENCRYPTION)
    await box.desk.bring({"next": following.pem()}, "uid:0")
    assert box.identity.recipients == (following,)


async def test_a_list_of_revocations_in_the_site_file_counts_too(
    tmp_path: Path, city: City
) -> None:
    lists = tmp_path / "lists.pem"
    lists.write_bytes(city.ca.crl().pem())
    box = Box(tmp_path / "box", clock=city.clock, revocation=str(lists))
    await whole(box, city)
    watched = Watched(box)
    await watched.look()
    assert box.identity.enrolled
    box.clock.state = ("unsynced", None)  # a list needs no clock
    city.ca.revoke(box.identity.chain[0].serial, Reason.KEY_COMPROMISE)
    lists.write_bytes(city.ca.crl().pem())
    await watched.look()
    assert box.identity.certified.barred == "HG-6141"


async def test_without_a_local_wrap_an_ended_platform_is_better_than_nobody(
    tmp_path: Path, city: City
) -> None:
    whole_box = Box(tmp_path / "box", clock=city.clock)
    await whole(whole_box, city)
    box = Box(tmp_path / "box", clock=city.clock, keep_local_wrap=False)
    box.later(days=740)
    identity = box.load()
    assert identity.recipients and identity.certified.barred
    assert "HG-6142" in [each.code for each in identity.certified.concerns]


async def test_a_box_that_was_enrolled_online_renews_by_itself(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        await enrolled(box, office)
        watched = Watched(box)
        first = box.identity.chain[0]
        await watched.look()
        assert box.identity.chain[0] == first
        box.later(days=705)
        await watched.look()
        assert box.identity.chain[0].spki != first.spki
        assert box.identity.certified.retired == (first,)


async def test_a_service_that_is_down_is_asked_once_an_hour(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        await enrolled(box, office)
    watched = Watched(box)
    box.later(days=705)
    asked: list[str] = []
    real = box.env.net.connect

    async def count(*args: Any, **kwargs: Any) -> Any:
        asked.append("x")
        return await real(*args, **kwargs)

    box.env.net.connect = count  # type: ignore[method-assign]
    for _ in range(59):
        await watched.look()
        box.clock.advance(60)
    assert len(asked) == 2, "one renewal, one refresh"
    box.clock.advance(120)
    await watched.look()
    assert len(asked) == 4
    assert box.identity.chain


async def test_the_watch_ends_when_it_is_told_to(box: Box, city: City) -> None:
    await whole(box, city)
    watched = Watched(box)
    watched.watch.start()
    await asyncio.sleep(0)
    await watched.watch.stop()
