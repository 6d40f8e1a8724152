"""A gateway is taken out of service: what it was is said upstream, and nothing of it is left on the disk."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit.small_disk import Ext4, can_mount
from peers.mosquitto import Mosquitto
from test_secrets import KEK, Marked, forms, reached, running

from headgate.cli import main
from headgate.errors import HeadgateError
from headgate_simulators.pytest import FarmMaker

pytestmark = pytest.mark.timeout(120)


def wipe(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["--lang", "en", "wipe", *map(str, words)])
    said = capsys.readouterr()
    code = left.value.code
    return (code if isinstance(code, int) else 0), said.out + said.err


def kinds(path: Path) -> list[str]:
    return [json.loads(line).get("kind", "proof") for line in path.read_text().splitlines()]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in a file, where this machine lets us have one; else a plain folder."""
    if not can_mount():
        (tmp_path / "disk").mkdir()
        yield tmp_path / "disk"
        return
    ext4 = Ext4(tmp_path / "disk", 64 << 20)
    yield ext4.path
    ext4.close()


def image(disk: Path) -> bytes:
    """Everything that somebody finds who takes the disk out: free blocks and journal, too."""
    if disk.with_name("disk.img").exists():
        os.sync()
        return disk.with_name("disk.img").read_bytes()
    return b"".join(path.read_bytes() for path in sorted(disk.rglob("*")) if path.is_file())


@pytest.mark.peer("mosquitto")
async def test_after_a_wipe_a_search_of_the_disk_finds_no_key_and_no_password(
    disk: Path, tmp_path: Path, water_gauge_farm: FarmMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    farm = water_gauge_farm(count=2)
    (tmp_path / "broker").mkdir()
    async with Mosquitto(
        tmp_path / "broker", users={"hg-test": "Zq7-marked-password-8842"}
    ) as broker:
        marked = Marked(disk, farm.site("200ms"), broker)
        # A key that the box makes itself as well: what it is told, it seals under the marked KEK.
        async with running(marked, signal.SIGTERM):
            await marked.until(
                lambda s: s["devices"] and all(d["state"] == "ok" for d in s["devices"])
            )
            await marked.until(reached)
    (disk / "output").unlink()
    before = image(disk)
    assert any(form in before for form in forms(KEK))  # the search finds what is there
    export = tmp_path / "audit.jsonl"
    refused = await asyncio.to_thread(wipe, capsys, disk, "--gateway", "hg-test", "--audit", export)
    assert refused[0] == 1 and "HG-9354" in refused[1]  # nothing of it had arrived anywhere
    assert (disk / "secrets" / "kek").exists()
    code, said = await asyncio.to_thread(
        wipe, capsys, disk, "--gateway", "hg-test", "--audit", export, "--discard-unsent"
    )
    assert code == 0, said
    assert "HG-9358" not in said and "Flash" in said  # honest about the medium
    assert kinds(export)[-3:] == ["wiped", "log-head", "proof"]
    left = [path.name for path in (disk / "state").rglob("*")]
    assert sorted(left) == ["decommissioned"]
    after = image(disk)
    found = [
        name
        for name, secret in marked.secrets.items()
        if any(form in after for form in forms(secret))
    ]
    assert found == []


async def test_a_running_gateway_says_its_last_word_stops_and_does_not_come_back(
    tmp_path: Path, water_gauge_farm: FarmMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    from kit.running import Site

    farm = water_gauge_farm(count=1)
    site = Site(tmp_path, farm.site("200ms"))
    async with site.running():
        await site.until(lambda status: status["devices"][0]["state"] == "ok")
        words = (tmp_path, "--audit", tmp_path / "kept.jsonl", "--gateway")
        code, said = await asyncio.to_thread(wipe, capsys, *words, "another")
        assert code == 1 and "Nothing was done" in said
        ended = asyncio.create_task(asyncio.to_thread(wipe, capsys, *words, "hg-test"))
        code, said = await ended
    assert code == 0, said
    assert sorted(path.name for path in site.state.iterdir()) == ["decommissioned"]
    told = kinds(tmp_path / "kept.jsonl")
    assert told.index("wiped") < told.index("stopping") and told[-1] == "proof"
    with pytest.raises(HeadgateError) as refused:
        async with site.running():
            pass
    assert refused.value.code == "HG-9352"


def test_what_was_overwritten_is_gone_for_whoever_still_holds_the_file(tmp_path: Path) -> None:
    from headgate.cli.wipe.destroy import overwrite

    path = tmp_path / "key"
    path.write_bytes(b"secret" * 1000)
    held = tmp_path / "another-name"
    os.link(path, held)
    assert overwrite(path) == 6000
    assert b"secret" not in held.read_bytes() and held.stat().st_size == 6000
    (tmp_path / "link").symlink_to(held)
    assert overwrite(tmp_path / "link") == 0


def test_the_key_that_seals_everything_goes_first(tmp_path: Path) -> None:
    from headgate import config
    from headgate.cli.wipe.destroy import order
    from headgate.env import system_env

    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[state]\nfolder = "state"\n[identity]\nkek = "file:my-kek"\n'
    )
    names = [
        "kek",
        "kek.twin",
        "identity.key",
        "keys/a",
        "spool/data/1.seg",
        "state.db",
        "audit/1.log",
    ]
    for name in names:
        (tmp_path / "state" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "state" / name).touch()
    (tmp_path / "my-kek").touch()
    site = config.load(system_env(), tmp_path)
    said = [path.name for path in order(site)]
    assert said[:5] == ["kek", "kek.twin", "my-kek", "identity.key", "a"] and said[-1] == "1.seg"
    assert len(said) == len(names) + 1
