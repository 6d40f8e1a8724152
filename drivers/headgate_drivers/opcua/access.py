"""Reading, writing and calling: attributes and methods of nodes that were found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headgate_drivers.opcua.client import NODES_AT_ONCE, ua
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.status import NO_NODE


async def read(session: Session, nodes: Sequence[Any]) -> list[tuple[int, object, datetime | None]]:
    """(status code, value, source time) of each node; None stands for a node that is not there.

    Not `read_values`, which gives None for a bad node and hides how good the others are.
    """
    out: list[tuple[int, object, datetime | None]] = [(NO_NODE, None, None)] * len(nodes)
    there = [index for index, node in enumerate(nodes) if node is not None]
    for at in range(0, len(there), NODES_AT_ONCE):
        part = there[at : at + NODES_AT_ONCE]
        with session.working():
            values = await session.service.read_attributes(
                [nodes[index] for index in part], ua.AttributeIds.Value
            )
        for index, value in zip(part, values, strict=True):
            out[index] = told_of(value)
    return out


async def write(session: Session, node: Any, value: object) -> int:
    """Write a value in the type that the node has; the status code."""
    with session.working():
        now = (await session.service.read_attributes([node], ua.AttributeIds.Value))[0]
        kind = now.Value.VariantType if now.Value is not None else None
        if kind in (None, ua.VariantType.Null):
            declared: Any = await session.service.read_attributes([node], ua.AttributeIds.DataType)
            kind = ua.VariantType(declared[0].Value.Value.Identifier)
        # Without timestamps: many controllers refuse to have their clock written.
        data = ua.DataValue(ua.Variant(value, kind))
        codes = await session.service.write_attributes([node], [data])
    return int(codes[0].value)


async def call(session: Session, parent: Any, method: Any) -> int:
    """Call a method without arguments; the status code."""
    request = ua.CallMethodRequest()
    request.ObjectId, request.MethodId = parent, method
    with session.working():
        results = await session.service.call([request])
    return int(results[0].StatusCode.value)


async def build_info(session: Session) -> tuple[str, str, str]:
    """(maker, product, software version) of the server."""
    ids = (
        ua.ObjectIds.Server_ServerStatus_BuildInfo_ManufacturerName,
        ua.ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
        ua.ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion,
    )
    told = await read(session, [ua.NodeId(each) for each in ids])
    maker, product, version = (str(value or "") for _, value, _ in told)
    return maker, product, version


async def server_time(session: Session) -> datetime | None:
    """What time it is at the server; None where it does not say."""
    node = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
    ((_, value, _),) = await read(session, [node])
    return value if isinstance(value, datetime) else None


def told_of(value: Any) -> tuple[int, object, datetime | None]:
    """Status code, value and source time of one of the library's data values."""
    # A status that is not there is good (OPC 10000-6 section 5.2.2.17).
    code = 0 if value.StatusCode is None else int(value.StatusCode.value)
    inner = None if value.Value is None else value.Value.Value
    return code, inner, value.SourceTimestamp
