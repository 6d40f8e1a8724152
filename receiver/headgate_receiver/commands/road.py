"""The way to the gateways: a connection of its own to the broker, beside the receiver's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from headgate.env import Env
from headgate.errors import HeadgateError, UplinkUnavailable
from headgate.link import Context
from headgate.mqtt import Link, PublishRefused, Settings, connect
from headgate_receiver.commands.errors import NobodyThere

log = logging.getLogger(__name__)

ANSWERS: Final = "headgate/v1/+/up/answer"
_NO_SUBSCRIBER: Final = 0x10
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0


class Delivery(Enum):
    """What the broker did with a message."""

    TAKEN = "broker"
    NOBODY = "nobody"  # it says that no gateway of that name listens, or that it does not want it
    UNKNOWN = "unknown"  # the connection was lost meanwhile: it may have arrived


#: Takes what came: the gateway id in the topic (which proves nothing), and the message.
Heard = Callable[[str, bytes], None]


class Road(Protocol):
    """What `Commands` needs of a way to the gateways; `BrokerRoad` is one."""

    async def run(self, heard: Heard) -> None:
        """Bring answers until cancelled, through every loss of the connection."""
        ...

    async def publish(self, gateway: str, message: bytes, expiry_s: int) -> Delivery:
        """Hand a command over, once. What the broker says of it is its word, and no more.

        Raises:
            NobodyThere: it did not leave, for certain.
        """
        ...


class BrokerRoad:
    """MQTT, clean at every start: an answer that finds nobody here stands in the gateway's record, too."""

    def __init__(
        self, env: Env, broker: Settings, *, tls: Context | None = None, patience_s: float = 10.0
    ) -> None:
        """`patience_s` is how long a message may wait for a connection before it is given up unsent."""
        self._env = env
        self._broker = broker
        self._tls = tls
        self._patience_s = patience_s
        self._link: Link | None = None
        self._failure: HeadgateError | None = None
        self.connected = asyncio.Event()

    async def run(self, heard: Heard) -> None:
        """Bring answers until cancelled."""
        wait = _FIRST_WAIT_S
        while True:
            try:
                async with connect(self._broker, tls=self._tls) as link:
                    await link.subscribe(ANSWERS)
                    self._link = link
                    self.connected.set()
                    wait = _FIRST_WAIT_S
                    async for message in link.messages():
                        parts = message.topic.split("/")
                        if len(parts) == 5 and not message.retain:
                            heard(parts[2], message.payload)
            except UplinkUnavailable as error:
                self._failure = error
                log.warning("broker lost: %s", error, extra={"code": error.code})
            except HeadgateError as error:
                self._failure = error  # it will not get better; whoever sends is told why
                raise
            finally:
                self._link = None
                self.connected.clear()
            await asyncio.sleep(wait * self._env.random.uniform(0.5, 1.0))
            wait = min(2 * wait, _LONGEST_WAIT_S)

    async def publish(self, gateway: str, message: bytes, expiry_s: int) -> Delivery:
        """Hand a command over, once."""
        link = await self._open()
        try:
            code = await link.publish(
                f"headgate/v1/{gateway}/down/command", message, expiry_s=max(1, expiry_s)
            )
        except PublishRefused as error:
            log.warning("the broker refuses a command: %s", error, extra={"gateway": gateway})
            return Delivery.NOBODY
        except UplinkUnavailable:
            return Delivery.UNKNOWN
        return Delivery.NOBODY if code == _NO_SUBSCRIBER else Delivery.TAKEN

    async def _open(self) -> Link:
        try:
            async with asyncio.timeout(self._patience_s):
                while (link := self._link) is None:
                    await self.connected.wait()
        except TimeoutError:
            failure = self._failure
            reason = str(failure) if failure else "no connection"
            raise NobodyThere(
                f"not sent: {reason}", code="HG-7115", broker=self._broker.broker, reason=reason
            ) from None
        return link
