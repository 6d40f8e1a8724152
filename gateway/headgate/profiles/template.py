"""The files of a new profile, commented, ready to be changed: what `headgate profiles new` writes."""

from __future__ import annotations

from typing import Literal

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


_SERIAL = """\
schema = 1
vendor = "{vendor}"
model = "{model}"
title = "{model}"
title_zh = "{model}"
driver = "{driver}"
source = "{vendor} {model} manual, revision and section"   # what this was written from

# How a frame is cut from what comes. Bytes are text, or hex: "hex:FF 86". Every key: docs/reference/serial.
[frame]
{request}start = "#"
end = "\\r\\n"
separator = " "                 # between fields; leave it out for binary frames and use `at` below
# size = 9                      # or: a frame of known size
# length_at = 2                 # or: where the frame tells its length, with length_add
check = "crc16-modbus"          # sum8 xor8 crc8-maxim crc16-ccitt-false ...; leave it out where there is none
check_encoding = "hex"          # two ASCII digits a byte; "binary" when not said
check_mark = "*"                # what stands before it
address_at = 1                  # where the unit's address stands; leave the three out where there is none
address_size = 2
address_encoding = "ascii"

[params.zero_offset]
title = "Zero offset found at commissioning"
unit = "m"
default = 0.0
range = [-1.0, 1.0]

[[point]]
name = "level"
title = "Level above the sensor"
unit = "m"                      # UCUM: m, mm/h, Cel, kPa, "1" for a bare number
prefix = "D="                   # or: field = 1 (0 is the first), or for binary frames at = 2
no_value = "----"               # what stands there when there is none
type = "float64"                # for numbers in text; binary: uint16 int32 float32 ...
offset = "$zero_offset"         # value = raw * scale + offset
range = [-1.0, 20.0]            # in the unit above; outside becomes uncertain

[[point]]
name = "temperature"
title = "Temperature at the sensor"
unit = "Cel"
prefix = "T="
type = "float64"
range = [-40.0, 85.0]
class = "diagnostic"            # alarm | measure | diagnostic
"""

_SERIAL_README = """\
# {vendor} {model}

What it is, what it measures, how it is wired (line settings, default address).

Source: manual, revision, section. A maker's real name stands here only with its manual cited;
otherwise the vendor is `generic`.

One frame, byte by byte:

| Bytes | Meaning |
|---|---|
| `#01` | begins a frame; the unit's address in two digits |
| `D=1.234` | level, m; `----` when there is no echo |
| `T=18.5` | temperature, Celsius |
| `*DDAF` | CRC-16/MODBUS in hex, over everything before the `*` |
| CR LF | ends it |

## Params

`zero_offset`: metres added to the level, found at commissioning.
"""

_SERIAL_FRAMES = """\
# One look, as on the wire: #01 D=1.234 T=18.5*CRC. {direction}
{asked}< {frame}
"""

_SERIAL_EXPECTED = """\
address = 1                     # of the unit, in the frames

[params]
zero_offset = 0.1

[points]
level = 1.334                   # 1.234 + 0.1
temperature = 18.5
# level = {{ quality = "bad", status = "sentinel" }}
"""

#: "#01 D=1.234 T=18.5*DDAF" and CR LF, and the question it answers, "#01R" and CR.
_SERIAL_FRAME = b"#01 D=1.234 T=18.5*DDAF\r\n"
_SERIAL_REQUEST = b"#01R\r"

Kind = Literal["modbus", "serial", "serial-polled"]


def template(vendor: str, model: str, driver: Kind = "modbus") -> dict[str, str]:
    """Text of each file of a new profile, by its path below `<vendor>/<model>/`."""
    modbus, asked = driver == "modbus", driver == "serial-polled"
    texts = {
        "profile.toml": _PROFILE if modbus else _SERIAL,
        "README.md": _README if modbus else _SERIAL_README,
        "cases/plain/frames.txt": _FRAMES if modbus else _SERIAL_FRAMES,
        "cases/plain/expected.toml": _EXPECTED if modbus else _SERIAL_EXPECTED,
    }
    fields = {
        "vendor": vendor,
        "model": model,
        "driver": driver,
        "request": 'request = "#{address:02d}R\\r"   # what is sent; {check} is filled in, too\n'
        if asked
        else "",
        "direction": "> asked, < answered." if asked else "It talks by itself.",
        "asked": f"> {_SERIAL_REQUEST.hex(' ').upper()}\n" if asked else "",
        "frame": _SERIAL_FRAME.hex(" ").upper(),
    }
    return {path: text.format(**fields) for path, text in texts.items()}
