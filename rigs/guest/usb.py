"""Modbus RTU on a USB serial port that the kernel makes: the plug pulled, the line settings on the wire.

The device side of the cable is the kernel's gadget driver with libmodbus on it; what the host side tells the
adapter is read where a USB analyser would be.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

from rigs.guest.report import tell, until
from rigs.guest.road import FOLDER, GuestRoad

GADGET = Path("/sys/kernel/config/usb_gadget/rig")
BY_ID = Path("/dev/serial/by-id/usb-Rig_Bus_adapter_0001-if00")
UNIT = "/dev/ttyGS0"
#: 65.8 % and -10.1 degrees.
REGISTERS = "0:0292ff9b"
#: SET_LINE_CODING (USB CDC PSTN 1.20, 6.3.10), seven bytes, as usbmon writes it.
_CODING = re.compile(r"s 21 20 [0-9a-f]{4} [0-9a-f]{4} 0007 7 = ([0-9a-f]{8}) ([0-9a-f]{6})")
_STOP, _PARITY = {0: "1", 1: "1.5", 2: "2"}, {0: "N", 1: "O", 2: "E"}


def site(line: str) -> str:
    """One bus with one unit."""
    return f"""
[[channel]]
id = "bus"
url = "modbus+rtu://{BY_ID}?{line}"
timeout = "1s"

[[device]]
id = "th"
channel = "bus"
address = 1
profile = "generic/temperature-humidity"
interval = "1s"
"""


def begin_gadget() -> None:
    """A serial adapter that is not plugged in yet."""
    subprocess.run(["mount", "-t", "configfs", "none", "/sys/kernel/config"], check=False)
    subprocess.run(["mount", "-t", "debugfs", "none", "/sys/kernel/debug"], check=False)
    (GADGET / "strings/0x409").mkdir(parents=True)
    for name, value in (("idVendor", "0x1d6b"), ("idProduct", "0x0104")):
        (GADGET / name).write_text(value)
    for name, value in (
        ("manufacturer", "Rig"),
        ("product", "Bus adapter"),
        ("serialnumber", "0001"),
    ):
        (GADGET / "strings/0x409" / name).write_text(value)
    (GADGET / "configs/c.1").mkdir()
    (GADGET / "functions/acm.usb0").mkdir()
    (GADGET / "configs/c.1/acm.usb0").symlink_to(GADGET / "functions/acm.usb0")


class Cable:
    """The plug, and the unit behind it."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._unit: subprocess.Popen[bytes] | None = None

    async def plug(self) -> tuple[bool, float]:
        """Put it in; whether udev gives it its name, and after how long."""
        (GADGET / "UDC").write_text("dummy_udc.0")

        async def there() -> bool:
            return BY_ID.exists()

        found, after = await until(there, 60)
        # The unit is at the far end of the cable: it does not notice much.
        self._unit = subprocess.Popen([self._program, REGISTERS, "0:0", UNIT])
        return bool(found), after

    def pull(self) -> None:
        """Pull it."""
        (GADGET / "UDC").write_text("\n")
        if self._unit is not None:
            self._unit.kill()
            self._unit.wait()


class Wire:
    """What is said to the adapter about its line, read from usbmon."""

    def __init__(self) -> None:
        self._path = Path("/run/usbmon.txt")
        with self._path.open("wb") as out:
            self._reader = subprocess.Popen(["cat", "/sys/kernel/debug/usb/usbmon/0u"], stdout=out)

    def settings(self) -> list[str]:
        """Every line setting, oldest first, as 19200 8E1."""
        return [
            f"{int.from_bytes(bytes.fromhex(rate), 'little')} "
            f"{int(more[4:6], 16)}{_PARITY.get(int(more[2:4], 16), '?')}{_STOP.get(int(more[:2], 16), '?')}"
            for rate, more in _CODING.findall(self._path.read_text(errors="replace"))
        ]

    async def set_to(self, wanted: str) -> tuple[bool, str]:
        """Whether that is what the adapter was told last."""

        async def look() -> bool:
            return self.settings()[-1:] == [wanted]

        found, after = await until(look, 30)
        return bool(found), f"adapter told {self.settings()[-3:]} after {after:.1f} s"

    def stop(self) -> None:
        """Look no more."""
        self._reader.kill()
        self._reader.wait()


async def drive(road: GuestRoad, cable: Cable, wire: Wire) -> None:
    """The checks, in turn."""
    values, words = await road.stored("th", "temperature", 3)
    tell("values", values[:1] == [-10.1] and road.values("th", "humidity")[:1] == [65.8], words)
    good, words = await wire.set_to("19200 8E1")
    tell("line-8E1", good, words)

    second = subprocess.run(
        [".venv/bin/python", "-c", f"import serialx; serialx.Serial({str(BY_ID)!r}, exclusive=True).open()"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    tell("exclusive", second.returncode != 0, " ".join(second.stderr.split())[-120:])

    cable.pull()
    down, words = await road.line("bus", "down")
    tell("pulled", down and not BY_ID.exists(), words)
    named, after = await cable.plug()
    before = len(road.values("th", "temperature"))
    values, words = await road.stored("th", "temperature", before + 2)
    tell("plugged", named and bool(values), f"named after {after:.1f} s; {words}")

    said = (FOLDER / "site.toml").read_text()
    (FOLDER / "site.toml").write_text(
        said.replace("baud=19200&parity=E", "baud=2400&parity=N&stop=2")
    )
    await road.ask("reload")
    good, words = await wire.set_to("2400 8N2")
    tell("line-8N2", good, words)
    before = len(road.values("th", "temperature"))
    values, words = await road.stored("th", "temperature", before + 2)
    tell("values-again", bool(values) and set(values) == {-10.1}, words)

    for _ in range(5):
        cable.pull()
        await asyncio.sleep(0.3)
        await cable.plug()
    before = len(road.values("th", "temperature"))
    values, words = await road.stored("th", "temperature", before + 2)
    tell("loose-plug", bool(values) and set(values) == {-10.1}, f"pulled five times; {words}")


async def main() -> None:
    """The whole rig."""
    tell("versions", True, f"kernel {os.uname().release}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    begin_gadget()
    subprocess.run(["/lib/systemd/systemd-udevd", "--daemon"], check=True)
    cable, wire = Cable(os.environ["RIG_UNIT"]), Wire()
    try:
        named, after = await cable.plug()
        tell("by-id", named, f"{BY_ID} after {after:.1f} s")
        async with GuestRoad(site("baud=19200&parity=E")) as road:
            await drive(road, cable, wire)
    finally:
        cable.pull()
        wire.stop()
        for log in FOLDER.glob("*.log"):
            print(f"--- {log.name}\n" + log.read_text(errors="replace")[-6000:], flush=True)


if __name__ == "__main__":
    asyncio.run(main())
