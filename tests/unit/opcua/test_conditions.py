"""Events as alarms."""

from __future__ import annotations

from headgate_drivers.opcua.conditions import Conditions, Occurrence


def high(**more: object) -> Occurrence:
    known = {"condition": "ns=1;s=High", "retain": True, "active": True, "acked": False}
    return Occurrence("HighLevel", "level", 800, "Water is high", 1_000_000, **known | more)  # type: ignore[arg-type]


def test_a_change_of_state_is_told_and_a_repetition_is_not() -> None:
    conditions = Conditions()
    (raised,) = conditions.told(7, high(), 5)
    assert (raised.device, raised.point, raised.code) == (7, "level", "HighLevel")
    assert (raised.severity, raised.active, raised.at_us) == (800, True, 5)
    assert raised.text == "Water is high [not acknowledged; 1970-01-01T00:00:01.000Z]"
    assert conditions.told(7, high(), 6) == []
    (acked,) = conditions.told(7, high(acked=True), 7)
    assert acked.active
    (over,) = conditions.told(7, high(acked=True, active=False, retain=False), 8)
    assert not over.active
    assert not conditions.knows("ns=1;s=High")


def test_an_event_without_a_state_is_raised_and_over_at_once() -> None:
    said = Occurrence("PumpTripEventType", "Pump1", 0, "Tripped")
    raised, over = Conditions().told(1, said, 5)
    assert (raised.active, over.active, raised.severity) == (True, False, 1)
    assert raised.text == over.text == "Tripped"


def test_what_a_refresh_does_not_repeat_has_ended_unseen() -> None:
    conditions = Conditions()
    conditions.told(1, high(), 1)
    conditions.told(1, high(condition="ns=1;s=Other"), 1)
    conditions.begin()
    assert conditions.told(1, high(), 2) == []
    (ended,) = conditions.end(1, 9)
    assert (ended.active, ended.at_us, ended.text) == (False, 9, "[ended unseen; not acknowledged]")
    conditions.begin()
    conditions.told(1, high(), 3)
    assert conditions.end(1, 10) == []


def test_a_condition_that_is_quiet_when_first_heard_is_not_told() -> None:
    assert Conditions().told(1, high(active=False, retain=False), 1) == []


def test_a_condition_that_has_no_active_state_stands_while_it_is_retained() -> None:
    conditions = Conditions()
    (raised,) = conditions.told(1, high(active=None, acked=None), 1)
    assert raised.active
    (over,) = conditions.told(1, high(active=None, acked=None, retain=False), 2)
    assert not over.active
