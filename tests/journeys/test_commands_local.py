"""Whoever stands at the box: writes, locks the others out, signs; the log of the PLC is the judge."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from kit.pki import Party, Pki
from kit.running import PATIENCE_S, Site
from typer.testing import CliRunner

from headgate.cli.client import call
from headgate.cli.root import app
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.errors import ConfigError, HeadgateError
from headgate.model import CommandResult
from headgate_simulators.pytest import PlcsMaker, RunningPlcs

CONTROLS = """
[[control]]
device = "ps-001"
point = "pump2_run"
on_lease_end = "auto"
auto_point = "pump2_auto"
feedback = "pump2_running"
lease = "{lease}"
interlock = ["{{ps-001/level}} > 0.3"]
remote_when = "{{ps-001/remote}} == 1"
[[control]]
device = "ps-001"
point = "gate_setpoint"
on_lease_end = "hold"
min = 20
max = 100
max_step = 30
[[heartbeat]]
device = "ps-001"
point = "heartbeat"
every = "200ms"
"""


@pytest.fixture
def plcs(pump_modbus: PlcsMaker) -> RunningPlcs:
    return pump_modbus(count=1, watchdog_s=30)


def commands(plcs: RunningPlcs) -> list[tuple[str, Any]]:
    return [(line["name"], line["value"]) for line in plcs.writes.but("heartbeat")]


async def test_a_state_folder_put_back_from_before_a_lease_lets_go_of_the_pump(
    tmp_path: Path, plcs: RunningPlcs
) -> None:
    """Within one boot: the copy knows of no lease, and the PLC's watchdog saw no pause."""
    box = Box(tmp_path, plcs)
    async with box.running():
        await box.until(lambda s: s["devices"][0]["state"] == "ok")
        await box.write("gate_setpoint", "80")  # a journal that is there, without the lease
    copy = tmp_path / "copy"
    shutil.copytree(box.state, copy)
    async with box.running():
        await box.until(lambda s: s["devices"][0]["state"] == "ok")
        assert (await box.write("pump2_run", "1"))["kept"]
    assert ("pump2_auto", 1) not in commands(plcs)
    shutil.rmtree(box.state)
    shutil.copytree(copy, box.state)
    async with box.running(), asyncio.timeout(PATIENCE_S):
        while ("pump2_auto", 1) not in commands(plcs):
            await asyncio.sleep(0.05)


class Box(Site):
    """A gateway with a pump station on its line."""

    def __init__(
        self, folder: Path, plcs: RunningPlcs, lease: str = "30min", more: str = ""
    ) -> None:
        super().__init__(folder, plcs.site("200ms"), more=more + CONTROLS.format(lease=lease))

    async def ask(self, what: str, **fields: Any) -> list[Any]:
        return await asyncio.to_thread(lambda: list(call(self._socket, what, **fields)))

    async def write(self, point: str, value: str) -> Any:
        return (await self.ask("write", device="ps-001", point=point, value=value, confirmed=True))[
            0
        ]

    async def shell(self, *words: str) -> str:
        """What `headgate` prints."""

        def run() -> str:
            variables = {"HEADGATE_SITE": str(self.folder), "HEADGATE_LANG": "en"}
            result = CliRunner().invoke(app, list(words), env=variables)
            assert result.exit_code == 0, result.output
            return result.output

        return await asyncio.to_thread(run)

    async def refused(self, what: str, **fields: Any) -> str:
        with pytest.raises(HeadgateError) as refused:
            await self.ask(what, **fields)
        return refused.value.code

    async def seen(self) -> None:
        """Until the station has been read."""
        await self.until(lambda status: status["devices"][0]["good"] > 0)


async def test_a_write_by_hand_is_a_lease_that_outlives_a_restart_and_ends(
    tmp_path: Path, plcs: RunningPlcs
) -> None:
    box = Box(tmp_path, plcs, lease="5s")
    async with box.running():
        await box.seen()
        done = await box.write("pump2_run", "on")
        assert (done["kept"], done["lease"], done["on_lease_end"]) == (True, "5s", "auto")
        assert plcs.plc().pumps[1].closed
    async with box.running():
        await box.until(lambda status: not status["commands"]["leases"])
        await asyncio.to_thread(
            plcs.writes.wait_for, lambda line: line["name"] == "pump2_auto", PATIENCE_S
        )
    # On a slow machine its end may be cut off by the stop, and done once more by the next run.
    assert commands(plcs)[:2] == [("pump2_run", 1), ("pump2_auto", 1)]
    assert set(commands(plcs)[1:]) == {("pump2_auto", 1)}
    assert plcs.plc().pumps[1].automatic
    beats = [line["value"] for line in plcs.writes.of("heartbeat")]
    assert len(beats) > 10
    told = [
        (i.state, i.who.partition(":")[0]) for i in box.stored() if isinstance(i, CommandResult)
    ]
    assert (told[0], told[-1]) == (("confirmed", "local"), ("ended", "gateway"))


