"""A meter's days: when what midnight froze is asked for, and when its clock may be told the time.

Times are the meter's own zone. A meter takes the time once a day, where it is at most five minutes off, and
not within minutes of midnight, when it freezes (2007, clause 7, broadcast time).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from headgate.sdk import Channel, ChannelTimeout, line_of
from headgate_drivers.dlt645 import requests
from headgate_drivers.dlt645.answers import Answers
from headgate_drivers.dlt645.points import Asked
from headgate_drivers.dlt645.talk import Talk

#: A round that failed is tried again after this.
ROUND_RETRY_US = 15 * 60 * 1_000_000
DAY_US = 86_400 * 1_000_000
#: So long before the next midnight nothing is asked for: a look that ends in the new day would call it the
#: new day's, and a meter whose clock is fast has it already.
_STILL = timedelta(minutes=5)
SYNC_MOST_S, SYNC_LEAST_S, SYNC_NOT_BEFORE, SYNC_NOT_AFTER = 300.0, 5.0, "00:10", "23:50"
#: What midnight froze is dated so long after it: a wall time is known to within 20 ms, and one a hair before
#: midnight were of the wrong day to whoever groups by days.
_WITHIN_THE_DAY_US = 100_000
#: Nobody answers a broadcast: so long the pair is held at its speed.
_BROADCAST_S = 0.2


def local(wall_us: int, plan: Asked) -> datetime:
    """What a right clock shows at the meter."""
    return datetime.fromtimestamp(wall_us / 1_000_000, plan.zone)


def midnight_before(wall_us: int, plan: Asked) -> int:
    """How long ago the meter's day began, in microseconds, or a moment less: a frozen value was true then."""
    at = local(wall_us, plan).replace(hour=0, minute=0, second=0, microsecond=0)
    return wall_us - int(at.timestamp()) * 1_000_000 - _WITHIN_THE_DAY_US


def round_due(channel: Channel, plan: Asked) -> bool:
    """Whether what is frozen at midnight is to be asked now.

    Not in the first minutes of a day: a meter whose clock is slow would tell of the night before. Nor in the
    last: what was asked for in one day and answered in the next would be dated wrong.
    """
    if not plan.daily:
        return False
    now_us, wall_us = channel.now_us(), channel.wall_us()
    if plan.day_tried_us and now_us - plan.day_tried_us < ROUND_RETRY_US:
        return False
    if wall_us is None:  # nobody knows when midnight is: once in 24 hours
        return not plan.round_us or now_us - plan.round_us >= DAY_US
    at = local(wall_us, plan)
    since = at - at.replace(hour=0, minute=0, second=0, microsecond=0)
    if not timedelta(minutes=plan.after_min) <= since < timedelta(days=1) - _STILL:
        return False
    return plan.day != f"{at:%Y-%m-%d}"


def round_done(channel: Channel, plan: Asked, *, failed: bool) -> None:
    """It was asked for; where a part failed, it is tried again later."""
    plan.day_tried_us = channel.now_us()
    if failed:
        return
    plan.round_us, plan.day_tried_us = channel.now_us(), 0
    wall_us = channel.wall_us()
    if wall_us is not None:
        plan.day = f"{local(wall_us, plan):%Y-%m-%d}"


async def tell_the_time(talk: Talk, offset_s: float) -> None:
    """Broadcast the time to all meters of the pair, where that is right now, and as the site has asked."""
    channel, plan = talk.channel, talk.plan
    wall_us = channel.wall_us()
    if wall_us is None or not SYNC_LEAST_S <= abs(offset_s) <= SYNC_MOST_S:
        return
    now = local(wall_us, plan)
    if not SYNC_NOT_BEFORE <= f"{now:%H:%M}" < SYNC_NOT_AFTER:
        return
    if plan.synced_us and channel.now_us() - plan.synced_us < DAY_US:
        return
    plan.synced_us = channel.now_us()
    request = requests.clock(now, plan.wake)
    if talk.settings is None or talk.settings == line_of(channel.url):
        await channel.send(request)
        return
    try:  # at the meter's own speed on the pair
        await channel.exchange(
            request, Answers((), ""), timeout_s=_BROADCAST_S, settings=talk.settings
        )
    except ChannelTimeout:
        return
