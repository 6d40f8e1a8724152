"""Whether a serial bus can carry what is asked of it, and where its settings differ by device. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from headgate.errors import Problem
from headgate.sdk import LineSettings, line_of

#: How long a device takes before it begins to answer; slow ones take ten times that.
TURNAROUND_S = 0.01
#: A bus is full when nothing is left for retries.
FULL = 0.9


class Share(NamedTuple):
    """One device on a bus: how often it is asked, its own line settings, and the bytes of one look."""

    device: str
    interval_s: float
    line: str
    gap_s: float
    bytes: tuple[tuple[int, int], ...]


def check_buses(urls: Mapping[str, str], shares: Mapping[str, Iterable[Share]]) -> list[Problem]:
    """What a person should know of each bus before it is built.

    Args:
        urls: the URL of each channel; those that say no baud rate and are no serial port are left out.
        shares: the devices of each channel.
    """
    problems = []
    for channel, url in urls.items():
        here = list(shares.get(channel, ()))
        if not settable(url):
            problems += _fixed(channel, here)
        if here and _says_its_baud(url):
            problems += _check(channel, line_of(url), here)
    return problems


def seconds_of(share: Share, line: LineSettings) -> float:
    """How long one look at a device holds the bus."""
    return sum(
        line.seconds(sent + received) + 2 * line.silence() + TURNAROUND_S
        for sent, received in share.bytes
    )


def slowest(lines: Iterable[tuple[str, str]]) -> int | None:
    """The lowest baud rate of serial lines; None where none of them says one.

    Args:
        lines: a channel's URL, and the line settings of one device of it ("": the channel's).
    """
    bauds = [
        (line_of(url).with_text(own) if own else line_of(url)).baud
        for url, own in lines if _says_its_baud(url)
    ]  # fmt: skip
    return min(bauds, default=None)


def settable(url: str) -> bool:
    """Whether baud rate and parity of the line behind this URL are ours to set."""
    parts = urlsplit(url)
    return not parts.netloc or parts.scheme.endswith("+rfc2217")


def _says_its_baud(url: str) -> bool:
    return settable(url) or "baud" in parse_qs(urlsplit(url).query)


def _fixed(channel: str, shares: list[Share]) -> list[Problem]:
    """Devices that want other settings than a line has whose settings are set elsewhere."""
    wanted = [f"{share.device} ({share.line})" for share in shares if share.line]
    if not wanted:
        return []
    fields: dict[str, str | int | float] = {"channel": channel, "devices": ", ".join(wanted[:5])}
    return [Problem(f"channel {channel}", "HG-3133", fields)]


def _check(channel: str, base: LineSettings, shares: list[Share]) -> list[Problem]:
    where = f"channel {channel}"
    problems = []
    kinds: dict[str, list[str]] = defaultdict(list)
    load = 0.0
    for share in shares:
        line = base.with_text(share.line) if share.line else base
        line = msgspec.structs.replace(line, gap_s=max(line.gap_s, share.gap_s))
        kinds[str(line)].append(share.device)
        load += seconds_of(share, line) / share.interval_s
    if load > FULL:
        fields: dict[str, str | int | float] = {
            "channel": channel, "percent": round(load * 100), "baud": base.baud,
            "factor": f"{load / FULL:.1f}",
        }  # fmt: skip
        problems.append(Problem(where, "HG-3131", fields))
    if len(kinds) > 1:
        told = "; ".join(f"{line}: {_some(names)}" for line, names in sorted(kinds.items()))
        problems.append(Problem(where, "HG-3132", {"channel": channel, "kinds": told}))
    return problems


def _some(names: list[str]) -> str:
    """Five of them, and how many more there are."""
    more = f" +{len(names) - 5}" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
