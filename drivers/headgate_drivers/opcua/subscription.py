"""Subscriptions: which values a server tells by itself, and what it told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from headgate_drivers.opcua.access import told_of
from headgate_drivers.opcua.client import NODES_AT_ONCE, ua
from headgate_drivers.opcua.places import Place
from headgate_drivers.opcua.session import Session


class Watched(NamedTuple):
    """One node to be watched: `handle` comes back with every value."""

    handle: int
    node: Any
    place: Place


class Change(NamedTuple):
    """One value that the server told: handle, status code, value, source time."""

    handle: int
    code: int
    value: object
    source: datetime | None


class Published(NamedTuple):
    """What one notification brought. `status` is set when the subscription itself ended.

    `events` are (handle, fields).
    """

    at: datetime | None
    changes: Sequence[Change]
    status: int | None = None
    events: Sequence[tuple[int, Sequence[Any]]] = ()


OnPublished = Callable[[Published], Awaitable[None]]


class NoSubscriptionsError(Exception):
    """The server has no subscription for us, now or ever: it must be polled."""


#: BadServiceUnsupported, BadTooManySubscriptions, BadTooManyOperations, BadNotImplemented, BadOutOfMemory,
#: BadResourceUnavailable, BadNotSupported: none to be had, while the session goes on.
_REFUSED = frozenset({0x800B, 0x8077, 0x8010, 0x8040, 0x8003, 0x8004, 0x803D})


#: BadTooManyMonitoredItems, BadTooManyOperations: these stay read once in an interval.
_NO_ITEMS = frozenset({0x80DB, 0x8010})


async def subscribe(session: Session, on_published: OnPublished) -> tuple[int, float]:
    """(id, publishing interval in s as the server revised it) of a new subscription.

    Raises:
        NoSubscriptionsError: refused, but the session goes on.
        ChannelClosed, ChannelTimeout: the line.
    """
    parameters = ua.CreateSubscriptionParameters()
    period_ms = session.settings.publishing_s * 1000
    parameters.RequestedPublishingInterval = period_ms
    parameters.RequestedMaxKeepAliveCount = max(2, int(5000 / period_ms))
    parameters.RequestedLifetimeCount = max(30, int(session.settings.session_s * 1000 / period_ms))
    parameters.MaxNotificationsPerPublish = 10_000
    parameters.PublishingEnabled = True

    async def publish(result: Any) -> None:
        await on_published(_published(result))

    with session.working():
        try:
            made = await session.service.create_subscription(parameters, publish)
        except ua.UaStatusCodeError as error:
            if int(error.code) >> 16 in _REFUSED:
                raise NoSubscriptionsError(type(error).__name__) from error
            raise
    return made.SubscriptionId, made.RevisedPublishingInterval / 1000


async def watch(
    session: Session, subscription: int, watched: Sequence[Watched]
) -> list[tuple[int, int | None]]:
    """Watch nodes; (status code, 0 where it is watched; id of the item) of each."""
    told: list[tuple[int, int | None]] = []
    for at in range(0, len(watched), NODES_AT_ONCE):
        parameters = ua.CreateMonitoredItemsParameters()
        parameters.SubscriptionId = subscription
        parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        parameters.ItemsToCreate = [
            _item(session, each) for each in watched[at : at + NODES_AT_ONCE]
        ]
        with session.working():
            try:
                results = await session.service.create_monitored_items(parameters)
            except ua.UaStatusCodeError as error:
                if int(error.code) >> 16 not in _NO_ITEMS:
                    raise
                told += [(int(error.code), None)] * len(parameters.ItemsToCreate)
                continue
        told += [
            (0, result.MonitoredItemId)
            if result.StatusCode.is_good()
            else (result.StatusCode.value, None)
            for result in results
        ]
    return told


async def unwatch(session: Session, subscription: int, items: Sequence[int]) -> None:
    """Give items back, where the server still has them."""
    parameters = ua.DeleteMonitoredItemsParameters()
    parameters.SubscriptionId = subscription
    parameters.MonitoredItemIds = list(items)
    with session.working():
        await session.service.delete_monitored_items(parameters)


def _item(session: Session, watched: Watched) -> Any:
    place = watched.place
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor.NodeId = watched.node
    item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
    item.MonitoringMode = ua.MonitoringMode.Reporting
    asked = item.RequestedParameters
    asked.ClientHandle = watched.handle
    asked.SamplingInterval = (
        session.settings.sampling_s * 1000 if place.sampling_ms is None else place.sampling_ms
    )
    asked.QueueSize = place.queue
    asked.DiscardOldest = True
    # A status that changes, with the value the same, is a change, too.
    asked.Filter = ua.DataChangeFilter(
        Trigger=(
            ua.DataChangeTrigger.StatusValueTimestamp
            if place.every_sample
            else ua.DataChangeTrigger.StatusValue
        ),
        DeadbandType=0 if place.deadband is None else 2 if place.percent else 1,
        DeadbandValue=place.deadband or 0.0,
    )
    return item


def _published(result: Any) -> Published:
    message = result.NotificationMessage
    changes: list[Change] = []
    events: list[tuple[int, Sequence[Any]]] = []
    status: int | None = None
    for part in message.NotificationData or ():
        if isinstance(part, ua.DataChangeNotification):
            changes += [
                Change(item.ClientHandle, *told_of(item.Value)) for item in part.MonitoredItems
            ]
        elif isinstance(part, ua.EventNotificationList):
            events += [(each.ClientHandle, each.EventFields) for each in part.Events]
        elif isinstance(part, ua.StatusChangeNotification):
            status = int(part.Status.value) if hasattr(part.Status, "value") else int(part.Status)
    return Published(message.PublishTime, changes, status, events)
