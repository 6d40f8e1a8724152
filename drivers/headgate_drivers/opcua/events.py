"""Events of a server on the wire: what is asked for with each, and how they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headgate_drivers.opcua.client import ua
from headgate_drivers.opcua.conditions import Occurrence
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.values import unix_us

#: What is asked for: type that has the field, and its path. The order is the order of an event's fields.
_BASE = ("EventType", "SourceNode", "SourceName", "Time", "Message", "Severity")
_OF_CONDITION = ("ConditionName", "BranchId", "Retain")
_FIELDS: Sequence[tuple[int, str]] = (
    *((ua.ObjectIds.BaseEventType, name) for name in _BASE),
    *((ua.ObjectIds.ConditionType, name) for name in _OF_CONDITION),
    (ua.ObjectIds.AcknowledgeableConditionType, "AckedState/Id"),
    (ua.ObjectIds.AlarmConditionType, "ActiveState/Id"),
    (ua.ObjectIds.AlarmConditionType, "InputNode"),
    (ua.ObjectIds.ExclusiveLimitAlarmType, "LimitState/CurrentState"),
)
#: Events between two publishes that the server keeps.
_QUEUE = 1000


class Happened(NamedTuple):
    """One event: type, source and input node, and what it says. `type` is read by number only."""

    type: Any
    source: Any
    source_name: str
    input: Any
    fields: dict[str, Any]

    @property
    def is_branch(self) -> bool:
        """Whether it speaks of an earlier state that still wants acknowledging, not of the one now."""
        branch = self.fields.get("BranchId")
        return branch is not None and not branch.is_null()

    def is_(self, object_id: int) -> bool:
        """Whether its type is one of the standard's."""
        return self.type is not None and self.type == ua.NodeId(object_id)

    def occurrence(self, type_name: str, point_of: Callable[[Any], str | None]) -> Occurrence:
        """What it means. `point_of` gives the point that a node is."""
        fields = self.fields
        condition = fields["ConditionId"]
        point = point_of(self.input) or point_of(self.source) or self.source_name
        limit = _text(fields["LimitState/CurrentState"])
        return Occurrence(
            name=str(fields["ConditionName"] or type_name),
            point=point,
            severity=int(fields["Severity"] or 1),
            message=_text(fields["Message"]),
            time_us=unix_us(fields["Time"]),
            condition=None if condition is None else condition.to_string(),
            retain=bool(fields["Retain"]),
            active=_bool(fields["ActiveState/Id"]),
            acked=_bool(fields["AckedState/Id"]),
            detail=limit,
        )


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str:
    said = getattr(value, "Text", value)
    return said if isinstance(said, str) else ""


def happened(values: Sequence[Any]) -> Happened:
    """An event from its fields, as the library gives them. Fields that a server leaves out are None."""
    names = [*(path for _, path in _FIELDS), "ConditionId"]
    given: list[Any] = [getattr(value, "Value", None) for value in values]
    fields = dict(zip(names, [*given, *[None] * (len(names) - len(given))], strict=False))
    return Happened(
        fields["EventType"], fields["SourceNode"], str(fields["SourceName"] or ""),
        fields["InputNode"], fields,
    )  # fmt: skip


async def watch_events(session: Session, subscription: int, node: Any, handle: int) -> int:
    """Have the events of a node told; the status code, 0 when they are."""
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor.NodeId = node
    item.ItemToMonitor.AttributeId = ua.AttributeIds.EventNotifier
    item.MonitoringMode = ua.MonitoringMode.Reporting
    item.RequestedParameters.ClientHandle = handle
    item.RequestedParameters.SamplingInterval = 0
    item.RequestedParameters.QueueSize = _QUEUE
    item.RequestedParameters.DiscardOldest = True
    item.RequestedParameters.Filter = ua.EventFilter(
        SelectClauses=[*(_clause(kind, path) for kind, path in _FIELDS), _condition_id()]
    )
    parameters = ua.CreateMonitoredItemsParameters()
    parameters.SubscriptionId = subscription
    parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    parameters.ItemsToCreate = [item]
    with session.working():
        (result,) = await session.service.create_monitored_items(parameters)
    return 0 if result.StatusCode.is_good() else int(result.StatusCode.value)


def _clause(kind: int, path: str) -> Any:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(kind),
        BrowsePath=[ua.QualifiedName(name, 0) for name in path.split("/")],
        AttributeId=ua.AttributeIds.Value,
    )


def _condition_id() -> Any:
    """The node of the condition itself: OPC 10000-9, section 5.5.2.13."""
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(ua.ObjectIds.ConditionType),
        BrowsePath=[],
        AttributeId=ua.AttributeIds.NodeId,
    )


async def refresh(session: Session, subscription: int) -> int:
    """Have every condition repeated whose state matters; the status code of asking for it."""
    request = ua.CallMethodRequest()
    request.ObjectId = ua.NodeId(ua.ObjectIds.ConditionType)
    request.MethodId = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
    request.InputArguments = [ua.Variant(subscription, ua.VariantType.UInt32)]
    with session.working():
        (result,) = await session.service.call([request])
    return int(result.StatusCode.value)


async def ancestors(session: Session, node: Any) -> list[Any]:
    """The nodes above a node, nearest first, by whichever hierarchy; a server's loops end."""
    found: list[Any] = []
    level = [node]
    for _ in range(12):
        asks = []
        for each in level:
            ask = ua.BrowseDescription()
            ask.NodeId = each
            ask.BrowseDirection = ua.BrowseDirection.Inverse
            ask.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
            ask.IncludeSubtypes = True
            ask.NodeClassMask = 0
            ask.ResultMask = ua.BrowseResultMask.None_
            asks.append(ask)
        parameters = ua.BrowseParameters()
        parameters.NodesToBrowse = asks
        parameters.RequestedMaxReferencesPerNode = 100
        with session.working():
            results = await session.service.browse(parameters)
        above = [
            ua.NodeId(ref.NodeId.Identifier, ref.NodeId.NamespaceIndex, ref.NodeId.NodeIdType)
            for result in results
            for ref in result.References or ()
        ]
        level = [each for each in dict.fromkeys(above) if each not in found]
        if not level:
            break
        found += level
    return found
