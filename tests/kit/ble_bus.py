"""bleak keeps a D-Bus connection for the life of its loop; a test has to end it."""

from __future__ import annotations

import asyncio


async def bleak_lets_go() -> None:
    """End the bus that bleak holds for this loop."""
    from bleak.backends.bluezdbus import manager

    kept = manager._global_instances.pop(asyncio.get_running_loop(), None)
    if kept is not None and kept._bus is not None and kept._bus.connected:
        kept._bus.disconnect()
        await asyncio.gather(kept._bus.wait_for_disconnect(), return_exceptions=True)
