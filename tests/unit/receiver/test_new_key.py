"""A platform asks for a new record key; the gateway's outbox follows, once."""

from __future__ import annotations

from typing import Any

import pytest
from kit.gateway import Gateway
from kit.pki import Pki

from headgate.env import system_env
from headgate.envelope.receipt import verify_receipt
from headgate.errors import HeadgateError
from headgate_receiver.rotation import ask_new_key


class Line:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, message: bytes) -> int:
        self.sent.append((topic, message))
        return 0


async def test_the_newest_keys_are_named_in_a_signed_receipt(
    platform: Any, gateway: Gateway, pki: Pki
) -> None:
    await platform.deliver(gateway.grant())
    gateway.new_key(b"key-id-2", b"salz", bytes(32))
    await platform.deliver(gateway.grant())
    line: Any = Line()
    assert await ask_new_key(system_env(), platform.sink, platform.keys, line, gateway.id) == 2
    ((topic, message),) = line.sent
    assert topic == "headgate/v1/gauge-house-7/down/receipt"
    receipt = verify_receipt(message, platform.keys._receipts[0].public, gateway.id)
    assert set(receipt.retire) == {b"key-id-1", b"key-id-2"}
    assert (receipt.floor, receipt.stored, receipt.verdicts) == (0, (), ()), "it settles nothing"


async def test_a_gateway_that_is_not_known_cannot_be_asked(platform: Any) -> None:
    line: Any = Line()
    with pytest.raises(HeadgateError) as caught:
        await ask_new_key(system_env(), platform.sink, platform.keys, line, "nobody")
    assert caught.value.code == "HG-7030"
    assert line.sent == []
