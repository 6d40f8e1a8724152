"""Faults: how they are written, when they hold, and what is said when they make no sense."""

from __future__ import annotations

import math

import pytest

from headgate_simulators.faults import Fault, FaultKind, Faults, check


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("g:silent", Fault("g", FaultKind.SILENT)),
        ("g-1:silent@10-20", Fault("g-1", FaultKind.SILENT, 0, 10, 20)),
        ("g:slow=2.5@30-", Fault("g", FaultKind.SLOW, 2.5, 30, math.inf)),
        ("*:exception=6@-5", Fault("*", FaultKind.EXCEPTION, 6, 0, 5)),
        ("g:exception", Fault("g", FaultKind.EXCEPTION, 4)),
        ("g:no-echo", Fault("g", FaultKind.NO_ECHO)),
        ("g:late", Fault("g", FaultKind.LATE, 3)),
        ("g:reboot@7-", Fault("g", FaultKind.REBOOT, 2, 7)),
        ("g:firmware-upgrade=0.5", Fault("g", FaultKind.FIRMWARE_UPGRADE, 0.5)),
        ("g:plug-pulled@1-2", Fault("g", FaultKind.PLUG_PULLED, 0, 1, 2)),
    ],
)
def test_faults_are_written_in_one_word(written: str, fault: Fault) -> None:
    assert Fault.parse(written) == fault


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("silent", "DEVICE:KIND"),
        ("g:silent@20", "DEVICE:KIND"),
        ("g:drowned", "there are: .*silent"),
        ("g:silent@20-10", "ends before it begins"),
        ("g:slow=0", "more than 0"),
        ("g:reboot=0", "more than 0"),
        ("g:exception=0", r"1\.\.255"),
        ("g:exception=2.5", r"1\.\.255"),
        ("g:slow=1.2.3", "DEVICE:KIND"),
    ],
)
def test_a_fault_written_wrong_says_what_is_wrong(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault.parse(written)


def test_a_window_is_half_open() -> None:
    faults = Faults([Fault.parse("g:silent@10-20")])
    assert [bool(faults.at("g", t)) for t in (9.99, 10, 19.99, 20)] == [False, True, True, False]
    assert not faults.at("other", 15)


def test_what_is_switched_on_holds_until_it_is_switched_off() -> None:
    faults = Faults([Fault.parse("g:slow=3@0-10")])
    faults.switch_on(Fault.make("*", "silent"))
    assert set(faults.at("g", 5)) == {FaultKind.SLOW, FaultKind.SILENT}
    faults.switch_off("*", FaultKind.SILENT)
    faults.switch_off("*", FaultKind.SILENT)
    assert set(faults.at("g", 5)) == {FaultKind.SLOW}


def test_what_is_switched_on_begins_at_that_instant() -> None:
    faults = Faults()
    faults.switch_on(Fault.parse("g:reboot@100-200"), elapsed_s=5)
    assert faults.at("g", 4.9) == {}
    assert faults.at("g", 5)[FaultKind.REBOOT].begins_s == 5


def test_a_fault_must_fit_a_device_of_the_farm() -> None:
    devices = [("radar", frozenset({FaultKind.NO_ECHO})), ("probe", frozenset[FaultKind]())]
    check(Fault.parse("radar:no-echo"), devices)
    check(Fault.parse("*:no-echo"), devices)
    check(Fault.parse("probe:silent"), devices)
    with pytest.raises(ValueError, match="does not fit probe"):
        check(Fault.parse("probe:no-echo"), devices)
    with pytest.raises(ValueError, match="not in this farm; it has radar, probe"):
        check(Fault.parse("sonar:silent"), devices)
