"""Notifications as blocks, each value at the instant at which it was true."""

from headgate.columns import readings
from headgate.model import Quality, Status
from headgate_drivers.opcua.looks import Moment, Notice, changes, whole
from headgate_drivers.opcua.places import layout_of

#: 17 years of server clock before ours: only differences of its stamps are looked at.
SERVER_US = 1_200_000_000_000_000
MOMENT = Moment(now_us=50_000_000, published_us=SERVER_US, floor_us=48_000_000)


def told(device, notices, moment=MOMENT):
    blocks, honest = changes(device, notices, moment)
    out = [
        {r.point: (r.value, r.quality, r.taken_at_us) for r in readings(block, device.table)}
        for block in blocks
    ]
    return out, honest


def test_a_value_is_taken_when_the_source_saw_it_by_our_clock(device) -> None:
    station = device({"name": "a", "path": "A"}, {"name": "b", "path": "B"})
    a, b = layout_of(station).places
    looks, honest = told(
        station,
        [Notice(a, 0, 1.5, SERVER_US - 300_000), Notice(b, 0, 2.5, SERVER_US - 1_000_000)],
    )
    assert looks == [{"a": (1.5, Quality.GOOD, 49_700_000), "b": (2.5, Quality.GOOD, 49_000_000)}]
    assert honest


def test_several_values_of_one_point_are_several_looks_in_order(device) -> None:
    station = device({"name": "a", "path": "A"}, {"name": "n", "path": "N", "type": "u32"})
    a, n = layout_of(station).places
    first, second = SERVER_US - 1_000_000, SERVER_US - 500_000
    # A server sends item by item; what one cycle of the controller made belongs together.
    looks, _ = told(
        station,
        [
            Notice(a, 0, 1.0, first),
            Notice(a, 0, 2.0, second),
            Notice(n, 0, 7, first),
            Notice(n, 0, 8, second),
        ],
    )
    assert [{name: value for name, (value, *_) in look.items()} for look in looks] == [
        {"a": 1.0, "n": 7}, {"a": 2.0, "n": 8}
    ]  # fmt: skip


def test_a_source_whose_clock_is_not_the_servers_is_noticed_and_bounded(device) -> None:
    station = device({"name": "a", "path": "A"})
    (a,) = layout_of(station).places
    hour = 3_600_000_000
    late, honest = told(station, [Notice(a, 0, 1.0, SERVER_US - hour)])
    assert (late[0]["a"][2], honest) == (MOMENT.floor_us, False)
    early, honest = told(station, [Notice(a, 0, 1.0, SERVER_US + hour)])
    assert (early[0]["a"][2], honest) == (MOMENT.now_us, False)


def test_a_value_without_a_stamp_is_taken_now(device) -> None:
    station = device({"name": "a", "path": "A"})
    (a,) = layout_of(station).places
    looks, honest = told(station, [Notice(a, 0, 1.0, None)])
    assert (looks[0]["a"][2], honest) == (MOMENT.now_us, True)


def test_a_bad_value_keeps_its_reason_and_a_wrong_type_is_malformed(device) -> None:
    station = device(
        {"name": "a", "path": "A"}, {"name": "b", "path": "B"}, {"name": "c", "path": "C"}
    )
    a, b, c = layout_of(station).places
    block = whole(
        station,
        [Notice(a, 0x808C0000, 3.0, None), Notice(b, 0, "high", None), Notice(c, 0, 1.0, None)],
        5,
    )
    got = {r.point: (r.value, r.quality, r.status >> 8) for r in readings(block, station.table)}
    assert got == {
        "a": (None, Quality.BAD, Status.DEVICE_FAULT),
        "b": (None, Quality.BAD, Status.MALFORMED),
        "c": (1.0, Quality.GOOD, 0),
    }


def test_a_look_speaks_only_of_what_changed(device) -> None:
    station = device({"name": "a", "path": "A"}, {"name": "t", "path": "T", "type": "text"})
    _, t = layout_of(station).places
    looks, _ = told(station, [Notice(t, 0, "AUTO", SERVER_US)])
    assert [list(look) for look in looks] == [["t"]]
