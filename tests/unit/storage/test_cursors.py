"""Where feeds stand."""

from __future__ import annotations

from gateway.storage import Cursor, FeedCursors, StateStore
from tests.unit.storage.conftest import Opener
from tests.world.clock import FakeClock


def test_cursor_begins_once_and_is_there_after_a_restart(open_store: Opener) -> None:
    """Whoever begins it again finds it where it is."""
    cursors = FeedCursors(open_store())
    assert cursors.find("siem") is None
    assert cursors.begin("siem", 4) == Cursor("siem", 4)
    assert cursors.begin("siem", 9) == Cursor("siem", 4)
    assert FeedCursors(open_store()).find("siem") == Cursor("siem", 4)


def test_cursor_moves_only_from_where_it_is(store: StateStore, clock: FakeClock) -> None:
    """Each feed's own, and what was wrong with it is over."""
    cursors = FeedCursors(store)
    cursors.begin("siem", -1)
    cursors.begin("lake", -1)
    cursors.note("siem", "gone")
    assert cursors.advance("siem", -1, 5)
    assert not cursors.advance("siem", -1, 9)
    assert cursors.find("siem") == Cursor("siem", 5, clock.now_us())
    assert cursors.find("lake") == Cursor("lake", -1)
    assert not cursors.advance("none", -1, 1)


def test_problem_has_the_instant_at_which_the_first_one_began(store: StateStore, clock: FakeClock) -> None:
    """However it goes on."""
    cursors = FeedCursors(store)
    cursors.begin("siem", 3)
    began_us = clock.now_us()
    cursors.note("siem", "gone")
    clock.advance(60)
    cursors.note("siem", "answered 500")
    assert cursors.find("siem") == Cursor("siem", 3, 0, began_us, "answered 500")
    cursors.note("siem", "")
    assert cursors.find("siem") == Cursor("siem", 3)


def test_rewound_cursor_is_elsewhere_and_well(store: StateStore, clock: FakeClock) -> None:
    """Also of a feed that never began."""
    cursors = FeedCursors(store)
    cursors.begin("siem", 3)
    cursors.note("siem", "gone")
    for name in ("siem", "new"):
        cursors.rewind(name, 1)
        assert cursors.find(name) == Cursor(name, 1, clock.now_us())
