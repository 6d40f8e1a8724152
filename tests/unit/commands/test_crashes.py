"""The box dies at each effect of a command's life, one after the other; the wire is the judge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kit.commands import Operator, content
from kit.scene import PKI, Scene, control, release, seconds

from headgate.envelope.command import Step
from headgate.testing.env import VirtualLoop

Story = Callable[[Scene], Awaitable[None]]

ON = ("pump-1", "run", True)
BACK = ("pump-1", "auto", True)


def life(scene: Scene, story: Story) -> bool:
    """One life; whether it ended by itself. What a killed process had in memory is gone."""
    loop = VirtualLoop()

    async def main() -> bool:
        scene.dead = asyncio.Event()
        telling = asyncio.ensure_future(_live(scene, story))
        dying = asyncio.ensure_future(scene.dead.wait())
        await asyncio.wait({telling, dying}, return_when=asyncio.FIRST_COMPLETED)
        whole = not scene.dead.is_set()
        for task in asyncio.all_tasks() - {asyncio.current_task(), telling if whole else None}:
            task.cancel()
        await asyncio.gather(telling, return_exceptions=not whole)
        return whole

    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(_leave())
        loop.close()


async def _leave() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _live(scene: Scene, story: Story) -> None:
    running = scene.running()
    await running.__aenter__()
    try:
        await story(scene)
    except asyncio.CancelledError:
        scene.journal.close()
        raise
    await running.__aexit__(None, None, None)


def lives(folder: Path, *, boots: bool, follows: bool = True) -> None:
    """Die at the first effect, at the second, and so on, until a life is long enough for all of them."""
    for number in range(1, 200):
        at = folder / str(number)
        at.mkdir()
        wang = Operator(PKI)
        scene = Scene(at, control(feedback="running"))
        scene.plant.follows = follows
        scene.dies_at = number

        async def first(scene: Scene, wang: Operator = wang) -> None:
            await scene.obey(wang, content(lease_s=100))

        whole = life(scene, first)
        before = list(scene.plant.wire)
        assert before.count(ON) <= 1
        if whole:
            assert number > 12
            return
        scene.dies_at = None
        if boots:
            scene.clock.boot, scene.clock.now_us = b"another boot 123", 5_000_000
        judge(scene, before, boots=boots, wang=wang)
    raise AssertionError("it never lived to its end")


def judge(
    scene: Scene, before: list[tuple[str, str, object]], *, boots: bool, wang: Operator
) -> None:
    """The next life: nothing is repeated, what is said is so, and what is forced is let go."""
    seen: dict[str, str] = {}

    async def second(scene: Scene) -> None:
        await asyncio.sleep(5)
        kept = scene.desk.journal.command(content().command)
        seen["state"] = "nothing" if kept is None else kept.state
        seen["counter"] = str(
            scene.desk.journal.counter(PKI.provider.sm3(wang.party.certificate.spki))
        )
        await asyncio.sleep(130)
        assert scene.desk.journal.leases == {}

    assert life(scene, second)
    after = scene.plant.wire[len(before) :]
    # Never again, whatever was known of it.
    assert ON not in after
    executed = "journaled executing" in scene.told
    if ON in before:
        assert executed  # on disk before the output moved
        assert seen["state"] in ("confirmed", "unknown", "ended")
        assert after == [BACK]
    else:
        assert seen["state"] not in ("confirmed", "accepted", "selected", "received", "executing")
        # A lease that was written down and never began is ended all the same.
        assert after in ([], [BACK])
        assert executed or after == []
    if boots and executed:
        assert after == [BACK]


@pytest.mark.parametrize("boots", [False, True], ids=["process", "power"])
def test_a_box_that_dies_anywhere_repeats_nothing_and_says_what_it_knows(
    tmp_path: Path, boots: bool
) -> None:
    lives(tmp_path, boots=boots)


@pytest.mark.parametrize("case", ["somebody was faster", "it stood there before"])
def test_after_a_crash_what_cannot_be_told_is_unknown(tmp_path: Path, case: str) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()

    async def first(scene: Scene) -> None:
        scene.plant.values["pump-1", "run"] = case == "it stood there before"
        await scene.obey(Operator(PKI), content())

    whole, scene = Scene(tmp_path / "whole"), Scene(tmp_path / "cut")
    assert life(whole, first)
    scene.dies_at = whole.told.index("wrote run") + 1
    assert not life(scene, first)
    scene.plant.values["pump-1", "run"] = case == "it stood there before"
    scene.dies_at = None

    async def second(scene: Scene) -> None:
        answer = await scene.done("unknown", "confirmed")
        assert (answer.state, answer.code) == ("unknown", "HG-6532")

    assert life(scene, second)


async def _end(scene: Scene, wang: Operator) -> None:
    await asyncio.sleep(130)


async def _release(scene: Scene, wang: Operator) -> None:
    await scene.obey(wang, release())


async def _renew(scene: Scene, wang: Operator) -> None:
    what = content(2, lease_s=100)
    selected = await scene.answer(wang.select(what))
    scene.give(wang.command(Step.RENEW, what, selected.token))
    await scene.done("renewed")


async def _by_hand(scene: Scene, wang: Operator) -> None:
    allowed = scene.local.control(("pump-1", "run"))
    assert allowed is not None
    await scene.local.write(allowed, "off", "uid:1000")


@pytest.mark.parametrize("more", [_end, _release, _renew, _by_hand], ids=lambda each: each.__name__)
def test_a_box_that_dies_while_something_is_forced_lets_go_of_it(
    tmp_path: Path, more: Callable[[Scene, Operator], Awaitable[None]]
) -> None:
    begun: list[int] = []

    def born(name: str) -> tuple[Scene, Story]:
        (tmp_path / name).mkdir()
        wang = Operator(PKI)

        async def story(scene: Scene) -> None:
            await scene.obey(wang, content(lease_s=100))
            begun.append(scene.effects)
            await more(scene, wang)

        return Scene(tmp_path / name, control(lease=seconds("30min"))), story

    whole, story = born("whole")
    assert life(whole, story)
    for number in range(begun[0] + 1, whole.effects + 1):
        scene, story = born(str(number))
        scene.dies_at = number
        if life(scene, story):
            continue  # this one took another turn
        scene.dies_at = None

        async def second(scene: Scene) -> None:
            await asyncio.sleep(1900)
            assert scene.desk.journal.leases == {}

        assert life(scene, second)
        assert scene.plant.wire.count(ON) == 1
        assert scene.plant.wire.count(("pump-1", "run", False)) <= 1
        assert scene.plant.wire[-1] == BACK
        assert scene.plant.values["pump-1", "auto"] is True
