"""What a master asks of a meter, and tells it (clause 7). Pure.

A password stands in the data of a write and of a switch command; it is never logged or traced by us, but
whoever listens on the pair hears it: the protocol has no secrecy.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from headgate_drivers.dlt645 import messages, values
from headgate_drivers.dlt645.frames import BROADCAST, EVERYBODY, Frame, encode

Switch = Literal["trip", "permit close", "close", "alarm", "end alarm", "keep power",
                 "end keeping power"]  # fmt: skip
_CODES = {name: code for code, name in messages.COMMANDS.items()}
#: FE before a request: the standard says 4 at most, and meters that sleep want them.
WAKE = 4


def read(address: str, identifier: str, wake: int = WAKE) -> bytes:
    """Ask for what stands behind an identifier: eight digits (2007) or four (1997)."""
    control = messages.READ_1997 if len(identifier) == 4 else messages.READ
    return _frame(address, control, bytes.fromhex(identifier)[::-1], wake)


def follow(address: str, identifier: str, number: int, wake: int = WAKE) -> bytes:
    """Ask for the follow-up frame of this number; 1997 has no numbers."""
    data = bytes.fromhex(identifier)[::-1]
    if len(identifier) == 4:
        return _frame(address, messages.FOLLOW_1997, data, wake)
    return _frame(address, messages.FOLLOW, data + bytes([number]), wake)


def who(wake: int = WAKE) -> bytes:
    """Ask the one meter on the pair for its address (2007)."""
    return _frame(EVERYBODY, messages.ADDRESS, b"", wake)


def clock(at: datetime, wake: int = WAKE) -> bytes:
    """Tell all meters the time, in their own zone. Nobody answers.

    A meter takes it once a day and only where it is at most five minutes off (clause 7).
    """
    return _frame(BROADCAST, messages.CLOCK, values.write_moment(at, "second"), wake)


def freeze(address: str = BROADCAST, at: str = "99999999", wake: int = WAKE) -> bytes:
    """Tell a meter, or all, to freeze: month, day, hour, minute, 99 for every one; all 99 is now."""
    return _frame(address, messages.FREEZE, bytes.fromhex(at)[::-1], wake)


def write(
    address: str, identifier: str, content: bytes, password: str, operator: str, wake: int = WAKE
) -> bytes:
    """Write a parameter. `password`: eight digits, its class first; `operator`: eight."""
    data = bytes.fromhex(identifier)[::-1] + _authority(password, operator) + content
    return _frame(address, messages.WRITE, data, wake)


def switch(
    address: str, what: Switch, until: datetime, password: str, operator: str, wake: int = WAKE
) -> bytes:
    """Trip, close, alarm or keep power (supplement); void after `until`, in the meter's zone."""
    data = _authority(password, operator) + bytes([_CODES[what], 0])
    return _frame(address, messages.SWITCH, data + values.write_moment(until, "second"), wake)


def _authority(password: str, operator: str) -> bytes:
    secret, by = bytes.fromhex(password), bytes.fromhex(operator)
    if len(secret) != 4 or len(by) != 4:
        # Neither of them is named: an error may be shown.
        raise ValueError("a password and an operator have eight digits each")
    return secret[:1] + secret[:0:-1] + by[::-1]


def _frame(address: str, control: int, data: bytes, wake: int) -> bytes:
    return encode(Frame(address, control, data, wake))
