"""`headgate audit`: what an auditor is told, and what he takes home."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from kit.audit_log import KEY, KEYS, PROVIDER, SIGNING, filled, lines
from kit.pki import Pki

from headgate.audit.head import Head
from headgate.audit.line import encode
from headgate.cli import main


def audit(capsys: pytest.CaptureFixture[str], *words: object, lang: str = "en") -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["--lang", lang, "audit", *map(str, words)])
    said = capsys.readouterr()
    code = left.value.code
    return (code if isinstance(code, int) else 0), said.out + said.err


def store_of(path: Path, heads: list[Head]) -> Path:
    """As a platform's SQLite store keeps them."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE events (gateway, kind, boot, at_us, fields, record)")
    for head in heads:
        fields = json.dumps(head.fields())
        db.execute("INSERT INTO events VALUES (?, 'audit-head', 1, 1, ?, 1)", ("hg-1", fields))
    db.execute("INSERT INTO events VALUES ('hg-1', 'started', 1, 1, '{}', 1)")
    db.commit()
    db.close()
    return path


def lines_of(path: Path, heads: list[Head]) -> Path:
    """As lines of JSON, among events of the JSON-lines store and of other gateways."""
    said = [{"kind": "started", "gateway": "hg-1", "fields": {}}]
    said += [{"kind": "audit-head", "gateway": "hg-1", "fields": head.fields()} for head in heads]
    said += [{"gateway": "another", **head.fields(), "sm3": "00"} for head in heads]
    path.write_text("".join(json.dumps(line) + "\n" for line in said))
    return path


def test_a_sound_log_exits_with_0_and_says_what_was_proved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = filled(tmp_path / "log")
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log")
    assert code == 0 and "9 entries" not in said and "HG-93" not in said
    assert "An end that was cut off" in said or "an end that was cut off" in said
    for known in (store_of(tmp_path / "s.db", heads), lines_of(tmp_path / "h.jsonl", heads)):
        code, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--heads", known)
        assert code == 0 and "2 compared with the platform's" in said


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_an_edited_byte_is_named_by_entry_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    filled(tmp_path / "log")
    first = min((tmp_path / "log").glob("*.log"))
    data = bytearray(first.read_bytes())
    data[data.index(b"command-accepted") + 2] ^= 1
    first.write_bytes(data)
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log", lang=lang)
    assert code == 1 and "HG-9310" in said and "2026-07-01T00:00:00.000Z" in said


def test_a_tail_that_was_cut_off_is_found_by_what_the_platform_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = filled(tmp_path / "log", starts=1)
    first = min((tmp_path / "log").glob("*.log"))
    first.write_bytes(b"".join(encode(each.text) for each in lines(tmp_path / "log")[:2]))
    assert audit(capsys, "verify", "--folder", tmp_path / "log")[0] == 0
    store = store_of(tmp_path / "s.db", heads)
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--heads", store)
    assert code == 1 and "HG-9314" in said


def test_heads_are_proved_by_a_certificate_and_only_by_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pki = Pki(PROVIDER)
    from headgate.runtime.audited import KeySigner

    filled(tmp_path / "log", signer=KeySigner(PROVIDER, pki.gateway.key))
    ours = tmp_path / "gateway.pem"
    ours.write_bytes(pki.gateway.certificate.pem())
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--certificate", ours)
    assert code == 0 and "2 signed heads proved" in said
    other = tmp_path / "other.pem"
    other.write_bytes(pki.platform.certificate.pem())
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--certificate", other)
    assert "2 of 2 signed heads bear a key that is not known here" in said


