"""Where a command stands: what both sides said, and what may be believed of it."""

from __future__ import annotations

import itertools

import pytest
from kit.commands import content

from headgate_receiver.commands.standing import (
    REMEMBERED_US,
    SentStep,
    Stage,
    Standing,
    Told,
    standing,
)

ID = content().command


class Story:
    """What happened to one command, in order; `now` is where it stands."""

    def __init__(self) -> None:
        self._clock = itertools.count(1)
        self._later_us = 0
        self.sent: list[SentStep] = []
        self.told: list[Told] = []

    def send(self, step: str, delivery: str | None = "broker") -> bytes:
        number = len(self.sent) + 1
        request = bytes([number]) * 32
        at_us = next(self._clock) + self._later_us
        self.sent.append(SentStep(ID, step, request, at_us, delivery))
        return request

    def wait_us(self, time_us: int) -> None:
        """Let time pass for whoever sends."""
        self._later_us += time_us

    def tell(
        self,
        state: str,
        request: bytes = b"",
        *,
        step: str = "operate",
        code: str = "",
        at: int = 0,
    ) -> Story:
        source = "answer" if request else "record"
        at = at or next(self._clock)
        if request:
            step = next(each.step for each in self.sent if each.request == request)
        self.told.append(Told(ID, state, source, at, at, step, code, request=request))
        return self

    @property
    def now(self) -> Standing:
        return standing(content(), "wang.li", self.sent, self.told)


def operated() -> tuple[Story, bytes]:
    story = Story()
    story.tell("selected", story.send("select"))
    return story, story.send("operate")


def test_the_usual_way_and_nothing_is_done_before_the_read_back() -> None:
    story = Story()
    assert (story.now.stage, story.now.state) == (Stage.DRAFTED, "")
    select = story.send("select")
    assert story.now.stage is Stage.SELECTING
    story.tell("selected", select)
    assert (story.now.stage, story.now.state) == (Stage.SELECTED, "selected")
    operate = story.send("operate")
    assert story.now.stage is Stage.OPERATING
    for state in ("accepted", "executing"):
        story.tell(state, operate)
        assert (story.now.stage, story.now.state) == (Stage.OPERATING, state)
        assert not story.now.done
        assert story.now.moved is None
    story.tell("confirmed", operate)
    assert story.now.settled
    assert story.now.done
    assert story.now.moved
    story.tell("ended")
    assert story.now.done  # it was
    assert story.now.state == "ended"


@pytest.mark.parametrize(
    ("state", "done", "moved"),
    [("failed", False, None), ("unknown", False, None), ("refused", False, False),
     ("expired", False, False), ("superseded", False, False), ("cancelled", False, False)],
)  # fmt: skip
def test_every_other_end_is_an_answer_and_not_done(
    state: str, done: bool, moved: bool | None
) -> None:
    story, operate = operated()
    now = story.tell(state, operate).now
    assert (now.stage, now.done, now.moved, now.in_doubt) == (Stage.ANSWERED, done, moved, False)


def test_the_order_of_arrival_changes_nothing() -> None:
    story, operate = operated()
    story.tell("confirmed", operate)
    story.tell("accepted", at=1)
    story.tell("executing", at=2)
    assert story.now.done


def test_a_selection_after_an_operate_proves_that_it_was_never_taken() -> None:
    story, _ = operated()
    assert story.now.in_doubt
    ask = story.send("select")
    assert story.now.in_doubt  # asked is not answered
    story.tell("selected", ask)
    assert (story.now.stage, story.now.moved) == (Stage.SELECTED, False)


def test_a_refusal_from_before_the_id_is_looked_up_proves_nothing() -> None:
    story, _ = operated()
    story.tell("refused", story.send("select"), code="HG-6503")
    assert story.now.in_doubt
    assert story.now.moved is None


@pytest.mark.parametrize("code", ["HG-6506", "HG-6507", "HG-6522"])
def test_a_later_refusal_proves_that_the_operate_was_not_taken(code: str) -> None:
    story, _ = operated()
    story.tell("refused", story.send("select"), code=code)
    assert story.now.settled
    assert story.now.moved is False


@pytest.mark.parametrize("code", ["HG-6507", "HG-6522"])
def test_asked_when_the_gateway_may_have_forgotten_the_id_its_refusal_proves_nothing(
    code: str,
) -> None:
    story, _ = operated()
    story.wait_us(REMEMBERED_US)
    story.tell("refused", story.send("select"), code=code)
    assert story.now.in_doubt
    story.tell("accepted", at=3)  # and then the record comes
    story.tell("confirmed", at=4)
    assert story.now.done


def test_the_durable_word_outweighs_a_gateway_that_has_forgotten() -> None:
    story, _ = operated()
    story.tell("confirmed", at=3)
    story.tell("selected", story.send("select"))  # its disk was restored from an older image
    assert story.now.done


def test_a_refusal_in_the_store_of_an_earlier_select_ends_nothing() -> None:
    story = Story()
    story.tell("refused", story.send("select"), code="HG-6523")
    story.tell("selected", story.send("select"))
    assert story.now.stage is Stage.SELECTED
    story.send("operate")
    story.tell("refused", step="select", code="HG-6523", at=2)  # late, from the record
    assert story.now.in_doubt


def test_what_was_confirmed_stays_so_whatever_was_refused_before() -> None:
    story, operate = operated()
    story.tell("refused", story.send("select"), code="HG-6507")
    story.tell("confirmed", operate)
    assert story.now.done
    story.tell("refused", step="operate", code="HG-6504", at=1)
    assert story.now.done


def test_a_withdrawal_that_came_too_late_is_no_end() -> None:
    story, operate = operated()
    story.tell("executing", operate)
    story.tell("refused", story.send("cancel"), code="HG-6527")
    assert story.now.in_doubt
    assert story.now.state == "executing"
    story.tell("confirmed", operate)
    assert story.now.done


def test_what_never_left_counts_for_nothing() -> None:
    story = Story()
    story.tell("selected", story.send("select"))
    story.send("operate", "unsent")
    assert story.now.stage is Stage.SELECTED
    story.send("operate", "nobody")  # the broker's word, and no more
    assert story.now.in_doubt


def test_accepted_commands_that_a_restart_found_unmoved_are_expired() -> None:
    story, operate = operated()
    story.tell("accepted", operate)
    story.tell(
        "expired", step="operate", code="HG-6531", at=1
    )  # another boot: its clock began anew
    assert story.now.settled
    assert story.now.moved is False


def test_given_back_before_anything_moved() -> None:
    story = Story()
    story.tell("selected", story.send("select"))
    story.tell("cancelled", story.send("cancel"))
    assert story.now.stage is Stage.WITHDRAWN
    assert story.now.settled
