"""One meter on its pair: a question, its answer, and everything that may stand in its place."""

from __future__ import annotations

from headgate.sdk import (
    Channel,
    ChannelTimeout,
    Device,
    DeviceRefused,
    LineSettings,
    ProtocolError,
    line_of,
)
from headgate_drivers.dlt645 import messages, requests
from headgate_drivers.dlt645.answers import Answers, answer_of
from headgate_drivers.dlt645.frames import Frame
from headgate_drivers.dlt645.messages import Message, read_items
from headgate_drivers.dlt645.points import Asked

#: Follow-up frames of one answer, at most.
MOST_FOLLOWS = 16


class Talk:
    """A meter that is asked over a channel, at its own line settings."""

    def __init__(self, channel: Channel, device: Device, plan: Asked) -> None:
        self.channel, self.device, self.plan = channel, device, plan

    @property
    def settings(self) -> LineSettings | None:
        """Speed and parity of this meter; None where they are the channel's."""
        return line_of(self.channel.url).with_text(self.plan.line) if self.plan.line else None

    async def ask(
        self, request: bytes, functions: tuple[int, ...], retries: int | None = None
    ) -> Frame:
        """One exchange, repeated as often as the device is to be, or `retries` times.

        Raises:
            ChannelTimeout: nobody answered.
            ProtocolError: what came was damaged, or another's.
            DeviceRefused: the meter said no; the detail is the word of its refusal.
        """
        left = self.device.retries if retries is None else retries
        while True:
            framing = Answers(functions, self.plan.address)
            try:
                payload = await self.channel.exchange(
                    request, framing, key=self.plan.address, timeout_s=self.device.timeout_s,
                    settings=self.settings,
                )  # fmt: skip
                break
            except ChannelTimeout as error:
                if left <= 0 and framing.damaged:
                    raise self.damaged() from error
                if left <= 0:
                    raise
                left -= 1
        answer = answer_of(payload)
        if answer is None:
            raise self.damaged()
        if answer.refused:
            raise refusal(self.device, answer)
        return answer

    async def values(self, identifier: str) -> Message:
        """What stands behind an identifier, follow-up frames put together. Raises as `ask`."""
        old = len(identifier) == 4
        functions = (messages.READ_1997,) if old else (messages.READ,)
        answer = await self.ask(
            requests.read(self.plan.address, identifier, self.plan.wake), functions
        )
        message = self._belongs(answer, identifier)
        content, number = message.content, 0
        functions = (messages.FOLLOW_1997,) if old else (messages.FOLLOW,)
        while answer.more:
            number += 1
            if number > MOST_FOLLOWS:
                raise self.damaged()
            more = requests.follow(self.plan.address, identifier, number, self.plan.wake)
            answer = await self.ask(more, functions)
            part = self._belongs(answer, identifier)
            if not old and part.sequence != number:
                raise self.damaged()
            content += part.content
        if not number:
            return message
        fields, flaws = read_items(identifier, content)
        return Message(identifier, fields, content, flaws=flaws)

    def damaged(self) -> ProtocolError:
        """What came is no answer to what was asked."""
        device, channel = self.device.id, self.channel.id
        return ProtocolError(
            f"device {device}: an answer came, damaged or another's",
            code="HG-3643", device=device, channel=channel,
        )  # fmt: skip

    def _belongs(self, answer: Frame, identifier: str) -> Message:
        message = answer.message
        if message is None or message.identifier != identifier:
            raise self.damaged()
        return message


def refusal(device: Device, answer: Frame) -> DeviceRefused:
    """The meter answers that it will not, or cannot."""
    message = answer.message
    reason = message.says if message is not None else ""
    return DeviceRefused(
        f"device {device.id}: the meter refuses: {reason}",
        detail=(message.error or 0) & 0xFF if message is not None else 0,
        code="HG-3642", device=device.id, reason=reason,
    )  # fmt: skip
