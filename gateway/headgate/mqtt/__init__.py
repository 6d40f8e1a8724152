"""The one door to MQTT: connect, publish with the broker's answer, subscribe, receive in bounds.

    async with connect(settings, will=will) as link:
        await link.subscribe("headgate/v1/gate-7/down/#")
        await link.publish(topic, payload)          # returns when the broker has it, raises when not
        async for message in link.messages():
            ...

Where the library waits or stays silent, this does not: a publish ends at once when the connection is
lost, a refused PUBACK is an error, a broker that closes before its CONNACK is reported as such, and a
full queue never drops a message. Reconnecting belongs to the caller, with its own back-off.

Whatever goes wrong with the link is `UplinkUnavailable`, with a code that names the step.
"""

from headgate.errors import UplinkUnavailable
from headgate.mqtt.client import PublishRefused
from headgate.mqtt.link import Link, connect
from headgate.mqtt.settings import Message, Settings, Version, Will

__all__ = [
    "Link",
    "Message",
    "PublishRefused",
    "Settings",
    "UplinkUnavailable",
    "Version",
    "Will",
    "connect",
]
