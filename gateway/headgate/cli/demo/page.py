"""The demo's page: a table in a terminal that can show one, a line a second where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import typer

from headgate.cli.demo.watch import Figures, Gauge
from headgate.messages import Language, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Headgate: from the sensor to the platform", "Headgate：从传感器到平台"),
    "gauge": ("device", "设备"),
    "way": ("by", "接入"),
    "serial": ("serial", "串口"),
    "device": ("at the device", "设备端"),
    "gateway": ("at the gateway", "网关"),
    "stored": ("as stored", "已入库"),
    "delay": ("delay", "时延"),
    "broker": ("broker", "MQTT 服务器"),
    "here": ("here", "在线"),
    "away": ("taken away", "已断开"),
    "waiting": ("waiting on disk", "磁盘待发"),
    "records": ("records", "条记录"),
    "sealed": ("sealed", "已加密"),
    "looks": ("looks stored", "入库次数"),
    "of": ("of", "/"),
}
_BAR = 40


class Page(Protocol):
    """Where the demo is watched."""

    def show(self, second: float, length: float, figures: Figures) -> None:
        """Show the figures of this moment."""
        ...

    def tell(self, code: str, /, **fields: object) -> None:
        """Say what happens now."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class PlainPage:
    """A line each second."""

    def __init__(self, lang: Language) -> None:
        self._lang: Language = lang
        self._last = -1

    def show(self, second: float, length: float, figures: Figures) -> None:
        """One line, at most once a second."""
        if int(second) == self._last:
            return
        self._last = int(second)
        word = _words(self._lang)
        parts = [
            f"{int(second):3} s",
            f"{word['broker']} {word['here' if figures.broker else 'away']}",
            f"{word['looks']} {figures.stored} {word['of']} {figures.looks}",
            f"{word['waiting']} {figures.waiting} ({_size(figures.waiting_bytes)})",
            f"{word['sealed']} {figures.sealed} ({_size(figures.sealed_bytes)})",
            f"{word['delay']} {_seconds(figures.delay_s)}",
        ]
        typer.echo("  ".join(parts))

    def tell(self, code: str, /, **fields: object) -> None:
        """A sentence of the catalogue."""
        typer.echo(say(code, self._lang, **fields))

    def close(self) -> None:
        """Nothing to put back."""


class LivePage:
    """A table that is drawn again and again."""

    def __init__(self, lang: Language) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lang: Language = lang
        self._said = ""
        self._most = 1
        self._shown: tuple[float, float, Figures] | None = None
        # Drawn when there is something new; no thread of its own.
        self._live: Live = Live(console=Console(), auto_refresh=False, transient=False)
        self._live.start()

    def show(self, second: float, length: float, figures: Figures) -> None:
        """Draw the table."""
        self._most = max(self._most, figures.waiting)
        self._shown = second, length, figures
        self._live.update(self._draw(*self._shown), refresh=True)

    def tell(self, code: str, /, **fields: object) -> None:
        """A sentence below the table."""
        self._said = say(code, self._lang, **fields)
        if self._shown is None:
            self._live.update(self._said, refresh=True)
        else:
            self._live.update(self._draw(*self._shown), refresh=True)

    def close(self) -> None:
        """Leave the last drawing where it is."""
        self._live.stop()

    def _draw(self, second: float, length: float, figures: Figures) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        word = _words(self._lang)
        table = Table(title=word["title"], title_justify="left", expand=False)
        table.add_column(word["gauge"])
        table.add_column(word["way"])
        for column in ("device", "gateway", "stored", "delay"):
            table.add_column(word[column], justify="right", min_width=13)
        for gauge in figures.gauges:
            way = word.get(gauge.way, gauge.way)
            table.add_row(gauge.name, way, *_cells(gauge))
        away = not figures.broker
        bar = "#" * round(_BAR * figures.waiting / self._most) if figures.waiting else ""
        lines = Text()
        lines.append(f"{word['broker']}: ")
        lines.append(word["away" if away else "here"], style="bold red" if away else "green")
        lines.append(
            f"   {word['looks']}: {figures.stored} {word['of']} {figures.looks}"
            f"   {word['sealed']}: {figures.sealed} {word['records']}, {_size(figures.sealed_bytes)}\n"
            f"{word['waiting']}: {figures.waiting} {word['records']}, {_size(figures.waiting_bytes)}  "
        )
        lines.append(bar, style="red" if away else "yellow")
        lines.append(f"\n{min(second, length):.0f} {word['of']} {length:.0f} s   ")
        lines.append(self._said, style="bold")
        return Group(table, lines)


def open_page(lang: Language, *, plain: bool) -> Page:
    """A page for this terminal."""
    return PlainPage(lang) if plain else LivePage(lang)


def _words(lang: Language) -> dict[str, str]:
    return {key: zh if lang == "zh" else en for key, (en, zh) in _WORDS.items()}


def _cells(gauge: Gauge) -> tuple[str, ...]:
    values = (gauge.at_device, gauge.at_gateway, gauge.stored)
    return (*(_value(value, gauge.unit) for value in values), _seconds(gauge.delay_s))


def _value(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3f} {unit}"


def _seconds(delay_s: float | None) -> str:
    return "-" if delay_s is None else f"{delay_s:.2f} s"


def _size(count: float) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"
