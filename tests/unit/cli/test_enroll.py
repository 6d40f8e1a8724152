"""`headgate enroll` and `headgate enrolment` at a terminal: no gateway runs, the box is on a desk."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from kit.enrolment import PASSPHRASE, City

from headgate.cli import main
from headgate.cli.enroll.request import split
from headgate.crypto.requests import load_request
from headgate.crypto.x509 import Role
from headgate.runtime.enrolment.desk import Requests
from headgate.runtime.enrolment.qr import join
from headgate.testing.env import ManualClock

ID = "sz-gw-0001"


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def headgate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> object:
    monkeypatch.chdir(tmp_path)
    for name in ("HEADGATE_LANG", "HEADGATE_SITE", "HEADGATE_TRACEBACK"):
        monkeypatch.setenv(name, "")
    (tmp_path / "site.toml").write_text(
        f'schema = 1\n[gateway]\nid = "{ID}"\n[state]\nfolder = "state"\nballast = "0B"\n'
    )

    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def city(tmp_path: Path) -> City:
    clock = ManualClock()
    clock.shift_us = int(time.time() * 1e6) - clock.now_us
    return City(tmp_path / "ca", clock=clock)


def answer(city: City, folder: Path) -> Path:
    """What comes back on the stick."""
    sign, link = (
        load_request((folder / f"{ID}-{kind}.csr").read_bytes(), city.provider)
        for kind in ("sign", "link")
    )
    back = folder / "back"
    back.mkdir()
    for name, content in city.answer(Requests(ID, sign, link)).items():
        (back / name).write_bytes(content)
    return back


def test_a_technician_in_the_rain(headgate, city: City, tmp_path: Path) -> None:
    """One command says what is missing and what comes next, from the box's first day to its last."""
    first = headgate("enroll", "status")
    assert first.status == 0 and "headgate enroll request" in first.out
    made = headgate("enroll", "request", "--out", "stick")
    assert made.status == 0 and "headgate enroll import" in made.out
    assert "has not come back yet" in headgate("enroll", "status").out
    back = answer(city, tmp_path / "stick")
    untrusted = headgate("enroll", "import", str(back))
    assert untrusted.status == 1
    assert city.root.fingerprint.hex() in untrusted.err and "--trust" in untrusted.err
    taken = headgate("enroll", "import", str(back), "--trust", city.paper)
    assert taken.status == 0, taken.err
    after = headgate("enroll", "status").out
    assert "platform-encryption" in after and "has no certificate yet" not in after
    for role in (Role.PLATFORM_ENCRYPTION, Role.PLATFORM_RECEIPT):
        (back / role.value).write_bytes(city.platform(role)[1].pem())
    assert headgate("enroll", "import", str(back)).status == 0
    done = headgate("enroll", "status")
    assert "Nothing is missing" in done.out
    said = json.loads(headgate("enroll", "status", "--format", "json").out)
    assert (said["enrolled"], said["problems"]) == (True, [])


def test_our_own_ca_answers_our_own_box(headgate, city: City, monkeypatch, tmp_path: Path) -> None:
    """The commands as docs/operate/enrolment.md has them."""
    monkeypatch.setenv("CA_PASSPHRASE", PASSPHRASE)
    headgate("enroll", "request", "--out", "stick")
    for kind, more in (
        ("sign", ["--role", "gateway", "--pair"]),
        ("link", ["--role", "gateway-link"]),
    ):
        issued = headgate(
            "certs", "issue", str(city.folder), f"stick/{ID}-{kind}.csr", *more,
            "--passphrase", "env:CA_PASSPHRASE", "--out", f"stick/{kind}",
        )  # fmt: skip
        assert issued.status == 0, issued.err
    taken = headgate(
        "enroll", "import", "stick", str(city.folder / "chain.crt"), "--trust", city.paper
    )
    assert taken.status == 0, taken.err
    assert "headgate-gateway-encryption" in headgate("enroll", "status").out


def test_it_speaks_chinese(headgate, city: City) -> None:
    said = headgate("--lang", "zh", "enroll", "status").out
    assert "本机尚无证书" in said and "no certificate" not in said


