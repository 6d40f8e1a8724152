"""What can go wrong between a wish and a gateway's answer. Each says whether anything may have moved."""

from __future__ import annotations

from headgate.errors import HeadgateError


class CommandError(HeadgateError):
    """A command did not go as it should."""

    default_code = "HG-7100"


class CommandRefused(CommandError):
    """The gateway said no; nothing was written. `code` and `text` are the gateway's own."""

    default_code = "HG-7110"

    def __init__(self, gateway_code: str, reason: str, state: str = "refused") -> None:
        super().__init__(
            f"{state}: {reason} [{gateway_code}]",
            gateway_code=gateway_code,
            reason=reason,
            state=state,
        )
        self.gateway_code = gateway_code
        self.reason = reason


class NobodyThere(CommandError):
    """A message that can move nothing reached nobody; or one that could did not even leave."""

    retryable = True
    default_code = "HG-7111"


class NoAnswer(CommandError):
    """A SELECT, RENEW or CANCEL was sent and no answer came. A SELECT may be sent again: it moves nothing."""

    retryable = True
    default_code = "HG-7112"


class InDoubt(CommandError):
    """An OPERATE was sent and nobody here knows yet what became of it. Ask; never send it again."""

    default_code = "HG-7113"


class AlreadySent(CommandError):
    """This OPERATE was sent before: there is one for each selection, whatever became of it."""

    default_code = "HG-7114"
