"""A key set comes whole, however it is cut up on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from gateway.identity import MAX_DOCUMENT_BYTES
from gateway.proxy.key_fetcher import _whole


class Pieces:
    """As much of a body as is read."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = list(pieces)

    async def iter_any(self) -> AsyncIterator[bytes]:
        while self.pieces:
            yield self.pieces.pop(0)


@pytest.mark.parametrize("pieces", [[], [b"{}"], [b"{", b'"keys"', b": []", b"}"]])
async def test_a_document_in_pieces_is_read_to_its_end(pieces: list[bytes]) -> None:
    """A packet is not a document."""
    content: Any = Pieces(pieces)
    assert await _whole(content) == b"".join(pieces)


async def test_a_document_without_end_is_not_read_to_its_end() -> None:
    """Of one that is too long only as much is read as shows that it is."""
    content: Any = Pieces([b"x" * 65_536] * (2 + 2 * MAX_DOCUMENT_BYTES // 65_536))
    assert len(await _whole(content)) <= MAX_DOCUMENT_BYTES + 65_536
    assert content.pieces
