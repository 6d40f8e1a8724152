"""What a profile may say of a point, and where that stands in a server. Pure.

Namespaces are named by URI: their index changes with the order in which a server loads its parts, often
at a restart. A profile names its own in `[quirks]`: `namespace` is meant where nothing else is said,
`namespace_di` what `di:` stands for in a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from headgate.sdk import Device, Problem, ProfileError

#: OPC UA's own namespace, always index 0.
UA = "http://opcfoundation.org/UA/"

#: Where a profile or a channel says so, events come from the Server object.
SERVER: Final = "server"

POINT_KEYS: Mapping[str, str] = {
    "path": "browse path from the device's own node: WetWell/di:Level",
    "node": 'node id in the namespace: "s=PS1.Level" or "i=2001"; {address} stands for the device\'s',
    "namespace": "namespace uri of `node`, where it is not the profile's",
    "element": "array: which one of it, counted from 0",
    "sampling_ms": "how often the server looks at the value; the channel's when not said",
    "queue": "how many values the server keeps between two publishes (10)",
    "server_deadband": "the server is silent about changes up to this, in raw units",
    "server_deadband_percent": "the same, in percent of the node's EURange",
    "every_sample": "true: told at every sample, also when the value did not change",
    "start": "path of a method called to write true",
    "stop": "path of a method called to write false",
}

Fields = dict[str, str | int | float]


class NodeName(NamedTuple):
    """A node by its id: namespace uri, and the id as it is written (`s=...`)."""

    namespace: str
    identifier: str


class BrowsePath(NamedTuple):
    """A node by the names that lead to it, each (namespace uri, name), from the device's node."""

    steps: tuple[tuple[str, str], ...]


Where = NodeName | BrowsePath


class Place(NamedTuple):
    """Where one point stands and how it is watched. `None` of a number: as the channel says."""

    at: int
    name: str
    kind: str
    where: Where
    element: int | None = None
    sampling_ms: float | None = None
    queue: int = 10
    deadband: float | None = None
    percent: bool = False
    start: Where | None = None
    stop: Where | None = None
    every_sample: bool = False


class Layout(NamedTuple):
    """A device in the server: its own node, seen from Objects, and its points.

    `events` is the node whose events are told, seen from the device's own; from `severity` (1-1000) on.
    """

    root: Where
    places: tuple[Place, ...]
    events: Where | Literal["server"] | None = None
    severity: int = 1


_NODE = re.compile(r"(?:nsu=(?P<uri>[^;]+);)?(?P<id>[isgb]=.+)", re.DOTALL)
_STEP = re.compile(r"(?:&.|[^/&])+")


class _Wrong(Exception):
    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key)
        self.fields: Fields = {"key": key, "value": str(value), "allowed": allowed}


def layout_of(device: Device, events: str = "", severity: int = 1) -> Layout:
    """Where everything of a device stands.

    Args:
        events, severity: what the channel says of events, where the profile says nothing.

    Raises:
        ProfileError: an address or points that lead nowhere, every one named.
    """
    problems: list[Problem] = []
    spaces = _spaces(device.quirks)
    root: Where = BrowsePath(())
    try:
        root = _root(str(device.address), spaces)
    except _Wrong as wrong:
        problems.append(Problem(f'device "{device.id}": address', "HG-3320", wrong.fields))
    places = []
    for index, point in enumerate(device.points):
        where = f'device "{device.id}": point "{point.point.name}"'
        try:
            places.append(
                _place(
                    index,
                    point.point.name,
                    point.point.type,
                    point.source,
                    spaces,
                    str(device.address),
                )
            )
        except _Wrong as wrong:
            problems.append(Problem(where, "HG-3320", wrong.fields))
    notifier, least = None, severity
    try:
        notifier = _events(str(device.quirks.get("events", events)), spaces)
        least = int(_number(device.quirks, "events_severity", 1, 1000) or severity)
    except _Wrong as wrong:
        problems.append(Problem(f'device "{device.id}": quirks', "HG-3320", wrong.fields))
    if problems:
        raise ProfileError(problems)
    return Layout(root, tuple(places), notifier, least)


