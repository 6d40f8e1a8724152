"""The files of a new profile, commented, ready to be changed: what `headgate profiles new` writes."""

from __future__ import annotations

_PROFILE = """\
schema = 1
vendor = "{vendor}"
model = "{model}"
title = "{model}"
title_zh = "{model}"
driver = "modbus"
source = "{vendor} {model} manual, revision and section"   # what this was written from
firmware_scheme = "dotted"      # dotted | integer | date | exact: how versions compare
address_base = 0                # is the first register written 0, 1 or 40001 below?

# What each single unit must tell; the site file fills it. With a default it need not.
[params.zero_offset]
title = "Zero offset found at commissioning"
unit = "m"
default = 0.0
range = [-1.0, 1.0]

# What real units do wrong, for the driver. See the driver's page for the ones it knows.
# [quirks]
# gap_limit = 0

[[point]]
name = "level"
title = "Level above the sensor"
unit = "m"                      # UCUM: m, mm/h, Cel, kPa, "1" for a bare number
area = "holding"                # coil | discrete | input | holding
register = 0
type = "int16"                  # uint16 int32 float32 text bool bcd16 bits uint8_high ...
# order = "CDAB"                # for values of two and more registers; ABCD when not said
scale = 0.001                   # value = raw * scale + offset
offset = "$zero_offset"         # a number, or an expression over the parameters
sentinels = [0x8000]            # raw values that mean "no value": they become bad quality
range = [-1.0, 20.0]            # in the unit above; outside becomes uncertain

[[point]]
name = "status"
title = "Status bits"
area = "holding"
register = 1
type = "bits"
class = "diagnostic"            # alarm | measure | diagnostic

# Firmware that answers differently: ranges are half-open, exactly one variant has when_unknown.
# [[variant]]
# name = "1.x"
# firmware = {{ below = "2.0" }}
#
# [[variant]]
# name = "2.x"
# firmware = {{ from = "2.0" }}
# when_unknown = true
# [[variant.point]]             # same name: these keys win; `remove = true` takes a point away
# name = "level"
# register = 10
"""

_README = """\
# {vendor} {model}

What it is, what it measures, how it is wired (line settings, default unit address).

Source: manual, revision, section. A maker's real name stands here only with its manual cited;
otherwise the vendor is `generic`.

| Register | Function | Type | Unit | Meaning |
|---|---|---|---|---|
| 0 | 3 | int16 | 0.001 m | level, 0x8000: sensor fault |
| 1 | 3 | bits | | status |

## Params

`zero_offset`: metres added to the level, found at commissioning.
"""

_FRAMES = """\
# One look, as on the wire (Modbus TCP, or RTU with its CRC). > asked, < answered.
> 00 01 00 00 00 06 01 03 00 00 00 02
< 00 01 00 00 00 07 01 03 04 04 D2 00 01
"""

_EXPECTED = """\
address = 1                     # of the unit, in the frames
# firmware = "1.4"              # which variant; leave it out for a unit that does not tell

[params]
zero_offset = 0.1

[points]
level = 1.334                   # 0x04D2 = 1234: 1.234 + 0.1
status = 1
# level = {{ quality = "bad", status = "sentinel" }}
"""


def template(vendor: str, model: str) -> dict[str, str]:
    """Text of each file of a new profile, by its path below `<vendor>/<model>/`."""
    texts = {
        "profile.toml": _PROFILE,
        "README.md": _README,
        "cases/plain/frames.txt": _FRAMES,
        "cases/plain/expected.toml": _EXPECTED,
    }
    return {path: text.format(vendor=vendor, model=model) for path, text in texts.items()}
