"""A server's tree for a person, and as a profile to start from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from headgate_drivers.opcua.client import ua
from headgate_drivers.opcua.nodes import children, declared, resolve, unit_of
from headgate_drivers.opcua.places import UA, BrowsePath
from headgate_drivers.opcua.session import Session

#: Variables that one profile is made of; a server may have a hundred thousand.
MOST_NODES = 2000
#: Data type of the standard to a profile's encoding: OPC 10000-6 annex A, the ids of the built-in types.
_TYPES = {
    1: "bool", 2: "int16", 3: "uint16", 4: "int16", 5: "uint16", 6: "int32", 7: "uint32", 8: "int64",
    9: "uint64", 10: "float32", 11: "float64", 12: "text", 21: "text", 29: "int32",
}  # fmt: skip


class Found(NamedTuple):
    """One node of the tree: the names that lead to it, (namespace uri, name) each."""

    steps: tuple[tuple[str, str], ...]
    node_class: str
    #: A profile's encoding; empty where there is none for it.
    kind: str
    value: object
    unit: str
    title: str


async def walk(session: Session, start: BrowsePath, depth: int) -> list[Found]:
    """Everything below a node, parents first. A node that is reached twice is told once.

    Raises ValueError: nothing there.
    """
    root = (await resolve(session, session.objects, [start]))[0]
    if root is None:
        raise ValueError("/".join(name for _, name in start.steps))
    found: list[Found] = []
    seen = {root}
    level: list[tuple[Any, tuple[tuple[str, str], ...]]] = [(root, ())]
    for _ in range(depth):
        below: list[tuple[Any, tuple[tuple[str, str], ...]]] = []
        for node, steps in level:
            for reference in await children(session, node):
                child = _child(session, reference)
                if child is None or child in seen or len(found) >= MOST_NODES:
                    continue
                seen.add(child)
                name = reference.BrowseName
                here = (*steps, (session.namespaces[name.NamespaceIndex], name.Name))
                found.append(await _look(session, child, here, reference))
                below.append((child, here))
        level = below
    return sorted(found, key=lambda each: each.steps)


def _child(session: Session, reference: Any) -> Any:
    identifier = reference.NodeId
    if getattr(identifier, "ServerIndex", 0) or reference.BrowseName.NamespaceIndex >= len(
        session.namespaces
    ):
        return None
    if identifier.NamespaceIndex == 0 and identifier.Identifier == ua.ObjectIds.Server:
        return None  # the server's own affairs
    return ua.NodeId(identifier.Identifier, identifier.NamespaceIndex, identifier.NodeIdType)


async def _look(
    session: Session, node: Any, steps: tuple[tuple[str, str], ...], reference: Any
) -> Found:
    kind, value, unit = "", None, ""
    if reference.NodeClass == ua.NodeClass.Variable:
        type_id, value = await declared(session, node)
        kind = _TYPES.get(type_id, "") if isinstance(type_id, int) else ""
        unit = await unit_of(session, node)
    title = reference.DisplayName.Text or ""
    return Found(steps, reference.NodeClass.name, kind, value, unit, title)


def tree_text(found: Sequence[Found]) -> str:
    """The tree, a node a line."""
    lines = []
    for each in found:
        indent = "  " * (len(each.steps) - 1)
        said = "" if each.node_class != "Variable" else f" = {each.value!r} {each.unit}".rstrip()
        lines.append(f"{indent}{each.steps[-1][1]}  {each.kind or each.node_class}{said}")
    return "\n".join(lines)


def profile_text(
    found: Sequence[Found], start: BrowsePath, vendor: str, model: str, server: str
) -> str:
    """A profile of every variable that a point can hold; titles and ranges are for a person to write.

    Args:
        start: the node that was browsed from, which is the address of a device of this profile.
    """
    variables = [each for each in found if each.kind and each.steps]
    spaces = _spaces([*(each.steps for each in variables), start.steps])
    address = "/" + "/".join(_step(spaces[uri], step) for uri, step in start.steps)
    lines = [
        "schema = 1", f"vendor = {_toml(vendor)}", f"model = {_toml(model)}", f"title = {_toml(model)}",
        f"title_zh = {_toml(model)}", 'driver = "opcua"', f"source = {_toml('Browsed from ' + server)}",
        'firmware_scheme = "dotted"', "",
        f"# A device of it has this address in the site file: {_toml(address)}", "[quirks]",
    ]  # fmt: skip
    for uri, prefix in spaces.items():
        if uri != UA:
            lines.append(f"{'namespace' if not prefix else 'namespace_' + prefix} = {_toml(uri)}")
    names: set[str] = set()
    for each in variables:
        name = _name(each, names)
        path = "/".join(_step(spaces[uri], step) for uri, step in each.steps)
        lines += ["", "[[point]]", f"name = {_toml(name)}", f"title = {_toml(each.title or name)}"]
        if each.unit:
            lines.append(f"# the server says: {each.unit!r}; write its UCUM code")
        lines += [f"type = {_toml(each.kind)}", f"path = {_toml(path)}"]
    lines += ["", "[[variant]]", 'name = "all"', "when_unknown = true", ""]
    return "\n".join(lines)


def _spaces(paths: Sequence[tuple[tuple[str, str], ...]]) -> dict[str, str]:
    """A prefix for each namespace; none for the one that most steps are in."""
    counts: dict[str, int] = {}
    for path in paths:
        for uri, _ in path:
            counts[uri] = counts.get(uri, 0) + 1
    spaces = {UA: "ua"}
    common = max((u for u in counts if u != UA), key=lambda u: counts[u], default="")
    for uri in counts:
        if uri == common:
            spaces[uri] = ""
        elif uri != UA:
            word = re.sub(r"[^a-z0-9]", "", uri.rstrip("/").rpartition("/")[2].lower()) or "n"
            word = word if word[0].isalpha() else f"n{word}"
            while word in spaces.values():
                word += "x"
            spaces[uri] = word
    return spaces


def _step(prefix: str, name: str) -> str:
    escaped = re.sub(r"([&/:])", r"&\1", name)
    return f"{prefix}:{escaped}" if prefix else escaped


def _name(found: Found, taken: set[str]) -> str:
    words = [re.sub(r"[^A-Za-z0-9]+", "_", step).strip("_").lower() for _, step in found.steps]
    whole = "_".join(word for word in words if word)[-60:].lstrip("_0123456789") or "point"
    name, number = whole, 2
    while name in taken:
        name, number = f"{whole[:56]}_{number}", number + 1
    taken.add(name)
    return name


def _toml(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)
