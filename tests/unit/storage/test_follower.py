"""Memory that follows the database, and knows when it does not."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog import Action, Customer, Customers, Resource, Scope
from gateway.errors import StateUnavailable
from gateway.identity import Kind, Principal, Revocations
from gateway.justification import Desk, Justification, Ticket, TicketKind, Usage
from gateway.storage import StateFollower, StateStore, follower
from tests.unit.storage.conftest import Opener
from tests.unit.storage.nouns import ACME, GRANT, NOTICE, NOUNS, REVOCATION, TICKET, USAGE
from tests.world.clock import FakeClock

STALE_S = 5.0
INCIDENT = Ticket("INC-7", TicketKind.SECURITY, ("acme",), "Odd sign-ins", 1)
RESOURCE = Resource("crm", "conversation", "acme", Action.READ, Scope.ONE)
WHO = Principal("priya", REVOCATION.issuer, Kind.PERSONNEL, frozenset(), token_id=REVOCATION.value)


class BreakableStore:
    """A real store that can be broken: then each reading raises."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        if self.broken:
            raise StateUnavailable("the disk is gone")
        return getattr(self._store, name)


class World:
    """A follower of a store, and the rooms that it feeds."""

    def __init__(self, store: StateStore, clock: FakeClock) -> None:
        self.clock, self.store = clock, BreakableStore(store)
        self.customers, self.desk, self.revocations = Customers(), Desk(), Revocations()
        self.follower = StateFollower(
            self.store,  # type: ignore[arg-type]  # it reads like one
            customers=self.customers,
            desk=self.desk,
            clock=clock,
            max_staleness_s=STALE_S,
            revocations=self.revocations,
        )
        self.desk.fresh = lambda: self.follower.fresh

    def justify(self) -> Justification:
        return self.desk.justify(
            subject="ines", resource=RESOURCE, cited=INCIDENT.id, reason="", now_us=self.clock.now_us()
        )


@pytest.fixture
def world(store: StateStore, clock: FakeClock) -> World:
    return World(store, clock)


def test_everything_is_loaded_into_its_room(world: World, store: StateStore) -> None:
    """Customers, tickets, grants, usage and revocations are where they are asked for."""
    store.put(*NOUNS)
    world.follower.load()
    assert world.customers.get("acme") == ACME
    assert [world.desk.ticket("CASE-5"), *world.desk.grants()] == [TICKET, GRANT]
    assert world.desk.usage("G-1") == USAGE
    assert world.revocations.is_revoked(WHO)
    assert (world.follower.fresh, world.follower.problem) == (True, "")


def test_follower_is_not_fresh_before_it_has_read(world: World) -> None:
    """Until then nothing is known, and the reason says so."""
    assert not world.follower.fresh
    assert world.follower.problem == "the state has not been read yet"


async def test_poll_brings_what_changed(world: World, open_store: Opener) -> None:
    """By whichever process it was written."""
    world.follower.load()
    other = open_store()
    other.put(ACME, INCIDENT)
    assert world.justify().ticket is None
    await world.follower.poll()
    assert world.customers.get("acme") == ACME
    assert world.justify().incident
    other.put(replace(INCIDENT, closed_us=9), REVOCATION)
    await world.follower.poll()
    assert not world.justify().incident
    assert world.revocations.is_revoked(WHO)


