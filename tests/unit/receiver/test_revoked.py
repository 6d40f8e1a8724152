from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from kit.pki import Pki

from headgate.cli.certs.show import describe
from headgate.env import SystemFiles, system_env
from headgate.errors import ConfigError
from headgate_receiver.cli import _read_again
from headgate_receiver.revoked import read_revoked


def test_what_certs_show_prints_is_what_the_list_takes(tmp_path: Path, pki: Pki) -> None:
    certificate = pki.gateway.certificate
    (shown,) = describe(certificate.pem(), pki.provider, "en")
    fingerprint = next(line.split()[-1] for line in shown.splitlines() if "SM3" in line)
    path = tmp_path / "revoked"
    path.write_text(f"# stolen\n\n{fingerprint}  # gauge-house-7\n{'AB' * 32}\n", encoding="utf-8")
    assert read_revoked(path, SystemFiles()) == {certificate.fingerprint, b"\xab" * 32}


def test_every_line_that_is_no_fingerprint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    path.write_text(f"{'ab' * 32}\nab:cd\n{'ab' * 31}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_revoked(path, SystemFiles())
    assert [(each.where, each.code) for each in caught.value.problems] == [
        (f"{path}:2", "HG-7007"),
        (f"{path}:3", "HG-7007"),
    ]


def test_without_its_list_the_receiver_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_revoked(tmp_path / "none", SystemFiles())
    assert [each.code for each in caught.value.problems] == ["HG-7006"]


def test_a_list_read_again_replaces_the_old_one_unless_it_is_wrong(
    tmp_path: Path, platform: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path, core = tmp_path / "revoked", platform.core
    path.write_text("ab" * 32, encoding="utf-8")
    _read_again(core, path, system_env())
    assert core.revoked == {b"\xab" * 32}
    path.write_text("ab" * 31, encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        _read_again(core, path, system_env())
    assert core.revoked == {b"\xab" * 32}
    assert "stay as they were" in caplog.text
