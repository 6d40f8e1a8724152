"""What a port that stations dial takes from its channel's options itself; the rest is its driver's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headgate.channels.places import Limits
from headgate.errors import ChannelError, Problem
from headgate.runtime.relay import Rule

#: `relay`: a second centre; `limits`: what callers may take.
KEYS = frozenset({"relay", "limits"})


def limits_of(options: Mapping[str, Any]) -> Limits:
    """What callers may take of a port. Raises ChannelError: it cannot be understood."""
    try:
        return msgspec.convert(options.get("limits", {}), Limits)
    except msgspec.ValidationError as error:
        raise ChannelError(str(error), code="HG-3608", reason=str(error)) from None


def port_problems(channel: str, options: Mapping[str, Any]) -> Sequence[Problem]:
    """What is wrong with the options of a port, before anybody dials it."""
    problems = []
    for key in sorted(KEYS & options.keys()):
        try:
            limits_of(options) if key == "limits" else Rule.of(options[key])
        except ChannelError as error:
            problems.append(
                Problem(f'channel "{channel}": options.{key}', error.code, {"reason": str(error)})
            )
    return problems


def drivers_own(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without those of the port."""
    return {key: value for key, value in options.items() if key not in KEYS}
