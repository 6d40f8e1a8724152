"""`headgate control list`: why a command ended, in the reader's language."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from headgate.cli import control

COMMAND = {
    "device": "pump-1", "point": "run", "operation": "write", "value": True, "who": "operator:wang.li",
    "state": "refused", "code": "HG-6518", "text": "as it was written down",
    "fields": {"device": "pump-1", "point": "run", "condition": "{pump-1/remote} == 1"},
}  # fmt: skip
SAID = {
    "in_force": True, "reason": "", "locked": None, "controls": [], "leases": [],
    "commands": [COMMAND],
}  # fmt: skip


def listed(monkeypatch: pytest.MonkeyPatch, lang: str, command: dict[str, Any]) -> str:
    monkeypatch.setenv("HEADGATE_LANG", lang)
    monkeypatch.setenv("HEADGATE_SOCKET", "/nobody.sock")
    monkeypatch.setattr(control, "call", lambda *_: iter([{**SAID, "commands": [command]}]))
    done = CliRunner().invoke(control.app, ["list"])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_reason_of_a_refusal_is_in_the_readers_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "转换开关" in listed(monkeypatch, "zh", COMMAND)
    assert "switch at the panel" in listed(monkeypatch, "en", COMMAND)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_one_of_an_older_gateway_is_shown_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    assert "as it was written down" in listed(monkeypatch, lang, {**COMMAND, "fields": {}})
