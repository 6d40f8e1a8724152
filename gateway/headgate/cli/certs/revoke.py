"""`headgate certs list | revoke | crl`: what was issued, taking it back, and telling everybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from headgate.cli.certs.common import CaFolder, Passphrase, open_ca, provider_of, serial_of
from headgate.cli.terminal import both, reader, tell
from headgate.env import system_env
from headgate.errors import SecurityError
from headgate.messages import say

app = typer.Typer(rich_markup_mode=None)

# What a person says, to the reasons of RFC 5280 that this CA gives.
_REASONS = {
    "lost": "KEY_COMPROMISE",
    "key-compromise": "KEY_COMPROMISE",
    "ca-compromise": "CA_COMPROMISE",
    "moved": "AFFILIATION_CHANGED",
    "replaced": "SUPERSEDED",
    "retired": "CESSATION_OF_OPERATION",
    "withdrawn": "PRIVILEGE_WITHDRAWN",
    "unspecified": "UNSPECIFIED",
}


@app.command("list")
def listed(
    folder: CaFolder,
    every: Annotated[
        bool, typer.Option("--all", help=both("Expired and revoked ones, too.", "含过期与吊销的。"))
    ] = False,
    expiring: Annotated[
        int | None,
        typer.Option(
            "--expiring",
            metavar="DAYS",
            min=0,
            help=both("Only what ends within so many days.", "仅列出多少天内到期的。"),
        ),
    ] = None,
) -> None:
    """列出已签发的证书。 What this CA issued, the oldest first; no passphrase is needed."""
    from headgate.crypto.authority import CertificateAuthority, State

    env = system_env()
    ca = CertificateAuthority(env, folder, provider_of(env))
    now = ca.now()
    for issued in ca.register.issued:
        state = ca.register.state(issued, now)
        if state is not State.VALID and not every:
            continue
        if expiring is not None and issued.not_after > now + timedelta(days=expiring):
            continue
        typer.echo(
            f"{issued.serial}  {state.value:7}  {issued.not_after:%Y-%m-%d}  "
            f"{issued.role.value.removeprefix('headgate-'):19}  {issued.name}"
        )


@app.command()
def revoke(
    folder: CaFolder,
    what: Annotated[
        str,
        typer.Argument(
            metavar="SERIAL|NAME",
            help=both("One certificate, or all of a name.", "证书序列号，或名称（其全部证书）。"),
        ),
    ],
    reason: Annotated[
        str,
        typer.Option("--reason", metavar="WHY", help=both(", ".join(_REASONS) + ".", "吊销原因。")),
    ],
) -> None:
    """吊销证书。 Take a certificate back for good, with its pair. `crl` then tells everybody.

    A name takes back all that is valid for it: a lost box has a signing, an encryption and a link key.
    """
    from headgate.crypto.authority import CertificateAuthority
    from headgate.crypto.crl import Reason

    if reason not in _REASONS:
        known = ", ".join(_REASONS)
        raise SecurityError(f"no reason {reason!r}", code="HG-6270", reason=reason, known=known)
    env = system_env()
    ca = CertificateAuthority(env, folder, provider_of(env))
    held = [int(issued.serial, 16) for issued in ca.valid(what)]
    for serial in held or [serial_of(what)]:
        issued = ca.register.find(serial)
        if held and issued is not None and ca.register.revocation(issued) is not None:
            continue  # the other of a pair that is gone already
        for taken in ca.revoke(serial, Reason[_REASONS[reason]]):
            tell("HG-6271", serial=taken.serial, name=taken.name, role=taken.role.value)


@app.command()
def crl(
    folder: CaFolder,
    days: Annotated[
        int,
        typer.Option(
            "--days", min=1, max=3660, help=both("Until the next one.", "下次发布前的天数。")
        ),
    ] = 30,
    passphrase: Passphrase = None,
) -> None:
    """发布吊销列表。 Make the next revocation list. Carry it to the platform and to every gateway."""
    env = system_env()
    made = open_ca(env, folder, passphrase).crl(timedelta(days=days))
    typer.echo(
        say(
            "HG-6272",
            reader(),
            path=str(folder / "ca.crl"),
            number=made.number,
            count=len(made.revoked),
            end=f"{made.next_update:%Y-%m-%d}",
        )
    )
