"""What the tests of profiles share: a profile from a text, a device from a profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headgate.profiles import Profile, decode, resolve
from headgate.profiles.schema import Decoded
from headgate.sdk import Device

HEAD = 'schema = 1\nvendor = "acme"\nmodel = "x1"\ndriver = "toy"\n'

Read = Callable[..., Decoded]
MakeDevice = Callable[..., Device]


@pytest.fixture
def read() -> Read:
    """Decode a profile whose head is given; the text follows from line 5 on."""

    def read(text: str, **options: Any) -> Decoded:
        return decode((HEAD + text).encode(), "profile.toml", **options)

    return read


@pytest.fixture
def device(read: Read) -> MakeDevice:
    """A device of a profile's text or of a profile."""

    def device(text: str | Profile, **facts: Any) -> Device:
        if isinstance(text, str):
            decoded = read(text)
            assert decoded.problems == ()
            assert decoded.profile is not None
            text = decoded.profile
        given = {
            "device_id": "d-1",
            "number": 7,
            "channel": "c",
            "address": 1,
            "sm3": lambda b: bytes(32),
        }
        return resolve(text, **{**given, **facts})

    return device
