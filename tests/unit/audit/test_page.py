"""`docs/reference/audit.md` and the code say the same kinds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.audit.kinds import KINDS
from headgate.audit.line import Line
from headgate.audit.page import kinds_table
from headgate.audit.sentence import sentence
from headgate.runtime.commands.journal import OVER

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "audit.md"
#: Calls whose first argument is the kind of an entry.
TELLS = ("_tell", "_note", "event")


def kinds_said() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "gateway" / "headgate").rglob("*.py")):
        text = path.read_text()
        if "Entry" not in text or ("headgate.audit" not in text and "/audit/" not in str(path)):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            found = [k.value for k in node.keywords if k.arg == "kind"] if name == "Entry" else []
            if name in TELLS and node.args:
                found.append(node.args[0])
            for each in [e for e in found if not isinstance(e, ast.Call)]:
                for leaf in ast.walk(each):
                    if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                        yield leaf.value, f"{path.name}:{node.lineno}"


def test_every_kind_that_the_code_says_is_in_the_table() -> None:
    said = dict(kinds_said())
    assert {"started", "local-write", "log-head", "key-rotated"} <= set(
        said
    )  # the search finds them
    unknown = {
        kind: where for kind, where in said.items() if kind not in KINDS and kind != "command-"
    }
    assert unknown == {}


def test_every_state_of_a_command_is_a_kind() -> None:
    for state in OVER - {"renewed", "ended"}:
        assert f"command-{state}" in KINDS, state


def test_the_page_holds_the_table_of_the_code() -> None:
    _, _, after = PAGE.read_text().partition("<!-- kinds -->\n")
    assert after == f"\n{kinds_table()}"  # `make docs` writes it


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_kind_has_a_sentence_whatever_its_fields_are(kind: str, language: str) -> None:
    line = Line(
        seq=1, at=1, boot="", wall=1, clock="synced", kind=kind, who="wang\x1b[2J", what="pump",
        result="ok", code="HG-9300", fields={}, previous="",
    )  # fmt: skip
    said = sentence(line, language)  # type: ignore[arg-type]
    assert said and "\x1b" not in said and said.isprintable()
