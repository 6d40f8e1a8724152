"""Water quality: five bytes say which parameters follow, four bytes each.

Two tables: SZY 206-2016, and SL/T 427-2021 (table 18), which has the same parameters in another order.
SL/T 427 was at hand without its column of decimals: those of SZY 206-2016 stand there for the same
parameter. Before 2016 dissolved oxygen and permanganate had one decimal: quirk `edition = "szy206-2012"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate_drivers.szy206 import values
from headgate_drivers.szy206.items import Edition, Value
from headgate_drivers.szy206.values import Form

MASK = 5
#: Of this parameter the number has ten digits, in SZY 206.
LONG = 24

#: Decimals and unit of each parameter, as SZY 206-2016 has them.
_NUMBERS: Mapping[str, tuple[int, str]] = {
    "water_temperature": (1, "°C"), "ph": (2, ""), "dissolved_oxygen": (2, "mg/L"),
    "permanganate_index": (2, "mg/L"), "conductivity": (0, "uS/cm"), "orp": (1, "mV"),
    "turbidity": (0, "NTU"), "cod": (1, "mg/L"), "bod5": (1, "mg/L"),
    "ammonia_nitrogen": (2, "mg/L"), "total_nitrogen": (2, "mg/L"), "copper": (4, "mg/L"),
    "zinc": (4, "mg/L"), "fluoride": (2, "mg/L"), "selenium": (5, "mg/L"), "arsenic": (5, "mg/L"),
    "mercury": (5, "mg/L"), "cadmium": (5, "mg/L"), "chromium_vi": (3, "mg/L"), "lead": (5, "mg/L"),
    "cyanide": (3, "mg/L"), "volatile_phenol": (3, "mg/L"), "phenol": (2, "mg/L"),
    "sulfide": (3, "mg/L"), "faecal_coliforms": (0, "/L"), "sulfate": (2, "mg/L"),
    "chloride": (2, "mg/L"), "nitrate_nitrogen": (2, "mg/L"), "iron": (2, "mg/L"),
    "manganese": (2, "mg/L"), "oil": (2, "mg/L"), "anionic_surfactant": (2, "mg/L"),
    "hch": (6, "mg/L"), "ddt": (6, "mg/L"), "organochlorines": (6, "mg/L"),
    "total_phosphorus": (3, "mg/L"), "chlorophyll_a": (3, "ug/L"),
}  # fmt: skip
_SZY206 = (
    "water_temperature", "ph", "dissolved_oxygen", "permanganate_index", "conductivity", "orp",
    "turbidity", "cod", "bod5", "ammonia_nitrogen", "total_nitrogen", "copper", "zinc", "fluoride",
    "selenium", "arsenic", "mercury", "cadmium", "chromium_vi", "lead", "cyanide",
    "volatile_phenol", "phenol", "sulfide", "faecal_coliforms", "sulfate", "chloride",
    "nitrate_nitrogen", "iron", "manganese", "oil", "anionic_surfactant", "hch", "ddt",
    "organochlorines", "total_phosphorus", "chlorophyll_a",
)  # fmt: skip
_SLT427 = (
    "water_temperature", "ph", "dissolved_oxygen", "conductivity", "turbidity",
    "permanganate_index", "ammonia_nitrogen", "total_phosphorus", "total_nitrogen",
    "chlorophyll_a", "cod", "bod5", "copper", "zinc", "fluoride", "selenium", "arsenic", "mercury",
    "cadmium", "chromium_vi", "lead", "cyanide", "volatile_phenol", "oil", "anionic_surfactant",
    "sulfide", "faecal_coliforms", "sulfate", "chloride", "nitrate_nitrogen", "iron", "manganese",
)  # fmt: skip
PARAMETERS: Mapping[Edition, tuple[str, ...]] = {
    "szy206": _SZY206, "szy206-2012": _SZY206, "slt427": _SLT427,
}  # fmt: skip
NAMES = frozenset(_NUMBERS)


def present(raw: bytes) -> list[int]:
    """Which parameters the mask names."""
    mask = int.from_bytes(raw[:MASK], "little")
    return [bit for bit in range(MASK * 8) if mask >> bit & 1]


def fits(raw: bytes, edition: Edition) -> int:
    """Whether the values are as long as the mask says: 2 in this edition, 1 in another one, 0 in none."""
    if len(raw) < MASK:
        return 0
    named = present(raw)
    rest = len(raw) - MASK - 4 * len(named)
    if LONG in named and rest in (0, 1):
        return 2 if rest == (edition != "slt427") else 1
    return 2 * (rest == 0)


def read(raw: bytes, edition: Edition) -> list[Value]:
    """The parameters that are there; what has no name is `quality_BIT`, in steps of its last digit."""
    named = present(raw)
    long = len(raw) - MASK - 4 * len(named)
    found, at = [], MASK
    for bit in named:
        size = 4 + (long if bit == LONG else 0)
        name, form = _form(bit, edition, size)
        found.append(values.read(name, form, raw[at : at + size]))
        at += size
    return found


def write(told: list[Value], edition: Edition) -> bytes:
    """The mask and the parameters.

    Raises:
        ValueError: a name that is none.
    """
    bits = {_form(bit, edition)[0]: bit for bit in range(MASK * 8)}
    try:
        by_bit = {bits[each.name]: each for each in told}
    except KeyError as error:
        raise ValueError(f"{error} is no parameter") from None
    mask = sum(1 << bit for bit in by_bit).to_bytes(MASK, "little")
    forms = {
        bit: _form(bit, edition, 4 + (bit == LONG and edition != "slt427"))[1] for bit in by_bit
    }
    return mask + b"".join(values.write(forms[bit], by_bit[bit]) for bit in sorted(by_bit))


def _form(bit: int, edition: Edition, size: int = 4) -> tuple[str, Form]:
    table = PARAMETERS[edition]
    if bit >= len(table):
        return f"quality_{bit}", Form(size, 0, "")
    name = table[bit]
    decimals, unit = _NUMBERS[name]
    if edition == "szy206-2012" and name in ("dissolved_oxygen", "permanganate_index"):
        decimals = 1
    return name, Form(size, decimals, unit)
