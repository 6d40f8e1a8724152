"""Every case of tests/vectors/envelope, judged by us: refused, and as what."""

from __future__ import annotations

from collections import Counter

import pytest
from kit.refusals import KINDS, VERDICTS, load

from headgate.crypto.provider import default_provider
from headgate.envelope.chain import BEGINNING, Sealed, link, statement
from headgate.envelope.record import RecordKey, open_proven


@pytest.mark.parametrize("kind", KINDS)
async def test_every_case_is_judged_as_it_says(kind: str) -> None:
    file = load(kind)
    wrong = {
        case["name"]: (case["verdict"], said)
        for case in file["cases"]
        if (said := await VERDICTS[kind](file, case)) != case["verdict"]
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("grants", {"accepted", "form", "certificate", "signature", "recipient", "seal"}),
        ("records", {"accepted", "form", "key", "seal", "origin", "content"}),
        ("signed_records", {"accepted", "form", "key", "seal", "origin", "content"}),
        ("receipts", {"accepted", "form", "signature"}),
    ],
)
def test_each_kind_has_a_case_of_every_verdict(kind: str, verdicts: set[str]) -> None:
    counted = Counter(case["verdict"] for case in load(kind)["cases"])
    assert set(counted) == verdicts
    assert counted["accepted"] >= 2, "who refuses everything must not pass"


def test_the_two_signed_records_are_linked() -> None:
    file, provider = load("signed_records"), default_provider()
    names = ("key_id", "salt", "record_key")
    core = provider.sm3(bytes.fromhex(file["core"]))
    key = RecordKey(*(bytes.fromhex(file[name]) for name in names), core)
    signer = provider.sm2_load_public(bytes.fromhex(file["signer"]))
    first, second = (
        open_proven(provider, key, bytes.fromhex(file[name]), signer)
        for name in ("first", "second")
    )
    assert second.proof is not None
    assert second.proof.previous == first.link == bytes.fromhex(file["first_link"])
    said = statement(
        provider,
        core,
        Sealed(first.sealed.header, first.sealed.lengths, first.sealed.frame),
        BEGINNING,
    )
    assert len(said) == 153
    assert link(provider, said) == first.link
