"""The SHA-256 of what flows, worked out beside the flow: hashlib lets other threads run while it hashes.

Invariants: blocks are hashed in the order in which they came, each once, whichever thread comes to it; no more than
:data:`AT_ONCE_BYTES` and one block more wait. A block is not changed once it was given.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque

from gateway.transfer.site import Block

AT_ONCE_BYTES = 1024 * 1024
"""What waits until it is worth a thread's while."""


class Digest:
    """Of one transfer; :meth:`add` is for the event loop."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._blocks: deque[Block] = deque()
        self._waiting_bytes = 0
        self._turn = threading.Lock()  # whoever holds it hashes, in order
        self._hashing: asyncio.Future[None] | None = None

    async def add(self, block: Block) -> None:
        """The next block; waits only where those before it are still being hashed."""
        self._blocks.append(block)
        self._waiting_bytes += len(block)
        if self._waiting_bytes < AT_ONCE_BYTES:
            return
        if self._hashing:
            await asyncio.wait({self._hashing})
        self._waiting_bytes = 0
        self._hashing = asyncio.get_running_loop().run_in_executor(None, self._hash_all)

    def hexdigest(self) -> str:
        """Of all blocks so far; what no thread came to yet is hashed here, some milliseconds at most."""
        self._hash_all()
        return self._hash.hexdigest()

    def _hash_all(self) -> None:
        with self._turn:
            while self._blocks:
                self._hash.update(self._blocks.popleft())
