"""What a server offers before there is a session: endpoints, and the certificate it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headgate.sdk import ChannelClosed
from headgate_drivers.opcua.chain import Verdict, parts
from headgate_drivers.opcua.client import client_of, ua
from headgate_drivers.opcua.settings import MODES, POLICIES, Settings
from headgate_drivers.opcua.trouble import quiet, translated
from headgate_drivers.opcua.trust import Seen, Trust, seen


async def endpoints(channel: str, settings: Settings) -> list[Any]:
    """What the server offers, asked without security. Raises ChannelClosed, ChannelTimeout."""
    quiet()
    client = client_of(settings)
    with translated(channel, settings, "connect"):
        try:
            async with asyncio.timeout(settings.connect_timeout_s + settings.timeout_s):
                return list(await client.connect_and_get_server_endpoints())
        finally:
            await asyncio.sleep(0)


_REASONS = {"dates": "HG-3351", "host": "HG-3352", "revoked": "HG-3353"}


class Met(NamedTuple):
    """A server and we, for the technician who makes the two trust each other."""

    ours: Seen
    ours_at: Path
    #: The certificate of the endpoint we would use.
    server: Seen
    accepted: bool
    offered: Sequence[str]
    trust: Trust


async def meet(channel: str, settings: Settings) -> Met | None:
    """Both certificates, without a session; None where the server has none to show.

    Raises:
        ChannelClosed, ChannelTimeout: nobody there, or nothing offered that the site file allows.
    """
    trust = Trust(settings)
    certificate, _ = await trust.own()
    offered = await endpoints(channel, settings)
    names = sorted({f"{policy_of(e)} {e.SecurityMode.name.rstrip('_')}" for e in offered})
    if not any(endpoint.ServerCertificate for endpoint in offered):
        return None
    any_policy = msgspec.structs.replace(settings, security="best")
    endpoint = chosen(channel, settings if settings.security != "None" else any_policy, offered)
    server = seen(first_of(endpoint.ServerCertificate))
    verdict = trust.judge(endpoint.ServerCertificate, settings.host)
    ours = seen(await asyncio.to_thread(certificate.read_bytes))
    return Met(ours, certificate, server, verdict == "accepted", names, trust)


def chosen(channel: str, settings: Settings, offered: Sequence[Any]) -> Any:
    """The endpoint to use. `best` never falls back to one without security.

    Raises:
        ChannelClosed: the server offers none that the site file allows.
    """
    wanted = POLICIES if settings.security == "best" else (settings.security,)
    modes = {
        "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt,
        "Sign": ua.MessageSecurityMode.Sign,
    }
    assert set(modes) == set(MODES)
    for policy in reversed(wanted):
        for endpoint in offered:
            if (
                policy_of(endpoint) == policy
                and endpoint.SecurityMode == modes[settings.mode]
                and endpoint.EndpointUrl.startswith("opc.tcp://")
                and endpoint.ServerCertificate
            ):
                return endpoint
    has = ", ".join(sorted({f"{policy_of(e)} {e.SecurityMode.name.rstrip('_')}" for e in offered}))
    raise ChannelClosed(
        f"{settings.url} offers {has}",
        code="HG-3317", channel=channel, url=settings.url,
        wanted=f"{settings.security} {settings.mode}", offered=has or "-",
    )  # fmt: skip


def unaccepted(
    channel: str, settings: Settings, trust: Trust, chain: bytes, verdict: Verdict
) -> ChannelClosed:
    """The error of meeting a server that is not to be believed; its certificate is kept aside."""
    theirs = seen(first_of(chain))
    trust.reject(theirs)
    code = _REASONS.get(verdict)
    if code is None:
        known = any(each.uri == theirs.uri and theirs.uri for each in trust.trusted())
        code = "HG-3318" if known else "HG-3310"
    return ChannelClosed(
        f"{settings.url}: certificate {theirs.thumbprint} is not accepted: {verdict}", code=code,
        channel=channel, url=settings.url, name=theirs.name or "-", uri=theirs.uri or "-",
        thumbprint=theirs.thumbprint, begin=f"{theirs.not_before:%Y-%m-%d}",
        end=f"{theirs.not_after:%Y-%m-%d}", hosts=", ".join(theirs.hosts) or "-",
    )  # fmt: skip


def policy_of(endpoint: Any) -> str:
    """The policy of an endpoint as a site file names it; its uri has underscores in some of them."""
    return str(endpoint.SecurityPolicyUri).rpartition("#")[2].replace("_", "")


def first_of(chain: bytes) -> bytes:
    """The first certificate of a chain: a server may send its CAs behind its own."""
    return parts(chain)[0]
