"""Nodes of a server: found by names and namespace uris, never by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate_drivers.opcua.access import read
from headgate_drivers.opcua.client import NODES_AT_ONCE, ua
from headgate_drivers.opcua.places import BrowsePath, NodeName, Where
from headgate_drivers.opcua.session import Session


def _node_id(session: Session, name: NodeName) -> Any:
    """The library's node id; None where the server does not have the namespace."""
    try:
        index = session.namespaces.index(name.namespace)
        return ua.NodeId.from_string(f"ns={index};{name.identifier}")
    except (ValueError, ua.UaError):
        return None


async def resolve(session: Session, start: Any, where: Sequence[Where]) -> list[Any]:
    """The node ids of places seen from a node; None for each that is not there."""
    found: list[Any] = [None] * len(where)
    paths: list[tuple[int, Any]] = []
    for index, each in enumerate(where):
        if isinstance(each, NodeName):
            found[index] = _node_id(session, each)
        elif not each.steps:
            found[index] = start
        elif start is not None and (path := _path(session, start, each.steps)) is not None:
            paths.append((index, path))
    for at in range(0, len(paths), NODES_AT_ONCE):
        part = paths[at : at + NODES_AT_ONCE]
        with session.working():
            results = await session.service.translate_browsepaths_to_nodeids([p for _, p in part])
        for (index, _), result in zip(part, results, strict=True):
            if result.StatusCode.is_good() and result.Targets:
                found[index] = _plain(result.Targets[0].TargetId)
    return found


def _path(session: Session, start: Any, steps: Sequence[tuple[str, str]]) -> Any:
    path = ua.BrowsePath()
    path.StartingNode = start
    for namespace, name in steps:
        if namespace not in session.namespaces:
            return None
        element = ua.RelativePathElement()
        element.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        element.IsInverse = False
        element.IncludeSubtypes = True
        element.TargetName = ua.QualifiedName(name, session.namespaces.index(namespace))
        path.RelativePath.Elements.append(element)
    return path


async def children(session: Session, node: Any) -> list[Any]:
    """References to everything below a node, all of them (a server may give them in parts)."""
    ask = ua.BrowseDescription()
    ask.NodeId = node
    ask.BrowseDirection = ua.BrowseDirection.Forward
    ask.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
    ask.IncludeSubtypes = True
    ask.NodeClassMask = 0
    ask.ResultMask = ua.BrowseResultMask.All
    parameters = ua.BrowseParameters()
    parameters.NodesToBrowse = [ask]
    parameters.RequestedMaxReferencesPerNode = 1000
    with session.working():
        result = (await session.service.browse(parameters))[0]
        found = list(result.References or ())
        while result.ContinuationPoint:
            more = ua.BrowseNextParameters()
            more.ContinuationPoints = [result.ContinuationPoint]
            result = (await session.service.browse_next(more))[0]
            found += result.References or ()
    return found


async def named(session: Session, names: Sequence[str]) -> BrowsePath | None:
    """The path of names, each in whatever namespace it is; None where one of them is not there."""
    node, steps = session.objects, []
    for name in names:
        for reference in await children(session, node):
            if reference.BrowseName.Name == name:
                uri = session.namespaces[reference.BrowseName.NamespaceIndex]
                node = _plain(reference.NodeId)
                steps.append((uri, name))
                break
        else:
            return None
    return BrowsePath(tuple(steps))


async def declared(session: Session, node: Any) -> tuple[object, object]:
    """(id of the data type in the standard's namespace, or None; the value) of a variable."""
    with session.working():
        kind, rank = [
            (await session.service.read_attributes([node], each))[0].Value
            for each in (ua.AttributeIds.DataType, ua.AttributeIds.ValueRank)
        ]
    _, value, _ = (await read(session, [node]))[0]
    name: Any = None if kind is None else kind.Value
    scalar = rank is None or rank.Value in (-1, None)
    standard = name is not None and name.NamespaceIndex == 0 and scalar
    return (name.Identifier if standard else None), value


async def browse_name(session: Session, node: Any) -> str:
    """The name of a node without its namespace; empty where it has none to tell."""
    with session.working():
        (said,) = await session.service.read_attributes([node], ua.AttributeIds.BrowseName)
    name = None if said.Value is None else said.Value.Value
    return str(getattr(name, "Name", "") or "")


async def unit_of(session: Session, node: Any) -> str:
    """What the node's EngineeringUnits say, for people."""
    path = BrowsePath(((session.namespaces[0], "EngineeringUnits"),))
    (unit,) = await resolve(session, node, [path])
    if unit is None:
        return ""
    _, value, _ = (await read(session, [unit]))[0]
    said: Any = getattr(value, "DisplayName", None)
    return str(getattr(said, "Text", "") or "")


def _plain(expanded: Any) -> Any:
    return ua.NodeId(expanded.Identifier, expanded.NamespaceIndex, expanded.NodeIdType)


async def parent_of(session: Session, root: Any, where: Where | None, method: Any) -> Any:
    """The object that a method is called on: the one before it in its path."""
    if isinstance(where, BrowsePath) and len(where.steps) > 1:
        return (await resolve(session, root, [BrowsePath(where.steps[:-1])]))[0]
    return root if isinstance(where, BrowsePath) else method