def test_every_mistake_of_a_folder_is_told_with_what_to_do(
    headgate, city: City, tmp_path: Path
) -> None:
    headgate("enroll", "request", "--out", "stick")
    back = answer(city, tmp_path / "stick")
    (back / "encryption.key").unlink()
    (back / "cut.crt").write_bytes((back / "sign.crt").read_bytes()[:100])
    refused = headgate("enroll", "import", str(back), "--trust", city.paper)
    assert refused.status == 1
    assert "[HG-6151]" in refused.err and "[HG-6164]" in refused.err
    assert "2 mistakes" in refused.out
    assert not (tmp_path / "state" / "identity.papers").read_bytes().count(b"headgate-gateway\x30")


def test_a_file_that_is_not_there_is_named(headgate) -> None:
    refused = headgate("enroll", "import", "/media/usb/nothing.crt")
    assert refused.status == 1 and "HG-6150" in refused.err


def test_a_token_is_no_argument_and_stands_nowhere(headgate, monkeypatch, city: City) -> None:
    refused = headgate("enroll", "online", "https://127.0.0.1:1", "--trust", "00" * 32)
    assert refused.status == 1 and "HG-6196" in refused.err
    assert headgate("enroll", "online", "https://x", "--token", "AAAAA").status == 2
    monkeypatch.setenv("HEADGATE_ENROLL_TOKEN", "SECRE-TTOKE-N")
    refused = headgate("enroll", "online", "https://127.0.0.1:1", "--trust", "00" * 32)
    assert "HG-6190" in refused.err and "SECRE" not in refused.err + refused.out
    state = Path("state")
    for path in state.rglob("*"):
        if path.is_file():
            assert b"SECRE" not in path.read_bytes(), path


def test_tokens_and_the_fingerprint_of_a_service(headgate, city: City, monkeypatch) -> None:
    first = headgate("enrolment", "token", str(city.folder), ID)
    assert first.status == 0
    token = re.search(r"([A-Z2-7]{5}-){3}[A-Z2-7]{5}", first.out)
    assert token is not None
    assert token[0].encode() not in (city.folder / "enrolment" / "tokens.json").read_bytes()
    shown = [headgate("enrolment", "show", str(city.folder)).out for _ in range(2)]
    assert shown[0] == shown[1] and re.search(r"([0-9a-f]{4} ){15}[0-9a-f]{4}", shown[0])
    assert headgate("enrolment", "token", str(city.folder), "Bad Id").status == 1
    assert PASSPHRASE not in first.out + "".join(shown)


@pytest.mark.parametrize(("columns", "lines"), [(200, 60), (80, 24), (40, 12)])
def test_codes_fit_the_screen_or_are_as_small_as_they_get(
    headgate, city: City, tmp_path: Path, columns: int, lines: int
) -> None:
    headgate("enroll", "request", "--out", "stick")
    pem = (tmp_path / "stick" / f"{ID}-sign.csr").read_text()
    texts = split(ID, "sign", pem, columns, lines)
    assert join(texts)["sign"] == load_request(pem.encode(), city.provider).der
    assert (len(texts) == 1) is (columns == 200)


def test_codes_are_shown_when_asked_for(headgate) -> None:
    shown = headgate("enroll", "request", "--qr", "--out", "stick")
    assert shown.status == 0 and "█" in shown.out


def test_root_works_as_the_account_that_owns_the_folder(
    headgate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Files of root's in the service's folder would stop its next start."""
    became: list[tuple[str, int]] = []
    (tmp_path / "state").mkdir()
    real = Path.stat

    class Owned:
        st_uid, st_gid, st_mode = 987, 986, 0o40750

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "umask", lambda mask: 0)
    monkeypatch.setattr(os, "setegid", lambda gid: became.append(("gid", gid)))
    monkeypatch.setattr(os, "seteuid", lambda uid: became.append(("uid", uid)))
    monkeypatch.setattr(
        Path, "stat",
        lambda self, **k: Owned() if self.name == "state" else real(self, **k),
    )  # fmt: skip
    assert headgate("enroll", "status").status == 0
    assert became == [("gid", 986), ("uid", 987)]
