"""A replaced unit is written down for good before anybody is told so."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headgate.env import system_env
from headgate.errors import HeadgateError, SpoolError
from headgate.model import Event
from headgate.runtime.replaced import Replaced
from headgate.sdk import Device

DEVICE = SimpleNamespace(id="g-1", number=7, labels={"serial": "old"})


def replaced(said: list[Any], durable: Any) -> Replaced:
    devices = {"g-1": cast(Device, DEVICE)}

    async def forget(name: str) -> None:
        said.append(name)

    return Replaced(system_env(), lambda: devices, said.append, durable, forget)


async def test_the_event_is_durable_before_the_answer() -> None:
    said: list[Any] = []
    committed = asyncio.Event()
    calls = replaced(said, committed.wait)
    request = {"device": "g-1", "serial": "new", "firmware": "1.10"}
    answer = asyncio.ensure_future(anext(calls.handlers()["note-replaced"](request)))
    await asyncio.sleep(0)
    assert not answer.done()
    forgotten, event = said
    assert forgotten == "g-1"
    assert isinstance(event, Event)
    assert event.kind == "replaced"
    assert event.fields == {
        "device": "g-1", "number": 7, "serial": "new", "before": "old", "firmware": "1.10",
    }  # fmt: skip
    committed.set()
    assert await answer == event.fields


async def test_a_disk_that_refuses_is_told() -> None:
    async def refuse() -> None:
        raise SpoolError("full")

    with pytest.raises(SpoolError):
        await anext(replaced([], refuse).note({"device": "g-1", "serial": "new"}))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"device": "g-2", "serial": "x"}, "HG-9120"),
        ({"device": "g-1"}, "HG-9113"),
        ({"device": "g-1", "serial": "x" * 201}, "HG-9113"),
    ],
)
async def test_what_cannot_be_noted_is_refused(request_: dict[str, str], code: str) -> None:
    said: list[Any] = []
    with pytest.raises(HeadgateError) as refused:
        await anext(replaced(said, asyncio.sleep).note(request_))
    assert refused.value.code == code
    assert said == []
