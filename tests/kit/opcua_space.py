"""The standard's 6,000 nodes, made once for all servers of a test process and copied as they are looked at.

Making them takes the library a second of a core for every server; hardly a test looks at a tenth of them.
What a server does to a node it does to its own copy.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, MutableMapping
from typing import Any

from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.server.internal_server import InternalServer

_made: dict[Any, Any] = {}


class CopiedNodes(MutableMapping[Any, Any]):
    """Nodes of one server: those of the standard until they are touched, then copies."""

    def __init__(self, made: dict[Any, Any]) -> None:
        self._made = made
        self._left = set(made)
        self._own: dict[Any, Any] = {}

    def __getitem__(self, name: Any) -> Any:
        if name in self._own:
            return self._own[name]
        if name not in self._left:
            raise KeyError(name)
        self._left.discard(name)
        self._own[name] = node = _copy(self._made[name])
        return node

    def __setitem__(self, name: Any, node: Any) -> None:
        self._left.discard(name)
        self._own[name] = node

    def __delitem__(self, name: Any) -> None:
        if name in self._left:
            self._left.discard(name)
        else:
            del self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._left

    def __iter__(self) -> Iterator[Any]:
        yield from list(self._own)
        yield from list(self._left)

    def __len__(self) -> int:
        return len(self._own) + len(self._left)


def _copy(made: NodeData) -> NodeData:
    """A node of one's own; what stands inside of its values and references is replaced, never changed."""
    node = NodeData(made.nodeid)
    node.references = list(made.references)
    for name, attribute in made.attributes.items():
        assert attribute.value is not None and not attribute.datachange_callbacks
        node.attributes[name] = AttributeValue(copy.copy(attribute.value))
    node.call = made.call
    return node


async def _load(server: InternalServer, shelf_file: object = None) -> None:
    del shelf_file
    space: Any = server.aspace
    if not _made:
        await asyncio.to_thread(_fill, server)
        _made.update(space._nodes)
    space._nodes = CopiedNodes(_made)


def _fill(server: InternalServer) -> None:
    from asyncua.server.standard_address_space import standard_address_space

    fill: Any = standard_address_space.fill_address_space
    fill(server.node_mgt_service)


def share() -> None:
    """From now on servers of this process begin with copies."""
    InternalServer.load_standard_address_space = _load  # type: ignore[method-assign,assignment]
