"""The library behind the driver: absent, or not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kit.ble import device, point

from headgate.env import system_env
from headgate.errors import PluginError
from headgate.runtime.ownline import OwnLine
from headgate_drivers.ble import BleDriver


async def test_a_missing_library_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bleak", None)
    for name in ("line", "radio", "gatt"):
        monkeypatch.delitem(sys.modules, f"headgate_drivers.ble.{name}", raising=False)
    tag = device('format = "bthome"', point("temperature"), "A4:C1:38:8D:18:B2")
    line = OwnLine(system_env(), "air", "ble://hci0", {})
    with pytest.raises(PluginError) as caught:
        async for _ in BleDriver().listen(line, [tag]):
            pass
    assert caught.value.code == "HG-3508"
    assert not caught.value.retryable


def test_a_gateway_without_ble_does_not_pay_for_it() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, headgate_drivers.ble; print(sorted(sys.modules))"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "'headgate_drivers.ble.driver'" in said
    assert "'bleak'" not in said
    assert "'dbus_fast'" not in said
