"""aiomqtt and paho with their silences filled in. Besides `link`, nothing else names them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, cast

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from headgate.errors import UplinkError, UplinkUnavailable
from headgate.link import Context, Facts, Line, Refused
from headgate.mqtt.settings import Message, Settings, Will

# A record, its topic and the packet's own fields.
_MAX_PACKET = 2 * 1024 * 1024 + 1024
# What may wait in memory before a connection is given up. Not `window`: mosquitto 2.0 keeps to the
# agreed number only until the first acknowledgement, and then sends all that it has queued.
_MOST_WAITING, _MOST_WAITING_BYTES = 4096, 64 * 1024 * 1024
# Good manners at the end are worth this long and no longer.
_GOODBYE_S = 2.0

_CONNACK = {
    0x84: "HG-5016",  # unsupported protocol version
    0x85: "HG-5015",  # client identifier not valid
    0x86: "HG-5013",  # bad user name or password
    0x87: "HG-5014",  # not authorised
    0x88: "HG-5017",  # server unavailable
    0x89: "HG-5017",  # server busy
    0x8A: "HG-5014",  # banned
}
# TCP and handshake together, for the connecting thread cannot be stopped while the box stops.
_LONGEST_CONNECT_S = 10.0


class PublishRefused(UplinkError):
    """The broker is there and does not want this message (PUBACK of 0x80 or above, MQTT 5 only)."""

    retryable = True
    default_code = "HG-5019"

    def __init__(self, text: str, *, reason_code: int, **fields: object) -> None:
        super().__init__(text, code=None, reason_code=reason_code, **fields)
        self.reason_code = reason_code


class _Handshake:
    """A link for paho, which forgets to close a socket whose handshake fails, and why it did."""

    check_hostname = True

    def __init__(self, context: Context) -> None:
        self._context = context
        self._line: Line | None = None
        self.encrypts = context.encrypts

    def wrap_socket(self, sock: socket.socket, **options: Any) -> Line:
        try:
            self._line = self._context.wrap_socket(sock, **options)
        except ValueError as error:
            # paho would try again without a name to check.
            sock.close()
            raise Refused("HG-5011", str(error)) from None
        except OSError:
            sock.close()
            raise
        return self._line

    @property
    def refused(self) -> Refused | None:
        return None if self._line is None else self._line.refused

    def facts(self) -> Facts | None:
        return self._line.facts() if self._line is not None else None

    def failed(self) -> None:
        if self._line is not None:
            self._line.close()


class Client(aiomqtt.Client):
    """aiomqtt with its silences filled in. Overrides private hooks: aiomqtt is pinned to 2.5."""

    def __init__(self, settings: Settings, tls: Context | None, will: Will | None) -> None:
        five = settings.version == "5"
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = settings.window
            properties.MaximumPacketSize = _MAX_PACKET
            properties.SessionExpiryInterval = settings.session_s
        self._handshake = _Handshake(tls) if tls is not None else None
        super().__init__(
            settings.unix or settings.host,
            settings.port,
            transport="unix" if settings.unix is not None else "tcp",
            username=settings.username,
            password=settings.password,
            identifier=settings.identifier,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            clean_start=settings.session_s == 0 if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            clean_session=None if five else settings.session_s == 0,
            properties=properties,
            tls_context=cast("ssl.SSLContext | None", self._handshake),
            will=aiomqtt.Will(will.topic, will.payload, 1, will.retain) if will else None,
            keepalive=settings.keepalive_s,
            timeout=settings.timeout_s,
            max_inflight_messages=settings.window,
            # A record and the receipts for the one before must not wait for each other's ACKs (40 ms).
            socket_options=()
            if settings.unix is not None
            else ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        self._client.connect_timeout = min(max(settings.timeout_s, 0.05), _LONGEST_CONNECT_S)
        if settings.unix is not None:
            self._client._create_unix_socket_connection = self._dial  # type: ignore[method-assign]
        self._settings = settings
        self._client.manual_ack_set(True)
        # Subscriptions go out one by one; publishes have their own bookkeeping below.
        self.pending_calls_threshold = 1000
        self.end: asyncio.Future[None] = self._loop.create_future()
        self._sent: dict[int, asyncio.Future[int]] = {}
        self._answered_early: dict[int, int] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox_bytes = 0
        self._cause: Exception | None = None
        self._opening: asyncio.Future[Any] | None = None
        self._greeted = False

    # ------------------------------------------------------------ life

    async def open(self) -> None:
        self._opening = asyncio.ensure_future(self.__aenter__())
        try:
            # The connecting thread cannot be stopped: when we are cancelled, `close` waits for it.
            await asyncio.shield(self._opening)
        except aiomqtt.MqttError as error:
            raise self.unavailable(error) from None
        self._greeted = True
        self._disconnected.add_done_callback(self._on_end)

    async def close(self) -> None:
        opening = self._opening
        if opening is not None and not opening.done():
            with suppress(aiomqtt.MqttError):
                await opening
        if self._connected.done() and not self._connected.cancelled() and self._lock.locked():
            self.timeout = _GOODBYE_S
            with suppress(aiomqtt.MqttError):
                await self.__aexit__(None, None, None)
        # What a timed-out or refused connection leaves open is closed here.
        self._client._sock_close()
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.wait((self._misc_task,))
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()
        if not self.end.done():
            self.end.set_result(None)
            self._fail_pending()

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except (OSError, ValueError) as error:
            # aiomqtt keeps the text only; TLS and TCP need different advice.
            self._cause = error.with_traceback(None)
            if self._handshake is not None:
                self._handshake.failed()
            raise OSError(str(error)) from None

    def _dial(self) -> socket.socket:
        """A unix socket; paho's own way leaves one open when nobody listens."""
        dialled = socket.socket(socket.AF_UNIX)
        try:
            dialled.settimeout(self._client.connect_timeout)
            dialled.connect(self._settings.unix or "")
        except OSError:
            dialled.close()
            raise
        return dialled

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        if not self._connected.done():
            # Closed before the CONNACK (a certificate refused, say): aiomqtt would wait it out.
            self._connected.set_exception(
                aiomqtt.MqttCodeError(reason_code, "closed by the broker")
            )
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_end(self, ended: asyncio.Future[None]) -> None:
        failure = None if ended.cancelled() else ended.exception()
        if isinstance(failure, Exception):
            self._cause = failure
        if not self.end.done():
            self.end.set_result(None)
        self._fail_pending()

    def _fail_pending(self) -> None:
        for waiting in self._sent.values():
            if not waiting.done():
                waiting.set_exception(self.why())

    # ------------------------------------------------------------ out

    async def send(
        self, topic: str, payload: bytes, qos: int, retain: bool, expiry_s: int | None = None
    ) -> int:
        if self.end.done():
            raise self.why()
        self._answered_early.clear()
        properties = None
        if expiry_s is not None and self._settings.version == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expiry_s
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise self.why()
        if qos == 0:
            return 0
        code = self._answered_early.pop(info.mid, None)
        if code is None:
            code = await self._answer(info.mid, topic)
        if code >= 0x80:
            raise PublishRefused(
                f"the broker refuses a message on {topic} ({code:#04x})",
                reason_code=code,
                topic=topic,
            )
        return code

    async def _answer(self, mid: int, topic: str) -> int:
        waiting: asyncio.Future[int] = self._loop.create_future()
        self._sent[mid] = waiting
        try:
            async with asyncio.timeout(self.timeout):
                return await waiting
        except TimeoutError:
            raise UplinkUnavailable(
                f"{self._settings!r} did not acknowledge a message within {self.timeout:g} s",
                code="HG-5012",
                broker=self._settings.broker,
            ) from None
        finally:
            del self._sent[mid]

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any
    ) -> None:
        waiting = self._sent.get(mid)
        if waiting is None:
            # The answer can come from within `publish`, before its future exists.
            self._answered_early[mid] = reason_code.value
        elif not waiting.done():
            waiting.set_result(reason_code.value)

    # ------------------------------------------------------------ in

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        self._inbox.put_nowait(
            Message(message.topic, bytes(message.payload), message.retain, message.qos, message.mid)
        )
        self._inbox_bytes += len(message.payload)
        full = self._inbox.qsize() > _MOST_WAITING or self._inbox_bytes > _MOST_WAITING_BYTES
        if full and not self._disconnected.done():
            # Unacknowledged, so nothing is lost: the broker must offer all of it again.
            self._disconnected.set_exception(
                UplinkUnavailable("the broker sends more than the agreed window", code="HG-5021")
            )

    async def next(self) -> Message:
        if self._inbox.empty():
            if self.end.done():
                raise self.why()
            getter = asyncio.ensure_future(self._inbox.get())
            try:
                await asyncio.wait((getter, self.end), return_when=asyncio.FIRST_COMPLETED)
                if getter.done():
                    return self._taken(getter.result())
                raise self.why()
            finally:
                getter.cancel()
        return self._taken(self._inbox.get_nowait())

    def waiting(self, limit: int) -> list[Message]:
        count = min(limit, self._inbox.qsize())
        return [self._taken(self._inbox.get_nowait()) for _ in range(count)]

    def _taken(self, message: Message) -> Message:
        self._inbox_bytes -= len(message.payload)
        return message

    def acknowledge(self, mid: int, qos: int) -> None:
        if not self.end.done():
            self._client.ack(mid, qos)

    # ------------------------------------------------------------ what to say

    def facts(self) -> Facts | None:
        return self._handshake.facts() if self._handshake is not None else None

    def why(self) -> UplinkUnavailable:
        if isinstance(self._cause, UplinkUnavailable):
            return self._cause
        if (refused := self._refusal()) is not None:
            return refused
        broker = self._settings.broker
        reason = str(self._cause or "closed")
        return UplinkUnavailable(
            f"connection to {self._settings!r} lost: {reason}",
            code="HG-5018",
            broker=broker,
            reason=reason,
        )

    def unavailable(self, error: aiomqtt.MqttError) -> UplinkUnavailable:
        """The same failure as a sentence for people: which step, and what the broker said."""
        broker = self._settings.broker
        if (refused := self._refusal()) is not None:
            return refused
        if self._cause is not None:
            tls = isinstance(self._cause, ssl.SSLError)
            return UplinkUnavailable(
                f"{self._settings!r}: {self._cause}",
                code="HG-5011" if tls else "HG-5010",
                broker=broker,
                reason=str(self._cause),
            )
        if isinstance(error, aiomqtt.MqttCodeError):
            code = error.rc.value if isinstance(error.rc, ReasonCode) else None
            if isinstance(error, MqttConnectError):
                known = _CONNACK.get(code or 0, "HG-5022")
                return UplinkUnavailable(
                    f"{self._settings!r} refuses the connection: {error}",
                    code=known,
                    broker=broker,
                    reason=str(error),
                    user=self._settings.username or "",
                )
            # Behind TLS a broker that hangs up at once mostly dislikes the certificate we showed; its
            # alert does not always get past the reset of the connection.
            encrypts = self._handshake is not None and self._handshake.encrypts
            return UplinkUnavailable(
                f"connection to {self._settings!r} closed: {error}",
                code="HG-5074" if encrypts and not self._greeted else "HG-5018",
                broker=broker,
                reason=str(error),
            )
        return UplinkUnavailable(
            f"{self._settings!r} did not answer within {self.timeout:g} s",
            code="HG-5012",
            broker=broker,
        )

    def _refusal(self) -> UplinkUnavailable | None:
        """Why the link was refused, by us or by the peer; None when it was not."""
        refused: Refused | None = self._cause if isinstance(self._cause, Refused) else None
        if refused is None and self._handshake is not None:
            refused = self._handshake.refused
        if refused is None:
            return None
        fields = {"name": self._settings.host, **refused.fields, "broker": self._settings.broker}
        return UplinkUnavailable(f"{self._settings!r}: {refused}", code=refused.code, **fields)
