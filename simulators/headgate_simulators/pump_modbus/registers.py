"""What stands where in the PLC, and what a write does: the manual's four tables. Pure.

Addresses are zero-based, as on the wire. Source: docs/reference/simulators.md, "generic/pump-station-modbus".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from headgate_simulators.pump_modbus.plc import HIGHEST_HZ, LOWEST_HZ, Plc
from headgate_simulators.words import u32

FIRMWARE = 0x0103
SAMPLE = 12  # the input register that counts
# Exceptions: MODBUS Application Protocol V1.1b3, section 7.
ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 2, 3, 4


class Refused(Exception):
    """The PLC says no: a Modbus exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


#: Writable places, as the write log names them.
COILS: Mapping[int, str] = {
    0: "pump1_run", 1: "pump2_run", 2: "pump1_auto", 3: "pump2_auto", 4: "gate_auto", 8: "reset",
}  # fmt: skip
HOLDING: Mapping[int, str] = {
    0: "pump1_speed_setpoint", 1: "pump2_speed_setpoint", 2: "gate_setpoint", 3: "alarm_level",
    9: "heartbeat",
}  # fmt: skip
_COILS, _HOLDING = 9, 11  # how many each table has
_SPEED, _GATE, _ALARM = (round(LOWEST_HZ * 100), round(HIGHEST_HZ * 100)), (0, 1000), (500, 4500)


def coils(plc: Plc) -> list[int]:
    """The coils."""
    one, two = plc.pumps
    return [one.wanted, two.wanted, one.automatic, two.automatic, plc.gate.automatic, 0, 0, 0, 0]


def discretes(plc: Plc) -> list[int]:
    """The discrete inputs."""
    one, two = plc.pumps
    return [
        one.feedback, two.feedback, one.tripped, two.tripped, plc.gate.moving, plc.gate.fault,
        plc.remote, plc.fallen_back, plc.level_m >= plc.alarm_m,
    ]  # fmt: skip


def inputs(plc: Plc, sample: int) -> list[int]:
    """The input registers."""
    one, two = plc.pumps
    return [
        FIRMWARE, round(plc.level_m * 1000), round(plc.inflow_m3_h * 10),
        round(one.current_a * 10), round(two.current_a * 10),
        round(one.speed_hz * 100), round(two.speed_hz * 100), round(plc.gate.position * 10),
        *u32(one.starts, "ABCD"), *u32(two.starts, "ABCD"), sample & 0xFFFF,
    ]  # fmt: skip


def holding(plc: Plc) -> list[int]:
    """The holding registers."""
    one, two = plc.pumps
    return [
        round(one.setpoint_hz * 100), round(two.setpoint_hz * 100), round(plc.gate.setpoint * 10),
        round(plc.alarm_m * 1000), 0, 0, 0, 0, 0, plc.heartbeat, round(plc.watchdog_s),
    ]  # fmt: skip


def read(table: Sequence[int], address: int, count: int) -> list[int]:
    """`count` places from `address`.

    Raises:
        Refused: they are not all there.
    """
    if address + count > len(table):
        raise Refused(ILLEGAL_ADDRESS)
    return list(table[address : address + count])


def write_coils(plc: Plc, address: int, bits: Sequence[bool]) -> list[Callable[[], None]]:
    """What a write does, each place by itself; nothing is done yet.

    Raises:
        Refused: a place that is not there, or a run command to a pump that has tripped.
    """
    if address + len(bits) > _COILS or any(address + i not in COILS for i in range(len(bits))):
        raise Refused(ILLEGAL_ADDRESS)
    return [_coil(plc, address + i, bit) for i, bit in enumerate(bits)]


def write_registers(plc: Plc, address: int, words: Sequence[int]) -> list[Callable[[], None]]:
    """As `write_coils`; a value outside its bounds is refused, too."""
    places = range(address, address + len(words))
    if address + len(words) > _HOLDING or any(place not in HOLDING for place in places):
        raise Refused(ILLEGAL_ADDRESS)
    return [_register(plc, place, word) for place, word in zip(places, words, strict=True)]


def _coil(plc: Plc, place: int, bit: bool) -> Callable[[], None]:
    if place in (0, 1):
        if bit and plc.pumps[place].tripped:
            raise Refused(DEVICE_FAILURE)
        return partial(plc.run, place, bit)
    if place in (2, 3):
        return partial(plc.give_back, place - 2, bit)
    if place == 4:
        return partial(plc.give_gate_back, bit)
    return plc.reset if bit else _nothing


def _register(plc: Plc, place: int, word: int) -> Callable[[], None]:
    if place == 9:
        return partial(plc.beat, word)
    low, high = {2: _GATE, 3: _ALARM}.get(place, _SPEED)
    if not low <= word <= high:
        raise Refused(ILLEGAL_VALUE)
    if place == 2:
        return partial(plc.open_gate, word / 10)
    if place == 3:
        return partial(setattr, plc, "alarm_m", word / 1000)
    return partial(setattr, plc.pumps[place], "setpoint_hz", word / 100)


def _nothing() -> None:
    """A coil that does something only when it is set."""
