"""`headgate command` at a desk without a network: files, words, sentences, exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway, Gauge
from kit.pki import NOW, Pki
from typer.testing import CliRunner

from headgate.crypto.x509 import Role
from headgate.env import SystemFiles
from headgate.envelope.command import parse_approval
from headgate.envelope.signers import Trust, verify_approval
from headgate_receiver.commands.approvals import read_approval, read_request
from headgate_receiver.commands.cli import app
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.sqlite import SqliteSink

GATE = ["gauge-house-7", "gauge-1", "level"]


class Desk:
    """An operator's folder, and the command run in it."""

    def __init__(self, folder: Path, pki: Pki, name: str = "wang.li", more: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.pki = folder, pki
        self.party = pki.issue(name, Role.OPERATOR)
        (folder / "me.key").write_bytes(self.party.key.pem())
        (folder / "me.crt").write_bytes(self.party.certificate.pem())
        (folder / "ca.crt").write_bytes(pki.root.certificate.pem())
        self.file = folder / "operator.toml"
        self.file.write_text(
            f'key = "me.key"\nbroker = "mqtt://127.0.0.1:1"\nanswer_s = 0.1\n{more}',
            encoding="utf-8",
        )

    def run(self, *words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--operator", str(self.file)])

    def json(self, *words: str) -> list[dict[str, Any]]:
        done = self.run(*words, "--format", "json")
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def desk(tmp_path: Path, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HEADGATE_LANG", "en")
    return Desk(tmp_path / "desk", pki)


def test_what_is_prepared_is_in_the_list_and_nothing_is_sent(desk: Desk) -> None:
    done = desk.run("prepare", *GATE, "1.5", "--unit", "m", "--lease", "1h")
    assert done.exit_code == 0, done.output
    asked = read_request(done.output)
    assert (asked.content.value, asked.content.unit, asked.content.lease_s) == (1.5, "m", 3600)
    (listed,) = desk.json("list")
    assert (listed["stage"], listed["state"], listed["done"]) == ("drafted", "", False)
    assert (listed["who"], listed["command"]) == ("wang.li", asked.content.command.hex())
    assert "drafted" in desk.run("list").output


def test_a_reader_of_chinese_is_told_in_chinese(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", "zh")
    done = desk.run("prepare", *GATE, "1.5")
    assert "已起草" in done.output
    refused = desk.run("select", *GATE)
    assert refused.exit_code == 2
    assert "网关 设备 测点 值" in refused.output


def test_a_second_person_sees_what_is_in_the_request_and_signs_that(
    desk: Desk, pki: Pki, tmp_path: Path
) -> None:
    request, approval = tmp_path / "request.txt", tmp_path / "approval.txt"
    desk.run("prepare", *GATE, "1.5", "--unit", "m", "--out", str(request))
    other = Desk(tmp_path / "other", pki, "zhao.min")
    unasked = other.run("approve", str(request), "--out", str(approval))
    assert unasked.exit_code == 3  # there is no terminal: nobody said yes
    assert "gauge-1/level" in unasked.output
    assert not approval.exists()
    agreed = other.run(
        "approve", str(request), "--out", str(approval), "--yes", "--low", "1", "--high", "2"
    )
    assert agreed.exit_code == 0, agreed.output
    content = read_request(request.read_text()).content
    message = read_approval(approval.read_text())
    assert (parse_approval(message).approval.low, parse_approval(message).approval.high) == (1, 2)
    at = NOW.fromtimestamp(content.not_before_us / 1e6 + 61, NOW.tzinfo)
    trust = Trust((pki.root.certificate,), at)
    assert verify_approval(pki.provider, message, content, trust, None).subject_cn == "zhao.min"
    assert other.run("approve", str(approval), "--yes").exit_code == 1  # that is no request


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["select", *GATE], 2, "HG-7107"),
        (["select", *GATE, "much"], 2, "HG-7108"),
        (["prepare", *GATE, "1", "--lease", "soon"], 2, "HG-7501"),
        (["operate", "abcd"], 1, "HG-7104"),
        (["do", *GATE, "1", "--approval", "/nowhere/at.all"], 2, "HG-5031"),
        (["select", *GATE, "1"], 1, "HG-7115"),
        (["do", *GATE, "1", "--yes"], 1, "HG-7115"),
    ],
)
def test_what_cannot_be_is_a_sentence_with_a_code(
    desk: Desk, words: list[str], status: int, code: str
) -> None:
    done = desk.run(*words)
    assert (done.exit_code, code in done.output) == (status, True), done.output


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "HG-7106"), ("key = 7", "HG-7106"), ("kye = 'me.key'", "HG-7106"),
        ("not toml", "HG-7106"), ("key = 'no.key'", "HG-7101"), ("key = 'ca.crt'", "HG-7002"),
        ("key = 'me.key'\ncertificate = 'ca.crt'", "HG-7003"),
        ("key = 'me.key'\nstore = 'oracle'\nbroker='mqtt://h'", "HG-7005"),
        ("key = 'me.key'\nstore = 'sqlite:no.db'\nbroker='mqtt://h'", "HG-7117"),
        ("key = 'me.key'\nbroker = 'http://x'", "HG-5030"), ("key = 'me.key'", "HG-7106"),
        ("key = 'me.key'\nbroker='mqtt://h'\nca = 'no.crt'", "HG-7101"),
        ("key = 'me.key'\nbroker='mqtts://h'\n[link]\nca = 'no.crt'", "HG-5031"),
    ],
)  # fmt: skip
def test_an_operators_file_that_cannot_be_used_is_a_sentence(
    desk: Desk, text: str | None, code: str
) -> None:
    if text is None:
        desk.file.unlink()
    else:
        desk.file.write_text(text)
    done = desk.run("select", *GATE, "1")
    assert done.exit_code in (1, 2)
    assert code in done.output, done.output


