"""Modbus: registers and coils of field devices, polled over one of the core's channels.

codec       frames and PDUs as bytes (pure)
encoding    how a value stands in registers (pure)
points      what a profile may say of a point
plan        points into requests, answers into columns (pure)
driver      asks, and learns what a device dislikes
replay      recorded frames as a device, for profile cases (pure)
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.modbus.driver import ModbusDriver, ModbusPlan

__all__ = ["ModbusDriver", "ModbusPlan", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The Modbus driver."""
    return [ModbusDriver]
