"""What somebody does to a platform's commands who is at the broker, or has another key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import msgspec

from headgate.crypto.issue import SIGN_USAGE, issue_certificate, subject_name
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Env
from headgate.envelope.command import Command, Step, make_command, parse_command
from headgate.mqtt import Settings
from headgate_receiver.commands.road import BrokerRoad, Delivery


class Intercepted(BrokerRoad):
    """A road on which OPERATE is taken off before the gateway has it. The platform takes it for lost."""

    def __init__(self, env: Env, broker: Settings) -> None:
        super().__init__(env, broker, patience_s=40.0)
        self.taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def publish(self, gateway: str, message: bytes, expiry_s: int) -> Delivery:
        if parse_command(message).command.step is Step.OPERATE:
            self.taken.put_nowait(message)
            return Delivery.UNKNOWN
        return await super().publish(gateway, message, expiry_s)


def altered(message: bytes, count: int, seed: int = 1) -> Iterator[bytes]:
    """The message with one bit turned, at `count` places spread over all of it."""
    draw = random.Random(seed)
    step = len(message) / count
    for number in range(count):
        at = min(len(message) - 1, int(number * step + draw.random() * step))
        yield message[:at] + bytes([message[at] ^ 1 << draw.randrange(8)]) + message[at + 1 :]


def resigned(
    message: bytes, key: Sm2PrivateKey, certificate: Certificate, **other: object
) -> bytes:
    """The same wish under another key, with other content where `other` says so."""
    command = parse_command(message).command
    content = msgspec.structs.replace(command.content, **other)
    mine = Command(
        command.step, content, certificate.fingerprint, command.counter + 1, command.token
    )
    return make_command(mine, key, [certificate])


def impostor(
    provider: CryptoProvider, like: Certificate, role: Role = Role.OPERATOR
) -> tuple[Sm2PrivateKey, Certificate]:
    """A key with a certificate of the same name that nobody vouches for but itself."""
    key = provider.sm2_generate()
    certificate = issue_certificate(
        subject=subject_name(like.subject_cn or "-", role), spki=key.public.spki, issuer=None,
        issuer_key=key, key_usage=SIGN_USAGE, not_before=like.not_before,
        not_after=like.not_after, provider=provider,
    )  # fmt: skip
    return key, certificate
