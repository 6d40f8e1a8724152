"""`Commands` against a gateway of a few lines: what is sent, what is believed, what is never repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kit.command_road import Answerer
from kit.pki import Party, Pki

from headgate.crypto.x509 import Role
from headgate.env import SystemFiles, system_env
from headgate.envelope.answer import Answer, make_answer
from headgate.envelope.command import Operation, Step
from headgate.envelope.signers import Trust, verify_approval
from headgate.errors import EnvelopeError
from headgate_receiver.commands import (
    AlreadySent,
    CommandError,
    CommandRefused,
    Commands,
    InDoubt,
    Journal,
    NoAnswer,
    NobodyThere,
    OperatorFile,
    Stage,
    Standing,
    Wish,
)
from headgate_receiver.commands.approvals import (
    read_approval,
    read_request,
    write_approval,
    write_request,
)
from headgate_receiver.commands.wish import value_of

WISH = Wish("gauge-house-7", "ps-001", "pump1_run", True, lease_s=600)


@pytest.fixture(scope="session")
def operator(pki: Pki) -> Party:
    return pki.issue("wang.li", Role.OPERATOR)


@pytest.fixture
def gateway(pki: Pki) -> Answerer:  # type: ignore[override]
    return Answerer(pki)


class Desk:
    """Programs on one journal, one after the other or side by side."""

    def __init__(self, pki: Pki, operator: Party, road: Answerer, folder: Path) -> None:
        self.pki, self.operator, self.road, self.folder = pki, operator, road, folder

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Commands]:
        journal = Journal(self.folder / "commands.db", SystemFiles())
        keys = OperatorFile(self.operator.key, [self.operator.certificate])
        given = {"answer_s": 10.0, **options}
        try:
            async with Commands(
                system_env(), self.pki.provider, keys, [self.pki.root.certificate], journal,
                given.pop("road", self.road), **given,
            ) as commands:  # fmt: skip
                while self.road.heard is None:
                    await asyncio.sleep(0)
                yield commands
        finally:
            journal.close()


@pytest.fixture
def desk(pki: Pki, operator: Party, gateway: Answerer, tmp_path: Path) -> Desk:
    return Desk(pki, operator, gateway, tmp_path)


# ---------------------------------------------------------------- the usual way


async def test_select_operate_and_the_read_back_decides(desk: Desk, gateway: Answerer) -> None:
    async with desk.open() as commands:
        content = commands.draft(WISH)
        assert commands.standing(content.command).stage is Stage.DRAFTED
        assert gateway.got == []
        selected = await commands.select(content.command)
        assert selected.stage is Stage.SELECTED
        standing = await commands.operate(content.command)
        assert not standing.done or standing.state == "confirmed"
        standing = await commands.settled(content.command, 10)
        assert standing.done
        assert standing.last is not None
        assert (standing.last.value, standing.last.lease_ms) == (True, 600_000)
    steps = [each.command.step.value for each in gateway.got]
    counters = [each.command.counter for each in gateway.got]
    assert steps == ["select", "operate"]
    assert counters == sorted(set(counters))
    assert all(each.command.content == content for each in gateway.got)
    assert all(500 < seconds <= 600 for seconds in gateway.expiries)


async def test_it_is_not_done_while_it_is_only_accepted(desk: Desk, gateway: Answerer) -> None:
    gateway.ends = [("accepted", None)]
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
        standing = await commands.operate(command)
        assert (standing.stage, standing.state, standing.done) == (
            Stage.OPERATING, "accepted", False,
        )  # fmt: skip
        assert not (await commands.settled(command, 0.01)).done
        gateway.answer(gateway.got[-1], "failed", value=False, code="HG-6530", text="no feedback")
        standing = await commands.settled(command, 10)
        assert (standing.state, standing.done, standing.moved) == ("failed", False, None)


async def test_watching_tells_what_changes_and_ends_when_nothing_more_can_come(
    desk: Desk, gateway: Answerer
) -> None:
    gateway.ends = [("accepted", None), ("executing", None), ("confirmed", True)]
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        seen: list[Standing] = []

        async def watch() -> None:
            seen.extend([each async for each in commands.watch(command)])

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await commands.select(command)
        await commands.operate(command)
        await commands.settled(command, 10)
        gateway.answer(gateway.got[-1], "ended", code="HG-6537", text="lease over")
        await asyncio.wait_for(watching, 10)
    assert seen[0].stage is Stage.DRAFTED
    assert [told.state for told in seen[-1].history] == [
        "selected", "accepted", "executing", "confirmed", "ended",
    ]  # fmt: skip


async def test_a_release_and_a_renewal_are_commands_of_their_own(
    desk: Desk, gateway: Answerer
) -> None:
    async with desk.open() as commands:
        renewal = commands.draft(WISH).command
        await commands.select(renewal)
        assert (await commands.renew(renewal)).state == "renewed"
        release = commands.draft(Wish.release("gauge-house-7", "ps-001", "pump1_run")).command
        await commands.select(release)
        assert (await commands.operate(release)).content.operation is Operation.RELEASE
    assert [each.command.step for each in gateway.got] == [
        Step.SELECT, Step.RENEW, Step.SELECT, Step.OPERATE,
    ]  # fmt: skip


async def test_a_selection_is_given_back(desk: Desk, gateway: Answerer) -> None:
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
        standing = await commands.cancel(command)
        assert (standing.stage, standing.moved) == (Stage.WITHDRAWN, False)
        with pytest.raises(CommandError) as raised:
            await commands.cancel(commands.draft(WISH).command)
        assert raised.value.code == "HG-7118"


# ---------------------------------------------------------------- refused, lost, doubtful


@pytest.mark.parametrize("step", ["select", "operate"])
async def test_a_refusal_says_why_and_that_nothing_moved(
    desk: Desk, gateway: Answerer, step: str
) -> None:
    gateway.refuse[step] = "HG-6511"
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        if step == "operate":
            await commands.select(command)
        with pytest.raises(CommandRefused) as raised:
            await (commands.select if step == "select" else commands.operate)(command)
        assert (raised.value.gateway_code, raised.value.reason) == ("HG-6511", "it says no")
        assert commands.standing(command).moved is False


async def test_where_nobody_listens_a_select_says_so_at_once(desk: Desk, gateway: Answerer) -> None:
    gateway.gone = True
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        with pytest.raises(NobodyThere):
            await commands.select(command)
        gateway.gone, gateway.offline = False, True
        with pytest.raises(NobodyThere) as raised:
            await commands.select(command)
        assert raised.value.code == "HG-7115"
        gateway.offline = False
        assert (await commands.select(command)).stage is Stage.SELECTED


async def test_an_operate_without_an_answer_is_a_doubt_and_is_never_sent_again(
    desk: Desk, gateway: Answerer
) -> None:
    gateway.drop_answers = {"operate"}
    async with desk.open(answer_s=0.05) as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
        with pytest.raises(InDoubt):
            await commands.operate(command)
        for again in (commands.operate, commands.renew):
            with pytest.raises(AlreadySent):
                await again(command)
        with pytest.raises(InDoubt):
            await commands.select(command)
        assert commands.standing(command).moved is None
        assert [each.command.step.value for each in gateway.got] == ["select", "operate"]
        # Asked, the gateway says how it stands; nothing is carried out a second time.
        standing = await commands.ask(command)
        assert standing.done
        assert [each.command.step.value for each in gateway.got] == ["select", "operate", "select"]


@pytest.mark.parametrize("how", ["lost", "nobody"])
async def test_an_operate_that_got_lost_on_the_way_is_found_out_by_asking(
    desk: Desk, gateway: Answerer, how: str
) -> None:
    async with desk.open(answer_s=0.05) as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
        gateway.gone = how == "nobody"
        gateway.drop_commands = {"operate"} if how == "lost" else set()
        with pytest.raises(InDoubt):
            await commands.operate(command)
        gateway.gone = True
        with pytest.raises(InDoubt):
            await commands.ask(command)
        gateway.gone = False
        standing = await commands.ask(command)
        assert standing.stage in (Stage.WITHDRAWN, Stage.ANSWERED)
        assert (standing.state, standing.moved) == ("cancelled", False)
        assert gateway.accepted == {}


async def test_an_operate_that_never_left_is_no_doubt(desk: Desk, gateway: Answerer) -> None:
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
        gateway.offline = True
        with pytest.raises(NobodyThere):
            await commands.operate(command)
        assert commands.standing(command).moved is False
        gateway.offline = False
        await commands.operate(command)
        assert (await commands.settled(command, 10)).done


async def test_killed_between_select_and_operate_the_next_program_knows(
    desk: Desk, gateway: Answerer
) -> None:
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
    async with desk.open() as commands:
        assert commands.standing(command).stage is Stage.SELECTED
        await commands.operate(command)
        assert (await commands.settled(command, 10)).done
    counters = [each.command.counter for each in gateway.got]
    assert counters == sorted(set(counters))


async def test_killed_with_an_operate_on_the_way_the_next_program_asks_and_repeats_nothing(
    desk: Desk, gateway: Answerer
) -> None:
    gateway.drop_answers = {"operate"}
    async with desk.open() as commands:
        command = commands.draft(WISH).command
        await commands.select(command)
        operating = asyncio.create_task(commands.operate(command))
        while len(gateway.got) < 2:
            await asyncio.sleep(0)
        operating.cancel()
        await asyncio.gather(operating, return_exceptions=True)
    async with desk.open() as commands:
        assert commands.standing(command).in_doubt
        with pytest.raises(AlreadySent):
            await commands.operate(command)
        assert (await commands.ask(command)).done
        assert await commands.ask(command) == commands.standing(command)
    assert [each.command.step.value for each in gateway.got] == ["select", "operate", "select"]


# ---------------------------------------------------------------- who may say what


async def test_an_answer_is_believed_only_from_the_gateway_that_was_asked(
    desk: Desk, gateway: Answerer, pki: Pki
) -> None:
    gateway.drop_answers = {"select"}
    other = pki.issue("another-box", Role.GATEWAY)
    stranger = Pki(pki.provider, "another root").issue("gauge-house-7", Role.GATEWAY)
    platform = pki.issue("gauge-house-7", Role.PLATFORM_RECEIPT)
    async with desk.open(answer_s=0.05) as commands:
        command = commands.draft(WISH).command
        with pytest.raises(NoAnswer):
            await commands.select(command)
        request = pki.provider.sm3(gateway.got[-1].body)
        assert gateway.heard is not None
        for who, name, about, step in (
            (stranger, "gauge-house-7", request, Step.SELECT),
            (platform, "gauge-house-7", request, Step.SELECT),
            (other, "another-box", request, Step.SELECT),
            (other, "gauge-house-7", request, Step.SELECT),
            (gateway.identity, "gauge-house-7", bytes(32), Step.SELECT),
            (gateway.identity, "gauge-house-7", request, Step.OPERATE),
        ):
            said = Answer(name, command, step, about, "confirmed", value=True)
            gateway.heard(name, make_answer(said, who.key, [who.certificate]))
        for damaged in (gateway.said[-1][:-3], gateway.said[-1][:-1] + b"\0", b"", b"HG\5\1\x90"):
            gateway.heard("gauge-house-7", damaged)
        assert commands.standing(command).stage is Stage.SELECTING
        assert commands.refused_answers == 10
        gateway.heard("whatever the topic says", gateway.said[-1])
        assert commands.standing(command).stage is Stage.SELECTED


async def test_an_answer_that_is_played_again_changes_nothing(
    desk: Desk, gateway: Answerer
) -> None:
    async with desk.open() as commands:
        first = commands.draft(WISH).command
        await commands.select(first)
        await commands.operate(first)
        await commands.settled(first, 10)
        second = commands.draft(WISH).command
        await commands.select(second)
        for _ in range(3):
            for said in list(gateway.said):
                gateway.say_again(lambda _, said=said: said)
        assert commands.standing(second).stage is Stage.SELECTED
        assert len(commands.standing(first).history) == 3


async def test_another_programs_commands_are_not_ours_to_know(
    desk: Desk, gateway: Answerer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    second = Desk(desk.pki, desk.operator, Answerer(desk.pki), tmp_path / "other")
    async with desk.open() as commands, second.open() as others:
        command = others.draft(WISH).command
        await others.select(command)
        assert gateway.heard is not None
        gateway.heard("gauge-house-7", second.road.said[-1])
        with pytest.raises(CommandError) as raised:
            commands.standing(command)
        assert raised.value.code == "HG-7104"


# ---------------------------------------------------------------- two people


async def test_an_approval_survives_the_mail_and_is_the_gateways_to_judge(
    desk: Desk, gateway: Answerer, pki: Pki
) -> None:
    second = pki.issue("zhao.min", Role.OPERATOR)
    async with desk.open() as commands:
        content = commands.draft(WISH)
        mailed = "Please agree:\n> " + write_request(content).replace("\n", "\n> ") + "\nRegards"
        asked = read_request(mailed)
        assert (asked.content, asked.token) == (content, None)
        other = Desk(pki, second, gateway, desk.folder / "second")
        other.folder.mkdir()
        async with other.open() as theirs:
            message = await theirs.approve(asked.content)
        back = read_approval("\r\n".join(write_approval(message).split("\n")))
        await commands.select(content.command)
        await commands.operate(content.command, [back])
    assert gateway.got[-1].approvals == (back,)
    trust = Trust((pki.root.certificate,), None)
    token = gateway.got[-1].command.token
    with_token = read_request(write_request(content, token))
    assert with_token.token == token
    # Gathered before SELECT: without a clock the gateway cannot tell its age; that is its affair.
    with pytest.raises(Exception, match="no trusted clock"):
        verify_approval(pki.provider, back, content, trust, token)


@pytest.mark.parametrize(
    "text",
    ["", "nothing", *(
        f"-----BEGIN HEADGATE COMMAND {what}-----\n{body}\n-----END HEADGATE COMMAND {what}-----"
        for what in ("APPROVAL", "REQUEST") for body in ("", "A", "AAAA")
    )],
)  # fmt: skip
def test_a_text_without_an_approval_is_a_sentence(text: str) -> None:
    for read in (read_approval, read_request):
        with pytest.raises(CommandError) as raised:
            read(text)
        assert raised.value.code == "HG-7105"


async def test_a_wish_that_no_gateway_would_read_never_leaves(
    desk: Desk, gateway: Answerer
) -> None:
    async with desk.open() as commands:
        for wrong in (
            Wish("gauge-house-7", "ps-001", "pump1_run", True, lease_s=0),
            Wish("gauge-house-7", "ps-001", "pump1_run", float("nan")),
            Wish("gauge-house-7", "ps-001", "", True),
            Wish("Gauge House", "ps-001", "pump1_run", True),
        ):
            with pytest.raises(EnvelopeError):
                await commands.select(commands.draft(wrong).command)
    assert gateway.got == []


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [("true", "bool", True), ("开", "bool", True), ("0", "bool", False), ("off", None, False),
     ("42.5", "u16", 42.5), ("1", "u16", 1), ("1", None, 1), ("-3", "f64", -3), ("1.0", "f32", 1.0)],
)  # fmt: skip
def test_what_a_person_types_has_the_points_type(text: str, type_: str | None, value: Any) -> None:
    read = value_of(text, type_)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("text", "type_"), [("maybe", "bool"), ("2", "bool"), ("x", "u16"),
                                             ("nan", "f64"), ("inf", None), ("", None)])  # fmt: skip
def test_what_is_no_value_is_refused(text: str, type_: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        value_of(text, type_)
