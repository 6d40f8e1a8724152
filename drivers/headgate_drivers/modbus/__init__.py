"""Modbus: registers and coils of field devices, polled over one of the core's channels.

codec          frames and PDUs as bytes (pure)
encoding       how a value stands in registers (pure)
points         what a profile may say of a point
plan           points into requests, answers into columns (pure)
learned        what is kept of one device
transactions   one request and its answer, on every kind of line
driver         asks, and learns what a device dislikes
writing        values into what a write sends (pure)
identity       what a device says of itself (pure)
commissioning  writing, identifying, looking whether anybody is there
replay         recorded frames as a device, for profile cases (pure)
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.modbus.driver import ModbusDriver
from headgate_drivers.modbus.learned import ModbusPlan

__all__ = ["ModbusDriver", "ModbusPlan", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The Modbus driver."""
    return [ModbusDriver]
