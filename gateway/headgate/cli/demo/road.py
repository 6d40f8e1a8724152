"""The whole road in one folder: field, gateway, broker, receiver, and how they are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from headgate.cli.client import call
from headgate.cli.demo.broker import Broker, BrokerKind, free_port
from headgate.cli.demo.child import Child
from headgate.cli.demo.field import STORM, gauges
from headgate.cli.demo.simulator import Simulator
from headgate.errors import HeadgateError
from headgate.messages import Language

GATEWAY = "demo-gate"
UPLINK = "city"
READY_S = 60.0
#: What a device has said when it is told to say no more needs so long to be told upwards.
HUSH_S = 1.5

_SITE = """\
schema = 1

[gateway]
id = "{gateway}"
name = "Demo 演示"
language = "{language}"

[state]
folder = "state"
quota = "256MiB"
ballast = "1MiB"
max_loss = "250ms"

[api]
socket = "gateway.sock"

[identity]
certificate = "pki/gateways/{gateway}.crt"
key = "file:pki/gateways/{gateway}.key"
ca = "pki/ca.crt"
platform_encryption = "pki/platform-encryption.crt"
platform_receipt = "pki/platform-receipt.crt"

[metrics]
listen = "off"

[log]
format = "text"

[[uplink]]
id = "{uplink}"
type = "mqtt"
url = "mqtt://127.0.0.1:{port}"
protocol = "{version}"
timeout = "2s"
receipt_timeout = "2s"
reconnect_min = "100ms"
reconnect_max = "400ms"
"""


class Road:
    """Everything, as children of this process. Leave it and nothing of it runs any more.

    Args:
        field: the simulated hardware; when not given, `count` water gauges.

    Raises:
        HeadgateError: a part ended or did not become ready.
    """

    def __init__(
        self,
        folder: Path,
        *,
        count: int = 8,
        field: Sequence[Simulator] = (),
        language: Language = "en",
        broker: BrokerKind | None = None,
    ) -> None:
        self.folder = folder
        self._language: Language = language
        self.store = folder / "platform.db"
        self._socket = folder / "gateway.sock"
        self.broker = Broker(folder, free_port(), broker)
        self.field = list(field) or [gauges(folder, count)]
        self.gateway = Child.headgate(
            "gateway", ["run", str(folder / "site.toml")], folder / "gateway.log"
        )
        receive = ["receive", "--broker", self.broker.url, "--keys", str(folder / "pki")]
        receive += ["--store", f"sqlite:{self.store}", "--resend-after", "2s"]
        self.receiver = Child.headgate("receiver", receive, folder / "receiver.log")

    @property
    def devices(self) -> list[dict[str, Any]]:
        """What the simulators say of their devices."""
        return [device for each in self.field for device in each.devices]

    @property
    def truths(self) -> list[Path]:
        """Where the simulators keep what their devices said."""
        return [each.truth for each in self.field]

    @property
    def children(self) -> tuple[Child, ...]:
        """In the order in which a clean end goes."""
        field = (each.child for each in self.field)
        return *field, self.gateway, self.receiver, self.broker.child

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(READY_S):
                await self._start()
        except TimeoutError:
            await self._end()
            slow = next((each for each in self.children if not each.running), self.gateway)
            raise HeadgateError(
                "not ready in time", code="HG-9511", name=slow.name, said=slow.tail()
            ) from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    # ------------------------------------------------------------ start

    async def _start(self) -> None:
        for each in self.field:
            await each.child.start()
        await asyncio.gather(self.broker.start(), asyncio.to_thread(self._make_keys))
        await self.receiver.start()
        for each in self.field:
            await each.ready()
        site = _SITE.format(
            gateway=GATEWAY,
            uplink=UPLINK,
            language=self._language,
            port=self.broker.port,
            version=self.broker.version,
        )
        folder = self.folder / "site.d"
        folder.mkdir()
        (self.folder / "site.toml").write_text(site, encoding="utf-8")
        for each in self.field:
            each.site.write_text(each.site.read_text("utf-8") + each.controls, "utf-8")
            each.site.rename(folder / each.site.name)
        await self.start_gateway()

    def _make_keys(self) -> None:
        from headgate.crypto.certs import write_development_pki
        from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
        from headgate.env import system_env

        env = system_env()
        write_development_pki(
            self.folder / "pki",
            [GATEWAY],
            now=datetime.now(UTC),
            provider=default_provider(env.variable(LIBCRYPTO_VARIABLE)),
            files=env.files,
        )

    async def start_gateway(self) -> None:
        """Start the gateway, for the first time or again; return when it answers."""
        environment: dict[str, str] = {}
        for each in self.field:
            environment |= each.environment
        await self.gateway.start(environment)
        while await self.ask("status") is None:
            self.gateway.check()
            await asyncio.sleep(0.05)

    # ------------------------------------------------------------ while it runs

    async def ask(self, name: str) -> Any:
        """The gateway's answer to a call of its local API; None when it does not answer."""
        with suppress(HeadgateError, OSError):
            return await asyncio.to_thread(lambda: next(call(self._socket, name), None))
        return None

    def check(self) -> None:
        """Raise when a part has ended by itself."""
        for child in self.children:
            child.check()

    # ------------------------------------------------------------ end

    async def storm(self, command: Mapping[str, Any] = STORM) -> None:
        """Let a storm break over all of the field at once."""
        for each in self.field:
            await each.tell(command)

    async def rest(self) -> None:
        """Let the field say no more and look at it no more, so that what is on its way can arrive."""
        hushed = [(each, command) for each in self.field for command in each.hush]
        for each, command in hushed:
            await each.tell(command)
        if hushed:
            await asyncio.sleep(HUSH_S)
        for each in self.field:
            (self.folder / "site.d" / each.site.name).write_text("", encoding="utf-8")
        await asyncio.to_thread(lambda: list(call(self._socket, "reload")))

    async def drained(self) -> bool:
        """Whether the platform has said of everything that it is stored."""
        status = await self.ask("status")
        if status is None or status["devices"] or status["writer"]["waiting_bytes"]:
            return False
        return all(uplink["outbox"]["records"] == 0 for uplink in status["uplinks"])

    async def finish(self, within_s: float) -> bool:
        """Rest, wait until everything has arrived, stop all parts. False: not all did in time."""
        await self.rest()
        done = False
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (done := await self.drained()):
                    self.check()
                    await asyncio.sleep(0.1)
        await self._end()
        return done

    async def _end(self) -> None:
        for child in self.children:
            await child.stop()

    async def verify(self, *more: str) -> tuple[int, str]:
        """Exit status and words of `headgate verify`."""
        log = self.folder / "verify.log"
        arguments = ["verify", "--stored", f"sqlite:{self.store}", *more]
        for truth in self.truths:
            arguments += ["--truth", str(truth)]
        child = Child.headgate("verify", arguments, log)
        await child.start({"HEADGATE_LANG": self._language})
        status = await child.wait()
        return status, log.read_text(encoding="utf-8")
