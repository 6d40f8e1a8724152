"""HJ 212-2017 and HJ/T 212-2005, the environmental loggers' protocol, at a platform that they dial.

Of HJ 212-2025 only what `editions` names is known; the rest of it is not claimed.

driver    what a site may say of loggers, and what they are asked
talk      calls of loggers: what they upload is on disk before it is answered
errands   what a logger can be asked or told besides its values
points    what a profile may name of a logger; marks as quality and status
orders    what is asked of a logger on its call, and its answers

crc       the check of a packet
frames    one packet: its fields, how it is read and written
codec     packets out of a stream of bytes, whatever comes
sealed    CP as 2025 encrypts it
data      what stands in CP: values of factors, times, marks
parts     packets that are parts of one (PNUM, PNO)
commands  commands (CN), systems (ST), return codes
replies   the flow of requests, uploads and notices, and what is answered
editions  what the editions have in common, and what is not known of the newest
factors   factors with units: water, air, noise (annex B.1 to B.3)
process   factors of processes and equipment (annex B.4 to B.10)
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.hj212.driver import Hj212Driver

__all__ = ["Hj212Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The platform for loggers of HJ 212."""
    return [Hj212Driver]
