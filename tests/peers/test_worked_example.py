"""The page docs/reference/uplink.md is enough: a decoder written from it opens what it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from peers.independent_decoder import Platform, Refused, readings, sm3

pytestmark = pytest.mark.peer("openssl")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "uplink.md").read_text()
VECTORS: dict[str, Any] = json.loads(
    (ROOT / "tests" / "vectors" / "envelope" / "vectors.json").read_text()
)
SHOWN = {
    name.replace("-", "_"): bytes.fromhex("".join(body.split()))
    for name, body in re.findall(
        r"```\{code-block\} text\n:name: ([a-z-]+)\n\n([0-9a-f\n]+)```", PAGE
    )
}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(
        tmp_path,
        SHOWN["platform_private_key"],
        SHOWN["platform_certificate"],
        SHOWN["root_certificate"],
    )


def test_the_page_and_the_vectors_show_the_same_bytes() -> None:
    assert len(SHOWN) == 11
    for name, data in SHOWN.items():
        assert VECTORS[name] == data.hex(), name


def test_the_worked_example_opens_from_the_page_alone(platform: Platform) -> None:
    grant = platform.grant(SHOWN["grant"])
    assert grant["gateway"] == "gauge-house-7"
    assert (grant["core"], grant["secret"]) == (SHOWN["core"], SHOWN["secret"])
    assert grant["record_key"] == SHOWN["record_key"]
    payload = platform.record(SHOWN["record"], grant)
    assert payload == SHOWN["payload"]
    found = readings(payload)
    assert found == VECTORS["readings"]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith("| weir-north")
    ]
    assert [[r[0], r[1], int(r[2]), int(r[3]), r[4]] for r in rows] == [
        [*f[:4], "" if f[4] is None else str(f[4])] for f in found
    ]
    receipt = platform.receipt(SHOWN["receipt"], SHOWN["receipt_public_key"])
    assert receipt[:6] == ["headgate-receipt-v1", "gauge-house-7", grant["epoch"], 1, 1, []]
    assert receipt[6] == [[7, 3, sm3(bytes.fromhex(VECTORS["table"]))]]


@pytest.mark.parametrize("why", VECTORS["bad_grants"])
def test_a_grant_that_must_be_refused_is(platform: Platform, why: str) -> None:
    with pytest.raises(Refused):
        platform.grant(bytes.fromhex(VECTORS["bad_grants"][why]))


@pytest.mark.parametrize("why", VECTORS["bad_records"])
def test_a_record_that_must_be_refused_is(platform: Platform, why: str) -> None:
    grant = platform.grant(SHOWN["grant"])
    with pytest.raises(Refused):
        platform.record(bytes.fromhex(VECTORS["bad_records"][why]), grant)


@pytest.mark.parametrize("why", VECTORS["bad_receipts"])
def test_a_receipt_that_must_be_refused_is(platform: Platform, why: str) -> None:
    with pytest.raises(Refused):
        platform.receipt(bytes.fromhex(VECTORS["bad_receipts"][why]), SHOWN["receipt_public_key"])
