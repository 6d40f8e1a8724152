"""What a technician does with one device: write a point, ask who it is, find out whether it is there."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headgate.sdk import (
    Access,
    Channel,
    ChannelTimeout,
    Device,
    DeviceError,
    DeviceRefused,
    Identity,
    Value,
)
from headgate_drivers.modbus.codec import (
    ILLEGAL_FUNCTION,
    MASK_WRITE,
    MAX_REGISTERS,
    READ_COILS,
    READ_HOLDING,
    Request,
    check_written,
)
from headgate_drivers.modbus.encoding import in_order, unpack_bits
from headgate_drivers.modbus.identity import (
    BASIC,
    MOST_PARTS,
    REGULAR,
    ask_identity,
    identity_of,
    identity_part,
    version_of,
)
from headgate_drivers.modbus.learned import ModbusPlan
from headgate_drivers.modbus.plan import AREAS
from headgate_drivers.modbus.points import limits_of, places_of
from headgate_drivers.modbus.transactions import Transactions
from headgate_drivers.modbus.writing import NotWritable, whole, write_of


async def write_point(
    line: Transactions, channel: Channel, device: Device, plan: ModbusPlan, point: str, raw: Value
) -> Value:
    """Write one raw value and return what reads back.

    A part of a register (a bit, a byte) is a mask write; a device that does not know that function
    is read and written as a whole, on a line that nobody else uses meanwhile. A write is never
    sent twice: an answer that did not come does not say that nothing happened.

    Raises:
        DeviceRefused: the point's `access` has no "w", the value cannot stand there, or the device
            says no.
        ChannelTimeout, ChannelClosed, ProtocolError: it may or may not have happened.
    """
    once = msgspec.structs.replace(device, retries=0)
    index = next((i for i, p in enumerate(device.points) if p.point.name == point), None)
    if index is None or Access.WRITE.value not in device.points[index].point.access.value:
        raise _unwritable(device, point, raw, "access is not w")
    place = places_of(device, limits_of(device))[index]
    multiple = bool(device.quirks.get("write_multiple"))
    try:
        write = write_of(place, raw, multiple)
    except NotWritable as error:
        raise _unwritable(device, point, raw, str(error)) from error
    try:
        await _put(line, channel, once, plan, write.pdu)
    except DeviceRefused as error:
        if write.pdu[0] != MASK_WRITE or error.detail != ILLEGAL_FUNCTION:
            raise
        now = await line.ask(channel, device, plan, write.readback)
        await _put(line, channel, once, plan, whole(write, now, multiple))
    data = await line.ask(channel, device, plan, write.readback)
    if place.function == READ_COILS:
        return bool(unpack_bits(data)[0])
    return place.encoding.decode()(data)


async def _put(
    line: Transactions, channel: Channel, device: Device, plan: ModbusPlan, pdu: bytes
) -> None:
    check_written(await line.send(channel, device, plan, pdu), plan.unit, pdu)


async def identify(
    line: Transactions, channel: Channel, device: Device, plan: ModbusPlan
) -> Identity | None:
    """What the device says of itself: by its profile's version registers, else by function 43/14.

    Raises:
        ChannelTimeout, ChannelClosed: nobody answered.
    """
    for rule in device.identify:
        request = _version_request(rule, limits_of(device).shift)
        try:
            raw = await line.ask(channel, device, plan, request)
        except DeviceError:
            continue  # firmware that has it elsewhere: the next rule, in the profile's order
        order = str(rule.get("order", "ABCD"))
        if order in ("BADC", "DCBA"):
            raw = in_order(raw, "BADC", 2)
        if version := version_of(str(rule.get("format", "integer")), raw):
            return Identity(device.vendor, device.model, version)
    if device.quirks.get("no_device_id"):
        return None
    try:
        found = identity_of(await _objects(line, channel, device, plan))
    except DeviceError:
        return None
    return found if found != Identity() else None


async def _objects(
    line: Transactions, channel: Channel, device: Device, plan: ModbusPlan
) -> dict[int, bytes]:
    """The identification objects of a device, as far as it gives any. Raises DeviceError."""
    objects: dict[int, bytes] = {}
    for code in (REGULAR, BASIC):
        first: int | None = 0
        for _ in range(MOST_PARTS):
            if first is None:
                break
            pdu = ask_identity(code, first)
            try:
                part = identity_part(await line.send(channel, device, plan, pdu), plan.unit)
            except DeviceRefused as error:
                if objects or (code == REGULAR and error.detail != ILLEGAL_FUNCTION):
                    break
                raise
            objects.update(part.objects)
            first = part.more
        if objects:
            break
    return objects


async def present(line: Transactions, channel: Channel, device: Device, plan: ModbusPlan) -> bool:
    """Whether anybody answers at the device's address, with whatever answer.

    Raises:
        ChannelClosed: the line is down.
    """
    request = Request(READ_HOLDING, 0, 1)
    try:
        await line.ask(channel, device, plan, request)
    except ChannelTimeout:
        return False
    except DeviceError:
        return True
    return True


def _version_request(rule: Mapping[str, object], shift: int) -> Request:
    area = AREAS.get(str(rule.get("area", "holding")), READ_HOLDING)
    usual = 8 if rule.get("format") == "text" else 1
    length = rule.get("length", usual)
    count = min(max(length if isinstance(length, int) else usual, 1), MAX_REGISTERS)
    register = rule.get("register", 0)
    start = (register if isinstance(register, int) else 0) + shift
    return Request(area, min(max(start, 0), 0xFFFF), count)


def _unwritable(device: Device, point: str, raw: object, reason: str) -> DeviceRefused:
    return DeviceRefused(
        f"device {device.id}: {point} cannot be written: {reason}",
        code="HG-3130",
        device=device.id,
        point=point,
        value=str(raw),
        reason=reason,
    )
