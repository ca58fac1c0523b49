"""The digest of a transfer, worked out in another thread."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random

import pytest

from gateway.transfer.digest import AT_ONCE_BYTES, Digest


@pytest.mark.parametrize("size", [0, 1, 100_000, AT_ONCE_BYTES - 1, AT_ONCE_BYTES, 3 * AT_ONCE_BYTES + 7])
async def test_blocks_of_any_size_are_hashed_in_order(size: int) -> None:
    """As if all came at once, whatever threads came to them."""
    random = Random(size)
    data = random.randbytes(size)
    digest, at = Digest(), 0
    while at < size:
        end = at + random.choice((1, 32_768, 700_000, AT_ONCE_BYTES))
        await digest.add(memoryview(data)[at:end])
        at = end
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


async def test_whoever_is_cut_while_waiting_loses_nothing() -> None:
    """The block was given, and is hashed."""
    digest, block = Digest(), b"x" * AT_ONCE_BYTES
    digest._hashing = asyncio.get_running_loop().create_future()
    adding = asyncio.ensure_future(digest.add(block))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert digest.hexdigest() == hashlib.sha256(block).hexdigest()
