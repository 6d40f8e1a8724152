"""The desk that a command goes to: the running gateway's, or its own where none runs.

A running gateway is asked, for it may be the only one that can open the box's keys, and it takes a new
identity over at once. Without one the state folder is locked and the same code works on it here.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate.cli.client import call, socket_of
from headgate.errors import HeadgateError, SecurityError

_PIECE = 30 * 1024
_NOBODY = "HG-9110"
_SEALED_AWAY = frozenset({"HG-6127", "HG-6120", "HG-1300"})


def ask(site: Path | None, name: str, **arguments: Any) -> Any:
    """The answer to one call, by the gateway or, where none runs, by this process.

    Raises:
        HeadgateError: whoever answered, it says why not.
    """
    files: Mapping[str, bytes] = arguments.pop("files", {})
    try:
        return _ask_gateway(socket_of(site), name, files, arguments)
    except HeadgateError as error:
        if error.code != _NOBODY:
            raise
    try:
        return _ask_here(site, name, files, arguments)
    except SecurityError as error:
        if error.code in _SEALED_AWAY:
            raise SecurityError(str(error), code="HG-6189") from error
        raise


def _ask_gateway(
    socket: Path, name: str, files: Mapping[str, bytes], arguments: Mapping[str, Any]
) -> Any:
    first = True
    for file, data in files.items():
        for at in range(0, max(1, len(data)), _PIECE):
            piece = base64.b64encode(data[at : at + _PIECE]).decode()
            next(call(socket, "enroll-stage", file=file, data=piece, first=first))
            first = False
    return next(call(socket, name, **arguments))


def _ask_here(
    site: Path | None, name: str, files: Mapping[str, bytes], arguments: Mapping[str, Any]
) -> Any:
    from headgate.runtime.enrolment.calls import EnrolmentCalls

    async def answer() -> Any:
        with _own_desk(site) as desk:
            calls = EnrolmentCalls(desk)
            first = True
            for file, data in files.items():
                piece = base64.b64encode(data).decode()
                staged = {"file": file, "data": piece, "first": first}
                await anext(calls.stage(staged))
                first = False
            asked = {**arguments, "peer": f"uid:{os.getuid()}"}
            return await anext(calls.handlers()[name](asked))

    return asyncio.run(answer())


@contextmanager
def _own_desk(site_given: Path | None) -> Iterator[Any]:
    import headgate
    from headgate import config
    from headgate.audit import AuditLog
    from headgate.cli.terminal import site_path
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.env import system_env
    from headgate.runtime.enrolment.desk import Desk
    from headgate.runtime.home import Home
    from headgate.runtime.identity import load_identity
    from headgate.spool import State

    env = system_env()
    site = config.load(env, site_path(site_given))
    folder = site.state_folder
    _step_down(folder)
    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    home = Home(env, folder, without_disk=False)
    home.enter()
    state = State(env, folder / "state.db")
    try:
        state.open()
        audit = AuditLog(
            env, folder / "audit", site.gateway.id, headgate.__version__, provider.sm3,
            quota_bytes=site.audit.quota.bytes, remembered=state.counter("audit-seq"),
            remember=lambda seq: state.count("audit-seq", seq),
        )  # fmt: skip
        try:
            at = _now(env.clock)
            current = [load_identity(env, site, provider, at)]

            async def take_over() -> None:
                current[0] = load_identity(env, site, provider, at)

            yield Desk(
                env, lambda: site, provider, lambda: current[0], audit, lambda: at, take_over
            )
        finally:
            audit.close()
    finally:
        state.close()
        home.leave()


def _now(clock: Any) -> datetime | None:
    """The time where the machine's clock is disciplined; what the gateway learned of it is not at hand."""
    if clock.wall_state()[0] == "unsynced":
        return None
    return datetime.fromtimestamp(clock.wall_us() / 1e6, UTC)


def _step_down(folder: Path) -> None:
    """Be the account that the service runs as: files of root's in its folder would stop its next start."""
    try:
        owner = folder.stat()
    except FileNotFoundError:
        return
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.umask(0o027)
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
