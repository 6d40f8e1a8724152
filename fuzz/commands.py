"""Commands, approvals and answers, as anybody who reached the broker may send them; conditions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from fuzz.target import Target
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate
from headgate.envelope.answer import verify_answer
from headgate.envelope.command import encode_command, parse_approval, parse_body, parse_command
from headgate.envelope.signers import Trust
from headgate.errors import EnvelopeError, SecurityError
from headgate.profiles.expression import ExpressionError
from headgate.runtime.commands.allowed import Refusal
from headgate.runtime.commands.interlock import Condition, Undecided
from headgate.runtime.commands.proving import Proof

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "commands" / "refusals.json"


@cache
def vectors() -> dict[str, Any]:
    return dict(json.loads(VECTORS.read_text()))


@cache
def trust() -> Trust:
    root = Certificate.load(bytes.fromhex(vectors()["root_certificate"]))
    return Trust((root,), datetime.fromtimestamp(vectors()["now_us"] / 1e6, UTC))


def _command(data: bytes) -> None:
    with contextlib.suppress(Refusal):
        heard = Proof(default_provider(), trust).hear("city", data)
        assert encode_command(heard.command) == heard.sent.body
    with contextlib.suppress(EnvelopeError):
        parse_command(data)


def _body(data: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        command = parse_body(data)
        assert encode_command(command) == data


def _approval(data: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        parse_approval(data)


def _answer(data: bytes) -> None:
    with contextlib.suppress(SecurityError):
        verify_answer(default_provider(), data, trust())


def _condition(data: bytes) -> None:
    with contextlib.suppress(ExpressionError, Undecided):
        condition = Condition.parse(data.decode("utf-8", "replace"))
        condition.holds(dict.fromkeys(condition.places, 1.5))


def _bodies() -> Iterable[bytes]:
    for case in vectors()["cases"][::9]:
        if "body" in case:
            yield bytes.fromhex(case["body"])


def _messages() -> Iterable[bytes]:
    certificate = bytes.fromhex(vectors()["operator_certificate"])
    for case in vectors()["cases"][::9]:
        if "body" in case:
            parts = bytes.fromhex(case["body"]), bytes.fromhex(case["signature"])
            yield b"HG\x04\x01" + msgspec.msgpack.encode([*parts, [certificate], []])


def _conditions() -> Iterable[bytes]:
    yield b"{pit/level} * 2 > 1.2 or {pump-2/fault} == 0"
    yield b"({a/b} - 3) / {c/d} <= 1e3"


COMMANDS: dict[str, Target] = {
    "command": Target(_command, _messages, 17 * 1024),
    "command-body": Target(_body, _bodies, 2048),
    "approval": Target(_approval, _messages, 5 * 1024),
    "answer": Target(_answer, _messages, 9 * 1024),
    "condition": Target(_condition, _conditions, 500),
}
