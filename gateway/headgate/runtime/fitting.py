"""Which profiles fit a unit that answers: each is tried on it, and those that bring good values are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headgate import columns
from headgate.errors import ChannelError, ChannelTimeout, HeadgateError
from headgate.model import Block, Quality, Reading
from headgate.profiles import Profile, judge, resolve
from headgate.profiles.schema import Scalar
from headgate.runtime.field import Field
from headgate.sdk import Channel, Device, PollingDriver

#: Profiles tried in a row without an answer before a unit is left alone.
PATIENCE = 3
#: Profiles shown for one unit.
MOST_PROPOSALS = 3
#: A profile that brings less than this share of good values is not proposed.
FITS = 0.5


class Candidate(msgspec.Struct, frozen=True):
    """One profile on one unit: how many of its points were good, and a few of them."""

    profile: str
    good: int
    points: int
    sample: tuple[str, ...]


async def fitting(
    field: Field, driver: PollingDriver, profiles: Sequence[Profile], bare: Device, model: str = ""
) -> list[Candidate]:
    """The profiles that bring good values from a unit, the most fitting first.

    Raises:
        ChannelClosed: the line is down.
    """
    found = []
    unanswered = 0
    for profile in profiles:
        try:
            candidate = await tried(field, driver, profile, bare)
            unanswered = 0
        except ChannelTimeout:
            candidate = None
            unanswered += 1
            if unanswered == PATIENCE:
                break  # it fell silent: questions that it does not know are not good for it
        if candidate is not None:
            found.append(candidate)
    return best(found, model)


async def tried(
    field: Field, driver: PollingDriver, profile: Profile, bare: Device
) -> Candidate | None:
    """What one look under this profile brings; None: nothing that makes sense.

    Raises:
        ChannelTimeout: no answer.
        ChannelClosed: the line is down.
    """

    async def look(line: Channel) -> list[Reading]:
        device = under(profile, bare, None)
        identity = await driver.identify(line, device) if profile.identify else None
        if identity is not None and identity.firmware is not None:
            device = under(profile, bare, identity.firmware)
        return readings_of(device, await driver.read(line, device, driver.plan(device)))

    try:
        got = await field.between(bare.channel, look)
    except ChannelError:
        raise
    except HeadgateError:
        return None
    return candidate_of(profile, got)


def candidate_of(profile: Profile, readings: Sequence[Reading]) -> Candidate | None:
    """How well a profile fits what was read; None where too little of it is good."""
    good = [reading for reading in readings if reading.quality is Quality.GOOD]
    if len(good) < max(1, len(readings) * FITS):
        return None
    sample = tuple(_shown(reading) for reading in good[:3])
    return Candidate(profile.id, len(good), len(readings), sample)


def best(candidates: Iterable[Candidate], model: str = "") -> list[Candidate]:
    """A few candidates, the most fitting first; `model` is what the unit calls itself."""
    model = model.lower()

    def fit(one: Candidate) -> tuple[bool, float, int]:
        named = bool(model) and one.profile.partition("/")[2].partition("@")[0] in model
        return named, one.good / one.points, one.good

    return sorted(candidates, key=fit, reverse=True)[:MOST_PROPOSALS]


def readings_of(device: Device, block: Block) -> list[Reading]:
    """A block judged and converted."""
    return list(columns.readings(judge(device)(block), device.table))


def placeholders(profile: Profile) -> dict[str, Scalar]:
    """Something allowed for each parameter that a site file would have to tell."""
    return {
        name: param.choices[0] if param.choices
        else "-" if param.type == "text"
        else int(param.range[0]) if param.range and param.type == "integer"
        else min(max(1.0, param.range[0]), param.range[1]) if param.range
        else 1
        for name, param in profile.params.items()
        if param.default is None
    }  # fmt: skip


def under(profile: Profile, bare: Device, firmware: str | None) -> Device:
    """The unit under a profile, with parameters that nobody has told yet set to something allowed."""
    device = resolve(
        profile,
        device_id=bare.id,
        number=0,
        channel=bare.channel,
        address=bare.address,
        sm3=lambda _: bytes(32),
        firmware=firmware,
        params=placeholders(profile),
        timeout_s=bare.timeout_s,
        retries=0,
    )
    # Function 43/14 was asked once already, and means nothing for one profile or another.
    quirks = {**device.quirks, **bare.quirks, "no_device_id": True}
    return msgspec.structs.replace(device, quirks=quirks)


def _shown(reading: Reading) -> str:
    value = reading.value
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    unit = "" if reading.unit == "1" else f" {reading.unit}"
    return f"{reading.point} {shown}{unit}"
