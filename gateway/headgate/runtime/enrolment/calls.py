"""The local API's end of `headgate enroll`. Large files come in pieces, for a request has a bound."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from headgate.errors import ConfigError, HeadgateError
from headgate.runtime.api import Handler
from headgate.runtime.enrolment.bag import MAX_FILE, MAX_FILES
from headgate.runtime.enrolment.desk import Desk, Requests
from headgate.runtime.enrolment.telling import status_of

if TYPE_CHECKING:
    from headgate.runtime.enrolment.judge import Verdict

#: What waits to be imported, all files together.
_MAX_STAGED: Final = 2 * MAX_FILE


class EnrolmentCalls:
    """`enroll-status`, `-request`, `-stage`, `-import` and `-online`, over one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._staged: dict[str, bytearray] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """Calls by name."""
        return {
            "enroll-status": self.status,
            "enroll-request": self.request,
            "enroll-stage": self.stage,
            "enroll-import": self.bring,
            "enroll-online": self.online,
        }

    async def status(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """What is certified, what is missing, what comes next."""
        yield status_of(self._desk)

    async def request(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """The requests as PEM. `new` makes fresh keys, `organization` is written into the names."""
        organization = request.get("organization")
        made = await self._desk.request(
            _who(request),
            anew=request.get("new") is True,
            organization=None if organization is None else str(organization),
        )
        yield told_requests(made, self._desk)

    async def stage(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """A piece of a file (`file`, `data` in base64); `first` empties what waited."""
        if request.get("first") is True:
            self._staged.clear()
        name = str(request.get("file", ""))[:200]
        try:
            piece = base64.b64decode(str(request.get("data", "")), validate=True)
        except binascii.Error as error:
            raise HeadgateError("not base64", code="HG-9113", reason=str(error)) from None
        held = sum(len(each) for each in self._staged.values())
        full = name not in self._staged and len(self._staged) >= MAX_FILES
        if full or held + len(piece) > _MAX_STAGED:
            self._staged.clear()
            raise HeadgateError("too much to import", code="HG-6176", most=MAX_FILES)
        self._staged.setdefault(name, bytearray()).extend(piece)
        yield {"held": held + len(piece)}

    async def bring(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Take in what was staged; `trust` is a fingerprint compared with paper. Mistakes are data."""
        files = {name: bytes(data) for name, data in self._staged.items()}
        self._staged.clear()
        trust = str(request.get("trust") or "")
        try:
            verdict = await self._desk.bring(files, _who(request), trust=trust)
        except ConfigError as error:
            yield told_mistakes(error)
        else:
            yield told_verdict(verdict)

    async def online(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Enrol with a service: `url`, `token`, `trust`. The token comes over this socket alone."""
        from headgate.runtime.enrolment.online import enroll_online

        try:
            verdict = await enroll_online(
                self._desk, str(request.get("url", "")), str(request.get("token", "")),
                str(request.get("trust") or ""), _who(request),
            )  # fmt: skip
        except ConfigError as error:
            yield told_mistakes(error)
        else:
            yield told_verdict(verdict)


def told_requests(made: Requests, desk: Desk) -> dict[str, Any]:
    """Requests as the CLI gets them."""
    return {
        "gateway": made.gateway,
        "requests": [
            {
                "kind": kind,
                "role": role,
                "pem": one.pem().decode(),
                "key": desk.fingerprint(one.spki),
            }
            for kind, role, one in (
                ("sign", "headgate-gateway", made.sign),
                ("link", "headgate-gateway-link", made.link),
            )
        ],
    }


def told_verdict(verdict: Verdict) -> dict[str, Any]:
    """What was taken in."""
    return {"gained": list(verdict.gained), "mistakes": [], "notes": _problems(verdict.notes)}


def told_mistakes(error: ConfigError) -> dict[str, Any]:
    """What was not, and why."""
    return {"gained": [], "mistakes": _problems(error.problems), "notes": []}


def _problems(found: Any) -> list[dict[str, Any]]:
    return [
        {"where": p.where, "code": p.code, "fields": {k: str(v) for k, v in p.fields.items()}}
        for p in found
    ]


def _who(request: Mapping[str, Any]) -> str:
    return str(request.get("peer", "local"))