def test_an_enrolled_box_proves_its_own_heads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its certificate lies where enrolment put it, and the site file names none."""
    pki = Pki(PROVIDER)
    from headgate.runtime.audited import KeySigner
    from headgate.runtime.enrolment.papers import FILE, Papers, encode

    filled(tmp_path / "state" / "audit", signer=KeySigner(PROVIDER, pki.gateway.key))
    named = str(pki.gateway.certificate.subject_cn)
    site = f'schema = 1\n[gateway]\nid = "{named}"\n[state]\nfolder = "state"\n'
    (tmp_path / "site.toml").write_text(site)
    papers = encode(PROVIDER, Papers(gateway=named, sign=(pki.gateway.certificate.der,)))
    (tmp_path / "state" / FILE).write_bytes(papers)
    code, said = audit(capsys, "verify", tmp_path)
    assert code == 0 and "2 signed heads proved" in said and "not known here" not in said


def test_a_head_that_log_and_platform_have_is_counted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path / "s.db", filled(tmp_path / "log"))
    _, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--heads", store)
    assert "2 of 2 signed heads bear a key that is not known here" in said


def test_a_folder_without_a_log_and_files_that_are_none_are_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = audit(capsys, "verify", "--folder", tmp_path)
    assert code == 1 and "HG-9330" in said
    filled(tmp_path / "log", starts=1)
    nothing = tmp_path / "nothing"
    nothing.write_text("no heads")
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--heads", nothing)
    assert code == 1 and "HG-9332" in said
    code, said = audit(capsys, "verify", "--folder", tmp_path / "log", "--certificate", nothing)
    assert code == 1 and "HG-9331" in said


@pytest.mark.peer("openssl")
def test_the_chain_can_be_checked_with_a_shell_and_openssl_alone(tmp_path: Path) -> None:
    filled(tmp_path / "log")
    before = "0" * 64
    for path in sorted((tmp_path / "log").glob("*.log")):
        for line in path.read_bytes().splitlines():
            text = line[9:]
            assert re.search(rb'"previous":"(\w+)"', text)[1].decode() == before  # type: ignore[index]
            said = subprocess.run(
                ["openssl", "dgst", "-sm3", "-r"], input=text, capture_output=True, check=True
            )
            before = said.stdout.split()[0].decode()


def test_an_export_proves_itself_without_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "log", starts=3)
    into = tmp_path / "out.jsonl"
    since = "2026-07-01T01:00"  # the second start
    code, _ = audit(
        capsys, "export", into, "--folder", tmp_path / "log", "--since", since, "--until", "2026-07-01T03:00"
    )  # fmt: skip
    assert code == 0
    *rows, last = map(json.loads, into.read_text().splitlines())
    proof = last["proof"]
    assert [row["kind"] for row in rows] == [
        "log-opened", "started", "command-accepted", "log-head", "stopping",
    ]  # fmt: skip
    # As an auditor without our code does it: hash each text, follow the chain, check the signature.
    before = rows[0]["previous"]
    texts = [row["text"] for row in rows] + proof["up_to_head"]
    for text in texts:
        assert json.loads(text)["previous"] == before
        before = PROVIDER.sm3(text.encode()).hex()
    head = json.loads(texts[-1])
    assert head["kind"] == "log-head" and head["fields"] == proof["head"]
    message = (
        f"headgate-audit-head-v1\nhg-1\n{proof['head']['log']}\n"
        f"{proof['head']['seq']}\n{proof['head']['sm3']}\n"
    )
    assert message == proof["signed"]
    assert SIGNING.public.verify(bytes.fromhex(proof["head"]["signature"]), message.encode())
    assert KEY.key.hex() == proof["head"]["key"] in KEYS


@pytest.mark.parametrize(("lang", "word"), [("zh", "成功"), ("en", "ok")])
def test_an_export_as_a_table_is_for_reading_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str, word: str
) -> None:
    from kit.audit_log import opened

    from headgate.audit import Entry
    from headgate.testing.env import run

    async def main_() -> None:
        log = opened(tmp_path / "log")
        await log.note(
            Entry(kind="command-refused", who="=cmd|' /C calc'!A0", what="+1", result="ok")
        )
        log.close()

    run(main_)
    into = tmp_path / "out.csv"
    code, _ = audit(
        capsys, "export", into, "--folder", tmp_path / "log", "--format", "csv", lang=lang
    )
    assert code == 0
    assert into.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(into.read_text("utf-8-sig"))))
    assert rows[1]["who"] == "'=cmd|' /C calc'!A0" and rows[1]["what"] == "'+1"
    assert rows[1]["result"] == word
    proof = json.loads((tmp_path / "out.csv.proof.json").read_text())
    assert proof["check"]["sound"] is True


def test_what_is_wrong_with_a_log_stands_in_its_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "log")
    min((tmp_path / "log").glob("*.log")).unlink()
    into = tmp_path / "out.jsonl"
    code, _ = audit(capsys, "export", into, "--folder", tmp_path / "log")
    proof = json.loads(into.read_text().splitlines()[-1])["proof"]
    assert code == 1 and proof["check"]["findings"][0]["code"] == "HG-9317"


def test_entries_are_shown_as_sentences_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "log")
    _, said = audit(capsys, "show", "--folder", tmp_path / "log", "--kind", "command", lang="zh")
    assert said.count("接受") == 2
    _, said = audit(capsys, "show", "--folder", tmp_path / "log", "--counts")
    assert "2  command-accepted" in said
    _, said = audit(capsys, "show", "--folder", tmp_path / "log", "--since", "when")
    assert "HG-4052" in said


def test_a_copy_is_as_good_as_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path / "log")
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    assert audit(capsys, "verify", "--folder", tmp_path / "copy", "--format", "json")[0] == 0