async def test_polls_come_one_after_the_other(world: World, store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads late never covers what a later one brought: a revoked grant stays revoked."""
    world.follower.load()
    store.put(INCIDENT)
    reading, go_on = threading.Event(), threading.Event()

    def slow(since: int) -> tuple[int, list[Any]]:
        found = store.changes(since)
        reading.set()
        go_on.wait(10)
        return found

    monkeypatch.setattr(world.store, "changes", slow, raising=False)
    first = asyncio.ensure_future(world.follower.poll())
    await asyncio.to_thread(reading.wait, 10)
    store.put(replace(INCIDENT, closed_us=9))
    monkeypatch.setattr(world.store, "changes", store.changes, raising=False)
    second = asyncio.ensure_future(world.follower.poll())
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.gather(first, second)
    assert not world.justify().incident


async def test_poll_reads_each_change_once(world: World, store: StateStore) -> None:
    """Neither again what was loaded, nor what a poll has brought."""
    store.put(ACME)
    world.follower.load()
    world.customers.remove("acme")
    await world.follower.poll()
    assert len(world.customers) == 0
    store.put(Customer("globex", "Globex"))
    await world.follower.poll()
    world.customers.remove("globex")
    await world.follower.poll()
    assert len(world.customers) == 0


async def test_change_during_the_load_is_not_missed(world: World, store: StateStore) -> None:
    """It is read a second time rather than never."""
    revision = store.revision

    def revision_then_change() -> int:
        before = revision()
        store.put(INCIDENT)
        return before

    world.store._store = type("", (), {"revision": staticmethod(revision_then_change), "all": lambda *_: iter(())})()
    world.follower.load()
    world.store._store = store
    assert not world.justify().incident
    await world.follower.poll()
    assert world.justify().incident


async def test_what_can_be_revoked_ends_when_polls_fail_too_long(world: World, store: StateStore) -> None:
    """Until then it counts; afterwards nobody knows whether it still should."""
    store.put(INCIDENT)
    world.follower.load()
    world.store.broken = True
    world.clock.advance(STALE_S)
    await world.follower.poll()
    assert (world.follower.fresh, world.justify().incident) == (True, True)
    world.clock.advance(0.001)
    await world.follower.poll()
    assert (world.follower.fresh, world.follower.problem) == (False, "the disk is gone")
    assert world.justify() == Justification(cited=INCIDENT.id)


async def test_state_that_can_be_read_again_counts_again(world: World, store: StateStore) -> None:
    """With whatever changed in between."""
    store.put(INCIDENT, ACME)
    world.follower.load()
    world.store.broken = True
    world.clock.advance(60)
    await world.follower.poll()
    store.put(replace(ACME, name="Renamed"))
    world.store.broken = False
    await world.follower.poll()
    assert (world.follower.fresh, world.follower.problem) == (True, "")
    assert world.justify().incident
    assert world.customers.get("acme") == replace(ACME, name="Renamed")


async def test_age_is_counted_from_when_the_reading_began(world: World, store: StateStore) -> None:
    """A slow answer is as old as its question."""
    changes = store.changes

    def slowly(since: int) -> tuple[int, list[Any]]:
        found = changes(since)
        world.clock.advance(STALE_S + 1)
        return found

    world.store._store = type("", (), {"changes": staticmethod(slowly)})()
    await world.follower.poll()
    assert not world.follower.fresh


async def test_wall_clock_set_forward_or_back_changes_nothing(world: World) -> None:
    """Freshness goes by time that only passes."""
    world.follower.load()
    for seconds in (86_400, -2 * 86_400):
        world.clock.jump(seconds)
        assert world.follower.fresh


async def test_usage_counted_here_outlasts_what_was_written_before(world: World, store: StateStore) -> None:
    """A poll does not hand a grant's room back."""
    store.put(Usage("G-1", 1, 100))
    world.follower.load()
    world.desk.count("G-1", requests=1, bytes_=50)
    store.put(Usage("G-1", 1, 120))
    await world.follower.poll()
    assert world.desk.usage("G-1") == Usage("G-1", 2, 150)


def test_load_from_a_broken_database_is_refused(world: World) -> None:
    """A gateway does not start on it."""
    world.store.broken = True
    with pytest.raises(StateUnavailable):
        world.follower.load()
    assert not world.follower.fresh


async def test_unreadable_row_does_not_end_the_following(world: World, store: StateStore) -> None:
    """It is a failed poll like any other: stale in the end, and well again with the row."""
    world.follower.load()
    store.put(INCIDENT)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ticket SET kind = 'omen'")
    await world.follower.poll()
    assert "'omen'" in world.follower.problem
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ticket SET kind = 'security'")
    await world.follower.poll()
    assert world.justify().incident


async def test_running_follower_polls_until_cancelled(
    world: World, store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change arrives by itself, through a failure too."""
    monkeypatch.setattr(follower, "POLL_S", 0.001)
    world.store.broken = True
    arrived = asyncio.Event()
    monkeypatch.setattr(world.customers, "put", lambda _: arrived.set())
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.follower.run())
        while world.follower.problem != "the disk is gone":  # noqa: ASYNC110  nothing tells of a poll that failed
            await asyncio.sleep(0)
        world.store.broken = False
        store.put(ACME)
        await arrived.wait()
        running.cancel()


async def test_failure_is_logged_once_not_at_every_poll(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times a second would drown everything else."""
    told: list[str] = []

    class Log:
        @staticmethod
        def error(event: str, **_: object) -> None:
            told.append(event)

    monkeypatch.setattr(follower, "log", Log)
    world.follower.load()
    for broken in (True, True, False, True):
        world.store.broken = broken
        await world.follower.poll()
    assert told == ["state_unreadable"] * 2


def _restore(path: Path, copy: Path) -> None:
    """As an operator would, with the log of the newer one out of the way."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copy.replace(path)


def _remove(path: Path, _copy: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@pytest.mark.parametrize("damage", [_restore, _remove], ids=["restored", "removed"])
async def test_a_database_that_was_put_in_its_place_is_not_taken_for_it(
    world: World, store: StateStore, path: Path, tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    """What others write is no longer read here, so nothing is known to stand, whatever the old file still says."""
    store.put(INCIDENT)
    world.follower.load()
    with sqlite3.connect(path) as connection, sqlite3.connect(tmp_path / "copy.db") as copy:
        connection.backup(copy)
    damage(path, tmp_path / "copy.db")
    world.clock.advance(STALE_S + 1)
    await world.follower.poll()
    assert "removed or replaced" in world.follower.problem
    assert (world.follower.fresh, world.justify().incident) == (False, False)


async def test_a_notice_wakes_who_delivers_it_and_judges_nothing_again(world: World, store: StateStore) -> None:
    """It changes nothing that a decision rests on."""
    world.follower.load()
    heard: list[str] = []
    world.follower.changed = lambda: heard.append("changed")
    world.follower.noticed = lambda: heard.append("noticed")
    store.put(NOTICE)
    await world.follower.poll()
    assert heard == ["noticed"]
    store.put(INCIDENT, replace(NOTICE, id="n-2"))
    await world.follower.poll()
    assert heard == ["noticed", "changed", "noticed"]
