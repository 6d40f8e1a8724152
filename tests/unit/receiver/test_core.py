from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from kit.gateway import BOOT, Gateway, Gauge
from kit.pki import Pki

from headgate.crypto.x509 import Role
from headgate.envelope.payload import encode_table
from headgate.envelope.receipt import Verdict
from headgate.model import Alarm, Block, ClockFix, Event, Gap, GapReason, Plan

LEVELS = "SELECT at_us, value FROM readings WHERE point = 'level' ORDER BY at_us"


def verdicts(receipts: list[Any]) -> list[tuple[int, int, Any]]:
    return [(v.n, v.code, v.detail) for receipt in receipts for v in receipt.verdicts]


async def test_a_reading_arrives_with_its_names_and_its_value(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    (receipt,) = await platform.deliver(
        gateway.grant(),
        gateway.link(),
        gateway.record(gauge.block(10, slot=4), announce=[gauge.body]),
    )
    assert (receipt.gateway, receipt.epoch, receipt.floor) == ("gauge-house-7", b"epoch--1", 2)
    assert platform.rows(
        "SELECT gateway, device, point, unit, boot, at_us, wall_us, slot, value, raw, quality, status,"
        " epoch, n FROM readings ORDER BY point DESC"
    ) == [
        (
            "gauge-house-7",
            "gauge-1",
            "level",
            "m",
            BOOT,
            10,
            None,
            4,
            4.5,
            1000,
            0,
            0,
            b"epoch--1",
            1,
        ),
        (
            "gauge-house-7",
            "gauge-1",
            "battery",
            "V",
            BOOT,
            10,
            None,
            4,
            12,
            12,
            0,
            0,
            b"epoch--1",
            1,
        ),
    ]


async def test_a_record_before_its_grant_waits_and_is_stored(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    first, second = gateway.link(), gateway.record(gauge.block(10), announce=[gauge.body])
    asked = await platform.deliver(second, first)
    assert sorted(verdicts(asked)) == [(0, 2, b"key-id-1"), (1, 2, b"key-id-1")]
    assert [r.stored for r in asked] == [()]
    platform.restart()
    (receipt,) = await platform.deliver(gateway.grant())
    assert receipt.floor == 2
    assert platform.rows(LEVELS) == [(10, 4.5)]
    assert platform.rows("SELECT count(*) FROM held") == [(0,)]


async def test_a_record_before_its_table_waits_and_is_stored(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    link, announcing = gateway.link(), gateway.record(announce=[gauge.body])
    using = gateway.record(gauge.block(10))
    (receipt,) = await platform.deliver(gateway.grant(), link, using)
    assert receipt.floor == 1
    assert verdicts([receipt]) == [(2, 3, gauge.name)]
    platform.restart()
    (receipt,) = await platform.deliver(announcing)
    assert (receipt.floor, receipt.verdicts) == (3, ())
    assert platform.rows(LEVELS) == [(10, 4.5)]


async def test_two_records_that_wait_for_each_others_tables_are_both_stored(
    platform: Any, gateway: Gateway, pki: Pki
) -> None:
    one, two = Gauge(pki, 1), Gauge(pki, 2)
    crossed = [
        gateway.record(one.block(10), announce=[two.body]),
        gateway.record(two.block(11), announce=[one.body]),
    ]
    (receipt,) = await platform.deliver(gateway.grant(), *crossed)
    assert receipt.floor == 2


async def test_everything_twice_is_stored_once(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    messages = [gateway.grant(), gateway.link()]
    messages += [gateway.record(gauge.block(at), announce=[gauge.body]) for at in range(20)]
    await platform.deliver(*messages, *messages)
    platform.restart()
    (receipt,) = await platform.deliver(*messages)
    assert receipt.floor == 21
    assert len(platform.rows(LEVELS)) == 20


async def test_any_order_gives_the_same_rows(platform: Any, gateway: Gateway, pki: Pki) -> None:
    gauges = [Gauge(pki, number) for number in range(1, 4)]
    messages = [gateway.grant(), gateway.link()]
    messages += [gateway.record(announce=[gauge.body]) for gauge in gauges]
    messages += [gateway.record(gauges[at % 3].block(at)) for at in range(30)]
    seed = random.Random(7)
    seed.shuffle(messages)
    while messages:
        await platform.deliver(*(messages.pop() for _ in range(min(len(messages), 4))))
    assert [at for at, _ in platform.rows(LEVELS)] == list(range(30))
    assert platform.rows("SELECT first, last FROM stored_ranges") == [(0, 33)]


async def test_holes_in_n_mean_nothing(platform: Any, gateway: Gateway, gauge: Gauge) -> None:
    messages = [gateway.grant(), gateway.link()]
    for at in range(3):
        gateway.n += 10
        messages.append(gateway.record(gauge.block(at), announce=[gauge.body]))
    (receipt,) = await platform.deliver(*messages)
    assert receipt.floor == 1
    assert receipt.stored == ((11, 11), (22, 22), (33, 33))


async def test_a_receipt_names_what_was_stored_before_around_what_came_now(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    records = [gateway.record(gauge.block(at), announce=[gauge.body]) for at in range(10)]
    await platform.deliver(gateway.grant(), records[3], records[4], records[8])
    (receipt,) = await platform.deliver(records[5])
    assert (receipt.floor, receipt.stored) == (0, ((3, 5),))


async def test_an_altered_record_costs_nothing(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    link, record = gateway.link(), gateway.record(gauge.block(10), announce=[gauge.body])
    altered = record[:-1] + bytes((record[-1] ^ 1,))
    (receipt,) = await platform.deliver(gateway.grant(), link, altered)
    assert receipt.floor == 1
    assert [(n, code) for n, code, _ in verdicts([receipt])] == [(1, 4)]
    assert platform.rows("SELECT kind, code, gateway FROM refusals") == [
        ("record", "HG-6002", None)
    ]
    (receipt,) = await platform.deliver(record)
    assert (receipt.floor, receipt.verdicts) == (2, ())


async def test_a_header_moved_to_another_number_is_refused(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    record = gateway.record(gauge.block(10), announce=[gauge.body])
    moved = record[:24] + (5).to_bytes(8, "big") + record[32:]
    (receipt,) = await platform.deliver(gateway.grant(), moved)
    assert [(n, code) for n, code, _ in verdicts([receipt])] == [(5, 4)]
    assert platform.rows(LEVELS) == []


async def test_the_gateways_own_nonsense_is_refused_for_good(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    broken = [
        gateway.seal(b"not msgpack"),
        gateway.seal(msgspec.msgpack.encode([1, BOOT, [gauge.name], [gauge.body], [[1, 9, 0, 5]]])),
        gateway.record(Block(1, gauge.name, 5, None, (b"\0",)), announce=[gauge.body]),
        gateway.record(Block(1, gauge.name, 5, None, (b"\0\0\0\0",), b"\x07")),
        gateway.record(announce=[b"\x91\x02"]),
    ]
    (receipt,) = await platform.deliver(gateway.grant(), *broken)
    assert [(n, code) for n, code, _ in verdicts([receipt])] == [(n, 1) for n in range(5)]
    assert (receipt.floor, receipt.stored) == (0, ())
    assert all(detail for _, _, detail in verdicts([receipt]))
    platform.restart()
    (again,) = await platform.deliver(broken[1])
    assert [(n, code) for n, code, _ in verdicts([again])] == [(1, 1)]
    assert platform.rows("SELECT DISTINCT gateway, code FROM refusals") == [
        ("gauge-house-7", "HG-7021")
    ]


async def test_what_was_refused_for_good_is_not_asked_for_again(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    records = [gateway.link(), gateway.seal(b"not msgpack"), gateway.record(announce=[gauge.body])]
    await platform.deliver(gateway.grant(), *records)
    for _ in range(2):
        due = platform.core.stored(gateway.id, gateway.epoch)
        assert list(due.missing(0, 2)) == []
        platform.restart()


@pytest.mark.parametrize("damage", [b"", b"HG", b"HG\x01\x01\x02" + bytes(60), b"HG\x02\x01\xff"])
async def test_noise_is_noted_and_answered_with_nothing(platform: Any, damage: bytes) -> None:
    assert await platform.deliver(damage) == []
    assert len(platform.rows("SELECT * FROM refusals")) == 1


async def test_a_forged_grant_is_refused_and_changes_nothing(
    platform: Any, gateway: Gateway, gauge: Gauge, pki: Pki
) -> None:
    stranger = Gateway(Pki(pki.provider, "strange root"))
    await platform.deliver(stranger.grant(pki.platform), gateway.link())
    assert platform.rows("SELECT kind, code, gateway FROM refusals") == [("grant", "HG-6310", None)]
    assert platform.rows("SELECT count(*) FROM grants") == [(0,)]


async def test_a_second_core_under_a_key_id_is_refused(platform: Any, gateway: Gateway) -> None:
    first = gateway.grant()
    gateway.new_key(b"key-id-1", b"SALT")
    await platform.deliver(first, gateway.grant())
    assert platform.rows("SELECT code FROM refusals") == [("HG-7020",)]
    assert platform.rows("SELECT salt FROM grants") == [(b"salt",)]


async def test_the_gateway_is_who_the_certificate_says_whatever_the_topic(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    messages = gateway.grant(), gateway.record(gauge.block(10), announce=[gauge.body])
    (receipt,) = await platform.deliver(*messages, sender="somebody-else")
    assert receipt.gateway == "gauge-house-7"
    assert platform.rows("SELECT DISTINCT gateway FROM readings") == [("gauge-house-7",)]


async def test_a_gateway_that_imitates_a_key_id_cannot_take_anothers_records(
    platform: Any, gateway: Gateway, gauge: Gauge, pki: Pki
) -> None:
    thief = Gateway(pki, identity=pki.issue("thief", Role.GATEWAY))
    thief.new_key(b"key-id-1", b"salt", secret=bytes(32))
    await platform.deliver(thief.grant(), thief.record(gauge.block(1), announce=[gauge.body]))
    own = gateway.record(gauge.block(10), announce=[gauge.body])
    receipts = await platform.deliver(gateway.grant(), own)
    assert [(r.gateway, r.floor) for r in receipts] == [("gauge-house-7", 1)]
    assert platform.rows(
        "SELECT gateway, at_us FROM readings WHERE point = 'level' ORDER BY at_us"
    ) == [
        ("thief", 1),
        ("gauge-house-7", 10),
    ]


async def test_two_epochs_after_the_same_one_are_a_fork(platform: Any, pki: Pki) -> None:
    lives = [
        Gateway(pki, epoch=epoch, key_id=epoch) for epoch in (b"epoch--2", b"epoch--3", b"epoch--4")
    ]
    for life, previous in zip(lives, (b"epoch--1", b"epoch--2", b"epoch--2"), strict=True):
        await platform.deliver(life.grant(), life.link(previous, 7))
    assert platform.rows("SELECT gateway, code, source FROM alarms") == [
        ("gauge-house-7", "epoch-fork", "receiver")
    ]
    assert platform.rows("SELECT count(*) FROM epochs WHERE linked = 1") == [(3,)]


async def test_a_clone_seen_in_one_turn_is_a_fork(platform: Any, pki: Pki) -> None:
    lives = [Gateway(pki, epoch=epoch, key_id=epoch) for epoch in (b"epoch--2", b"epoch--3")]
    messages = [m for life in lives for m in (life.grant(), life.link(b"epoch--1"))]
    await platform.deliver(*messages)
    assert platform.rows("SELECT count(*) FROM alarms") == [(1,)]


async def test_the_same_first_record_twice_is_no_fork(platform: Any, pki: Pki) -> None:
    life = Gateway(pki, epoch=b"epoch--2")
    link = life.link(b"epoch--1")
    await platform.deliver(life.grant(), link, link)
    await platform.deliver(link)
    assert platform.rows("SELECT count(*) FROM alarms") == [(0,)]


async def test_every_kind_of_item_has_its_place(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    await platform.deliver(
        gateway.grant(),
        gateway.link(),
        gateway.record(
            Plan(1, gauge.name, 100, 1_000_000, 2),
            Gap(1, GapReason.DEVICE_SILENT, 5, 6, 2, 4, 0, 1, b"earlier-boot----", "no answer"),
            Alarm(1, "level", "high", 700, True, 14, 3.5, "above the dyke"),
            Event("started", 15, {"version": "1"}),
            announce=[gauge.body],
        ),
        gateway.seal(msgspec.msgpack.encode([1, BOOT, [], [], [[77, "from the future"]]])),
    )
    assert platform.rows("SELECT number, start_us, interval_us, readings FROM plans") == [
        (1, 100, 1_000_000, 2)
    ]
    assert platform.rows(
        "SELECT reason, looks, readings, f.boot, b.boot FROM gaps"
        " JOIN boots f ON f.id = first_boot JOIN boots b ON b.id = gaps.boot"
    ) == [("device-silent", 2, 4, b"earlier-boot----", BOOT)]
    assert platform.rows("SELECT point, code, active, value FROM alarms") == [
        ("level", "high", 1, 3.5)
    ]
    assert platform.rows("SELECT kind, fields FROM events") == [("started", '{"version": "1"}')]
    assert platform.rows("SELECT type FROM unknown_items") == [(77,)]


async def test_a_new_unit_makes_new_points_and_leaves_the_old_readings_alone(
    platform: Any, gateway: Gateway, pki: Pki
) -> None:
    metres, feet = Gauge(pki, 1, "m"), Gauge(pki, 1, "[ft_i]")
    await platform.deliver(
        gateway.grant(),
        gateway.record(metres.block(1), announce=[metres.body]),
        gateway.record(feet.block(2), announce=[feet.body]),
    )
    assert platform.rows(
        "SELECT at_us, unit FROM readings WHERE point = 'level' ORDER BY at_us"
    ) == [
        (1, "m"),
        (2, "[ft_i]"),
    ]


WALL = "SELECT at_us, wall_us, wall_state FROM readings WHERE point = 'level' ORDER BY at_us"


async def test_a_late_clock_fix_dates_what_is_stored_already(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    def fix(at: int, wall: int, state: Any) -> ClockFix:
        return ClockFix(BOOT, at, wall, None, state)

    await platform.deliver(
        gateway.grant(),
        gateway.record(*(gauge.block(at) for at in (10, 20, 30, 40)), announce=[gauge.body]),
    )
    assert platform.rows(WALL) == [(at, None, None) for at in (10, 20, 30, 40)]
    await platform.deliver(gateway.record(fix(30, 1_000, "unsynced")))
    assert platform.rows(WALL) == [(at, 970 + at, "unsynced") for at in (10, 20, 30, 40)]
    # A synced fix takes the whole boot; a second one its own half.
    await platform.deliver(gateway.record(fix(12, 50_012, "synced"), fix(11, 7, "holdover")))
    assert platform.rows(WALL) == [(at, 50_000 + at, "synced") for at in (10, 20, 30, 40)]
    await platform.deliver(gateway.record(fix(40, 50_045, "synced")))
    assert [wall for _, wall, _ in platform.rows(WALL)] == [50_010, 50_020, 50_035, 50_045]
    await platform.deliver(gateway.record(fix(28, 50_031, "synced")))
    assert [wall for _, wall, _ in platform.rows(WALL)] == [50_010, 50_020, 50_033, 50_045]


async def test_a_store_wiped_under_a_running_receiver_fills_again(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    early = [gateway.grant(), gateway.link(), gateway.record(gauge.block(1), announce=[gauge.body])]
    await platform.deliver(*early)
    for name in ("", "-wal", "-shm"):
        platform.path.with_name(platform.path.name + name).unlink(missing_ok=True)
    late = gateway.record(gauge.block(2))
    assert verdicts(await platform.deliver(late)) == [(2, 2, b"key-id-1")]
    (receipt,) = await platform.deliver(early[0])
    assert verdicts([receipt]) == [(2, 3, gauge.name)]
    (receipt,) = await platform.deliver(*early[1:])
    assert receipt.floor == 3
    assert platform.rows(LEVELS) == [(1, 4.5), (2, 4.5)]


async def test_rows_deleted_by_somebody_else_are_noticed(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    import sqlite3

    record = gateway.record(gauge.block(1), announce=[gauge.body])
    await platform.deliver(gateway.grant(), record)
    db = sqlite3.connect(platform.path)
    with db:
        for table in ("reading", "records", "stored_ranges", "points", "boots"):
            db.execute(f"DELETE FROM {table}")
    db.close()
    await platform.deliver(record)
    assert platform.rows(LEVELS) == [(1, 4.5)]


async def test_what_waits_is_bounded(
    pki: Pki, platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    platform.core._waiting._limit = 1000
    records = [gateway.record(gauge.block(at), announce=[gauge.body]) for at in range(10)]
    asked = await platform.deliver(*records)
    assert len(verdicts(asked)) == 10
    held = platform.rows("SELECT count(*), sum(length(data)) FROM held")[0]
    assert 0 < held[0] < 10
    assert held[1] <= 1000


async def test_a_sick_disk_acknowledges_nothing(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    from headgate_receiver.store import StoreError

    record = gateway.record(gauge.block(1), announce=[gauge.body])
    await platform.deliver(gateway.grant())
    platform.sink._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError):
        await platform.deliver(
            *(gateway.record(gauge.block(at), announce=[gauge.body]) for at in range(3000)), record
        )
    platform.core.forget()
    platform.sink._db.execute("PRAGMA max_page_count = 1000000")
    (receipt,) = await platform.deliver(record)
    assert (receipt.floor, receipt.stored) == (1, ())
    assert platform.rows(LEVELS) == [(1, 4.5)]


def test_the_table_of_the_kit_is_a_table(gauge: Gauge) -> None:
    assert encode_table(gauge.table) == gauge.body
    assert Verdict(1, 1) == Verdict(1, 1, "")


async def test_a_record_under_a_key_of_a_revoked_certificate_is_neither_stored_nor_acknowledged(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    record = gateway.record(gauge.block(10), announce=[gauge.body])
    await platform.deliver(gateway.grant())
    platform.core.revoked = frozenset({gateway.identity.certificate.fingerprint})
    assert await platform.deliver(record, gateway.grant()) == []
    assert platform.rows(LEVELS) == []
    assert platform.rows("SELECT code FROM refusals ORDER BY kind DESC")[0] == ("HG-7022",)
    platform.core.revoked = frozenset()
    (receipt,) = await platform.deliver(record)
    assert receipt.floor == 1
