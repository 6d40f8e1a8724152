"""OPC UA: pump stations and other plant whose controller is a server that we subscribe to.

places        what a profile may say of a point, and where it stands in the server (pure)
status        status codes as quality and status word (pure)
values        what a server sent as a raw value of a column (pure)
looks         notifications as blocks, with the instants at which they were true (pure)
clock         the server's clock against ours (pure)
conditions    events as alarms, and what was said of each condition before (pure)
settings      the channel's options: security, user, publishing, history, events

trust         our application certificate, and whose certificates we trust
chain         whether a certificate comes from a CA that is trusted
trouble       what the library raises, as errors that say what to do
client        the library's client as we use it, and its types
endpoints     what a server offers before there is a session
session       one connection: open, log in, close

nodes         nodes by names and namespace uris
access        read, write, call
subscription  values that a server tells by itself
events        events that a server tells by itself
history       what a server kept, page by page

station       one device: its nodes, what is watched, what was told
watching      what of all devices is watched over a session; polled where it is refused
herald        events as alarms of devices
backfill      what an outage left out, as blocks
remarks       what is not as it should be while the line is up
outage        after a reconnection: the past first, what is said now held back meanwhile
stream        one channel: all of it together, until the line is lost
browse        a server's tree as a profile to start from
replay        recorded values as a device, for profile cases
driver        the driver

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
