"""Stay connected to one broker: connect, serve the link, wait, connect again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from headgate.mqtt import Link, Will, connect
from headgate.sdk import HeadgateError, UplinkError
from headgate_plugins.mqtt.link import LinkOptions
from headgate_plugins.mqtt.pauses import Pauses

log = logging.getLogger(__name__)

#: Told the state for people and what stands in the way, whenever either may have changed.
Say = Callable[[str, HeadgateError | None], None]


async def stay_connected(
    uplink: str,
    options: LinkOptions,
    will: Will | None,
    say: Say,
    serve: Callable[[Link], Awaitable[None]],
) -> NoReturn:
    """Until cancelled. `serve` is run on every open link, and ends with an UplinkError when it is lost."""
    loop = asyncio.get_running_loop()
    pauses = Pauses(options.reconnect_min_s, options.reconnect_max_s)
    error: UplinkError | None = None
    if pause_s := pauses.first(options.up_s):
        log.info(
            "just switched on: connecting later, as all of the district may be",
            extra={"uplink": uplink, "in_s": round(pause_s, 1)},
        )
        say("waiting", None)
        await asyncio.sleep(pause_s)
    while True:
        say("connecting", error)
        began_s, stood = loop.time(), False
        try:
            async with connect(options.settings, tls=options.tls, will=will) as link:
                stood = True
                log.info("connected", extra={"uplink": uplink, "link": str(link.facts or "plain")})
                await serve(link)
        except UplinkError as failure:
            error = failure
        pause_s = pauses.next(loop.time() - began_s if stood else 0.0)
        if error is not None:
            log.warning(
                "link down",
                extra={
                    "uplink": uplink,
                    "code": error.code,
                    "reason": str(error),
                    "again_in_s": round(pause_s, 1),
                },
            )
        say("waiting", error)
        await asyncio.sleep(pause_s)


def first_of(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that ended the others."""
    inner = several.exceptions[0]
    return first_of(inner) if isinstance(inner, BaseExceptionGroup) else inner
