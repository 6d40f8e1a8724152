"""The desk: who may, when, once, and what the wire has seen of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from kit.commands import GATEWAY, MINUTE_US, NOW_US, Operator, content
from kit.scene import PKI, Scene, control, release, seconds
from msgspec.structs import replace

from headgate.envelope.command import Step
from headgate.model import Event
from headgate.runtime.commands.desk import InForce
from headgate.runtime.commands.resolving import resolve
from headgate.testing.env import fake_env, run

Story = Callable[[Scene], Awaitable[None]]


@pytest.fixture
def wang() -> Operator:
    return Operator(PKI)


@pytest.fixture
def zhao() -> Operator:
    return Operator(PKI, "zhao.min")


def play(scene: Scene, story: Story) -> None:
    """One life of the box, in virtual time."""

    async def main() -> None:
        async with scene.running():
            await story(scene)

    run(main)


def test_what_is_selected_and_operated_is_done_once_and_told_everywhere(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        done = await scene.obey(wang, content())
        assert (done.state, done.value, done.lease_ms > 1_700_000) == ("confirmed", True, True)

    play(scene, story)
    assert scene.plant.wire == [("pump-1", "run", True)]
    states = ["selected", "accepted", "executing", "confirmed"]
    assert [kind for kind in scene.kinds() if "command" in kind] == [f"command-{s}" for s in states]
    assert {entry.who for entry in scene.audit} == {"operator:wang.li"}
    told = [(r.state, r.device, r.point, r.who) for r in scene.results()]
    assert told == [
        (s, 1, "run", "operator:wang.li") for s in ("selected", "accepted", "confirmed")
    ]
    # The entry and the journal are on disk before the output moves.
    at = scene.told.index("write run")
    assert scene.told.index("audited command-executing") < at
    assert scene.told.index("journaled executing") < at


@pytest.mark.parametrize(("age_s", "state"), [(9.999, "confirmed"), (10.0, "refused")])
def test_a_token_is_good_until_its_time_is_over(
    tmp_path: Path, wang: Operator, age_s: float, state: str
) -> None:
    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        assert selected.token_ms == 10_000
        await asyncio.sleep(age_s)
        scene.give(wang.operate(content(), selected.token))
        done = await scene.done("confirmed", "refused")
        assert done.state == state
        assert done.code == ("" if state == "confirmed" else "HG-6504")

    scene = Scene(tmp_path)
    play(scene, story)
    assert len(scene.plant.wire) == (state == "confirmed")


def test_a_selection_that_nobody_operated_is_told_as_run_out(
    tmp_path: Path, wang: Operator
) -> None:
    async def story(scene: Scene) -> None:
        await scene.answer(wang.select(content()))
        over = await scene.answer()
        assert (over.state, over.code) == ("expired", "HG-6539")
        assert "ran out" in over.text

    play(Scene(tmp_path), story)


def test_another_token_is_none_and_costs_the_selection(tmp_path: Path, wang: Operator) -> None:
    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        assert selected.token is not None
        wrong = bytes([selected.token[0] ^ 1]) + selected.token[1:]
        for token in (wrong, selected.token):
            refused = await scene.answer(wang.operate(content(), token))
            assert (refused.state, refused.code) == ("refused", "HG-6504")

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == []


def test_a_token_is_used_once_and_by_its_issuer_alone(
    tmp_path: Path, wang: Operator, zhao: Operator
) -> None:
    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        stolen = await scene.answer(zhao.operate(content(), selected.token))
        assert (stolen.state, stolen.code) == ("refused", "HG-6504")
        scene.give(wang.operate(content(), selected.token))
        assert (await scene.done("confirmed")).state == "confirmed"
        again = await scene.answer(wang.operate(content(2), selected.token))
        assert (again.state, again.code) == ("refused", "HG-6504")

    scene = Scene(tmp_path)
    play(scene, story)
    assert len(scene.plant.wire) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"value": False}, {"value": 1}, {"device": "pump-2"}, {"point": "auto"}, {"unit": "V"},
        {"command": bytes(16)}, {"lease_s": 1799}, {"not_before_us": NOW_US - 1},
        {"expiry_us": NOW_US + 5 * MINUTE_US}, {"gateway": "gauge-house-8"},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_what_is_operated_is_what_was_selected(
    tmp_path: Path, wang: Operator, other: dict[str, Any]
) -> None:
    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        wrong = await scene.answer(wang.operate(replace(content(), **other), selected.token))
        assert wrong.state == "refused"
        assert wrong.code in ("HG-6505", "HG-6504", "HG-6503")
        if "device" not in other and "gateway" not in other:
            # The token is gone, also for what was selected.
            late = await scene.answer(wang.operate(content(), selected.token))
            assert late.code == "HG-6504"

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == []


def test_an_old_counter_is_refused_also_after_a_restart(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def first(scene: Scene) -> None:
        assert (await scene.answer(wang.select(content(1)))).state == "selected"

    async def second(scene: Scene) -> None:
        assert (await scene.answer()).code == "HG-6531"
        for counter in (0, 1):
            old = wang.command(Step.SELECT, content(2), counter=counter)
            assert (await scene.answer(old)).code == "HG-6506"
        new = wang.command(Step.SELECT, content(2), counter=2)
        assert (await scene.answer(new)).state == "selected"

    play(scene, first)
    play(scene, second)


def test_a_captured_command_does_nothing_on_a_box_that_forgot_everything(
    tmp_path: Path, wang: Operator
) -> None:
    captured: list[bytes] = []

    async def first(scene: Scene) -> None:
        select = wang.select(content())
        selected = await scene.answer(select)
        operate = wang.operate(content(), selected.token)
        captured.extend((select, operate))
        scene.give(operate)
        await scene.done("confirmed")

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    play(Scene(tmp_path / "a"), first)
    forgetful = Scene(tmp_path / "b")
    forgetful.synced = False
    forgetful.env = fake_env(forgetful.clock, seed=8)  # nobody draws the same tokens twice

    async def second(scene: Scene) -> None:
        for _ in range(3):
            for message in captured:
                scene.give(message)
                await asyncio.sleep(1)

    play(forgetful, second)
    assert forgetful.plant.wire == []


def test_two_who_race_for_a_device_are_told_apart(
    tmp_path: Path, wang: Operator, zhao: Operator
) -> None:
    async def story(scene: Scene) -> None:
        scene.give(wang.select(content(1)))
        scene.give(zhao.select(content(2, value=False)))
        first, second = await scene.answer(), await scene.answer()
        states = {first.command[-1]: first.state, second.command[-1]: second.state}
        assert states == {1: "selected", 2: "refused"}
        won = first if first.state == "selected" else second
        scene.give(wang.operate(content(1), won.token))
        await scene.done("confirmed")
        assert (await scene.answer(zhao.select(content(2, value=False)))).state == "selected"

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == [("pump-1", "run", True)]


def test_a_second_selection_of_the_same_issuer_takes_the_place_of_the_first(
    tmp_path: Path, wang: Operator
) -> None:
    async def story(scene: Scene) -> None:
        first = await scene.answer(wang.select(content(1)))
        await scene.answer(wang.select(content(2, value=False)))
        late = await scene.answer(wang.operate(content(1), first.token))
        assert late.state == "refused"

    scene = Scene(tmp_path)
    play(scene, story)
    assert [r.command[-1] for r in scene.results("superseded")] == [1]
    assert scene.plant.wire == []


def test_an_accepted_id_is_never_carried_out_again(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)
    sent: list[bytes] = []

    async def first(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        sent.append(wang.operate(content(), selected.token))
        scene.give(sent[0])
        await scene.done("confirmed")
        twice = await scene.answer(sent[0])
        assert (twice.state, twice.code) == ("confirmed", "")
        again = await scene.answer(wang.select(content()))
        assert (again.state, again.token) == ("confirmed", None)
        other = await scene.answer(wang.select(content(value=False)))
        assert (other.state, other.code) == ("refused", "HG-6540")

    async def second(scene: Scene) -> None:
        assert (await scene.answer(sent[0])).state == "confirmed"

    play(scene, first)
    play(scene, second)
    assert len(scene.plant.wire) == 1


def test_a_selection_is_given_back(tmp_path: Path, wang: Operator, zhao: Operator) -> None:
    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        scene.give(wang.command(Step.CANCEL, content(), selected.token))
        assert (await scene.answer()).state == "cancelled"
        assert (await scene.answer(wang.operate(content(), selected.token))).code == "HG-6504"
        assert (await scene.answer(zhao.select(content(2)))).state == "selected"

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == []


def test_what_waits_in_the_queue_can_be_withdrawn_and_the_queue_has_an_end(
    tmp_path: Path, wang: Operator
) -> None:
    async def story(scene: Scene) -> None:
        await scene.desk.lane("pump-1").lock.acquire()  # something is being done to the device
        tokens = {}
        for number in range(1, 10):
            what = content(number)
            tokens[number] = (await scene.answer(wang.select(what))).token
            answer = await scene.answer(wang.operate(what, tokens[number]))
            assert answer.state == "accepted"
            await asyncio.sleep(5)
            if len(scene.desk.lane("pump-1").waiting) == 8:
                break
        full = await scene.answer(wang.select(content(99)))
        assert (full.state, full.code) == ("refused", "HG-6524")
        withdrawn = await scene.answer(wang.command(Step.CANCEL, content(2), tokens[2]))
        assert (withdrawn.state, withdrawn.code) == ("cancelled", "HG-6527")
        scene.desk.lane("pump-1").lock.release()
        for _ in range(number - 1):
            await scene.done("confirmed")

    scene = Scene(tmp_path)
    play(scene, story)
    assert len(scene.plant.wire) == 7


def test_what_expires_while_it_waits_is_not_done(tmp_path: Path, wang: Operator) -> None:
    async def story(scene: Scene) -> None:
        await scene.desk.lane("pump-1").lock.acquire()
        selected = await scene.answer(wang.select(content()))
        await scene.answer(wang.operate(content(), selected.token))
        await asyncio.sleep(600)
        scene.desk.lane("pump-1").lock.release()
        assert (await scene.done("refused")).code == "HG-6525"

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == []


def test_what_waits_is_judged_by_the_controls_of_then(tmp_path: Path, wang: Operator) -> None:
    async def story(scene: Scene) -> None:
        await scene.desk.lane("pump-1").lock.acquire()
        selected = await scene.answer(wang.select(content()))
        await scene.answer(wang.operate(content(), selected.token))
        fewer = resolve(control(operators=("zhao.*",)), scene.plant.devices, "here")
        scene.desk.in_force = InForce({fewer.name: fewer})
        scene.desk.lane("pump-1").lock.release()
        assert (await scene.done("refused")).code == "HG-6508"

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == []


@pytest.mark.parametrize(("shift_s", "synced"), [(-61, True), (600, True), (600, False)])
def test_dates_are_judged_by_a_trusted_clock_alone(
    tmp_path: Path, wang: Operator, shift_s: int, synced: bool
) -> None:
    scene = Scene(tmp_path)
    scene.clock.shift_us += shift_s * 1_000_000
    scene.synced = synced

    async def story(scene: Scene) -> None:
        answer = await scene.answer(wang.select(content()))
        assert (answer.state, answer.code) == (
            ("refused", "HG-6507") if synced else ("selected", "")
        )

    play(scene, story)


def test_somebody_else_alone_does_not_open_a_gate_for_two(
    tmp_path: Path, wang: Operator, zhao: Operator
) -> None:
    scene = Scene(tmp_path, control(people=2))
    namesake = Operator(PKI, "Wang.Li")

    async def story(scene: Scene) -> None:
        assert (await scene.obey(wang, content(1))).code == "HG-6519"
        own = await scene.obey(wang, content(2), lambda t: [wang.approve(content(2))])
        assert own.code == "HG-6519"
        same = await scene.obey(wang, content(3), lambda t: [namesake.approve(content(3))])
        assert same.code == "HG-6519"
        other = await scene.obey(wang, content(4), lambda t: [zhao.approve(content(3))])
        assert other.code == "HG-6520"
        assert scene.plant.wire == []
        two = await scene.obey(wang, content(5), lambda t: [zhao.approve(content(5))])
        assert two.state == "confirmed"

    play(scene, story)
    assert len(scene.plant.wire) == 1


def test_without_a_clock_the_second_person_signs_this_selection(
    tmp_path: Path, wang: Operator, zhao: Operator
) -> None:
    scene = Scene(tmp_path, control(people=2))
    scene.synced = False

    async def story(scene: Scene) -> None:
        early = await scene.obey(wang, content(1), lambda t: [zhao.approve(content(1))])
        assert early.code == "HG-6520"
        fresh = await scene.obey(wang, content(2), lambda t: [zhao.approve(content(2), t)])
        assert fresh.state == "confirmed"

    play(scene, story)


def test_nobody_is_answered_who_proves_nothing(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)
    stranger = Operator(type(PKI)(PKI.provider, "another root"))

    async def story(scene: Scene) -> None:
        message = bytearray(wang.select(content()))
        message[40] ^= 1
        for wrong in (b"", b"HG\x04\x01", bytes(message), stranger.select(content())):
            scene.give(wrong)
        scene.give(wang.select(content()), how="retained")
        await asyncio.sleep(1)
        assert not scene.desk.teller.post._waiting.get("city")

    play(scene, story)
    assert scene.desk.door.refusals == {"HG-6500": 2, "HG-6501": 2, "HG-6533": 1}
    assert scene.kinds() == ["command-unproved"]
    assert scene.results() == []


def test_a_flood_is_held_at_the_door(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        for _ in range(1000):
            scene.give(b"x" * 100)
        await asyncio.sleep(1)
        assert scene.desk.door.refusals["HG-6534"] >= 980
        assert (await scene.answer(wang.select(content()), uplink="other")).state == "selected"

    play(scene, story)
    assert len(scene.audit) <= 4


def test_for_another_gateway_nothing_is_done(tmp_path: Path, wang: Operator) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.answer(wang.select(content(gateway="gauge-house-8")))
        assert (answer.state, answer.code) == ("refused", "HG-6503")

    play(Scene(tmp_path), story)


@pytest.mark.parametrize("which", ["disk_refuses", "audit_refuses"])
@pytest.mark.parametrize("when", ["select", "operate", "executing"])
def test_what_cannot_be_written_down_does_not_happen(
    tmp_path: Path, wang: Operator, which: str, when: str
) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        if when == "select":
            setattr(scene, which, True)
            refused = await scene.answer(wang.select(content()))
        else:
            selected = await scene.answer(wang.select(content()))
            if when == "executing":
                await scene.desk.lane("pump-1").lock.acquire()
                await scene.answer(wang.operate(content(), selected.token))
                setattr(scene, which, True)
                scene.desk.lane("pump-1").lock.release()
                refused = await scene.answer()
            else:
                setattr(scene, which, True)
                refused = await scene.answer(wang.operate(content(), selected.token))
        assert (refused.state, refused.code) == ("refused", "HG-6528")

    play(scene, story)
    assert scene.plant.wire == []


def test_a_technician_locks_the_others_out_over_a_restart(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def first(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        async for said in scene.local.lock({"peer": "uid:1000", "reason": "blades out"}):
            assert said["locked"] is True
        assert (await scene.answer()).code == "HG-6522"
        assert (await scene.answer(wang.operate(content(), selected.token))).state == "refused"

    async def second(scene: Scene) -> None:
        answer = await scene.answer(wang.select(content(2)))
        assert (answer.state, answer.code) == ("refused", "HG-6522")
        assert "blades out" in answer.text
        async for said in scene.local.unlock({"peer": "uid:1000"}):
            assert said["locked"] is False
        assert (await scene.obey(wang, content(3))).state == "confirmed"

    play(scene, first)
    play(scene, second)
    assert [r.code for r in scene.results("cancelled")] == ["HG-6522"]
    told = [(item.kind, item.fields) for item in scene.items if isinstance(item, Event)]
    assert told == [
        ("remote-locked", {"who": "uid:1000", "reason": "blades out"}),
        ("remote-unlocked", {"who": "uid:1000"}),
    ]
    assert scene.plant.wire == [("pump-1", "run", True)]


def test_when_it_is_locked_nothing_is_in_hand_any_more(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        scene.plant.latency_s = 5
        assert (await scene.answer(wang.operate(content(), selected.token))).state == "accepted"
        await asyncio.sleep(1)  # it is being looked at
        async for _ in scene.local.lock({"peer": "uid:1000", "reason": "blades out"}):
            assert scene.results("refused")
        assert (await scene.done("refused")).code == "HG-6522"
        assert scene.desk.journal.leases == {}
        assert scene.desk.journal.moves(("pump-1", "run")) == ()

    play(scene, story)
    assert scene.plant.wire == []


def test_an_approver_may_command_the_point_too(
    tmp_path: Path, wang: Operator, zhao: Operator
) -> None:
    scene = Scene(tmp_path, control(people=2, operators=("wang.li", "ma.jun")))
    ma = Operator(PKI, "ma.jun")

    async def story(scene: Scene) -> None:
        other = await scene.obey(wang, content(1), lambda t: [zhao.approve(content(1))])
        assert other.code == "HG-6520"
        assert (
            await scene.obey(wang, content(2), lambda t: [ma.approve(content(2))])
        ).state == "confirmed"

    play(scene, story)


def test_whoever_stands_at_the_box_goes_first(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        allowed = scene.local.control(("pump-1", "run"))
        assert allowed is not None
        done = await scene.local.write(allowed, "off", "uid:1000")
        assert (done.state, done.who) == ("confirmed", "local:uid:1000")
        assert (await scene.answer()).state == "superseded"
        late = await scene.answer(wang.operate(content(), selected.token))
        assert late.state == "refused"

    play(scene, story)
    assert scene.plant.wire == [("pump-1", "run", False)]
    assert [r.code for r in scene.results("superseded")] == ["HG-6526"]


def test_what_was_accepted_just_before_does_not_undo_what_a_hand_does(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        lane = scene.desk.lane("pump-1")
        await lane.lock.acquire()
        put, held = lane.put, []
        lane.put = held.append  # type: ignore[method-assign]
        await scene.answer(wang.operate(content(), selected.token))
        lane.lock.release()
        allowed = scene.local.control(("pump-1", "run"))
        assert allowed is not None
        await scene.local.write(allowed, "off", "uid:1000")
        put(held[0])
        assert (await scene.done("refused")).code == "HG-6526"

    play(scene, story)
    assert scene.plant.wire == [("pump-1", "run", False)]


def test_controls_that_are_not_in_force_allow_nothing(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)
    scene.reason = "0/2"

    async def story(scene: Scene) -> None:
        assert (await scene.answer(wang.select(content()))).code == "HG-6535"
        with pytest.raises(Exception, match="not in force"):
            scene.local.control(("pump-1", "run"))

    play(scene, story)


@pytest.mark.parametrize(
    ("controls", "wanted", "code"),
    [
        ({}, {"point": "speed", "value": 30, "unit": "Hz"}, "HG-6509"),
        ({}, {"device": "pump-9"}, "HG-6509"),
        ({"operators": ("zhao.*",)}, {}, "HG-6508"),
        ({"operations": ("release",)}, {}, "HG-6510"),
        ({}, {"unit": "Hz"}, "HG-6512"),
        ({}, {"value": 1}, "HG-6512"),
        ({}, {"value": "on"}, "HG-6512"),
        ({"lease": seconds("29min")}, {}, "HG-6521"),
        ({"max": False}, {}, "HG-6511"),
        ({"interlock": ("{pump-1/level} > 2",)}, {}, "HG-6516"),
        ({"remote_when": "{pump-1/remote} == 0"}, {}, "HG-6518"),
    ],
)
def test_only_what_the_site_file_allows_is_done(
    tmp_path: Path, wang: Operator, controls: dict[str, Any], wanted: dict[str, Any], code: str
) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.answer(wang.select(content(**wanted)))
        assert (answer.state, answer.code) == ("refused", code)

    scene = Scene(tmp_path, control(**controls))
    play(scene, story)
    assert scene.plant.wire == []
    assert [entry.code for entry in scene.audit] == [code]


def test_repeats_over_restarts_lost_disks_and_jumping_clocks_move_nothing(
    tmp_path: Path, wang: Operator
) -> None:
    # Here some hundred; `make commands` plays ten thousand.
    count = int(os.environ.get("HEADGATE_REPEATS", "150"))
    scene = Scene(tmp_path)
    captured: list[bytes] = []

    async def first(scene: Scene) -> None:
        for number, value in ((1, True), (2, False), (3, True)):
            select = wang.select(content(number, value=value))
            selected = await scene.answer(select)
            operate = wang.operate(content(number, value=value), selected.token)
            captured.extend((select, operate))
            scene.give(operate)
            await scene.done("confirmed")

    async def storm(scene: Scene) -> None:
        for index in range(count // 2):
            scene.give(captured[index % len(captured)])
            await asyncio.sleep(0.5)
            if index % 40 == 0:
                scene.clock.shift_us += (-1) ** index * 86_400_000_000
                scene.synced = not scene.synced

    play(scene, first)
    moved = list(scene.plant.wire)
    scene.controls = (control(lease=seconds("24h")),)
    play(scene, storm)
    (tmp_path / "commands.db").rename(tmp_path / "away.db")
    play(scene, storm)
    run_writes = [write for write in scene.plant.wire if write[1] == "run"]
    assert run_writes == moved


def test_what_came_by_an_uplink_is_answered_there(tmp_path: Path, wang: Operator) -> None:
    async def story(scene: Scene) -> None:
        answer = await scene.answer(wang.select(content()), uplink="district")
        assert answer.gateway == GATEWAY

    play(Scene(tmp_path), story)


def test_a_release_ends_what_is_forced(tmp_path: Path, wang: Operator) -> None:
    async def story(scene: Scene) -> None:
        assert (await scene.obey(wang, release(80))).code == "HG-6536"
        await scene.obey(wang, content())
        assert (await scene.obey(wang, release())).state == "confirmed"
        assert scene.desk.journal.leases == {}

    scene = Scene(tmp_path)
    play(scene, story)
    assert scene.plant.wire == [("pump-1", "run", True), ("pump-1", "auto", True)]
