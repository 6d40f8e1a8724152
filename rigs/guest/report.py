"""Checks, told to the host on the console."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any


def tell(check: str, good: bool, seen: object) -> None:
    """One check, made."""
    line = json.dumps({"check": check, "good": bool(good), "seen": str(seen)}, ensure_ascii=False)
    # On a line of its own, whatever stood on the console before.
    sys.stdout.write(f"\n=> {line}\n")
    sys.stdout.flush()


async def until(look: Callable[[], Awaitable[Any]], seconds: float) -> tuple[Any, float]:
    """Look again and again until there is something; (it, after how many seconds). None: never."""
    begun = time.monotonic()
    while True:
        found = await look()
        after = time.monotonic() - begun
        if found or after > seconds:
            return found, after
        await asyncio.sleep(0.2)
