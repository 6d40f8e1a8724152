"""The service manager hears of progress, and of nothing else."""

from __future__ import annotations

import asyncio

import pytest

from headgate.runtime.notify import Notifier
from headgate.testing.env import LoopClock, RecordedNet, fake_env, run

MANAGED = {"NOTIFY_SOCKET": "@manager", "WATCHDOG_USEC": "20000000"}


def test_ready_watchdog_and_stopping_in_order() -> None:
    async def main() -> None:
        net = RecordedNet()
        notifier = Notifier(fake_env(LoopClock(), net=net, variables=MANAGED), {"x": lambda: True})
        notifier.ready("8 devices")
        await asyncio.sleep(25)
        notifier.status("well")
        await notifier.stopping()
        assert [data for _, data in net.datagrams] == [
            b"READY=1\nSTATUS=8 devices", *[b"WATCHDOG=1"] * 3, b"STATUS=well", b"STOPPING=1",
        ]  # fmt: skip
        assert {address for address, _ in net.datagrams} == {"@manager"}

    run(main)


def test_a_part_without_progress_starves_the_watchdog_until_it_moves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        net, alive = RecordedNet(), {"writer": False}
        notifier = Notifier(
            fake_env(LoopClock(), net=net, variables=MANAGED),
            {"writer": lambda: alive["writer"], "channels": lambda: True},
        )
        notifier.ready("")
        await asyncio.sleep(35)
        assert notifier.stuck() == ["writer"]
        assert not any(b"WATCHDOG" in data for _, data in net.datagrams)
        alive["writer"] = True
        await asyncio.sleep(10)
        assert net.datagrams[-1][1] == b"WATCHDOG=1"
        await notifier.stopping()

    run(main)
    assert "watchdog not fed" in caplog.text


@pytest.mark.parametrize("usec", ["0", "-1", "soon", ""])
def test_no_watchdog_is_wanted_and_no_manager_there(usec: str) -> None:
    async def main() -> None:
        net = RecordedNet()
        variables = {"NOTIFY_SOCKET": "@m", "WATCHDOG_USEC": usec}
        notifier = Notifier(fake_env(net=net, variables=variables), {})
        notifier.ready("")
        await notifier.stopping()
        assert len(net.datagrams) == 2
        alone = RecordedNet()
        notifier = Notifier(fake_env(net=alone), {})
        notifier.ready("")
        await notifier.stopping()
        assert alone.datagrams == []

    run(main)
