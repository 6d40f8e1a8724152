"""A profile's recorded cases: frames of one look at a device, and the readings they must give. Pure.

`frames.txt` holds the frames as they stand on the wire, in hex; `expected.toml` holds the unit's
address, its firmware and params, and the readings.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from headgate.columns import readings
from headgate.errors import ConfigError, DeviceError, Problem, ProfileError
from headgate.model import Block, PointTable, Quality, Reading, Status
from headgate.profiles.compile import match, resolve
from headgate.profiles.fields import nearest
from headgate.profiles.judge import judge
from headgate.profiles.schema import Profile, Scalar
from headgate.sdk.device import Device

#: A recorded request and its answer; an empty answer is a device that kept silent.
Exchange = tuple[bytes, bytes]

StatusName = Literal[
    "no-answer", "line-closed", "refused", "malformed", "sentinel", "out-of-range",
    "not-convertible", "device-fault", "stale", "substituted", "not-read",
    "no-clock",
]  # fmt: skip


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one reading must be. `value` is not looked at where it is None."""

    value: Scalar | None = None
    quality: Literal["good", "uncertain", "bad"] = "good"
    status: StatusName | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    points: dict[str, Scalar | Expected]
    address: int | str = 1
    firmware: str | None = None
    params: dict[str, Scalar] = {}
    title: str = ""


class Case(msgspec.Struct, frozen=True):
    """One look at one unit. `name` is its folder."""

    name: str
    address: int | str
    frames: tuple[Exchange, ...]
    expected: dict[str, Expected]
    firmware: str | None = None
    params: dict[str, Scalar] = {}


def read_case(name: str, frames: bytes, expected: bytes) -> Case:
    """A case from its two files.

    Raises:
        ProfileError: HG-8043, with what is wrong and in which file.
    """
    exchanges = _exchanges(f"{name}/frames.txt", frames)
    where = f"{name}/expected.toml"
    try:
        file = msgspec.convert(tomllib.loads(expected.decode("utf-8")), _File)
    except (ValueError, RecursionError) as error:  # TOML, UTF-8 and validation errors alike
        raise _unreadable(where, str(error)) from error
    return Case(
        name=name,
        address=file.address,
        frames=exchanges,
        expected={
            key: told if isinstance(told, Expected) else Expected(told)
            for key, told in file.points.items()
        },
        firmware=file.firmware,
        params=file.params,
    )


def _exchanges(where: str, data: bytes) -> tuple[Exchange, ...]:
    """Pairs of `> request` and `< answer`, in hex; `#` starts a comment.

    A device that talks by itself has answers alone.
    """
    pairs: list[Exchange] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            frame = bytes.fromhex(text[1:])
        except ValueError:
            raise _unreadable(f"{where}:{number}", f"{text[1:].strip()[:40]!r}: hex?") from None
        talks = bool(pairs) and not pairs[0][0]
        if text[0] == ">" and frame and not talks:
            pairs.append((frame, b""))
        elif text[0] == "<" and pairs and not pairs[-1][1]:
            pairs[-1] = (pairs[-1][0], frame)
        elif text[0] == "<" and frame and (talks or not pairs):
            pairs.append((b"", frame))  # it talks by itself
        else:
            raise _unreadable(f"{where}:{number}", "> request, < answer, in turns; or < alone")
    if not pairs:
        raise _unreadable(where, "> ?")
    return tuple(pairs)


def _unreadable(where: str, detail: str) -> ProfileError:
    return ProfileError([Problem(where, "HG-8043", {"detail": detail})])


Replay = Callable[[Device, Sequence[Exchange]], Block]


def run(profile: Profile, case: Case, replay: Replay) -> tuple[str, tuple[Problem, ...]]:
    """(name of the variant that was chosen, what came out differently) of one case.

    `replay` is the driver's own: frames as they stand on the wire into a block, no device needed.
    """
    variant = match(profile, case.firmware).variant.name
    try:
        device = resolve(
            profile,
            device_id=profile.model,
            number=1,
            channel="case",
            address=case.address,
            # Nobody sees this table: any name of the right length will do.
            sm3=lambda _: bytes(32),
            firmware=case.firmware,
            params=case.params,
        )
        block = judge(device)(replay(device, case.frames))
    except ConfigError as error:
        return variant, tuple(
            Problem(f"{case.name}: {p.where}", p.code, p.fields) for p in error.problems
        )
    except DeviceError as error:
        return variant, (Problem(case.name, "HG-8043", {"detail": str(error)}),)
    return variant, compare(case, block, device.table, case.name)


def compare(case: Case, block: Block, table: PointTable, where: str) -> tuple[Problem, ...]:
    """What a block, judged, gives differently from what `case` expects."""
    got = {reading.point: reading for reading in readings(block, table)}
    types = {point.name: point.type for point in table.points}
    problems = []
    for name, expected in case.expected.items():
        reading = got.get(name)
        if reading is None:
            shown = f"- ({nearest(name, got)}?)"
        elif _agrees(expected, reading, types[name]):
            continue
        else:
            shown = _shown(reading.value, reading.quality, reading.status >> 8)
        quality = Quality[expected.quality.upper()]
        told = _shown(expected.value, quality, _status(expected.status))
        fields: dict[str, str | int | float] = {"point": name, "expected": told, "got": shown}
        problems.append(Problem(where, "HG-8042", fields))
    return tuple(problems)


def _status(name: StatusName | None) -> int:
    return 0 if name is None else Status[name.upper().replace("-", "_")]


def _shown(value: object, quality: Quality, status: int) -> str:
    word = Status(status).name.lower().replace("_", "-") if status in list(Status) else str(status)
    rest = quality.name.lower() if quality else ""
    return " ".join(part for part in (str(value), rest, word if status else "") if part)


def _agrees(expected: Expected, reading: Reading, column: str) -> bool:
    if reading.quality != Quality[expected.quality.upper()]:
        return False
    if expected.status is not None and reading.status >> 8 != _status(expected.status):
        return False
    want, value = expected.value, reading.value
    if want is None:
        return True
    if isinstance(want, (bool, str)) or not isinstance(value, (int, float)):
        return type(want) is type(value) and want == value
    # A float32 carries seven digits; what came from an integer must agree to binary64's last ones.
    return math.isclose(value, want, rel_tol=1e-6 if column == "f32" else 1e-12)
