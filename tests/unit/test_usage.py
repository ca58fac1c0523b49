"""The book of usage: nothing smaller covers what is larger, and what could not be written is written later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import StateUnavailable
from gateway.justification import Desk, Usage
from gateway.storage import StateStore
from gateway.usage import UsageBook
from tests.world.clock import FakeClock


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(f"sqlite:///{tmp_path}/gateway.db", FakeClock())
    yield store
    store.close()


async def test_a_smaller_count_never_replaces_a_larger_one(state: StateStore) -> None:
    """Each of both numbers by itself: somebody else may have counted, too."""
    desk = Desk()
    book = UsageBook(state, desk)
    state.put(Usage("G-1", 5, 10))
    desk.count("G-1", requests=1, bytes_=70)
    book.save("G-1")
    await book.flush()
    assert state.get(Usage, "G-1") == Usage("G-1", 5, 70)


async def test_writes_come_one_after_the_other(state: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And several counts of one grant are one write."""
    desk = Desk()
    book = UsageBook(state, desk)
    written: list[list[Usage]] = []
    monkeypatch.setattr(book, "_write", lambda usages: written.append(list(usages)))

    async def count() -> None:
        desk.count("G-1", requests=1)
        book.save("G-1")
        await book.flush()

    await asyncio.gather(*(count() for _ in range(5)))
    counts = [usage.requests for usages in written for usage in usages]
    assert counts == sorted(set(counts))
    assert counts[-1] == 5


async def test_what_could_not_be_written_is_written_later(state: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is out of reach for a while loses no count."""
    desk = Desk()
    book = UsageBook(state, desk)

    def refuse(**_options: object) -> None:
        raise StateUnavailable("out of reach")

    desk.count("G-1", requests=1)
    book.save("G-1")
    with monkeypatch.context() as patch:
        patch.setattr(state, "transaction", refuse)
        await book.flush()
    assert state.find(Usage, "G-1") is None
    await book.flush()
    assert state.get(Usage, "G-1") == Usage("G-1", 1, 0)


async def test_what_has_not_changed_is_not_written_again(state: StateStore) -> None:
    """A stream that stands still costs no write."""
    desk = Desk()
    book = UsageBook(state, desk)
    desk.count("G-1", bytes_=1)
    for _ in range(3):
        book.save("G-1")
        await book.flush()
    assert state.revision() == 1
