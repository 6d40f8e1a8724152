"""What is to be refused, judged by a decoder that was written from the page and shares no code with us."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from kit.refusals import KINDS, load, message
from peers.independent_decoder import Platform, Refused

Judge = Callable[[dict[str, Any], dict[str, Any]], str]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    file = load("grants")
    names = ("platform_private_key", "platform_certificate")
    parts = (*(bytes.fromhex(file[name]) for name in names), bytes.fromhex(file["anchors"][0]))
    return Platform(tmp_path_factory.mktemp("platform"), *parts)


def judge(platform: Platform, kind: str, file: dict[str, Any], case: dict[str, Any]) -> str:
    data = message(case)
    try:
        if kind == "grants":
            at = datetime.fromisoformat(case.get("at", file["at"]))
            revoked = [bytes.fromhex(each) for each in case.get("revoked", ())]
            platform.grant(data, int(at.timestamp()), revoked)
        elif kind == "receipts":
            pinned = [bytes.fromhex(each) for each in file["pinned"]]
            platform.receipt(data, *pinned, gateway=file["gateway"])
        else:
            names = ("epoch", "key_id", "salt", "record_key", "core")
            grant: dict[str, Any] = {name: bytes.fromhex(file[name]) for name in names}
            if "signer" in file:
                grant |= {"policy": 1, "signer": bytes.fromhex(file["signer"])}
            platform.record(data, grant)
    except Refused as refused:
        return refused.verdict
    return "accepted"


@pytest.mark.peer("openssl")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_written_from_the_page_says_the_same(platform: Platform, kind: str) -> None:
    file = load(kind)
    wrong = {
        case["name"]: (case["verdict"], said)
        for case in file["cases"]
        if (said := judge(platform, kind, file, case)) != case["verdict"]
    }
    assert wrong == {}


@pytest.mark.peer("openssl")
def test_its_links_are_ours(platform: Platform) -> None:
    file = load("signed_records")
    grant: dict[str, Any] = {
        name: bytes.fromhex(file[name])
        for name in ("epoch", "key_id", "salt", "record_key", "core")
    }
    grant |= {"policy": 1, "signer": bytes.fromhex(file["signer"])}
    platform.record(bytes.fromhex(file["first"]), grant)
    assert grant["link"].hex() == file["first_link"]
    platform.record(bytes.fromhex(file["second"]), grant)
    assert grant["previous"].hex() == file["first_link"]