def _spaces(quirks: Mapping[str, object]) -> dict[str, str]:
    """Namespace uris by prefix; the profile's own has none."""
    spaces = {"ua": UA}
    for key, value in quirks.items():
        if key == "namespace":
            spaces[""] = str(value)
        elif key.startswith("namespace_"):
            spaces[key.removeprefix("namespace_")] = str(value)
    return spaces


def _root(address: str, spaces: Mapping[str, str]) -> Where:
    """The device's node: `/`, a path from Objects, or `nsu=URI;s=NAME`."""
    if address in ("", "/", "0"):
        return BrowsePath(())
    if address.startswith("/"):
        return _path("address", address[1:], spaces)
    return _node("address", address, spaces.get("", ""))


def _events(said: str, spaces: Mapping[str, str]) -> Where | Literal["server"] | None:
    """`server`, `.` for the device's own node, a path from there, or nothing."""
    if said in ("", "none"):
        return None
    if said == SERVER:
        return SERVER
    return BrowsePath(()) if said == "." else _path("events", said, spaces)


def _node(key: str, text: str, namespace: str) -> NodeName:
    allowed = 'nsu=URI;s=NAME, s=NAME, i=2001 (a namespace by its uri, never "ns=2")'
    found = _NODE.fullmatch(text)
    if found is None:
        raise _Wrong(key, text, allowed)
    uri = found["uri"] or namespace
    if not uri:
        raise _Wrong(key, text, 'namespace = "urn:..." in [quirks], or nsu=URI;')
    if found["id"].startswith("i=") and not found["id"][2:].isdecimal():
        raise _Wrong(key, text, allowed)
    return NodeName(uri, found["id"])


def _path(key: str, said: object, spaces: Mapping[str, str]) -> BrowsePath:
    """`A/di:B`: names with their namespaces. `&` before a `/` or `:` makes it part of the name."""
    steps = []
    if not isinstance(said, str) or not said:
        raise _Wrong(key, said, "WetWell/Level")
    for step in _STEP.findall(said):
        prefix, colon, name = _split(step)
        space = spaces.get(prefix if colon else "")
        if space is None:
            known = ", ".join(f"{each}:" for each in spaces if each)
            raise _Wrong(key, said, f"namespace_{prefix or '...'} in [quirks]; {known}")
        steps.append((space, re.sub(r"&(.)", r"\1", name if colon else step)))
    return BrowsePath(tuple(steps))


def _split(step: str) -> tuple[str, str, str]:
    found = re.match(r"([A-Za-z][A-Za-z0-9_]*):", step)
    return (found[1], ":", step[found.end() :]) if found else ("", "", step)


def _place(
    index: int,
    name: str,
    kind: str,
    source: Mapping[str, object],
    spaces: Mapping[str, str],
    address: str,
) -> Place:
    where: Where
    if ("path" in source) == ("node" in source):
        raise _Wrong("path | node", source.get("path", "-"), "one of the two")
    if "path" in source:
        where = _path("path", source["path"], spaces)
    else:
        text = str(source["node"]).replace("{address}", address)
        where = _node("node", text, str(source.get("namespace") or spaces.get("", "")))
    percent = "server_deadband_percent" in source
    band = _number(source, "server_deadband_percent" if percent else "server_deadband", 0, 1e12)
    if percent and band is not None and band > 100:
        raise _Wrong("server_deadband_percent", band, "0 .. 100")
    element = _number(source, "element", 0, 65_535)
    queue = _number(source, "queue", 1, 100_000)
    methods = [None if k not in source else _path(k, source[k], spaces) for k in ("start", "stop")]
    return Place(
        at=index,
        name=name,
        kind=kind,
        where=where,
        element=None if element is None else int(element),
        sampling_ms=_number(source, "sampling_ms", 0, 86_400_000),
        queue=10 if queue is None else int(queue),
        deadband=band,
        percent=percent,
        start=methods[0],
        stop=methods[1],
        every_sample=source.get("every_sample") is True,
    )


def _number(source: Mapping[str, object], key: str, low: float, high: float) -> float | None:
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise _Wrong(key, value, f"{low:g} .. {high:g}")
    return value
