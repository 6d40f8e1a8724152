"""The whole road in one folder: gauges, gateway, broker, receiver, and how they are put together."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from headgate.cli.client import call
from headgate.cli.demo.broker import Broker, BrokerKind, free_port
from headgate.cli.demo.child import Child
from headgate.errors import HeadgateError
from headgate.messages import Language

GATEWAY = "demo-gate"
UPLINK = "city"
#: World seconds in a real second: a storm of half an hour passes while one watches.
SPEED = 60
READY_S = 30.0

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

    Raises:
        HeadgateError: a part ended or did not become ready.
    """

    def __init__(
        self,
        folder: Path,
        *,
        count: int = 8,
        language: Language = "en",
        broker: BrokerKind | None = None,
    ) -> None:
        self.folder = folder
        self._count = count
        self._language: Language = language
        self.truth = folder / "truth.jsonl"
        self.store = folder / "platform.db"
        self._socket = folder / "gateway.sock"
        self.broker = Broker(folder, free_port(), broker)
        sim = ["sim", "water-gauge", "--count", str(count), "--bind", "127.0.0.1:0", "--seed", "7"]
        sim += ["--speed", str(SPEED), "--storm", "80:1200@3", "--interval", "500ms"]
        sim += ["--truth", str(self.truth), "--print-site", str(folder / "gauges.toml")]
        self.gauges = Child.headgate("gauges", sim, folder / "gauges.log")
        self.gateway = Child.headgate(
            "gateway", ["run", str(folder / "site.toml")], folder / "gateway.log"
        )
        receive = ["receive", "--broker", self.broker.url, "--keys", str(folder / "pki")]
        receive += ["--store", f"sqlite:{self.store}", "--resend-after", "2s"]
        self.receiver = Child.headgate("receiver", receive, folder / "receiver.log")
        #: What the simulator says of its devices.
        self.devices: list[dict[str, Any]] = []

    @property
    def children(self) -> tuple[Child, ...]:
        """In the order in which a clean end goes."""
        return self.gauges, self.gateway, self.receiver, self.broker.child

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
        await self.gauges.start()
        await asyncio.gather(self.broker.start(), asyncio.to_thread(self._make_keys))
        await self.receiver.start()
        self.devices = await self._ready()
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
        (self.folder / "gauges.toml").rename(folder / "gauges.toml")
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

    async def _ready(self) -> list[dict[str, Any]]:
        """The simulator's ready line: every port listens."""
        while True:
            for line in self.gauges.log.read_text(encoding="utf-8").splitlines():
                if line.startswith('{"ready"'):
                    return list(json.loads(line)["devices"])
            self.gauges.check()
            await asyncio.sleep(0.02)

    async def start_gateway(self) -> None:
        """Start the gateway, for the first time or again; return when it answers."""
        await self.gateway.start()
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

    async def rest(self) -> None:
        """Look at the gauges no more, so that what is on its way can arrive."""
        (self.folder / "site.d" / "gauges.toml").write_text("", encoding="utf-8")
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
        arguments = [
            "verify",
            "--truth",
            str(self.truth),
            "--stored",
            f"sqlite:{self.store}",
            *more,
        ]
        child = Child.headgate("verify", arguments, log)
        await child.start({"HEADGATE_LANG": self._language})
        status = await child.wait()
        return status, log.read_text(encoding="utf-8")
