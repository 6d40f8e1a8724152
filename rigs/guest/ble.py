"""Our BLE driver on the kernel's Bluetooth and a real bluetoothd; the street is bumble behind hci_vhci."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

from headgate.cli.demo.child import Child
from rigs.guest.report import tell, until
from rigs.guest.road import FOLDER, PATIENCE_S, GuestRoad
from rigs.guest.site import KEY, ble_street

BLUETOOTHD = "/usr/libexec/bluetooth/bluetoothd"
_LOG = Path("/run/bluetoothd.log")


def begin_bluetoothd(*options: str) -> subprocess.Popen[bytes]:
    """A daemon of our own."""
    with _LOG.open("ab") as log:
        return subprocess.Popen([BLUETOOTHD, "-n", *options], stdout=log, stderr=log)


async def powered(*, on: bool) -> bool:
    """Switch the adapter, as a technician would; whether it did."""

    async def switch() -> bool:
        done = await asyncio.to_thread(
            subprocess.run, ["bluetoothctl", "power", "on" if on else "off"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return "succeeded" in done.stdout

    return bool((await until(switch, 60))[0])


class Rig:
    """The checks, in turn."""

    def __init__(self, road: GuestRoad, street: Child, daemon: subprocess.Popen[bytes]) -> None:
        self.road = road
        self.talk = street
        self.daemon = daemon

    def street(self, number: signal.Signals) -> None:
        """A word to the street."""
        assert self.talk._process is not None
        os.kill(self.talk._process.pid, number)

    async def fresh(self, check: str, *wanted: tuple[str, str]) -> None:
        """That points go on being stored: one more value than there is now."""
        good, seen = True, []
        for device, point in wanted:
            before = len(self.road.values(device, point))
            values, words = await self.road.stored(device, point, before)
            good = good and bool(values)
            seen.append(words)
        tell(check, good, "; ".join(seen))

    async def heard(self) -> None:
        """Every kind of device, with the values that are true."""
        for check, device in (("plain", "thermometer"), ("sealed", "sealed")):
            values, words = await self.road.stored(device, "temperature", 4)
            steps = {round((b - a) * 100) for a, b in pairwise(values)}
            true = bool(values) and 20 <= values[0] < 30 and min(steps) >= 1
            tell(check, true, words)
        values, words = await self.road.stored("tag", "rssi", 3)
        tell("beacon", bool(values), words)
        values, words = await self.road.stored("probe", "temperature", 3)
        battery = self.road.values("probe", "battery")
        tell("connected", bool(values) and values[0] >= 30 and battery[:1] == [88],
             f"{words}; battery {battery[:1]}")  # fmt: skip

    async def strangers(self) -> None:
        """200 tags that nobody knows leave a number behind."""

        async def look() -> Any:
            said = await self.road.ask("status")
            tally = said["channels"][0]["tally"] if said else {}
            return tally if tally.get("stranger_senders", 0) >= 180 else None

        tally, after = await until(look, PATIENCE_S)
        tell("strangers", bool(tally), f"tally {tally} after {after:.1f} s")

    async def left(self) -> None:
        """The sensor ends its connection, and is connected to again."""
        self.street(signal.SIGUSR1)
        await asyncio.sleep(1)
        await self.fresh("reconnected", ("probe", "temperature"))

    async def off(self) -> None:
        """The adapter is switched off, and on."""
        switched = await powered(on=False)
        down, words = await self.road.line("air", "down")
        tell("adapter-off", switched and down, words)
        switched = await powered(on=True)
        await self.fresh("adapter-on", ("thermometer", "temperature"), ("probe", "temperature"))

    async def gone(self) -> None:
        """Kill bluetoothd; the bus lives."""
        self.daemon.kill()
        self.daemon.wait()
        down, words = await self.road.line("air", "down")
        tell("bluetoothd-killed", down, words)
        begin_bluetoothd()
        await powered(on=True)
        await self.fresh(
            "bluetoothd-again", ("thermometer", "temperature"), ("probe", "temperature")
        )

    async def still(self) -> None:
        """Nobody says anything at all: the scan is begun again, then the line is told to be bad."""
        self.street(signal.SIGUSR2)
        down, words = await self.road.line("air", "down")
        tell("watchdog", down, words)
        self.street(signal.SIGUSR2)
        await self.fresh("heard-again", ("thermometer", "temperature"))


async def main() -> None:
    """The whole rig."""
    said = subprocess.run([BLUETOOTHD, "-v"], capture_output=True, text=True, check=True)
    tell("versions", True, f"BlueZ {said.stdout.strip()}, kernel {os.uname().release}")
    for place in (Path("/run/dbus"), FOLDER):
        place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dbus-daemon", "--system", "--fork"], check=True)
    daemon = begin_bluetoothd()
    (FOLDER / "bindkey").write_text(KEY.hex())
    street = Child.module("street", "rigs.guest.street", [], FOLDER / "street.log")
    await street.start()
    try:
        on = await _switch_on(street)
        async with GuestRoad(ble_street(FOLDER)) as road:
            tell("up", on, "the gateway is ready, hci0 is on")
            rig = Rig(road, street, daemon)
            looks = (rig.heard, rig.strangers, rig.left, rig.gone, rig.off, rig.still)
            named = {look.__name__: look for look in looks}
            for name in os.environ.get("RIG_ONLY", ",".join(named)).split(","):
                await named[name]()
    finally:
        await street.stop()
        for log in (*FOLDER.glob("*.log"), _LOG):
            print(f"--- {log.name}\n" + log.read_text(errors="replace")[-6000:], flush=True)


async def _switch_on(street: Child) -> bool:
    """The adapter is there once the street stands."""

    async def there() -> bool:
        street.check()
        return Path("/sys/class/bluetooth/hci0").exists()

    found, _ = await until(there, 200)
    return bool(found) and await powered(on=True)


if __name__ == "__main__":
    asyncio.run(main())
