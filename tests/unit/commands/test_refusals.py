"""The commands that any gateway must take or refuse, as data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate
from headgate.envelope.signers import Trust
from headgate.runtime.commands.allowed import Refusal
from headgate.runtime.commands.proving import Proof

DATA = json.loads(
    (Path(__file__).parents[2] / "vectors" / "commands" / "refusals.json").read_text()
)
AT = datetime.fromtimestamp(DATA["now_us"] / 1e6, UTC)
TRUST = Trust((Certificate.load(bytes.fromhex(DATA["root_certificate"])),), AT)
PROOF = Proof(default_provider(), lambda: TRUST)


def message_of(case: dict[str, Any]) -> bytes:
    if "message" in case:
        return bytes.fromhex(case["message"])
    certificate = case.get("certificate", DATA["operator_certificate"])
    parts = [bytes.fromhex(each) for each in (case["body"], case["signature"], certificate)]
    return b"HG\x04\x01" + msgspec.msgpack.encode([parts[0], parts[1], [parts[2]], []])


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_a_command_is_taken_or_refused_as_the_vectors_say(case: dict[str, Any]) -> None:
    try:
        heard = PROOF.hear("city", message_of(case))
    except Refusal as error:
        said = error.code
    else:
        said = "taken" if heard.content.gateway == DATA["gateway"] else "HG-6503"
    assert said == case["expect"]
