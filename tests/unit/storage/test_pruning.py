"""What nobody asks for any more goes, a little at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.identity import TransferPass
from gateway.storage import KEPT_US, Replay, StateStore, prune, prune_passes, prune_replays, pruning
from gateway.storage.pruning import PASSES_KEPT_US
from tests.unit.storage.nouns import PASS, REPLAY, TICKET
from tests.world.clock import FakeClock


def test_answers_are_kept_for_two_days(store: StateStore, clock: FakeClock) -> None:
    """To the microsecond, and nothing else goes."""
    now_us = clock.now_us()
    old, new = (replace(REPLAY, id=name, at_us=now_us - KEPT_US - older) for name, older in (("old", 1), ("new", 0)))
    store.put(TICKET, old, new)
    assert prune_replays(store, now_us=now_us) == 1
    assert [kept.id for kept in store.all(Replay)] == ["new"]
    assert list(store.all(type(TICKET))) == [TICKET]
    assert prune_replays(store, now_us=now_us) == 0


def test_passes_that_are_over_are_listed_for_thirty_days(store: StateStore, clock: FakeClock) -> None:
    """Used, revoked or neither: what counts is when they ended."""
    now_us = clock.now_us()
    for name, ends_us in (("old", now_us - PASSES_KEPT_US - 1), ("new", now_us - PASSES_KEPT_US), ("open", now_us + 1)):
        store.put(replace(PASS, id=name, ends_us=ends_us))
    store.put(replace(REPLAY, at_us=now_us))
    assert prune(store, now_us=now_us) == 1
    assert {kept.id for kept in store.all(TransferPass)} == {"new", "open"}
    assert len(list(store.all(Replay))) == 1
    assert prune_passes(store, now_us=now_us) == 0


def test_many_go_in_several_transactions(store: StateStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes few, so that whoever acts meanwhile does not wait for all of them."""
    monkeypatch.setattr(pruning, "MOST_AT_ONCE", 3)
    store.put(*(replace(REPLAY, id=f"r-{number}") for number in range(8)))
    written = store.connection
    taken: list[bool] = []

    def counting(*, writing: bool = False) -> object:
        taken.append(writing)
        return written(writing=writing)

    monkeypatch.setattr(store, "connection", counting)
    assert prune_replays(store, now_us=clock.now_us()) == 8
    assert taken.count(True) == 3
    assert list(store.all(Replay)) == []
