"""A family of restored, cloned and killed boxes: no nonce twice, no twin unseen. `make nonces` does more."""

from __future__ import annotations

from typing import Any

import part_nonces
import pytest

from headgate.envelope.grant import GrantCore, make_core


def test_no_nonce_is_used_twice_and_no_twin_stays_unseen() -> None:
    counts = part_nonces.case("1")
    assert counts.done["lives"] == part_nonces.LIVES
    assert counts.done["nonces"] > 2 * part_nonces.LIVES
    assert counts.done["forks seen"] > 3


def test_the_ledger_would_find_a_nonce_that_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes that draw nothing but their epoch, and derive keys without it."""
    real = part_nonces.SystemRandom.token
    fixed = {4: b"salt", 32: bytes(32)}

    def token(self: part_nonces.SystemRandom, size: int) -> bytes:
        return fixed.get(size) or real(self, size)

    def same_core(*words: Any, **more: Any) -> GrantCore:
        return make_core(*words[:3], b"epoch--1", b"key-id-1", *words[5:], **more)

    monkeypatch.setattr(part_nonces.SystemRandom, "token", token)
    monkeypatch.setattr("headgate.runtime.keyring.make_core", same_core)
    with pytest.raises(AssertionError, match="used twice"):
        part_nonces.case("1", lives=6)
