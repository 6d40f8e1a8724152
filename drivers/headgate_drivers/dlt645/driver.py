"""Asks a DL/T 645 meter for its values, one identifier after another, and checks who answered what.

A look is one request for each identifier of the profile; what is frozen at midnight is asked once a day.
A part that fails is bad, the rest is not. The first two requests that nobody answers end the look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import msgspec

from headgate.sdk import (
    Block,
    Channel,
    ChannelTimeout,
    Device,
    DeviceRefused,
    Identity,
    PollingDriver,
    Problem,
    ProtocolError,
    Quality,
    Status,
    Value,
    status_word,
)
from headgate_drivers.dlt645 import frames, messages, requests
from headgate_drivers.dlt645.answers import answer_in, answer_of
from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.days import local, round_done, round_due
from headgate_drivers.dlt645.frames import Frame as Telegram
from headgate_drivers.dlt645.look import Look, closed_in
from headgate_drivers.dlt645.points import CLOCK_OFFSET, STATUS_3, SWITCH, Asked
from headgate_drivers.dlt645.talk import Talk, refusal

_READS = (messages.READ, messages.READ_1997)
#: Where a secret stands, never the secret itself.
_REFERENCE = re.compile(r"(systemd|file|env):.")
#: A switch command is void after so long.
VALID_S = 300


class Dlt645Driver(PollingDriver):
    """Electricity meters; 2400 8E1 is what the standard asks of the line."""

    name: ClassVar[str] = "dlt645"
    #: Also on a line of Modbus RTU: its units and the meters share the pair.
    schemes: ClassVar[tuple[str, ...]] = (
        "serial", "serial+tcp", "serial+rfc2217", "modbus+rtu", "modbus+rtu+tcp", "modbus+rtu+rfc2217",
    )  # fmt: skip
    point_keys: ClassVar[Mapping[str, str]] = {
        "di": "00010000 | B611 | clock_offset | switch",
        "field": "which item of an answer that has several",
        "bit": "which bit of a status word",
        "round": "look | day",
    }

    def check_channel(self, channel: str, options: Mapping[str, Any]) -> Sequence[Problem]:
        """`meters`: a table by address, with the password by reference of those that are switched."""
        table = options.get("meters", {})
        unknown = sorted(set(options) - {"meters", "operator"})
        known = isinstance(table, Mapping) and all(
            isinstance(entry, Mapping) and set(entry) == {"password"} for entry in table.values()
        )
        if unknown or not known:
            key = unknown[0] if unknown else "meters"
            return (_channel_problem(channel, key, "operator, and meters: a table by address"),)
        if all(_REFERENCE.match(str(entry["password"])) for entry in table.values()):
            return ()
        allowed = 'a reference: "systemd:NAME", "file:PATH" or "env:NAME"'
        return (_channel_problem(channel, "password", allowed),)

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def plan(self, device: Device) -> Asked:
        """What is asked of this meter, and where each point's value comes from.

        Raises:
            ProfileError: address, points or quirks that cannot be.
        """
        return Asked(device)

    def line_bytes(self, device: Device, plan: Asked) -> Sequence[tuple[int, int]]:
        return [
            (len(requests.read(plan.address, each.identifier, plan.wake)),
             frames.LEAST + 4 + each.size())
            for each in plan.requests if not each.daily
        ]  # fmt: skip

    # ------------------------------------------------------------ a look

    async def read(self, channel: Channel, device: Device, plan: Asked) -> Block:
        """One look: the points of a request that failed are bad, the others are not.

        Raises:
            ChannelTimeout: nobody answered the first two requests.
            ChannelClosed, DeviceRefused, ProtocolError: every request failed; the last reason.
        """
        look = Look(Talk(channel, device, plan), device, plan)
        daily = round_due(channel, plan)
        for request in plan.requests:
            if not request.daily or daily:
                await look.take(request)
        await look.own()
        if daily:
            round_done(channel, plan, failed=look.daily_failed)
        return look.block()

    # ------------------------------------------------------------ who is there

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        """Model and software version, where the meter has them (2007)."""
        bare = device.bare()
        talk = Talk(channel, bare, self.plan(bare))
        told = []
        for identifier in ("0400040B", "04800001"):
            try:
                message = await talk.values(identifier)
            except (DeviceRefused, ProtocolError, ChannelTimeout):
                told.append("")
                continue
            text = message.fields[0].value if message.fields else None
            told.append(str(text)[:64] if text else "")
        return Identity(vendor="", model=told[0], firmware=told[1] or None) if any(told) else None

    async def addresses(self, channel: Channel, device: Device) -> Sequence[str]:
        """The address of the one meter on the pair, asked for with the address that all take for theirs.

        Several meters answer at once, and what comes is nobody's: then there is none.

        Raises:
            ChannelClosed: the line is down.
        """
        anybody = msgspec.structs.replace(device.bare(), address=frames.EVERYBODY)
        talk = Talk(channel, anybody, self.plan(anybody))
        try:
            answer = await talk.ask(requests.who(), (messages.ADDRESS,))
        except (ChannelTimeout, DeviceRefused, ProtocolError):
            return []
        told = answer.message.fields if answer.message is not None else ()
        found = str(told[0].value) if told else answer.address
        return [found] if found != frames.EVERYBODY else []

    async def present(self, channel: Channel, device: Device) -> bool:
        """Whether the meter at this address answers, with whatever. Raises ChannelClosed."""
        bare = device.bare()
        talk = Talk(channel, bare, self.plan(bare))
        for identifier in ("00010000", "9010"):
            try:
                await talk.values(identifier)
            except ChannelTimeout:
                continue
            except (DeviceRefused, ProtocolError):
                return True
            return True
        return False

    # ------------------------------------------------------------ what moves something

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Trip or close the meter's switch; True is closed: power. What reads back is its relay.

        Raises:
            DeviceRefused: a point that is no switch, no password, no trusted clock, or the meter said no.
            ChannelTimeout, ProtocolError: nobody knows whether it moved.
        """
        plan = self.plan(device)
        if plan.own.get(SWITCH) != point or not isinstance(raw, bool):
            raise DeviceRefused(
                f"device {device.id}: {point} = {raw!r} cannot be written",
                code="HG-3641", device=device.id, point=point, value=str(raw),
            )  # fmt: skip
        password, operator = _authority(channel, device, plan)
        wall_us = channel.wall_us()
        if wall_us is None:
            raise DeviceRefused(
                f"device {device.id}: the clock is not trusted", code="HG-3645", device=device.id
            )
        until = local(wall_us, plan) + timedelta(seconds=VALID_S)
        what: requests.Switch = "trip"
        if raw:
            what = "permit close" if plan.close == "permit close" else "close"
        request = requests.switch(plan.address, what, until, password, operator, plan.wake)
        talk = Talk(channel, device, plan)
        # Once: whether it moved is looked at, never tried again.
        await talk.ask(request, (messages.SWITCH,), retries=0)
        try:
            return closed_in(await talk.values(STATUS_3))
        except DeviceRefused as error:
            # It took the order, and only will not say how the relay stands: that is no refusal of it.
            raise talk.damaged() from error

    # ------------------------------------------------------------ recordings

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace's exchanges those that read this meter and were answered, the last of each. Pure."""
        plan = self.plan(device)
        wanted: dict[bytes, list[tuple[bytes, bytes]]] = {
            requests.read(plan.address, each.identifier, plan.wake): [] for each in plan.requests
        }
        for sent, said in frames:
            if sent in wanted and answer_in(said, _READS, plan.address) is not None:
                wanted[sent] = [(sent, said)]
        return [each for kept in wanted.values() for each in kept]

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that recorded answers would have brought; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
            DeviceRefused: every answer says no.
        """
        plan = self.plan(device)
        look = Look(None, device, plan)
        answers: dict[str, Telegram] = {}
        for sent, said in frames:
            question, answer = answer_of(sent), answer_in(said, _READS, plan.address)
            if question is not None and question.message is not None and answer is not None:
                answers[question.message.identifier] = answer
        for request in plan.requests:
            answer = answers.get(request.identifier)
            if answer is None or answer.message is None:
                continue
            look.answered += 1
            if answer.refused:
                look.refused(request, refusal(device, answer))
            else:
                look.tell(request, answer.message)
        if SWITCH in plan.own and STATUS_3 in answers and answers[STATUS_3].message is not None:
            look.said[plan.own[SWITCH]] = (closed_in(answers[STATUS_3].message), Quality.GOOD, 0)
        if CLOCK_OFFSET in plan.own:  # a recording does not say what time it was
            look.said[plan.own[CLOCK_OFFSET]] = (None, Quality.BAD, status_word(Status.NOT_READ))
        return look.block()


def _channel_problem(channel: str, key: str, allowed: str) -> Problem:
    # What was written there is not shown: it may be a password.
    fields: dict[str, str | int | float] = {
        "device": channel, "key": key, "value": "...", "allowed": allowed,
    }  # fmt: skip
    return Problem(f'channel "{channel}"', "HG-3640", fields)


def _authority(channel: Channel, device: Device, plan: Asked) -> tuple[str, str]:
    """Password and operator for this meter, out of the channel's options."""
    table = channel.options.get("meters", {})
    entry = table.get(plan.address, table.get(str(device.address), {}))
    password = entry.get("password") if isinstance(entry, Mapping) else None
    operator = str(channel.options.get("operator", "00000000"))
    if not isinstance(password, str) or len(password) != 8 or not password.isdecimal():
        raise DeviceRefused(f"device {device.id}: no password", code="HG-3644", device=device.id)
    return password, operator
