"""A box's own keys are kept twice: any one file may rot or go, and nothing is lost and nothing invented."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.config.identity import Identity
from headgate.crypto.provider import default_provider
from headgate.errors import SecurityError
from headgate.runtime.identity import check_identity, load_identity
from headgate.testing.env import fake_env

OURS = ("identity.key", "identity.key.twin", "kek", "kek.twin")


def site(folder: Path) -> Any:
    """As much of a site file as an identity needs."""
    gateway = SimpleNamespace(id="box")
    return SimpleNamespace(state_folder=folder, base=folder, gateway=gateway, identity=Identity())


def keys(folder: Path) -> tuple[bytes, bytes | None]:
    """What a start finds or makes."""
    found = load_identity(fake_env(), site(folder), default_provider())
    return found.signing_key.pem(), found.kek


def content(folder: Path) -> dict[str, bytes]:
    """The key files."""
    return {name: (folder / name).read_bytes() for name in OURS}


@pytest.mark.parametrize("victim", OURS)
@pytest.mark.parametrize("fate", ["flip", "short", "empty", "gone"])
def test_one_damaged_key_file_costs_nothing_and_is_mended(
    tmp_path: Path, victim: str, fate: str
) -> None:
    made = keys(tmp_path)
    whole = content(tmp_path)
    path = tmp_path / victim
    data = path.read_bytes()
    if fate == "gone":
        path.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"flip": flipped, "short": data[:middle], "empty": b""}[fate])
    assert keys(tmp_path) == made
    assert content(tmp_path) == whole
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in OURS)


def test_a_box_of_before_gets_its_twins(tmp_path: Path) -> None:
    made = keys(tmp_path)
    whole = content(tmp_path)
    for name in ("identity.key.twin", "kek.twin"):
        (tmp_path / name).unlink()
    assert keys(tmp_path) == made
    assert content(tmp_path) == whole


def test_a_key_that_somebody_put_there_by_hand_counts(tmp_path: Path) -> None:
    keys(tmp_path)
    other = default_provider().sm2_generate().pem()
    (tmp_path / "identity.key").write_bytes(other)
    assert keys(tmp_path)[0] == other
    assert keys(tmp_path)[0] == other


def test_with_both_damaged_nothing_is_invented(tmp_path: Path) -> None:
    keys(tmp_path)
    for name in ("identity.key", "identity.key.twin"):
        (tmp_path / name).write_bytes(b"rotten")
    with pytest.raises(SecurityError):
        keys(tmp_path)
    assert (tmp_path / "identity.key").read_bytes() == b"rotten"
    assert (tmp_path / "identity.key.twin").read_bytes() == b"rotten"


def test_a_check_mends_nothing(tmp_path: Path) -> None:
    keys(tmp_path)
    (tmp_path / "identity.key").write_bytes(b"rotten")
    (tmp_path / "kek.twin").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    check_identity(fake_env(), site(tmp_path), default_provider())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
