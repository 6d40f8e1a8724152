"""What a station on a call can be asked (50 to 65, B0, B1, 61), and its clock be set (11).

Not here, on purpose: nothing is set but the clock (10 to 20, A0 to A2), nothing is reset or cleared (90, 91),
no password is changed (96), no card switched (30, 31).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from headgate.sdk import Device, DeviceRefused, Errand, Told
from headgate_drivers.szy206.frames import Afn, Frame, Kind
from headgate_drivers.szy206.items import Message
from headgate_drivers.szy206.particulars import STORED
from headgate_drivers.szy206.replies import Centre

T = TypeVar("T")

SET_CLOCK = "set-clock"
ERRANDS: Mapping[str, Errand] = {
    "now": Errand("HG-3760", ("kind",)),
    "history": Errand("HG-3761", ("kind", "from", "to", "number?")),
    "parameters": Errand("HG-3762", ("what",)),
    "state": Errand("HG-3763"),
    "events": Errand("HG-3764"),
    "pump-motor": Errand("HG-3765"),
    "picture": Errand("HG-3766", ("number?",)),
    "clock": Errand("HG-3767"),
    SET_CLOCK: Errand("HG-3768", changes=True),
}
_PLAIN: Mapping[str, Afn] = {
    "state": Afn.ASK_STATE, "events": Afn.ASK_EVENTS, "pump-motor": Afn.ASK_PUMPS,
    "clock": Afn.ASK_CLOCK,
}  # fmt: skip
PARAMETERS: Mapping[str, Afn] = {
    "address": Afn.ASK_ADDRESS, "mode": Afn.ASK_MODE, "reports": Afn.ASK_REPORTS,
    "kinds": Afn.ASK_KINDS, "recharge": Afn.ASK_RECHARGE, "remaining": Afn.ASK_REMAINING,
    "levels": Afn.ASK_LEVEL_LIMITS, "pressures": Afn.ASK_PRESSURE_LIMITS,
    "quality-high": Afn.ASK_QUALITY_HIGH, "quality-low": Afn.ASK_QUALITY_LOW,
    "flows": Afn.ASK_FLOW_LIMITS, "channels": Afn.ASK_CHANNELS, "relay": Afn.ASK_RELAY_STATE,
    "relayed": Afn.ASK_RELAY_ADDRESSES,
}  # fmt: skip
#: Kinds by the words that a person writes; `all`: several at once.
KINDS: Mapping[str, Kind] = {
    "rain": Kind.RAIN, "level": Kind.LEVEL, "flow": Kind.FLOW, "velocity": Kind.VELOCITY,
    "gate": Kind.GATE, "power": Kind.POWER, "weather": Kind.WEATHER,
    "electricity": Kind.ELECTRICITY, "water-temperature": Kind.WATER_TEMPERATURE,
    "quality": Kind.QUALITY, "soil": Kind.SOIL, "evaporation": Kind.EVAPORATION,
    "voltage": Kind.ALARM, "all": Kind.STATISTICS, "pressure": Kind.PRESSURE,
}  # fmt: skip


def question(
    centre: Centre, device: Device, name: str, said: Mapping[str, str], at: datetime
) -> Frame:
    """What is sent for an errand.

    Raises:
        DeviceRefused: an argument that is none (HG-3655).
        ValueError: a command without a password.
    """
    if name == SET_CLOCK:
        return centre.set_clock(at)
    if name in _PLAIN:
        return centre.ask(_PLAIN[name])
    if name == "now":
        return centre.ask_values(_known(device, "kind", said["kind"], KINDS))
    if name == "parameters":
        return centre.ask(_known(device, "what", said["what"], PARAMETERS))
    number = _number(device, said.get("number", "1"))
    if name == "picture":
        return centre.ask(Afn.PICTURE_RECORD, data=bytes([number]))
    stored = {each[0]: each[0] for each in STORED if each}
    kind = _known(device, "kind", said["kind"], stored)
    begin, end = (_hour(device, which, said[which]) for which in ("from", "to"))
    if end < begin:
        raise _none(device, "to", said["to"], "not before from · 不早于 from")
    return centre.ask_stored(kind, begin, end, number)


def lines(message: Message) -> list[Told]:
    """An answer, line by line."""
    told = [Told(each.name, each.value, each.unit) for each in message.values]
    told += [Told(name, text) for name, text in message.texts]
    if message.alarm is not None:
        told.append(Told("alarms", " ".join(message.alarms)))
    if message.state is not None:
        told.append(Told("states", " ".join(str(bit) for bit in message.states)))
    if not told and message.raw:
        told.append(Told("raw", message.raw.hex()))
    return told


def _known(device: Device, argument: str, word: str, table: Mapping[str, T]) -> T:
    found = table.get(word)
    if found is None:
        raise _none(device, argument, word, ", ".join(table))
    return found


def _number(device: Device, word: str) -> int:
    if not word.isdecimal() or not 0 <= int(word) <= 15:
        raise _none(device, "number", word, "0 … 15")
    return int(word)


def _hour(device: Device, argument: str, word: str) -> datetime:
    for form in ("%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y%m%d%H"):
        try:
            return datetime.strptime(word, form)  # noqa: DTZ007 - the station's own clock
        except ValueError:
            continue
    raise _none(device, argument, word, "2026-05-01T08, the station's own time · 测站本地时间")


def _none(device: Device, argument: str, said: str, wanted: str) -> DeviceRefused:
    return DeviceRefused(
        f"{device.id}: {argument} cannot be {said}", code="HG-3655", device=device.id,
        argument=argument, said=said, wanted=wanted,
    )  # fmt: skip
