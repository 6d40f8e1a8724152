"""A whole gateway with secrets that can be recognised, through life and failure; it wrote none of them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kit.pki import Pki
from peers.mosquitto import Mosquitto, free_port

from headgate.cli.client import call
from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.errors import HeadgateError
from headgate_simulators.pytest import FarmMaker

pytestmark = pytest.mark.timeout(120)
MAIN = "from headgate.cli import main; main()"
PATIENCE_S = 60.0

PASSWORD = "Zq7-marked-password-8842"
WRONG_PASSWORD = "Xw3-another-password-1907"
PASTED = "Kb5-pasted-into-the-file-6610"
KEK = bytes.fromhex("5eC4e7b0a1d2c3b4958677f8e9dacbbc")
#: Files of the state folder that are there to hold a key, for the gateway's own user only.
KEY_FILES = {"kek", "kek.twin", "identity.key", "identity.key.twin"}


def forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it is, and as programs tend to write it."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")
    yield repr(secret)[2:-1].encode()
    yield secret.hex(" ").encode()
    if secret.isascii():
        yield quote(secret.decode(), safe="").encode()
        yield json.dumps(secret.decode())[1:-1].encode()


def scalar(pem: bytes) -> bytes:
    """The private number of an SM2 key in PKCS #8: 32 bytes behind `04 20`."""
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    at = der.index(b"\x02\x01\x01\x04\x20") + 5
    return der[at : at + 32]


