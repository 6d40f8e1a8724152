"""Looks once a minute whether certificates run out, were revoked, or have to be renewed.

Only a trusted clock is believed: a box that booted in 1970 raises nothing and bars nothing. An alarm
is raised at 60, 30 and 7 days and when it is over, and cleared when the certificate was replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from headgate.audit import Audit, Entry
from headgate.errors import HeadgateError, Problem
from headgate.messages import say
from headgate.model import Alarm, Item
from headgate.runtime.enrolment.certified import Certified
from headgate.runtime.enrolment.concerns import Ending, endings, step_of
from headgate.runtime.enrolment.desk import Desk

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
#: How grave it is, by days left (OPC UA: 1 to 1000).
SEVERITY: Final = {60: 300, 30: 500, 7: 700, 0: 900}
ALARM: Final = "certificate-expiry"
#: Which alarms stand, so that a restart neither repeats one nor forgets to clear it. May be deleted.
MEMORY: Final = "expiry.json"
_REVOKED: Final = frozenset({"HG-6141", "HG-6143"})
#: After a renewal that failed.
RETRY: Final = timedelta(hours=1)
#: How often lists and the platform's certificates are fetched from a service.
REFRESH: Final = timedelta(hours=12)


class Watch:
    """Runs beside the gateway. `look` is one round, for whoever drives the clock himself."""

    def __init__(
        self,
        desk: Desk,
        put_item: Callable[[Item], object],
        audit: Audit,
        take_over: Callable[[], Awaitable[None]],
    ) -> None:
        self._desk = desk
        self._put_item = put_item
        self._audit = audit
        self._take_over = take_over
        self._memory = desk.folder.path.with_name(MEMORY)
        #: What was said, by earlier starts too: point of the alarm to its step.
        self._said: dict[str, int] = self._remembered()
        self._revoked: set[str] = set()
        self._not_before: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first look comes at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="certificates")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            with contextlib.suppress(asyncio.CancelledError):
                self._task.result()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except HeadgateError as error:
                log.warning("certificates not looked at: %s", error, extra={"code": error.code})
            except Exception:
                log.exception("certificates not looked at")  # the next minute tries again
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """One round. Lists are heeded whatever the clock says; dates need one that is trusted."""
        at = self._desk.now()
        if self._changed(at):
            await self._take_over()
        await self._tell_revoked(self._desk.identity.certified.concerns)
        if at is None:
            return
        await self._tell(endings(self._desk.identity.certified, at))
        await self._keep_up(at)

    def _changed(self, at: datetime | None) -> bool:
        """Whether what counts is not what the running identity believes."""
        now = self._desk.certified(at)
        known = self._desk.identity.certified
        return _counting(now) != _counting(known)

    async def _tell_revoked(self, found: Sequence[Problem]) -> None:
        """What a list takes back is told whatever the clock says: lists need none."""
        told = {str(each.fields): each for each in found if each.code in _REVOKED}
        for name in told.keys() - self._revoked:
            each = told[name]
            what = ", ".join(str(value) for value in each.fields.values())
            log.warning(say(each.code, "en", **each.fields), extra={"code": each.code})
            fields: dict[str, str | int | float | bool | None] = {**each.fields}
            await self._audit.note(
                Entry(
                    kind="revoked", who="gateway", what=what, result="ok", code=each.code,
                    fields=fields,
                )
            )  # fmt: skip
        self._revoked = set(told)

    async def _tell(self, found: Sequence[Ending]) -> None:
        before = dict(self._said)
        live: set[str] = set()
        for each in found:
            step = None if each.days is None else step_of(each.days)
            if step is None:
                continue
            point = f"{each.role}/{each.serial}"
            live.add(point)
            if self._said.get(point) != step:
                self._said[point] = step
                await self._raise(point, each, step)
        for point in set(self._said) - live:
            del self._said[point]
            self._put_item(self._alarm(point, 300, None, "", active=False))
        if self._said != before:
            self._remember()

    def _remembered(self) -> dict[str, int]:
        files = self._desk.env.files
        try:
            if files.size(self._memory) is None:
                return {}
            return msgspec.json.decode(files.read(self._memory, 0, 65536), type=dict[str, int])
        except (OSError, msgspec.MsgspecError):
            return {}  # said once more, then

    def _remember(self) -> None:
        with contextlib.suppress(OSError):
            self._desk.env.files.replace(self._memory, msgspec.json.encode(self._said))

    async def _raise(self, point: str, each: Ending, step: int) -> None:
        days = each.days or 0.0
        code = "HG-6144" if each.ours else "HG-6145"
        if step == 0:
            code = "HG-6140" if each.ours else "HG-6142"
        fields: dict[str, str | int | float | bool | None] = {
            "role": each.role, "name": each.name, "end": f"{each.ends:%Y-%m-%d}",
            "days": max(0, int(days)),
        }  # fmt: skip
        log.warning(say(code, "en", **fields), extra={"code": code, "serial": each.serial})
        self._put_item(self._alarm(point, SEVERITY[step], round(days, 2), code, active=True))
        entry = Entry(
            kind="certificate-expiry", who="gateway", what=point, result="ok", code=code,
            fields=fields,
        )  # fmt: skip
        await self._audit.note(entry)

    def _alarm(
        self, point: str, severity: int, days: float | None, code: str, *, active: bool
    ) -> Alarm:
        return Alarm(
            0, point, ALARM, severity, active, self._desk.env.clock.boottime_us(), days, code
        )

    # ------------------------------------------------------------ by ourselves

    async def _keep_up(self, at: datetime) -> None:
        """Renew and fetch lists where the box was enrolled online; a failure waits for its next hour."""
        due, service = self._desk.renewal_due(at), self._desk.papers().service
        if not due and service is None:
            return
        from headgate.runtime.enrolment.online import refresh_online, renew_online

        if due:
            await self._try("renew", at, renew_online)
        if service is not None:
            await self._try("refresh", at, refresh_online, REFRESH)

    async def _try(
        self,
        what: str,
        at: datetime,
        work: Callable[[Desk], Awaitable[bool]],
        pause: timedelta = RETRY,
    ) -> None:
        if at < self._not_before.get(what, at):
            return
        self._not_before[what] = at + RETRY
        try:
            if await work(self._desk):
                self._not_before[what] = at + pause
        except HeadgateError as error:
            log.warning("%s: %s", what, error, extra={"code": error.code})


def _counting(certified: Certified) -> tuple[object, ...]:
    """What the running gateway goes by."""
    return (
        certified.barred, certified.standing, certified.recipients, certified.receipts,
        certified.chain, certified.crls,
    )  # fmt: skip