async def test_unit_type_and_the_value_now_come_from_the_store(
    desk: Desk, pki: Pki, keys: FileKeys, gateway: Gateway, gauge: Gauge
) -> None:
    sink = SqliteSink(desk.folder / "store.db", SystemFiles())
    core = Core(pki.provider, sink, keys, [pki.root.certificate], lambda: NOW)
    core.begin()
    await core.grant(gateway.grant(), "g")
    core.record(gateway.record(gauge.block(5, level=1250), announce=[gauge.body]), "g")
    sink.commit(core.end()[0])
    sink.close()
    desk.file.write_text(desk.file.read_text() + 'store = "sqlite:store.db"\n')
    request = desk.folder / "request.txt"
    (drafted,) = desk.json("prepare", *GATE, "6", "--out", str(request))
    assert (drafted["unit"], drafted["value"]) == ("m", 6)
    shown = desk.run("approve", str(request))
    assert "4.75 -> 6 m" in shown.output


@pytest.mark.parametrize(("typed", "status"), [("n\n", 3), ("y\n", 0), ("\n", 3)])
def test_a_person_at_a_terminal_is_asked_and_nothing_but_yes_is_yes(
    desk: Desk, tmp_path: Path, typed: str, status: int
) -> None:
    request, approval = tmp_path / "request.txt", tmp_path / "approval.txt"
    desk.run("prepare", *GATE, "1.5", "--unit", "m", "--out", str(request))
    mine, theirs = os.openpty()
    words = ["approve", str(request), "--out", str(approval), "--operator", str(desk.file)]
    try:
        with subprocess.Popen(
            [sys.executable, "-c", "from headgate.cli import main; main()", "command", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        ) as running:  # fmt: skip
            os.write(mine, typed.encode())
            assert running.wait(60) == status
    finally:
        os.close(mine)
        os.close(theirs)
    assert approval.exists() is (status == 0)
