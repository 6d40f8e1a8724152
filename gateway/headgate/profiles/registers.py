"""Register numbers as manuals print them, and as frames carry them.

Manuals count from 40001 (the first digit is the table), from 1, or from 0; frames count from 0.
Source: MODBUS Application Protocol V1.1b3, section 4.4.
"""

from __future__ import annotations

#: What `address_base` may be.
BASES = (0, 1, 40001)

_AREAS = {0: "coil", 1: "discrete", 3: "input", 4: "holding"}


def normalise(base: int, register: int, area: str | None) -> tuple[int, str | None]:
    """(register from zero, area). Under base 40001 the number itself names the area.

    Both the five-digit (40001) and the six-digit (400001) form are read.

    Raises:
        ValueError: no such register under this base, or it names another area than `area`.
    """
    if base == 40001:
        span = 10_000 if register < 100_000 else 100_000
        digit, number = divmod(register, span)
        if digit not in _AREAS or (area is not None and area != _AREAS[digit]):
            raise ValueError(f"{register} is not in area {area}")
        area, register = _AREAS[digit], number - 1
    else:
        register -= base
    if not 0 <= register <= 0xFFFF:
        raise ValueError(f"{register} is not a register")
    return register, area
