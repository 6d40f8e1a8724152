"""Templated JSON over MQTT: engineering values for any platform that reads JSON.

template    a JSON text with placeholders, compiled once (pure)
render      items of a record into messages (pure)
uplink      its own cursor in the spool: open, render, publish, settle
"""

from __future__ import annotations

from headgate.sdk import Uplink, hookimpl
from headgate_plugins.mqtt_json.uplink import MqttJsonUplink

__all__ = ["MqttJsonUplink", "headgate_uplinks"]


@hookimpl
def headgate_uplinks() -> list[type[Uplink]]:
    """The JSON uplink."""
    return [MqttJsonUplink]
