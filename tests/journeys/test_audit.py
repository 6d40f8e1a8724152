"""A whole gateway and its audit log: what it writes down, what goes up, and what a disk does to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kit.running import Site

from headgate.audit.check import Checker, Report
from headgate.audit.files import LogFolder
from headgate.audit.head import from_fields
from headgate.audit.line import Found, Line, scan
from headgate.cli.client import call
from headgate.crypto.provider import default_provider
from headgate.env import system_env
from headgate.errors import HeadgateError
from headgate.model import Alarm, Event
from headgate.runtime.identity import load_identity
from headgate_simulators.pytest import FarmMaker

PROVIDER = default_provider()
pytestmark = pytest.mark.timeout(120)


def lines(site: Site) -> list[Line]:
    found: list[Line] = []
    for path in sorted((site.state / "audit").glob("*.log")):
        found += [each.line for each in scan(path.read_bytes()) if isinstance(each, Found)]
    return found


def checked(site: Site, items: list[object]) -> Report:
    """Against the heads that went up, and the key of the box itself."""
    env = system_env()
    files = LogFolder(env.files, site.state / "audit")
    from headgate import config

    public = load_identity(env, config.load(env, site.folder), PROVIDER).signing_key.public
    heads = [
        head
        for item in items
        if isinstance(item, Event) and item.kind == "audit-head"
        if (head := from_fields("hg-test", item.fields)) is not None
    ]
    assert heads
    checker = Checker(PROVIDER.sm3, {PROVIDER.sm3(public.spki).hex(): public.verify}, heads)
    for number in files.numbers():
        checker.feed(number, files.read(number))
    return checker.finish()


async def test_a_life_of_two_starts_is_written_down_signed_and_known_upstream(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=2)
    site = Site(tmp_path, farm.site("200ms"))
    for _ in range(2):
        async with site.running():
            await site.until(lambda status: len(status["devices"]) == 2)
    told = lines(site)
    kinds = [line.kind for line in told]
    assert kinds.count("started") == kinds.count("stopping") == kinds.count("log-opened") == 2
    assert kinds.count("config") == 2 and kinds[-1] == "log-head"
    items = site.stored()
    report = checked(site, items)
    assert report.sound and report.findings == () and report.unknown_keys == 0
    assert report.compared == report.heads >= 4
    # The last head covers the stop itself: what is cut off after that is missed upstream.
    assert told[-2].kind == "stopping"
    assert os.stat(site.state / "audit").st_mode & 0o007 == 0


async def test_what_a_person_does_is_written_down_with_the_uid_that_the_kernel_knows(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=1)
    site = Site(tmp_path, farm.site("200ms"))
    async with site.running() as gateway:
        socket = gateway.site.api_socket
        device = gateway.site.device[0]

        def person() -> None:
            next(call(socket, "trace", channel=device.channel, seconds=0, peer="uid:0x0"))
            list(call(socket, "reload"))
            asked = {"device": device.id, "point": "no such", "value": 1}
            with pytest.raises(HeadgateError):
                list(call(socket, "write", **asked, confirmed=True))
            list(call(socket, "status"))

        import asyncio

        await asyncio.to_thread(person)
    me = f"uid:{os.getuid()}"
    told = [(line.kind, line.who, line.result) for line in lines(site) if line.who != "gateway"]
    assert told == [
    ("local-trace", me, "ok"), ("reload", me, "ok"),
    ("local-write", me, "ok"), ("local-written", me, "failed"),
    ]  # fmt: skip


async def test_a_broken_site_file_at_a_reload_is_written_down(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=1)
    site = Site(tmp_path, farm.site("200ms"))
    async with site.running() as gateway:
        whole = (tmp_path / "site.toml").read_text()
        (tmp_path / "site.toml").write_text(whole + "\n[nonsense]\n")
        await gateway.reload_quietly()
        (tmp_path / "site.toml").write_text(whole)
        await gateway.reload_quietly()
    told = [line for line in lines(site) if line.kind.startswith("config")]
    assert [line.kind for line in told] == ["config", "config-refused", "config"]
    assert told[1].result == "refused" and told[1].code.startswith("HG-1")
    assert told[0].fields["hash"] == told[2].fields["hash"]


async def test_a_log_deleted_under_a_running_gateway_is_an_alarm_upstream_and_begins_anew(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    import shutil

    farm = water_gauge_farm(count=1)
    site = Site(tmp_path, farm.site("200ms"))
    async with site.running() as gateway:
        await site.until(lambda status: status["audit"]["head_seq"])
        shutil.rmtree(site.state / "audit")
        await gateway.reload()
        status = await site.until(lambda status: status["problems"])
        assert any("HG-9303" in problem for problem in status["problems"])
        await site.until(lambda status: status["devices"][0]["state"] == "ok")
    items = site.stored()
    assert any(isinstance(i, Alarm) and i.code == "audit-broken" and i.active for i in items)
    report = checked(site, items)
    codes = [finding.code for finding in report.findings]
    assert "HG-9318" in codes and not report.sound  # and it says which entries are gone


async def test_a_tail_cut_off_while_the_box_was_off_is_missed_by_the_box_itself(
    tmp_path: Path, water_gauge_farm: FarmMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    from headgate.cli import main

    farm = water_gauge_farm(count=1)
    site = Site(tmp_path, farm.site("200ms"))
    async with site.running():
        await site.until(lambda status: status["audit"]["head_seq"])

    def verify() -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            main(["--lang", "en", "audit", "verify", str(tmp_path)])
        return left.value.code, capsys.readouterr().out

    code, said = verify()
    assert code in (0, None), said
    last = max((site.state / "audit").glob("*.log"))
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:-2]))
    code, said = verify()
    assert code == 1 and "HG-9314" in said
    # The next start says so by itself, in the log and upstream.
    async with site.running():
        await site.until(lambda status: any("HG-9303" in each for each in status["problems"]))
    assert any(line.kind == "log-break" for line in lines(site))


async def test_a_gateway_that_may_not_start_says_so_in_its_log(tmp_path: Path) -> None:
    site = Site(tmp_path, "", more='[identity]\nca = "none.pem"\n')
    with pytest.raises(HeadgateError):
        async with site.running():
            pass
    if (site.state / "audit").exists():
        assert [line.kind for line in lines(site)] == ["log-opened", "start-refused"]
    else:
        assert not (site.state / "state.db").exists()  # it was refused before there was a state


def test_every_line_is_json_that_any_tool_reads(tmp_path: Path) -> None:
    from kit.audit_log import filled

    filled(tmp_path / "log")
    for path in (tmp_path / "log").glob("*.log"):
        for text in path.read_text().splitlines():
            assert set(json.loads(text[9:])) >= {"seq", "wall", "kind", "who", "what", "result"}
