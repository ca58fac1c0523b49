"""Waiting for what is about to hold, where nobody tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Wait until something holds; in vain is an error."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110  what it waits for is in a file, a thread or another process
            await asyncio.sleep(0.005)
