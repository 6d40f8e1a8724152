"""Status codes as quality and status word."""

import re
from pathlib import Path

import pytest

from headgate.sdk import Quality, Status
from headgate_drivers.opcua import status
from headgate_drivers.opcua.status import judged, overflowed


@pytest.mark.parametrize(
    ("code", "quality", "reason"),
    [
        (0x00000000, Quality.GOOD, 0),
        (0x00960000, Quality.GOOD, Status.SUBSTITUTED),  # GoodLocalOverride
        (0x40900000, Quality.UNCERTAIN, Status.STALE),  # UncertainLastUsableValue
        (0x40940000, Quality.UNCERTAIN, Status.OUT_OF_RANGE),
        (0x808C0000, Quality.BAD, Status.DEVICE_FAULT),  # BadSensorFailure
        (0x80340000, Quality.BAD, Status.REFUSED),  # BadNodeIdUnknown
        (0x80310000, Quality.BAD, Status.NO_ANSWER),  # BadNoCommunication
        (
            0xC0000000,
            Quality.BAD,
            Status.DEVICE_FAULT,
        ),  # the reserved severity is no better than bad
        (0x80FF0000, Quality.BAD, Status.DEVICE_FAULT),  # a code that nobody knows
        (0x40FF0000, Quality.UNCERTAIN, Status.STALE),
    ],
)
def test_a_status_code_keeps_its_severity_and_its_reason(
    code: int, quality: Quality, reason: int
) -> None:
    got, word = judged(code)
    assert (got, word >> 8) == (quality, reason)


def test_the_detail_is_the_low_byte_of_the_sub_code() -> None:
    assert judged(0x808C0000)[1] & 0xFF == 0x8C


def test_info_bits_change_no_quality_and_an_overflow_is_seen() -> None:
    assert judged(0x00000480) == (Quality.GOOD, 0)
    assert overflowed(0x00000480)
    assert not overflowed(0x00000080)  # the same bit of another info type
    assert not overflowed(0x00000400)


def test_every_code_we_name_is_that_code_in_the_standard() -> None:
    ua = pytest.importorskip("asyncua").ua
    named = {
        code >> 16: name for name, code in vars(ua.StatusCodes).items() if isinstance(code, int)
    }
    source = Path(status.__file__).read_text()
    ours = re.findall(r"(0x[0-9A-F]{4}): Status\.\w+,  # (\w+)", source)
    assert len(ours) == len(status._REASONS)
    assert [(code, named[int(code, 16)]) for code, _ in ours] == ours