class Marked:
    """A site whose secrets are known, and everything that its gateway wrote."""

    def __init__(self, folder: Path, gauges: str, broker: Mosquitto) -> None:
        provider = default_provider()
        pki = Pki(provider)
        gateway = pki.issue("hg-test", Role.GATEWAY)
        receipt = pki.issue("receipts", Role.PLATFORM_RECEIPT)
        platform = pki.issue("platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
        pem = gateway.key.pem()
        self.folder, self.metrics = folder, free_port()
        self.wrote: dict[str, bytes] = {}
        self.secrets = {
            "password": PASSWORD.encode(), "wrong password": WRONG_PASSWORD.encode(),
            "pasted": PASTED.encode(), "kek": KEK, "private key": scalar(pem),
            "private key, PEM": pem.splitlines()[1],
        }  # fmt: skip
        (folder / "secrets").mkdir(mode=0o700)
        for name, content in {
            "kek": KEK.hex().encode(), "password": PASSWORD.encode() + b"\n",
            "wrong": WRONG_PASSWORD.encode(), "gateway.key": pem,
        }.items():  # fmt: skip
            (folder / "secrets" / name).write_bytes(content)
            (folder / "secrets" / name).chmod(0o600)
        for name, party in {
            "gateway.pem": gateway, "root.pem": pki.root, "platform.pem": platform,
            "receipt.pem": receipt,
        }.items():  # fmt: skip
            (folder / name).write_bytes(party.certificate.pem())
        (folder / "site.d").mkdir()
        (folder / "site.d" / "gauges.toml").write_text(gauges)
        self.site = f"""\
schema = 1
[gateway]
id = "hg-test"
language = "en"
[state]
folder = "state"
max_loss = "50ms"
ballast = "0B"
[log]
level = "debug"
[metrics]
listen = "127.0.0.1:{self.metrics}"
[identity]
certificate = "gateway.pem"
key = "file:secrets/gateway.key"
ca = "root.pem"
platform_encryption = "platform.pem"
platform_receipt = "receipt.pem"
kek = "file:secrets/kek"
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtt://127.0.0.1:{broker.port}"
username = "hg-test"
password = "file:secrets/password"
reconnect_max = "200ms"
reconnect_min = "100ms"
[[uplink]]
id = "refused"
type = "mqtt-json"
url = "mqtt://127.0.0.1:{broker.port}"
username = "hg-test"
password = "file:secrets/wrong"
topic = "x"
reconnect_max = "200ms"
reconnect_min = "100ms"
"""
        (folder / "site.toml").write_text(self.site)

    @property
    def socket(self) -> Path:
        return self.folder / "state" / "headgate.sock"

    async def ask(self, name: str, **arguments: Any) -> Any:
        def asked() -> Any:
            try:
                return list(call(self.socket, name, **arguments))
            except HeadgateError as error:
                return f"{error} {error.fields}"

        return await asyncio.to_thread(asked)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status = await self.ask("status")
                self.wrote["status"] = repr(status).encode()
                if isinstance(status, list) and condition(status[0]):
                    return
                await asyncio.sleep(0.1)

    def found(self) -> list[str]:
        """Where a secret stands that should not."""
        for path in (self.folder / "state").rglob("*"):
            if path.is_file() and path.name not in KEY_FILES:
                self.wrote[str(path.relative_to(self.folder))] = path.read_bytes()
        return [
            f"{name} in {where}"
            for where, data in self.wrote.items()
            for name, secret in self.secrets.items()
            if any(form in data for form in forms(secret))
        ]


def reached(status: Any, uplink: str = "city") -> bool:
    """Whether the broker let an uplink in; that nobody listens there is another matter."""
    return any(u["id"] == uplink and u["code"] == "HG-5023" for u in status["uplinks"])


def of_process(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def no_core(folder: Path) -> bool:
    return not any(path.is_file() for path in folder.rglob("core*"))


@asynccontextmanager
async def running(marked: Marked, how: signal.Signals) -> AsyncIterator[asyncio.subprocess.Process]:
    """`headgate run` as a process of its own; ended by `how`, its output kept."""
    name = f"output until {how.name}"
    with open(marked.folder / "output", "wb") as output:  # noqa: ASYNC230
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MAIN, "run", str(marked.folder),
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, cwd=marked.folder,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(how)
            await process.wait()
    marked.wrote[name] = (marked.folder / "output").read_bytes()


@pytest.mark.peer("mosquitto")
async def test_no_secret_stands_in_anything_that_a_gateway_writes(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=2)
    async with Mosquitto(tmp_path, users={"hg-test": PASSWORD}) as broker:
        marked = Marked(tmp_path, farm.site("200ms"), broker)
        async with running(marked, signal.SIGTERM) as process:
            # Life: it reads, seals, grants, and sends; another uplink's password is refused all along.
            await marked.until(
                lambda s: s["devices"] and all(d["state"] == "ok" for d in s["devices"])
            )
            await marked.until(lambda s: reached(s) and not reached(s, "refused"))
            marked.wrote["metrics"] = await asyncio.to_thread(
                lambda: urllib.request.urlopen(f"http://127.0.0.1:{marked.metrics}/metrics").read()
            )
            for name in ("cmdline", "environ", "comm"):
                marked.wrote[f"/proc {name}"] = of_process(process.pid, name)
            limits = of_process(process.pid, "limits").decode()
            assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [
                ["0", "0"]
            ]
            # Failure: a secret is pasted where a reference belongs, the broker goes, calls make no sense.
            (tmp_path / "site.toml").write_text(
                marked.site.replace("file:secrets/password", PASTED)
            )
            marked.wrote["reload"] = repr(await marked.ask("reload")).encode()
            assert b"HG-1" in marked.wrote["reload"] or b"site.toml" in marked.wrote["reload"]
            (tmp_path / "site.toml").write_text(
                marked.site.replace("file:secrets/kek", "file:none")
            )
            marked.wrote["reload 2"] = repr(await marked.ask("reload")).encode()
            (tmp_path / "site.toml").write_text(marked.site)
            marked.wrote["calls"] = repr(
                [await marked.ask("read", device=PASTED[:3]), await marked.ask("nonsense")]
            ).encode()
            await broker.stop()
            await marked.until(lambda s: not reached(s))
        await broker.start()
        async with running(marked, signal.SIGABRT) as process:  # as from a bug in a library
            await marked.until(lambda s: s["devices"])
        assert process.returncode == -signal.SIGABRT
    assert no_core(tmp_path)
    assert marked.found() == []
    # The search finds what is there: the same, over what holds them.
    marked.wrote["their own files"] = b"".join(
        p.read_bytes() for p in (tmp_path / "secrets").iterdir()
    )
    assert {said.split(" in ")[0] for said in marked.found()} >= {
        "password",
        "wrong password",
        "kek",
    }
    for path in (tmp_path / "state").rglob("*"):
        assert path.is_symlink() or os.stat(path).st_mode & 0o007 == 0, path


async def test_a_secret_that_a_library_says_aloud_is_left_out_of_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import logging

    from headgate import logs

    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        for form in ("json", "text"):
            logs.set_up("info", form)
            logs.keep_out('pass"word\\1')
            log = logging.getLogger("paho")
            log.warning("cannot log in with %s", 'pass"word\\1', extra={"url": 'x:pass"word\\1@h'})
            try:
                raise ValueError('pass"word\\1')
            except ValueError:
                log.exception("failed")
            said = capsys.readouterr().err
            assert "word\\1" not in said and said.count(logs.LEFT_OUT) >= 3
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
        logs._SECRETS.clear()
