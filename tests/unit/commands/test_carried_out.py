"""What is done with a device: limits on fresh readings, read-back, feedback, leases and their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from kit.commands import Operator, content
from kit.scene import PKI, Scene, control, seconds

from headgate.config import Control
from headgate.envelope.command import Content, Step
from headgate.runtime.commands.allowed import Refusal
from headgate.testing.env import run

Story = Callable[[Scene], Awaitable[None]]
ON = ("pump-1", "run", True)
BACK = ("pump-1", "auto", True)


@pytest.fixture
def wang() -> Operator:
    return Operator(PKI)


def play(scene: Scene, story: Story) -> None:
    async def main() -> None:
        async with scene.running():
            await story(scene)

    run(main)


def speed(**other: Any) -> Control:
    said: dict[str, Any] = {
        "device": "pump-1", "point": "speed", "on_lease_end": "off", "off_value": 0, "min": 0, "max": 50,
    }  # fmt: skip
    return Control(**{**said, **other})


def at(number: int, value: float, **other: Any) -> Content:
    return content(number, value=value, point="speed", unit="Hz", **other)


async def outcomes(scene: Scene, wang: Operator, *values: float, pause_s: float = 0.0) -> list[str]:
    said = []
    for number, value in enumerate(values, 1):
        answer = await scene.obey(wang, at(number, value))
        said.append(answer.code or answer.state)
        await asyncio.sleep(pause_s)
    return said


def test_bounds_are_kept_to_the_last_step(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, speed(min=20, max=45))

    async def story(scene: Scene) -> None:
        told = await outcomes(scene, wang, 19, 20, 45, 46, 45.4, 45.0)
        assert told == ["HG-6511", "confirmed", "confirmed", "HG-6511", "HG-6511", "confirmed"]

    play(scene, story)
    assert [raw for _, _, raw in scene.plant.wire] == [20, 45, 45]


def test_what_the_device_makes_of_a_value_stays_within_too(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, speed(min=20.4, max=44.8))

    async def story(scene: Scene) -> None:
        # 20.4 becomes 20 and 44.6 becomes 45: both are out, as the device has them.
        told = await outcomes(scene, wang, 20.4, 44.6, 20.6, 44.4)
        assert told == ["HG-6511", "HG-6511", "confirmed", "confirmed"]

    play(scene, story)
    assert [raw for _, _, raw in scene.plant.wire] == [21, 44]


def test_a_step_is_from_where_the_point_stands(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, speed(max_step=10))

    async def story(scene: Scene) -> None:
        told = await outcomes(scene, wang, 10.4, 10, 21, 20)
        assert told == ["HG-6513", "confirmed", "HG-6513", "confirmed"]
        scene.plant.bad.add(("pump-1", "speed"))
        assert (await scene.obey(wang, at(9, 20))).code == "HG-6517"

    play(scene, story)


def test_two_writes_keep_their_distance_over_a_restart(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, speed(min_interval=seconds("60s")))

    async def first(scene: Scene) -> None:
        assert await outcomes(scene, wang, 10, 20) == ["confirmed", "HG-6514"]

    async def second(scene: Scene) -> None:
        assert (await scene.obey(wang, at(7, 20))).code == "HG-6514"
        await asyncio.sleep(60)
        assert (await scene.obey(wang, at(8, 20))).state == "confirmed"

    play(scene, first)
    play(scene, second)


def test_so_many_starts_in_an_hour_and_no_more(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(max_starts_per_hour=2))
    scene.synced = False

    async def story(scene: Scene) -> None:
        told = []
        for number in range(1, 7):
            answer = await scene.obey(wang, content(number, value=number % 2 == 1))
            told.append(answer.code or answer.state)
            await asyncio.sleep(60)
        assert told == ["confirmed"] * 4 + ["HG-6515", "confirmed"]
        await asyncio.sleep(3600)
        assert (await scene.obey(wang, content(9))).state == "confirmed"

    play(scene, story)


def test_starts_of_an_earlier_boot_count_until_this_one_is_an_hour_old(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path, control(max_starts_per_hour=1, on_lease_end="hold"))
    scene.synced = False

    async def first(scene: Scene) -> None:
        assert (await scene.obey(wang, content(1))).state == "confirmed"
        assert (await scene.obey(wang, content(2, value=False))).state == "confirmed"

    async def second(scene: Scene) -> None:
        assert (await scene.obey(wang, content(3))).code == "HG-6515"
        await asyncio.sleep(3600)
        assert (await scene.obey(wang, content(4))).state == "confirmed"

    play(scene, first)
    scene.clock.boot, scene.clock.now_us = b"another boot 123", 5_000_000
    play(scene, second)


def test_who_cannot_see_does_not_move_anything(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(interlock=("{pump-2/level} > 1.2 or {pump-1/level} > 9",)))

    async def story(scene: Scene) -> None:
        scene.plant.bad.add(("pump-1", "level"))  # the other alternative holds; no matter
        assert (await scene.obey(wang, content(1))).code == "HG-6517"
        scene.plant.bad.clear()
        assert (await scene.obey(wang, content(2))).state == "confirmed"

    play(scene, story)
    assert scene.plant.wire == [ON]


def test_an_interlock_that_breaks_while_a_command_waits_stops_it(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path, control(interlock=("{pump-1/level} > 1.2",)))

    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content()))
        scene.plant.values["pump-1", "level"] = 1.2
        scene.give(wang.operate(content(), selected.token))
        assert (await scene.done("refused")).code == "HG-6516"

    play(scene, story)
    assert scene.plant.wire == []


def test_a_device_that_refuses_is_left_as_it_was(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)
    scene.plant.refuses = True

    async def story(scene: Scene) -> None:
        done = await scene.obey(wang, content())
        assert (done.state, done.code) == ("failed", "HG-6529")
        assert scene.desk.journal.leases == {}
        assert scene.desk.journal.moves(("pump-1", "run")) == ()

    play(scene, story)


def test_a_write_without_an_answer_is_not_repeated(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(lease=seconds("40min")))
    scene.plant.deaf = True

    async def story(scene: Scene) -> None:
        done = await scene.obey(wang, content())
        assert (done.state, done.code, done.value) == ("unknown", "HG-6541", True)
        assert (
            "pump-1",
            "run",
        ) in scene.desk.journal.leases  # it may be forced, so it will be let go
        scene.plant.deaf = False
        await asyncio.sleep(1801)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_what_reads_back_counts_not_what_was_sent(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)
    scene.plant.follows = False

    async def story(scene: Scene) -> None:
        done = await scene.obey(wang, content())
        assert (done.state, done.code, done.value) == ("failed", "HG-6542", False)

    play(scene, story)


def test_the_feedback_decides(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(feedback="running", feedback_within=seconds("3s")))

    async def story(scene: Scene) -> None:
        assert (await scene.obey(wang, content(1))).state == "confirmed"
        scene.plant.bad.add(("pump-1", "running"))
        begun = asyncio.get_running_loop().time()
        done = await scene.obey(wang, content(2, value=False))
        assert (done.state, done.code) == ("failed", "HG-6530")
        assert 3 <= asyncio.get_running_loop().time() - begun < 4

    play(scene, story)


# ---------------------------------------------------------------- leases


def test_a_lease_ends_in_its_time(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        await asyncio.sleep(1798)
        assert scene.plant.wire == [ON]
        await asyncio.sleep(4)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]
    assert [(r.state, r.who, r.code) for r in scene.results("ended")] == [
        ("ended", "gateway", "HG-6537")
    ]
    assert scene.kinds()[-2:] == ["lease-ending", "lease-ended"]


@pytest.mark.parametrize(
    ("rule", "written"),
    [("off", ("pump-1", "run", False)), ("auto", BACK), ("hold", None)],
)
def test_a_lease_ends_as_its_control_says(
    tmp_path: Path, wang: Operator, rule: str, written: tuple[str, str, bool] | None
) -> None:
    scene = Scene(tmp_path, control(on_lease_end=rule))

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        await asyncio.sleep(1801)
        assert scene.desk.journal.leases == {}

    play(scene, story)
    assert scene.plant.wire == [ON] + ([written] if written else [])


def test_a_lease_is_renewed_by_a_selection_of_its_own(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(interlock=("{pump-1/level} > 1.2",)))

    async def renew(number: int) -> str:
        what = content(number)
        selected = await scene.answer(wang.select(what))
        if selected.state != "selected":
            return selected.code
        scene.give(wang.command(Step.RENEW, what, selected.token))
        done = await scene.done("renewed", "refused")
        return done.code or done.state

    async def story(scene: Scene) -> None:
        scene.synced = False
        assert await renew(2) == "HG-6536"
        await scene.obey(wang, content(3))
        await asyncio.sleep(1700)
        assert await renew(4) == "renewed"
        await asyncio.sleep(1700)
        assert scene.plant.wire == [ON]
        scene.plant.values["pump-1", "level"] = 1.0
        assert await renew(5) == "HG-6516"
        await asyncio.sleep(150)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_a_device_that_is_silent_is_let_go_as_soon_as_it_answers(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        scene.plant.silent = True
        await asyncio.sleep(1900)
        assert scene.alarms() == [("HG-6538", True)]
        scene.plant.silent = False
        await asyncio.sleep(31)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]
    assert scene.alarms() == [("HG-6538", True), ("HG-6538", False)]


def test_a_station_on_local_gets_its_end_when_it_is_back_on_remote(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path, control(remote_when="{pump-1/remote} == 1"))

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        scene.plant.values["pump-1", "remote"] = False
        await asyncio.sleep(1900)
        assert scene.plant.wire == [ON]
        scene.plant.values["pump-1", "remote"] = True
        await asyncio.sleep(31)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_the_end_of_a_lease_waits_for_no_disk(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        scene.audit_refuses = scene.disk_refuses = True
        await asyncio.sleep(1802)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_a_lease_goes_on_after_a_restart_in_the_same_boot(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def first(scene: Scene) -> None:
        await scene.obey(wang, content())

    async def second(scene: Scene) -> None:
        await asyncio.sleep(1700)
        assert scene.plant.wire == [ON]
        await asyncio.sleep(110)

    play(scene, first)
    play(scene, second)
    assert scene.plant.wire == [ON, BACK]


def test_a_lease_of_another_boot_has_ended(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def first(scene: Scene) -> None:
        await scene.obey(wang, content())

    async def second(scene: Scene) -> None:
        await asyncio.sleep(1)

    play(scene, first)
    scene.clock.boot, scene.clock.now_us = b"another boot 123", 5_000_000
    play(scene, second)
    assert scene.plant.wire == [ON, BACK]


def test_a_damaged_journal_lets_go_of_everything_that_may_be_forced(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path, control(), speed(), control(device="pump-2", on_lease_end="hold"))

    async def first(scene: Scene) -> None:
        await scene.obey(wang, content())

    async def second(scene: Scene) -> None:
        assert scene.desk.journal.damaged
        await asyncio.sleep(1)

    play(scene, first)
    (tmp_path / "commands.db").write_bytes(b"rotten" * 1000)
    play(scene, second)
    assert scene.plant.wire[:1] == [ON]
    assert sorted(scene.plant.wire[1:]) == [BACK, ("pump-1", "speed", 0)]


def test_a_box_that_is_new_moves_nothing(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(60)

    scene = Scene(tmp_path, control(), speed())
    play(scene, story)
    assert scene.plant.wire == []


def test_what_is_written_by_hand_is_a_lease_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path, control(lease=seconds("5min")))

    async def story(scene: Scene) -> None:
        allowed = scene.local.control(("pump-1", "run"))
        assert allowed is not None
        assert (await scene.local.write(allowed, "on", "uid:1000")).state == "confirmed"
        await asyncio.sleep(302)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_another_command_takes_a_lease_over(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)
    scene.synced = False

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content(1))
        await asyncio.sleep(1000)
        await scene.obey(wang, content(2, value=False))
        await asyncio.sleep(1000)
        assert len(scene.plant.wire) == 2
        await asyncio.sleep(850)

    play(scene, story)
    assert scene.plant.wire == [ON, ("pump-1", "run", False), BACK]


def test_a_switch_that_cannot_be_seen_keeps_nothing_forced(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(remote_when="{pump-2/remote} == 1"))

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        scene.plant.bad.add(("pump-2", "remote"))
        await asyncio.sleep(1802)

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_nobody_at_the_box_is_two_people(tmp_path: Path) -> None:
    scene = Scene(tmp_path, control(people=2))

    async def story(scene: Scene) -> None:
        with pytest.raises(Refusal) as refused:
            scene.local.control(("pump-1", "run"))
        assert refused.value.code == "HG-6519"

    play(scene, story)


def test_to_let_go_at_the_box_needs_no_permission(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path, control(operations=("set",)))

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        request = {"device": "pump-1", "point": "run", "peer": "uid:1000"}
        async for said in scene.local.release(request):
            assert said["state"] == "confirmed"

    play(scene, story)
    assert scene.plant.wire == [ON, BACK]


def test_a_bug_leaves_no_command_without_an_end(tmp_path: Path, wang: Operator) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        selected = await scene.answer(wang.select(content(1)))

        async def broken(device: str) -> None:
            raise ZeroDivisionError(device)

        right, scene.plant.look = scene.plant.look, broken  # type: ignore[assignment, method-assign]
        scene.give(wang.operate(content(1), selected.token))
        assert (await scene.done("refused")).code == "HG-6529"
        scene.plant.look = right  # type: ignore[method-assign]
        assert (await scene.obey(wang, content(2))).state == "confirmed"

    play(scene, story)
    assert scene.plant.wire == [ON]


def test_a_lease_that_has_ended_is_not_renewed_while_its_end_is_tried(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path)
    scene.synced = False

    async def first(scene: Scene) -> None:
        await scene.obey(wang, content())

    async def second(scene: Scene) -> None:
        await asyncio.sleep(2)
        assert ("pump-1", "run") in scene.desk.journal.leases
        what = content(2)
        selected = await scene.answer(wang.select(what))
        scene.give(wang.command(Step.RENEW, what, selected.token))
        assert (await scene.done("renewed", "refused")).code == "HG-6536"
        scene.plant.refuses = False
        await asyncio.sleep(31)

    play(scene, first)
    scene.plant.refuses = True
    scene.clock.boot, scene.clock.now_us = b"another boot 123", 5_000_000
    play(scene, second)
    assert scene.plant.wire[-1] == BACK


@pytest.mark.parametrize("panel", [True, False], ids=["panel", "other value"])
def test_only_what_is_still_forced_to_this_value_is_renewed(
    tmp_path: Path, wang: Operator, panel: bool
) -> None:
    scene = Scene(tmp_path)

    async def story(scene: Scene) -> None:
        await scene.obey(wang, content())
        scene.plant.values["pump-1", "run"] = not panel
        what = content(2, value=panel)
        selected = await scene.answer(wang.select(what))
        scene.give(wang.command(Step.RENEW, what, selected.token))
        assert (await scene.done("renewed", "refused")).code == "HG-6536"

    play(scene, story)


def test_a_command_that_was_faster_than_the_end_of_a_lease_is_left_alone(
    tmp_path: Path, wang: Operator
) -> None:
    scene = Scene(tmp_path)
    scene.synced = False

    async def first(scene: Scene) -> None:
        await scene.obey(wang, content(1))

    async def second(scene: Scene) -> None:
        await asyncio.sleep(20)  # its end is tried, later and later
        scene.plant.silent = False
        assert (await scene.obey(wang, content(2))).state == "confirmed"
        await asyncio.sleep(100)
        assert scene.plant.wire == [ON, ON]
        await asyncio.sleep(1800)

    play(scene, first)
    scene.plant.silent = True
    scene.clock.boot, scene.clock.now_us = b"another boot 123", 5_000_000
    play(scene, second)
    assert scene.plant.wire == [ON, ON, BACK]
