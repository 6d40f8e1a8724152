"""The pages on commands are enough: a platform written from them is understood, and not deceived."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from peers.independent_commander import Commander
from peers.independent_decoder import Refused, sm3

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate
from headgate.envelope.answer import verify_answer
from headgate.envelope.command import Step, parse_command
from headgate.envelope.signers import Trust, verify_approval, verify_command
from headgate.errors import SecurityError

pytestmark = pytest.mark.peer("openssl")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operate" / "platform-commands.md").read_text(encoding="utf-8")
VECTORS: dict[str, Any] = json.loads(
    (ROOT / "tests" / "vectors" / "commands" / "vectors.json").read_text()
)
SHOWN = {
    name.replace("-", "_"): bytes.fromhex("".join(body.split()))
    for name, body in re.findall(
        r"```\{code-block\} text\n:name: command-([a-z-]+)\n\n([0-9a-f\n]+)```", PAGE
    )
}
COMMAND = bytes.fromhex("00112233445566778899aabbccddeeff")
TOKEN = bytes(range(0xA0, 0xB0))
CONTENT = ["gauge-house-7", "ps-001", "pump1_run", "set", True, "1", COMMAND,
           1_794_999_940_000_000, 1_795_000_600_000_000, 900]  # fmt: skip
COUNTER = 1_795_000_000_000_000
TRUST = Trust(
    (Certificate.load(bytes.fromhex(VECTORS["root_certificate"])),),
    datetime.fromtimestamp(1_795_000_000, UTC),
)


@pytest.fixture
def commander(tmp_path: Path) -> Commander:
    return Commander(
        tmp_path,
        SHOWN["operator_private_key"],
        SHOWN["operator_certificate"],
        SHOWN["root_certificate"],
    )


def test_the_page_and_the_vectors_show_the_same_bytes() -> None:
    assert len(SHOWN) == 11
    for name, data in SHOWN.items():
        assert VECTORS[name] == data.hex(), name


def test_the_bodies_follow_from_the_words_of_the_page(commander: Commander) -> None:
    assert commander.body("select", COUNTER, None, CONTENT) == SHOWN["select_body"]
    assert commander.body("operate", COUNTER + 1, TOKEN, CONTENT) == SHOWN["operate_body"]
    assert commander.is_mine(SHOWN["select"]) == SHOWN["select_body"]
    assert commander.is_mine(SHOWN["operate"]) == SHOWN["operate_body"]


def test_what_it_signs_a_gateway_takes(commander: Commander) -> None:
    provider = default_provider()
    message = commander.message(SHOWN["operate_body"], [SHOWN["approval"]])
    for each in (message, SHOWN["operate"]):
        sent = parse_command(each)
        assert verify_command(provider, sent, TRUST).subject_cn == "wang.li"
        assert (sent.command.step, sent.command.token) == (Step.OPERATE, TOKEN)
        assert sent.command.content.value is True
        (approval,) = sent.approvals
        second = verify_approval(provider, approval, sent.command.content, TRUST, TOKEN)
        assert second.subject_cn == "zhao.min"


def test_the_answers_say_what_the_page_says(commander: Commander) -> None:
    told = commander.answer(SHOWN["selected"], SHOWN["select_body"], "gauge-house-7", "select")
    assert (told["state"], told["token"], told["token_ms"]) == ("selected", TOKEN, 10_000)
    told = commander.answer(SHOWN["confirmed"], SHOWN["operate_body"], "gauge-house-7", "operate")
    assert (told["state"], told["value"], told["lease_ms"]) == ("confirmed", True, 899_500)
    told = commander.answer(SHOWN["refused"], SHOWN["operate_body"], "gauge-house-7", "operate")
    assert (told["state"], told["code"], told["value"]) == ("refused", "HG-6518", None)


@pytest.mark.parametrize("why", VECTORS["bad_answers"])
def test_an_answer_that_must_not_be_believed_is_not(commander: Commander, why: str) -> None:
    message = bytes.fromhex(VECTORS["bad_answers"][why])
    with pytest.raises(Refused):
        commander.answer(message, SHOWN["operate_body"], "gauge-house-7", "operate")
    # And by ours: refused as it stands, or an answer to something else.
    try:
        answer = verify_answer(default_provider(), message, TRUST)
    except SecurityError:
        return
    assert (answer.gateway, answer.request) != ("gauge-house-7", sm3(SHOWN["operate_body"]))
