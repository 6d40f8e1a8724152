"""Native MQTT: sealed records up as they lie in the spool, signed receipts down.

link        what a site file says of a broker, checked off the network; pauses between two tries
window      what was published and has no receipt yet (pure)
receipts    what a verified receipt names (pure)
session     one connection, from the first grant to its loss
stay        connects, and connects again
uplink      options, and a session on every connection
probe       the same way step by step, for `headgate uplink test`
"""

from __future__ import annotations

from headgate.sdk import Uplink, hookimpl
from headgate_plugins.mqtt.uplink import MqttUplink

__all__ = ["MqttUplink", "headgate_uplinks"]


@hookimpl
def headgate_uplinks() -> list[type[Uplink]]:
    """The native MQTT uplink."""
    return [MqttUplink]
