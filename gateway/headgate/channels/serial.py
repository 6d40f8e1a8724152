"""A serial port as a channel, by way of serialx: exclusive, set anew per transaction, back after a replug.

A port is named by what does not change when plugs do: `/dev/serial/by-id/...`. It is opened
exclusively, because two programs on one bus is the classic field fault. When the adapter is pulled
the kernel says EIO: the line is down, and the same path is tried until it is there again.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, cast

import msgspec

from headgate.channels.base import ChannelSettings
from headgate.channels.bus import BusChannel
from headgate.channels.tcp import _Line
from headgate.env import Env
from headgate.errors import ChannelError
from headgate.sdk import LineSettings

#: Opening a port anew makes some adapters reset what hangs on them, so it is the last means.
SILENT_LIMIT = 100


class SerialChannel(BusChannel):
    """A serial port that keeps itself open from `open` until `close`."""

    def __init__(self, env: Env, settings: ChannelSettings, path: str, line: LineSettings) -> None:
        settings = msgspec.structs.replace(
            settings, silent_limit=max(SILENT_LIMIT, settings.silent_limit)
        )
        super().__init__(env, settings, path, 0, line)
        self._path = path
        #: Whether it is a pseudo-terminal, behind which a program stands and no wire.
        self._pseudo = False
        #: What the port itself is set to; None while nobody can say.
        self._set_to: LineSettings | None = None

    async def _dial(self) -> _Line:
        import serialx  # costs 40 ms, which boxes without a serial port need not pay

        base = self._base
        self._pseudo = _is_pseudo(self._path)
        try:
            _, protocol = await serialx.create_serial_connection(
                asyncio.get_running_loop(),
                lambda: _Line(self),
                self._path,
                exclusive=True,
                **self._words(base),
            )
        except serialx.SerialException as error:
            raise OSError(str(error)) from error
        except ValueError as error:  # settings this port does not have
            raise OSError(f"{base}: {error}") from error
        self._now = self._set_to = base
        self._unsure = False
        return cast(_Line, protocol)

    async def _set(self, line: LineSettings) -> None:
        import serialx

        if self._line is None:
            raise self._closed()
        if self._set_to is not None and self._words(line) == self._words(self._set_to):
            return
        self._set_to = None  # cancelled half-way, it could be either
        transport = cast(Any, self._line.transport)
        try:
            await transport.reconfigure_port(**self._words(line))
        except (OSError, ValueError, serialx.SerialException) as error:
            raise ChannelError(
                f"channel {self.id}: the port cannot be set to {line}: {error}",
                code="HG-3012",
                channel=self.id,
                line=str(line),
                reason=str(error),
            ) from error
        self._set_to = line

    def _words(self, line: LineSettings) -> dict[str, Any]:
        if self._pseudo:
            # It has neither parity nor 7 bits. Asked for them it refuses, but only when nothing else
            # changes with them: opened once it would be well, opened again it would not.
            line = msgspec.structs.replace(line, parity="N", data_bits=8)
        return _words(line)

    def _wire_s(self, size: int) -> float:
        return self._now.seconds(size)


def _is_pseudo(path: str) -> bool:
    return os.path.realpath(path).startswith("/dev/pts/")


def _words(line: LineSettings) -> dict[str, Any]:
    import serialx

    return {
        "baudrate": line.baud,
        "byte_size": line.data_bits,
        "parity": {
            "N": serialx.Parity.NONE, "E": serialx.Parity.EVEN, "O": serialx.Parity.ODD,
        }[line.parity],
        "stopbits": {
            1.0: serialx.StopBits.ONE,
            1.5: serialx.StopBits.ONE_POINT_FIVE,
            2.0: serialx.StopBits.TWO,
        }[line.stop_bits],
    }  # fmt: skip
