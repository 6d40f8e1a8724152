"""What a station on a call can be asked besides its values now, and its clock be set (functions 36 to 51).

Not here, on purpose: parameters are read and never set (40, 42), the storage is not cleared (47), nothing
is reset (48), no password changed (49), no card switched (4B). Who may do such things at a station is
settled nowhere in these frames but in a password that goes over the line as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from headgate.sdk import Device, DeviceRefused, Errand
from headgate_drivers.sl651.elements import BY_ASCII, ELEMENTS, SLOTS
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Frame
from headgate_drivers.sl651.items import Step
from headgate_drivers.sl651.parameters import BASIC, PARAMETERS, PASSWORD
from headgate_drivers.sl651.points import MOST_VALUES, SLOT, length_of
from headgate_drivers.sl651.replies import Centre

SET_CLOCK = "set-clock"
ERRANDS: Mapping[str, Errand] = {
    "now": Errand("HG-3780"),
    "elements": Errand("HG-3781", ("elements...",)),
    "history": Errand("HG-3782", ("from", "to", "step", "element")),
    "parameters": Errand("HG-3783", ("parameters...?",)),
    "state": Errand("HG-3784"),
    "version": Errand("HG-3785"),
    "events": Errand("HG-3786"),
    "pump-motor": Errand("HG-3787"),
    "typed-in": Errand("HG-3788"),
    "picture": Errand("HG-3789"),
    "clock": Errand("HG-3790"),
    SET_CLOCK: Errand("HG-3791", changes=True),
}
_PLAIN: Mapping[str, Function] = {
    "now": Function.ASK_NOW,
    "state": Function.ASK_STATUS,
    "version": Function.ASK_VERSION,
    "events": Function.ASK_EVENTS,
    "pump-motor": Function.ASK_PUMP_MOTOR,
    "typed-in": Function.ASK_TYPED_IN,
    "picture": Function.PICTURE,
    "clock": Function.ASK_CLOCK,
    SET_CLOCK: Function.SET_CLOCK,
}
#: The most that one question may name: a body should have less than 220 bytes (annex H.4.4.2).
_MOST = 64
#: What the basic table is asked for when nothing is named: all of it but the password.
_BASIC = tuple(code for code in sorted(BASIC) if code != PASSWORD)


def frames(
    centre: Centre, device: Device, name: str, said: Mapping[str, str], at: datetime
) -> Sequence[Frame]:
    """What is sent for an errand: one question, or two where both tables of parameters are asked for.

    Raises:
        DeviceRefused: an argument that is none (HG-3655).
    """
    if name in _PLAIN:
        return [centre.ask(_PLAIN[name], at)]
    if name == "elements":
        words = said["elements"].split()
        return [centre.elements([_element(device, word) for word in words[:_MOST]], at)]
    if name == "parameters":
        codes = [_parameter(device, word) for word in said.get("parameters", "").split()[:_MOST]]
        basic = [code for code in codes if code in BASIC] if codes else list(_BASIC)
        running = [code for code in codes if code not in BASIC]
        return [centre.read_parameters(half, at) for half in (basic, running) if half]
    begin, end = _hour(device, "from", said["from"]), _hour(device, "to", said["to"])
    if end < begin:
        raise _none(device, "to", said["to"], "not before from · 不早于 from")
    code = _element(device, said["element"])
    step = _step(device, said["step"])
    if (step == Step(0, 0, 0)) != (code in SLOTS):
        raise _none(device, "step", said["step"], "slots with F4-FC, else 5min, 1h, 1d")
    each = SLOT if code in SLOTS else length_of(step)
    if (end - begin) / each > MOST_VALUES:
        raise _none(
            device, "to", said["to"], f"{MOST_VALUES} values at the most · 最多 {MOST_VALUES} 个"
        )
    return [centre.period(code, begin, end, step, at)]


def _element(device: Device, word: str) -> int:
    """An identifier in hex (39), or its name in ASCII coding (Z)."""
    code = BY_ASCII.get(word.upper())
    if code is None and len(word) == 2 and _is_hex(word) and int(word, 16) in {**ELEMENTS, **SLOTS}:
        code = int(word, 16)
    if code is None:
        raise _none(device, "element", word, "an identifier of annex C (39, Z) · 附录 C 的标识符")
    return code


def _parameter(device: Device, word: str) -> int:
    code = int(word, 16) if len(word) == 2 and _is_hex(word) else -1
    if code not in PARAMETERS or code == PASSWORD or code in (0x97, 0x98):
        wanted = (
            "an identifier of annex D in hex (28), not the password · 附录 D 的标识符，密码除外"
        )
        raise _none(device, "parameter", word, wanted)
    return code


def _hour(device: Device, argument: str, word: str) -> datetime:
    for form in ("%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y%m%d%H"):
        try:
            return datetime.strptime(word, form)  # noqa: DTZ007 - the station's own clock
        except ValueError:
            continue
    raise _none(device, argument, word, "2026-05-01T08, the station's own time · 测站本地时间")


def _step(device: Device, word: str) -> Step:
    if word == "slots":
        return Step(0, 0, 0)
    for unit, most in (("min", 59), ("h", 23), ("d", 31)):
        digits = word.removesuffix(unit)
        if digits != word and digits.isdecimal() and 1 <= int(digits) <= most:
            return Step(*(int(digits) if unit == each else 0 for each in ("d", "h", "min")))
    raise _none(device, "step", word, "5min, 1h, 1d, slots")


def _is_hex(word: str) -> bool:
    return all(letter in "0123456789ABCDEFabcdef" for letter in word)


def _none(device: Device, argument: str, said: str, wanted: str) -> DeviceRefused:
    return DeviceRefused(
        f"{device.id}: {argument} cannot be {said}", code="HG-3655", device=device.id,
        argument=argument, said=said, wanted=wanted,
    )  # fmt: skip