async def test_limits_and_the_selector_go_for_whoever_stands_there_too(
    tmp_path: Path, plcs: RunningPlcs
) -> None:
    box = Box(tmp_path, plcs)
    async with box.running():
        await box.seen()
        where = {"device": "ps-001", "confirmed": True}
        assert await box.refused("write", point="gate_setpoint", value="19", **where) == "HG-6511"
        assert await box.refused("write", point="gate_setpoint", value="69", **where) == "HG-6513"
        assert await box.refused("write", point="alarm_level", value="3", **where) == "HG-6543"
        # A control would not help: the profile lets nobody write it.
        assert await box.refused("write", point="pump1_running", value="1", **where) == "HG-9140"
        assert (await box.write("gate_setpoint", "70"))["kept"]
        [lease] = (await box.ask("controls"))[0]["leases"]
        assert (lease["point"], lease["value"]) == ("gate_setpoint", 70.0)
        listed = await box.shell("control", "list")
        assert (
            "ps-001/gate_setpoint  set/release, 20..100 %  forced to 70.0 by local:uid:" in listed
        )
        assert "refused     ps-001/gate_setpoint set 69.0" in listed
        assert "[HG-6513]" in listed
        assert "ps-001/gate_setpoint = 70.0" in await box.shell("status")
        plcs.command(selector="local", device="ps-001")
        assert await box.refused("write", point="pump2_run", value="on", **where) == "HG-6518"
        plcs.command(selector="remote", device="ps-001")
        await box.shell("control", "lock", "blades out")
        assert "LOCKED by uid:" in await box.shell("control", "list")
        status = await box.status()
        assert any("blades out" in problem for problem in status["problems"])
        # Who locked the others out is not locked out.
        assert (await box.write("pump2_run", "on"))["kept"]
        await box.shell("control", "release", "ps-001", "pump2_run")
        await box.shell("control", "unlock")
        assert "LOCKED" not in await box.shell("control", "list")
        assert await box.refused("control-release", device="ps-001", point="pump2_run") == "HG-6536"
    assert commands(plcs) == [("gate_setpoint", 700), ("pump2_run", 1), ("pump2_auto", 1)]


async def test_changed_controls_wait_for_two_technicians(tmp_path: Path, plcs: RunningPlcs) -> None:
    provider = default_provider()
    pki = Pki(provider)
    (tmp_path / "ca.crt").write_bytes(pki.root.certificate.pem())
    people = [pki.issue(name, Role.TECHNICIAN) for name in ("ma.jun", "liu.fang")]
    box = Box(
        tmp_path, plcs, more='[identity]\nca = "ca.crt"\n[controls]\nsigned = true\n'
    )  # fmt: skip

    async def signed(*who: Party) -> str:
        said = ""
        for each in who:
            (tmp_path / "my.key").write_bytes(each.key.pem())
            (tmp_path / "my.crt").write_bytes(each.certificate.pem())
            words = ("--key", str(tmp_path / "my.key"), "--certificate", str(tmp_path / "my.crt"))
            said = await box.shell("control", "sign", *words)
        return said

    assert "1 of 2" in await signed(people[0])
    async with box.running() as gateway:
        await box.seen()
        where = {"device": "ps-001", "point": "pump2_run", "value": "on", "confirmed": True}
        assert await box.refused("write", **where) == "HG-6535"
        assert "2 of 2" in await signed(*people)
        await gateway.reload()
        assert (await box.write("pump2_run", "on"))["kept"]

        text = (tmp_path / "site.toml").read_text()
        (tmp_path / "site.toml").write_text(text.replace('"{ps-001/level} > 0.3"', ""))
        with pytest.raises(ConfigError) as refused:
            await gateway.reload()
        assert [problem.code for problem in refused.value.problems] == ["HG-6561"]
        # What was signed is still in force.
        [said] = await box.ask("controls")
        assert said["in_force"] and said["controls"][0]["interlock"]
        assert "2 of 2" in await signed(*people)
        await gateway.reload()
        [said] = await box.ask("controls")
        assert said["in_force"] and not said["controls"][0]["interlock"]
    assert commands(plcs) == [("pump2_run", 1)]
