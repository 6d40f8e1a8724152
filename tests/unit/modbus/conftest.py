"""Devices of any points stand beside the tests of this folder; the byte server beside the channels'."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "channels")]

from modbus_device import MakeDevice, make  # noqa: E402


@pytest.fixture
def device() -> MakeDevice:
    """Makes a device from source keys."""
    return make
