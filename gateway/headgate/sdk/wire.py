"""Errors on a wire: what a plugin raises in its host process is raised again in the core, the same.

Class, sentence, code, fields, and with them `retryable`, survive. A plugin's own subclass arrives as the
nearest class of the tree in `headgate.errors`; anything that is not of the tree arrives as `PluginError`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headgate import errors
from headgate.errors import ConfigError, DeviceRefused, HeadgateError, PluginError, Problem

Field = str | int | float | bool | None


class WireError(msgspec.Struct, frozen=True, array_like=True):
    """An error as it crosses. `problems` belong to a `ConfigError`, `detail` to a `DeviceRefused`."""

    kind: str
    text: str
    code: str
    fields: dict[str, Any] = {}
    problems: tuple[Problem, ...] = ()
    detail: int = 0


def error_to_wire(error: Exception) -> WireError:
    """The form in which an error crosses. Field values that are not plain become text."""
    if isinstance(error, NotImplementedError):
        return WireError("NotImplementedError", str(error), "")
    if not isinstance(error, HeadgateError):
        return WireError(PluginError.__name__, f"{type(error).__name__}: {error}", "HG-2000")
    ours = next(c for c in type(error).__mro__ if c.__module__ == errors.__name__)
    return WireError(
        ours.__name__,
        str(error),
        error.code,
        {key: _plain(value) for key, value in error.fields.items()},
        error.problems if isinstance(error, ConfigError) else (),
        error.detail if isinstance(error, DeviceRefused) else 0,
    )


def error_from_wire(wire: WireError) -> Exception:
    """The error that crossed, ready to be raised. A kind that is not known is a `PluginError`."""
    if wire.kind == "NotImplementedError":
        return NotImplementedError(wire.text)
    kind = getattr(errors, wire.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, HeadgateError)):
        return _with(PluginError(wire.text, code=wire.code), wire)
    if issubclass(kind, ConfigError):
        return _with(kind(wire.problems), wire)
    if issubclass(kind, DeviceRefused):
        return _with(kind(wire.text, detail=wire.detail, code=wire.code), wire)
    return _with(kind(wire.text, code=wire.code), wire)


def _with(error: HeadgateError, wire: WireError) -> HeadgateError:
    # Not as keywords: a field may have the name of a parameter.
    error.fields = dict(wire.fields)
    error.code = wire.code
    return error


def _plain(value: object) -> Any:
    if isinstance(value, Field | bytes):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return str(value)
