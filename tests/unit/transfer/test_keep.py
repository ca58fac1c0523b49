"""Blocks of an upload, several on their way: what was not written is followed by nothing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.transfer import digest
from gateway.transfer.act import Keep
from gateway.transfer.ahead import BLOCK_BYTES
from gateway.transfer.site import Block, SiteFailure


class Upload:
    """Takes everything."""

    offset = 0

    def __init__(self) -> None:
        self.written = b""
        self.is_abandoned = False

    async def write(self, data: Block) -> None:
        self.written += data

    async def abandon(self) -> None:
        self.is_abandoned = True


class Admission:
    """Of an act that nobody ends."""

    ended = ""
    offset = 0
    digest = ""

    def on_end(self, _stop: object) -> None: ...

    def count_in(self, _size: int) -> bool:
        return True


@pytest.fixture
def upload() -> Upload:
    return Upload()


@pytest.fixture
def keep(upload: Upload) -> Keep:
    act: Any = SimpleNamespace(admission=Admission(), over=lambda _outcome: None)
    return Keep(act, upload, None)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_behind_a_block_that_was_given_up_nothing_is_written(
    keep: Keep, upload: Upload, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Whether it waits for those before it to be hashed, or for its turn: what stays is a beginning of the file."""
    go_on = asyncio.Event()
    add = digest.Digest.add

    async def slow(self: digest.Digest, block: Block) -> None:
        await go_on.wait()
        await add(self, block)

    monkeypatch.setattr(digest.Digest, "add", slow)
    blocks = [bytes([number]) * BLOCK_BYTES for number in range(4)]
    writing = [asyncio.ensure_future(keep.write(block)) for block in blocks]
    await asyncio.sleep(0)
    writing[which].cancel()
    await asyncio.sleep(0)
    go_on.set()
    outcomes = await asyncio.gather(*writing, return_exceptions=True)
    await keep.abandon()
    assert b"".join(blocks).startswith(upload.written)
    assert upload.is_abandoned
    assert all(isinstance(each, SiteFailure) for each in outcomes[which + 1 :])


async def test_giving_up_is_never_half_done(keep: Keep, upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is cut itself while a block is still on its way."""
    go_on = asyncio.Event()

    async def slow(_self: digest.Digest, _block: Block) -> None:
        await go_on.wait()

    monkeypatch.setattr(digest.Digest, "add", slow)
    writing = asyncio.ensure_future(keep.write(b"x"))
    await asyncio.sleep(0)
    giving_up = asyncio.ensure_future(keep.abandon())
    await asyncio.sleep(0)
    giving_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving_up
    assert upload.is_abandoned
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
