"""The commander's own way to the gateways, over a real mosquitto: nobody there, and what is not believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kit.command_road import Answerer
from kit.pki import Pki
from peers.mosquitto import Mosquitto

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import SystemFiles, system_env
from headgate.envelope.command import parse_command
from headgate.mqtt import Link, Settings, connect
from headgate_receiver.commands import (
    BrokerRoad,
    Commands,
    Journal,
    NobodyThere,
    OperatorFile,
    Stage,
    Wish,
)

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(60)]

WISH = Wish("gauge-house-7", "ps-001", "pump1_run", True)
TOPIC = "headgate/v1/gauge-house-7/{}"


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(default_provider())


@asynccontextmanager
async def operator(
    pki: Pki, folder: Path, settings: Settings, patience_s: float = 30.0, **options: Any
) -> AsyncIterator[Commands]:
    party = pki.issue("wang.li", Role.OPERATOR)
    journal = Journal(folder / "commands.db", SystemFiles())
    env = system_env()
    try:
        async with Commands(
            env, pki.provider, OperatorFile(party.key, [party.certificate]),
            [pki.root.certificate], journal, BrokerRoad(env, settings, patience_s=patience_s),
            **{"answer_s": 30.0, **options},
        ) as commands:  # fmt: skip
            yield commands
    finally:
        journal.close()


async def answer_all(link: Link, gateway: Answerer) -> None:
    """A gateway of a few lines behind a real broker."""
    await link.subscribe(TOPIC.format("down/command"))
    gateway.heard = lambda _, message: None
    async for message in link.messages():
        before = len(gateway.said)
        gateway.take(parse_command(message.payload))
        for said in gateway.said[before:]:
            await link.publish(TOPIC.format("up/answer"), said)


async def test_where_no_gateway_listens_that_is_said_and_where_one_does_it_is_done(
    tmp_path: Path, pki: Pki
) -> None:
    async with Mosquitto(tmp_path) as broker:
        settings = Settings(host="127.0.0.1", port=broker.port)
        async with operator(pki, tmp_path, settings) as commands, connect(settings) as link:
            command = commands.draft(WISH).command
            with pytest.raises(NobodyThere) as raised:
                await commands.select(command)
            assert raised.value.code == "HG-7111"
            gateway = Answerer(pki)
            answering = asyncio.create_task(answer_all(link, gateway))
            while True:
                try:
                    await commands.select(command)
                    break
                except NobodyThere:
                    await asyncio.sleep(0.02)  # its subscription is on the way
            await commands.operate(command)
            assert (await commands.settled(command, 30)).done
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def test_a_retained_answer_and_rubbish_are_not_listened_to(tmp_path: Path, pki: Pki) -> None:
    async with Mosquitto(tmp_path) as broker:
        settings = Settings(host="127.0.0.1", port=broker.port)
        async with connect(settings) as link:
            await link.publish(TOPIC.format("up/answer"), b"HG\5\1 kept by a broker", retain=True)
            async with operator(pki, tmp_path, settings) as commands:
                command = commands.draft(WISH).command
                with pytest.raises(NobodyThere):
                    await commands.select(command)  # connected: what was kept has come
                for rubbish in (b"", b"\0" * 9000, b"HG\5\1\x93\xc4\0\xc4\0\x90"):
                    await link.publish(TOPIC.format("up/answer"), rubbish)
                async with asyncio.timeout(30):
                    while commands.refused_answers < 3:
                        await asyncio.sleep(0.02)
                assert commands.refused_answers == 3
                assert commands.standing(command).stage is Stage.SELECTING


async def test_a_broker_that_is_not_there_is_waited_for_as_long_as_was_said(
    tmp_path: Path, pki: Pki
) -> None:
    async with Mosquitto(tmp_path) as broker:
        settings = Settings(host="127.0.0.1", port=broker.port)
        await broker.stop()
        async with operator(pki, tmp_path, settings, patience_s=0.05) as commands:
            with pytest.raises(NobodyThere) as raised:
                await commands.select(commands.draft(WISH).command)
            assert raised.value.code == "HG-7115"
        (tmp_path / "later").mkdir()
        async with operator(pki, tmp_path / "later", settings) as commands:
            selecting = asyncio.create_task(commands.select(commands.draft(WISH).command))
            await broker.start()
            with pytest.raises(NobodyThere) as raised:
                await selecting
            assert raised.value.code == "HG-7111"  # it came, and no gateway is there


async def test_a_link_that_cannot_be_is_told_to_whoever_sends(tmp_path: Path, pki: Pki) -> None:
    settings = Settings(host="127.0.0.1", port=1, tls=True)  # and no terms for it
    async with operator(pki, tmp_path, settings, patience_s=0.05) as commands:
        with pytest.raises(NobodyThere) as raised:
            await commands.select(commands.draft(WISH).command)
        assert raised.value.code == "HG-7115"
