"""Ids for completion: a bounded number, and only by reading."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.justification import Ticket, TicketKind
from gateway.storage import StateStore
from gateway.storage.ids import MAX_IDS, known_ids


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A state database with more tickets than are ever offered, one of them named like a pattern."""
    url = f"sqlite:///{tmp_path}/st te.db"
    store = StateStore(url, SystemClock())
    store.put(*(Ticket(f"BUG-{number:03}", TicketKind.BUG, ("acme",), "x", 1) for number in range(MAX_IDS + 9)))
    store.put(Ticket("B%G", TicketKind.BUG, ("acme",), "x", 1))
    store.close()
    return url


def test_ids_that_begin_so_are_found_in_order_and_no_more_than_a_page(url: str) -> None:
    """A prefix is text and not a pattern; letters count as they are."""
    assert known_ids(url, Ticket, "BUG-00") == [f"BUG-00{number}" for number in range(10)]
    assert len(known_ids(url, Ticket, "")) == MAX_IDS
    assert known_ids(url, Ticket, "B%") == ["B%G"]
    assert known_ids(url, Ticket, "bug") == []


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Asking for ids is not a reason to begin a state."""
    with pytest.raises(sqlite3.Error):
        known_ids(f"sqlite:///{tmp_path}/none.db", Ticket, "")
    assert list(tmp_path.iterdir()) == []
