"""OPC UA: pump stations and other plant whose controller is a server that we subscribe to.

places      what a profile may say of a point, and where it stands in the server (pure)
status      status codes as quality and status word (pure)
values      what a server sent as a raw value of a column (pure)
looks       notifications as blocks, with the instants at which they were true (pure)
settings    the channel's options: security, user, publishing
trust       our application certificate, and whose certificates we trust
trouble     what the library raises, as errors that say what to do
session     one connection: every touch of asyncua
stream      one channel: subscribes, reads at each heartbeat, notices what goes away
browse      a server's tree as a profile to start from
driver      the driver

asyncua costs half a second and 28 MB to import: nothing here imports it before a channel is opened.
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.opcua.driver import OpcUaDriver

__all__ = ["OpcUaDriver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The OPC UA driver."""
    return [OpcUaDriver]
