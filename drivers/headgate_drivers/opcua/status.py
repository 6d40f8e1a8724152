"""Status codes as quality and status word: what the server says of a value is kept, not judged anew. Pure.

The two highest bits of a status code are its severity (OPC 10000-4 section 7.39), which is what `Quality`
counts. Why a value is not good becomes one of our statuses; the detail is the low byte of the sub-code
(bits 16-23), by which the exact code can be looked up in OPC 10000-6 annex A.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headgate.sdk import Quality, Status, status_word

#: Bits of the info part that say: values between this one and the one before were lost in the queue
#: (info type DataValue, overflow; OPC 10000-4 table 174).
_DATA_VALUE, _OVERFLOW = 0x0400, 0x0080

#: Status code of a node or path that is not there: BadNodeIdUnknown.
NO_NODE: Final = 0x80340000
#: BadNodeIdInvalid, BadNodeIdUnknown, BadAttributeIdInvalid, BadNoMatch, BadNotFound.
_NODE_GONE: Final = frozenset({0x8033, 0x8034, 0x8035, 0x806F, 0x803E})

_REASONS: Final[Mapping[int, Status]] = {
    0x8005: Status.NO_ANSWER,  # BadCommunicationError
    0x8009: Status.MALFORMED,  # BadUnknownResponse
    0x800A: Status.NO_ANSWER,  # BadTimeout
    0x800B: Status.REFUSED,  # BadServiceUnsupported
    0x800D: Status.LINE_CLOSED,  # BadServerNotConnected
    0x800E: Status.LINE_CLOSED,  # BadServerHalted
    0x801F: Status.REFUSED,  # BadUserAccessDenied
    0x8031: Status.NO_ANSWER,  # BadNoCommunication
    0x8032: Status.NOT_READ,  # BadWaitingForInitialData
    0x8033: Status.REFUSED,  # BadNodeIdInvalid
    0x8034: Status.REFUSED,  # BadNodeIdUnknown
    0x8035: Status.REFUSED,  # BadAttributeIdInvalid
    0x803A: Status.REFUSED,  # BadNotReadable
    0x803C: Status.OUT_OF_RANGE,  # BadOutOfRange
    0x803D: Status.REFUSED,  # BadNotSupported
    0x803E: Status.REFUSED,  # BadNotFound
    0x806F: Status.REFUSED,  # BadNoMatch: the browse path leads nowhere
    0x8074: Status.MALFORMED,  # BadTypeMismatch
    0x8089: Status.DEVICE_FAULT,  # BadConfigurationError
    0x808A: Status.NO_ANSWER,  # BadNotConnected
    0x808B: Status.DEVICE_FAULT,  # BadDeviceFailure
    0x808C: Status.DEVICE_FAULT,  # BadSensorFailure
    0x808D: Status.NOT_READ,  # BadOutOfService
    0x408F: Status.NO_ANSWER,  # UncertainNoCommunicationLastUsableValue
    0x4090: Status.STALE,  # UncertainLastUsableValue
    0x4091: Status.SUBSTITUTED,  # UncertainSubstituteValue
    0x4092: Status.NOT_READ,  # UncertainInitialValue
    0x4093: Status.DEVICE_FAULT,  # UncertainSensorNotAccurate
    0x4094: Status.OUT_OF_RANGE,  # UncertainEngineeringUnitsExceeded
    0x4095: Status.DEVICE_FAULT,  # UncertainSubNormal
    0x0096: Status.SUBSTITUTED,  # GoodLocalOverride
}


def judged(code: int) -> tuple[Quality, int]:
    """Quality and status word of a 32-bit status code."""
    kind = code >> 16
    severity = code >> 30
    quality = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)[severity]
    reason = _REASONS.get(kind)
    if reason is None:
        if quality is Quality.GOOD:
            return quality, 0
        reason = Status.DEVICE_FAULT if quality is Quality.BAD else Status.STALE
    return quality, status_word(reason, kind)


def is_gone(code: int) -> bool:
    """Whether a status code says that there is no such node."""
    return code >> 16 in _NODE_GONE


def overflowed(code: int) -> bool:
    """Whether values were lost between this one and the one before."""
    return bool(code & _DATA_VALUE and code & _OVERFLOW)
