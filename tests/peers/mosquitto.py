"""A real mosquitto on a random port: users, access rules, TLS; killed, stopped, started again.

    async with Mosquitto(tmp_path, users={"gate-7": "secret"}) as broker:
        broker.url  # mqtt://127.0.0.1:40321

Import it as `from peers.mosquitto import Mosquitto` and mark the test `@pytest.mark.peer("mosquitto")`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import trustme

WITHIN_S = 15.0


def program(name: str) -> str:
    """Path of a program that Debian keeps in a folder only root has on its path."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found is not None, f"{name} is not installed"
    return found


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker. `users` maps names to passwords (none: anybody may come); `acl` is its access file."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        tls: bool = False,
        client_certificates: bool = False,
        persistent: bool = False,
        extra: str = "",
    ) -> None:
        self.folder = folder / "mosquitto"
        self.folder.mkdir()
        self.port = free_port()
        self.authority = trustme.CA() if tls else None
        self._process: asyncio.subprocess.Process | None = None
        self._log_at = 0
        lines = [
            f"listener {self.port} 127.0.0.1",
            "log_dest file " + str(self.log),
            "log_type all",
        ]
        if os.getuid() == 0:
            lines.append("user root")
        if users is None:
            lines.append("allow_anonymous true")
        else:
            passwords = self.folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                subprocess.run(
                    [program("mosquitto_passwd"), "-b", str(passwords), name, password], check=True
                )
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        if acl is not None:
            rules = self.folder / "acl"
            rules.write_text(acl)
            rules.chmod(0o600)
            lines.append(f"acl_file {rules}")
        if self.authority is not None:
            server = self.authority.issue_cert("127.0.0.1", "localhost")
            self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
            server.private_key_pem.write_to_path(self.folder / "server.key")
            for pem in server.cert_chain_pems:
                pem.write_to_path(self.folder / "server.pem", append=True)
            lines += [
                f"cafile {self.folder}/ca.pem",
                f"certfile {self.folder}/server.pem",
                f"keyfile {self.folder}/server.key",
                f"require_certificate {str(client_certificates).lower()}",
            ]
        if persistent:
            lines += ["persistence true", f"persistence_location {self.folder}/"]
        (self.folder / "mosquitto.conf").write_text("\n".join([*lines, extra, ""]))

    @property
    def log(self) -> Path:
        """The broker's own log."""
        return self.folder / "log"

    @property
    def url(self) -> str:
        """Where it listens, without a user."""
        return f"{'mqtts' if self.authority else 'mqtt'}://127.0.0.1:{self.port}"

    @property
    def ca_pem(self) -> str | None:
        """The authority behind its TLS certificate."""
        return self.authority.cert_pem.bytes().decode() if self.authority else None

    async def start(self) -> None:
        """Return when it takes connections."""
        self._process = await asyncio.create_subprocess_exec(
            program("mosquitto"),
            "-c",
            str(self.folder / "mosquitto.conf"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None, self.log.read_text()
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

    async def kill(self) -> None:
        """As a power cut would: kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As an administrator would."""
        await self._end(signal.SIGTERM)

    async def reload(self) -> None:
        """Read the access rules again; return when that is in the log."""
        assert self._process is not None
        before = self.log.read_text().count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(WITHIN_S):
            while self.log.read_text().count("Reloading config") == before:
                await asyncio.sleep(0.01)

    def freeze(self) -> None:
        """It stays connected and answers nothing, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if how is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
