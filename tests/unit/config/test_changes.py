"""What a reload has to touch, and how a configuration is named."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from kit.site import CHANNEL, DEVICE, GATEWAY, UPLINK, WHOLE

from headgate.config import (
    Loaded,
    SecretRef,
    Site,
    config_hash,
    diff,
    resolve_options,
    resolve_secret,
)
from headgate.env import system_env
from headgate.errors import SecurityError

Examine = Callable[..., Loaded]


def digest(data: bytes) -> bytes:
    return sha256(data).digest()


def read(site: Examine, text: str) -> Site:
    made = site(text).site
    assert made is not None
    return made


def test_an_unchanged_file_changes_nothing(site: Examine) -> None:
    old, new = read(site, WHOLE), read(site, "# a comment\n" + WHOLE)
    assert not diff(old, new)
    assert config_hash(old, digest) == config_hash(new, digest)


def test_where_the_file_lies_and_how_it_is_split_do_not_count(site: Examine) -> None:
    whole = read(site, WHOLE)
    split = site(GATEWAY + CHANNEL, a=DEVICE, b=UPLINK).site
    assert split is not None
    assert config_hash(whole, digest) == config_hash(split, digest)


def test_only_what_changed_is_named(site: Examine) -> None:
    second = DEVICE.replace('"d1"', '"d2"').replace("address = 1", "address = 2")
    third = DEVICE.replace('"d1"', '"d3"').replace("address = 1", "address = 3")
    old = read(site, WHOLE + second)
    new = read(site, WHOLE + second + 'interval = "9s"\n' + third + '[log]\nlevel = "debug"\n')
    changes = diff(old, new)
    assert changes.devices.added == ("d3",)
    assert changes.devices.changed == ("d2",)
    assert changes.devices.removed == ()
    assert not changes.channels
    assert not changes.uplinks
    assert not changes.stages
    assert changes.live == ("log",)
    assert changes.restart == ()
    assert diff(new, old).devices.removed == ("d3",)
    assert config_hash(old, digest) != config_hash(new, digest)


def test_what_needs_a_restart_is_named(site: Examine) -> None:
    changes = diff(read(site, WHOLE), read(site, WHOLE + '[state]\nquota = "1GiB"\n'))
    assert changes.restart == ("state",)
    assert changes


def test_a_secret_is_fetched_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HG_TEST_PW", "hunter2\n")
    assert resolve_secret(system_env(), SecretRef("env", "HG_TEST_PW")) == "hunter2"


def test_secrets_among_a_plugins_options_are_fetched_however_deep(
    site: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HG_TEST_PW", "hunter2")
    made = read(site, WHOLE + 'login = { token = "env:HG_TEST_PW", hosts = ["a"] }\n')
    options = made.uplinks["up"].options
    assert "hunter2" not in repr(made)
    assert resolve_options(system_env(), options) == {"login": {"token": "hunter2", "hosts": ["a"]}}


def test_a_secret_is_fetched_from_a_file_beside_the_site(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("密码\r\n", encoding="utf-8")
    assert resolve_secret(system_env(), SecretRef("file", "pw"), tmp_path) == "密码"


def test_a_secret_is_fetched_from_a_systemd_credential(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "PW").write_text("hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert resolve_secret(system_env(), SecretRef("systemd", "PW")) == "hunter2"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(SecurityError) as caught:
        resolve_secret(system_env(), SecretRef("systemd", "PW"))
    assert caught.value.code == "HG-1300"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "HG-1300"),
        (b"", "HG-1302"),
        (b"\n", "HG-1302"),
        (b"hunter2\xff", "HG-1301"),
        (b"x" * 70_000, "HG-1302"),
    ],
)  # fmt: skip
def test_a_secret_that_is_not_there_is_named_by_its_reference_only(
    tmp_path: Path, content: bytes | None, code: str
) -> None:
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    with pytest.raises(SecurityError) as caught:
        resolve_secret(system_env(), SecretRef("file", "pw"), tmp_path)
    assert caught.value.code == code
    assert "hunter2" not in f"{caught.value!r}{caught.value.fields}{caught.value.__cause__}"
    assert caught.value.fields["reference"] == "file:pw"
