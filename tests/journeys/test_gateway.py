"""One gateway in this process, simulated gauges on real sockets: what a technician does to it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.app import Gateway
from headgate.cli.client import call
from headgate.crypto.provider import default_provider
from headgate.env import system_env
from headgate.envelope.payload import decode_payload
from headgate.envelope.record import open_record
from headgate.errors import ConfigError, HeadgateError, SpoolLocked
from headgate.model import Block, Event, Gap, GapReason, Plan
from headgate_simulators.pytest import FarmMaker, RunningFarm

HEAD = """\
schema = 1
[gateway]
id = "hg-test"
[state]
folder = "state"
max_loss = "50ms"
ballast = "0B"
[metrics]
listen = "{metrics}"
"""


def write_site(folder: Path, gauges: str, metrics: str = "off", more: str = "") -> None:
    (folder / "site.d").mkdir(exist_ok=True)
    (folder / "site.toml").write_text(HEAD.format(metrics=metrics) + more)
    (folder / "site.d" / "gauges.toml").write_text(gauges)


@asynccontextmanager
async def running(site: Path) -> AsyncIterator[Gateway]:
    """A gateway that runs until the block is left, stopped as by SIGTERM."""
    gateway = Gateway(system_env(), site)
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    ready = asyncio.create_task(gateway.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        task.result()
    try:
        yield gateway
    finally:
        stop.set()
        await task


async def ask(site: Path, name: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(
        lambda: next(call(site / "state" / "headgate.sock", name, **arguments))
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.05)


async def stored(site: Path) -> list[Any]:
    """Every item that a stopped gateway has committed, opened with its own local wrap."""
    from headgate import config
    from headgate.runtime.identity import load_identity
    from headgate.runtime.keyring import Keyring
    from headgate.spool import Spool, State
    from headgate.spool.records import Position

    env, provider = system_env(), default_provider()
    state, spool = (
        State(env, site / "state" / "state.db"),
        Spool(env, site / "state" / "spool", ballast_bytes=0),
    )
    state.open()
    spool.open(state.noted())
    try:
        keyring = Keyring(
            env, provider, load_identity(env, config.load(env, site), provider), state, b"?" * 8
        )
        items: list[Any] = []
        for rows in spool.segments():
            for row in rows.alive():
                data = spool.read(Position(rows.log, rows.number, row))
                payload = decode_payload(open_record(provider, keyring.key(rows.key_id(row)), data))
                items.extend(payload.named())
        return items
    finally:
        spool.close()
        state.close()


async def all_good(site: Path, count: int, looks: int = 2) -> None:
    async def good() -> bool:
        devices = (await ask(site, "status"))["devices"]
        return len(devices) == count and all(
            d["state"] == "ok" and d["good"] >= looks for d in devices
        )

    await until(good)


async def test_a_stopped_gateway_has_committed_every_answered_look(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=3, seed=5)
    write_site(tmp_path, farm.site("100ms"))
    async with running(tmp_path):
        await all_good(tmp_path, 3, looks=5)
    items = await stored(tmp_path)
    good = [i for i in items if isinstance(i, Block) and i.columns is not None]
    assert len(good) == sum(len(farm.truth.looks(device["id"])) for device in farm.devices)
    ends = [i for i in items if isinstance(i, Plan) and i.interval_us == 0]
    assert {plan.device for plan in ends} == {block.device for block in good}
    assert [i.kind for i in items if isinstance(i, Event)][-1] == "stopping"


async def test_a_start_after_a_stop_says_how_long_the_gateway_was_off(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    write_site(tmp_path, water_gauge_farm(count=1).site("100ms"))
    for _ in range(2):
        async with running(tmp_path):
            await all_good(tmp_path, 1)
    gaps = [i for i in await stored(tmp_path) if isinstance(i, Gap)]
    assert [gap.reason for gap in gaps] == [GapReason.GATEWAY_OFF]
    assert gaps[0].last_us > gaps[0].first_us


async def test_read_shows_request_answer_and_values(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=1)
    write_site(tmp_path, farm.site("10s"))
    async with running(tmp_path):
        await all_good(tmp_path, 1, looks=1)
        look = await ask(tmp_path, "read", device="gauge-001")
        with pytest.raises(HeadgateError) as refused:
            await ask(tmp_path, "read", device="gauge-01")
    assert [way for way, _ in look["frames"]] == ["sent", "received"]
    truth = farm.truth.looks("gauge-001")[-1]
    values = {r["point"]: r["value"] for r in look["readings"]}
    assert values["water_level"] == pytest.approx(truth["values"]["water_level"], abs=1e-9)
    assert (refused.value.code, refused.value.fields["nearest"]) == ("HG-9120", "gauge-001")


async def test_a_silent_device_is_told_with_its_likely_cause(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=2)
    write_site(
        tmp_path,
        farm.site("200ms").replace("[[device]]", '[[device]]\ntimeout = "100ms"\nretries = 0'),
    )
    async with running(tmp_path):
        await all_good(tmp_path, 2)
        farm.fault("gauge-002", "silent")

        async def silent() -> bool:
            states = {d["device"]: d["state"] for d in (await ask(tmp_path, "status"))["devices"]}
            return states == {"gauge-001": "ok", "gauge-002": "quarantined"}

        await until(silent)
        look = await ask(tmp_path, "read", device="gauge-002")
    assert look["code"] == "HG-3002"


def halves(farm: RunningFarm) -> tuple[str, str]:
    """The site of a farm of two, cut after the first gauge."""
    text = farm.site("100ms")
    cut = text.rindex("[[channel]]")
    return text[:cut], text[cut:]


async def test_reload_touches_only_what_changed(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    first, second = halves(water_gauge_farm(count=2))
    write_site(tmp_path, first)
    async with running(tmp_path):
        await all_good(tmp_path, 1)
        write_site(tmp_path, first + second)
        changes = await ask(tmp_path, "reload")
        assert changes["devices"]["added"] == ["gauge-002"]
        assert changes["devices"]["changed"] == []
        await all_good(tmp_path, 2)
        looks = {d["device"]: d["looks"] for d in (await ask(tmp_path, "status"))["devices"]}
        assert looks["gauge-001"] >= looks["gauge-002"]
        write_site(tmp_path, second.replace('"100ms"', '"150ms"'))
        changes = await ask(tmp_path, "reload")
        assert changes["devices"]["removed"] == ["gauge-001"]
        assert changes["devices"]["changed"] == ["gauge-002"]
        await all_good(tmp_path, 1)
    items = await stored(tmp_path)
    slots = [i.slot for i in items if isinstance(i, Block) and i.device == 2]
    assert slots == list(range(len(slots))), "a device that stays counts on, and misses nothing"


async def test_a_broken_site_file_changes_nothing(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    gauges = water_gauge_farm(count=1).site("100ms")
    write_site(tmp_path, gauges)
    async with running(tmp_path):
        await all_good(tmp_path, 1)
        write_site(tmp_path, gauges.replace("generic/", "genric/"))
        with pytest.raises(HeadgateError):
            await ask(tmp_path, "reload")
        before = (await ask(tmp_path, "status"))["devices"][0]["good"]
        await all_good(tmp_path, 1, looks=before + 2)


async def test_two_gateways_never_share_a_state_folder(tmp_path: Path) -> None:
    write_site(tmp_path, "")
    async with running(tmp_path):
        with pytest.raises(SpoolLocked) as refused:
            await Gateway(system_env(), tmp_path).run(asyncio.Event())
    assert refused.value.code == "HG-9123"
    async with running(tmp_path) as again:
        assert again.ready.is_set()


async def test_a_site_with_mistakes_starts_nothing(tmp_path: Path) -> None:
    write_site(
        tmp_path,
        '[[device]]\nid = "a"\nchannel = "nowhere"\naddress = 1\nprofile = "generic/radar-level"\n',
    )
    with pytest.raises(ConfigError):
        await Gateway(system_env(), tmp_path).run(asyncio.Event())
    assert not (tmp_path / "state").exists()


async def test_metrics_are_served_and_a_taken_port_stops_nothing(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    write_site(tmp_path, water_gauge_farm(count=1).site("100ms"), metrics=f"127.0.0.1:{port}")
    async with running(tmp_path):
        await all_good(tmp_path, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    assert 'headgate_device_up{channel="gauge-001",device="gauge-001"} 1.0' in page
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        async with running(tmp_path):
            await all_good(tmp_path, 1)


async def test_a_stopped_gateway_is_said_to_be_away(tmp_path: Path) -> None:
    with pytest.raises(HeadgateError) as nobody:
        await ask(tmp_path, "status")
    assert nobody.value.code == "HG-9110"


async def test_status_is_json_all_the_way(tmp_path: Path, water_gauge_farm: FarmMaker) -> None:
    write_site(tmp_path, water_gauge_farm(count=1).site("100ms"))
    async with running(tmp_path):
        await all_good(tmp_path, 1)
        status = await ask(tmp_path, "status")
    assert json.loads(json.dumps(status)) == status
    assert status["identity"] == {**status["identity"], "enrolled": False, "local_wrap": True}


async def test_status_speaks_the_readers_language_and_the_boxs_own_to_whoever_says_none(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    write_site(tmp_path, water_gauge_farm(count=1).site("100ms"))
    async with running(tmp_path):
        await ask(tmp_path, "control-lock", reason="belt off")
        asked = {lang: await ask(tmp_path, "status", lang=lang) for lang in ("zh", "en", "xx")}
    (chinese,), (english,), (own,) = (asked[lang]["problems"] for lang in ("zh", "en", "xx"))
    assert "锁定" in chinese
    assert "locked out" in english
    assert own == chinese  # the site file's language when it names none


async def test_what_a_gateway_keeps_is_read_by_nobody_else(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    """Also where the service's umask does not see to it."""
    write_site(tmp_path, water_gauge_farm(count=1).site("100ms"))
    async with running(tmp_path):
        await all_good(tmp_path, 1)
    state = tmp_path / "state"
    files = [path for path in state.iterdir() if path.is_file()]
    assert state / "state.db" in files
    open_ones = [(path.name, oct(path.stat().st_mode)) for path in files if path.stat().st_mode & 7]
    assert open_ones == []
