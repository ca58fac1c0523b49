"""Nouns in, nouns out, and a feed of what changed."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import gateway.storage.store
from gateway.catalog import Customer
from gateway.errors import NotFound, StateUnavailable, UsageError
from gateway.justification import AccessRequest, Grant, Ticket, TicketKind, Usage
from gateway.storage import StateStore
from gateway.storage.tables import NOUNS as TABLES
from tests.unit.storage.conftest import Opener
from tests.unit.storage.nouns import ACME, ASKED, GRANT, NOUNS, PLAN, TICKET, USAGE, key_of
from tests.world.clock import FakeClock

EVERY_NOUN = pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: type(noun).__name__)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WHOLE = st.integers(-(2**63), 2**63 - 1)


def test_samples_are_of_every_kind_and_complete() -> None:
    """No kind of noun and no field goes without a test: each sample sets every field to something of its own."""
    assert {type(noun) for noun in NOUNS} == {Customer, *TABLES}
    for noun in (*NOUNS, PLAN):
        assert all(getattr(noun, field.name) != field.default for field in fields(noun)), noun


@EVERY_NOUN
def test_noun_comes_back_as_it_was_put(store: StateStore, noun: Any) -> None:
    """Every field, of its own type, by key and among all."""
    store.put(noun)
    found = store.get(type(noun), key_of(noun))
    assert found == noun
    assert [type(getattr(found, field.name)) for field in fields(noun)] == [
        type(getattr(noun, field.name)) for field in fields(noun)
    ]
    assert list(store.all(type(noun))) == [noun]


@EVERY_NOUN
def test_noun_put_before_is_there_after_a_new_start(open_store: Opener, noun: Any) -> None:
    """The next process reads what the last one wrote."""
    first = open_store()
    first.put(noun)
    first.close()
    assert open_store().find(type(noun), key_of(noun)) == noun


def test_the_newest_come_first_from_anywhere_on(store: StateStore) -> None:
    """By when each began, then by id; behind any of them, and only those that were asked for."""
    tickets = [replace(TICKET, id=f"T-{number}", opened_us=number // 2, holder="sam") for number in range(7)]
    store.put(*tickets, replace(TICKET, id="T-9", holder="priya", opened_us=1))
    expected = [ticket.id for ticket in reversed(tickets)]
    with store.transaction() as transaction:
        for place, after in enumerate(["", *expected]):
            found = transaction.newest(Ticket, by="opened_us", after=after, equal={"holder": "sam"})
            assert [ticket.id for ticket in found] == expected[place:]
        assert list(transaction.newest(Ticket, by="opened_us", after="T-none")) == []


def test_lists_are_searched_for_whole_elements(store: StateStore) -> None:
    """Not for a part of one, whatever quotation marks or letters stand in it."""
    named = {
        "T-1": ("acme",),
        "T-2": ("acme-2", "b"),
        "T-3": ('x"acme"', "_cme"),
        "T-4": ("*",),
        "T-5": ("b", "ä", "acme"),
    }
    store.put(*(replace(TICKET, id=key, customers=customers) for key, customers in named.items()))

    def found(*values: str) -> list[str]:
        with store.transaction() as transaction:
            return [one.id for one in transaction.newest(Ticket, by="opened_us", among={"customers": values})]

    assert found("acme") == ["T-5", "T-1"]
    assert found("acme", "*") == ["T-5", "T-4", "T-1"]
    assert found("ä") == ["T-5"]
    assert found("acm_") == []


def test_customers_come_in_the_order_of_their_ids(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their plans, however many are read at a time, behind any of them."""
    monkeypatch.setattr(gateway.storage.store, "PAGE_ROWS", 2)
    store.put(ACME, *(Customer(f"b{number}", "B") for number in range(4)))
    with store.transaction() as transaction:
        assert [customer.id for customer in transaction.customers()] == ["acme", "b0", "b1", "b2", "b3"]
        assert [customer.id for customer in transaction.customers(after="b1")] == ["b2", "b3"]
        assert next(transaction.customers()) == ACME


@given(title=WORDS, customers=st.lists(WORDS, max_size=3), opened_us=WHOLE)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_and_any_instant_survive(store: StateStore, title: str, customers: list[str], opened_us: int) -> None:
    """Quotes, line ends, zero characters, commas: text is text."""
    ticket = replace(TICKET, title=title, customers=tuple(customers), opened_us=opened_us)
    store.put(ticket)
    assert store.get(Ticket, ticket.id) == ticket


@pytest.mark.parametrize("key", ["CASE-6", "case-5", "", "CASE-5' OR '1'='1"])
def test_noun_that_is_not_there_is_not_found(store: StateStore, key: str) -> None:
    """Asked for it, that is an error; looked for, nothing."""
    store.put(TICKET)
    assert store.find(Ticket, key) is None
    with pytest.raises(NotFound, match="there is no ticket"):
        store.get(Ticket, key)


def test_missing_noun_is_named_in_words(store: StateStore) -> None:
    """A person reads it."""
    with pytest.raises(NotFound, match="there is no access request 'R-9'"):
        store.get(AccessRequest, "R-9")


def test_all_are_in_the_order_of_their_ids(store: StateStore) -> None:
    """However they came."""
    for key in ("b", "a", "c"):
        store.put(replace(TICKET, id=key), Customer(key, key, (replace(PLAN, id=f"P-{key}"),)))
    assert [ticket.id for ticket in store.all(Ticket)] == ["a", "b", "c"]
    assert [(customer.id, customer.plans[0].id) for customer in store.all(Customer)] == [
        ("a", "P-a"),
        ("b", "P-b"),
        ("c", "P-c"),
    ]


def test_noun_put_again_replaces_its_earlier_state(store: StateStore) -> None:
    """One row for each, and the others are left alone."""
    store.put(TICKET, replace(TICKET, id="CASE-6"))
    store.put(replace(TICKET, closed_us=77))
    assert [ticket.closed_us for ticket in store.all(Ticket)] == [77, TICKET.closed_us]


def test_customer_keeps_every_plan_it_ever_had(store: StateStore) -> None:
    """In the order in which they were ordered; ending one changes that one."""
    later = replace(PLAN, id="P-0", ordered_us=300, ends_us=0)
    store.put(replace(ACME, plans=(PLAN,)))
    store.put(replace(ACME, name="New", plans=(replace(PLAN, ends_us=250), later)))
    assert store.get(Customer, "acme") == replace(ACME, name="New", plans=(replace(PLAN, ends_us=250), later))


def test_customer_without_a_plan_comes_back_without_one(store: StateStore) -> None:
    """And with none of another customer's."""
    store.put(ACME, Customer("globex", "Globex"))
    assert store.get(Customer, "globex") == Customer("globex", "Globex")


def test_failed_transaction_leaves_nothing(store: StateStore) -> None:
    """Neither a noun nor a line of the feed."""

    def half() -> None:
        with store.transaction() as transaction:
            transaction.put(TICKET)
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert list(store.all(Ticket)) == []
    assert store.revision() == 0


def test_feed_tells_each_noun_once_in_the_order_of_the_changes(store: StateStore) -> None:
    """However often it changed, as it is now."""
    assert (store.revision(), store.changes(0)) == (0, (0, []))
    store.put(TICKET)
    store.put(GRANT, USAGE)
    store.put(replace(TICKET, title="New"))
    assert store.changes(0) == (4, [replace(TICKET, title="New"), GRANT, USAGE])
    assert store.changes(1) == (4, [GRANT, USAGE, replace(TICKET, title="New")])
    assert store.changes(4) == (4, [])
    assert store.revision() == 4


def test_feed_tells_of_every_kind(store: StateStore) -> None:
    """No kind of noun changes unseen."""
    store.put(*NOUNS)
    assert store.changes(0) == (len(NOUNS), list(NOUNS))


def test_feed_says_when(store: StateStore, clock: FakeClock, path: Path) -> None:
    """By the clock that was given."""
    clock.advance(12.5)
    store.put(TICKET)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT noun, key, at_us FROM change").fetchall() == [
            ("Ticket", "CASE-5", clock.now_us())
        ]
    connection.close()


def test_processes_see_each_others_changes_once(open_store: Opener) -> None:
    """What one writes the other reads, each change once."""
    one, other = open_store(), open_store()
    one.put(TICKET)
    seen, nouns = other.changes(0)
    assert nouns == [TICKET]
    other.put(GRANT)
    one.put(USAGE)
    assert other.changes(seen)[1] == [GRANT, USAGE]
    assert one.changes(seen) == other.changes(seen)


def test_noun_of_a_later_version_in_the_feed_is_passed_over(store: StateStore, path: Path) -> None:
    """An older process beside a newer one goes on with what it knows."""
    store.put(TICKET)
    damage(path, "INSERT INTO change (noun, key, at_us) VALUES ('Novelty', 'n', 1)")
    assert store.changes(0) == (2, [TICKET])


def test_feed_of_an_older_copy_is_refused(open_store: Opener, path: Path, tmp_path: Path) -> None:
    """A database put back holds less than was seen: what was revoked since would be in force again."""
    first = open_store()
    first.put(TICKET)
    first.close()
    shutil.copy(path, tmp_path / "copy.db")
    second = open_store()
    second.put(GRANT)
    seen = second.revision()
    second.close()
    shutil.copy(tmp_path / "copy.db", path)
    third = open_store()
    with pytest.raises(StateUnavailable, match="no longer has revision 2; start the gateway again"):
        third.changes(seen)


def test_revision_is_never_given_twice(store: StateStore, path: Path) -> None:
    """Not even when the newest line of the feed is gone."""
    store.put(TICKET)
    damage(path, "DELETE FROM change")
    store.put(TICKET)
    assert store.revision() == 2


def test_locked_database_is_unavailable_within_the_time_allowed(
    path: Path, open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer waits no longer than that; readers do not wait at all."""
    monkeypatch.setattr(gateway.storage.store, "BUSY_TIMEOUT_S", 0.05)
    store = open_store()
    store.put(TICKET)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StateUnavailable, match="locked"):
        store.put(GRANT)
    assert store.get(Ticket, TICKET.id) == TICKET
    blocker.execute("ROLLBACK")
    blocker.close()
    store.put(GRANT)
    assert store.find(Grant, GRANT.id) == GRANT


@pytest.mark.parametrize("released", [True, False])
def test_first_start_waits_for_whoever_has_the_file(
    path: Path, open_store: Opener, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    """It asks several times for a file that another holds alone, and not for ever."""
    monkeypatch.setattr(gateway.storage.store, "BUSY_TIMEOUT_S", 0)
    path.parent.mkdir()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    blocker.execute("CREATE TABLE other (x)")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if released and len(pauses) == 2:
            blocker.execute("ROLLBACK")

    monkeypatch.setattr(time, "sleep", pause)
    if released:
        open_store().put(TICKET)
        assert len(pauses) == 2
    else:
        with pytest.raises(StateUnavailable, match="locked"):
            open_store()
        assert sum(pauses) < 1
    blocker.close()


def test_readers_see_a_transaction_whole_or_not_at_all(open_store: Opener) -> None:
    """What is being written is not there until all of it is."""
    one, other = open_store(), open_store()
    with one.transaction() as transaction:
        transaction.put(TICKET)
        transaction.put(GRANT)
        assert other.changes(0) == (0, [])
    assert other.changes(0) == (2, [TICKET, GRANT])


@pytest.mark.parametrize("content", [b"x" * 5_000, b"SQLite format 3\0" + b"\xff" * 8_000])
def test_file_that_is_no_database_is_unavailable(path: Path, open_store: Opener, content: bytes) -> None:
    """It is not overwritten either."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StateUnavailable, match="cannot be used"):
        open_store()
    assert path.read_bytes() == content


def test_page_damaged_later_is_unavailable(path: Path, open_store: Opener) -> None:
    """A reader finds out, and says so."""
    first = open_store()
    first.put(*(replace(TICKET, id=f"T-{number:04}") for number in range(500)))
    first.close()
    pages = path.read_bytes()
    path.write_bytes(pages[:4_096] + b"\xff" * (len(pages) - 4_096))
    with pytest.raises(StateUnavailable):
        list(open_store().all(Ticket))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE ticket SET kind = 'omen'", "'omen' is not a valid TicketKind"),
        ("UPDATE ticket SET customers = '{'", "cannot read"),
        ("UPDATE ticket SET customers = '5'", "cannot read"),
        ("UPDATE ticket SET severity = 'high'", "cannot read"),
    ],
)
def test_row_that_no_noun_can_hold_is_unavailable(store: StateStore, path: Path, statement: str, said: str) -> None:
    """Whoever reads it, by key, among all, or in the feed, is told, and never a half-read noun."""
    store.put(TICKET)
    damage(path, statement)
    for read in (lambda: store.get(Ticket, TICKET.id), lambda: list(store.all(Ticket)), lambda: store.changes(0)):
        with pytest.raises(StateUnavailable, match=said):
            read()


def test_directory_is_made(path: Path, store: StateStore) -> None:
    """A first start needs nothing prepared."""
    assert path.exists()


def test_directory_that_cannot_be_made_is_unavailable(tmp_path: Path, clock: FakeClock) -> None:
    """A file stands where it should be."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StateUnavailable, match=r"directory cannot be made.*check state\.url"):
        StateStore(f"sqlite:///{tmp_path}/taken/gateway.db", clock)


def test_path_that_is_a_directory_is_unavailable(tmp_path: Path, clock: FakeClock) -> None:
    """There is no database to open."""
    with pytest.raises(StateUnavailable, match="unable to open"):
        StateStore(f"sqlite:///{tmp_path}", clock)


def test_value_that_cannot_be_kept_is_wrong_use(store: StateStore) -> None:
    """Text that is none, and a number beyond all measure, are the caller's fault and leave nothing."""
    for noun in (replace(TICKET, title="\ud800"), replace(USAGE, bytes=2**63)):
        with pytest.raises(UsageError, match="cannot stand in the state database"):
            store.put(noun)
    assert store.revision() == 0
    with pytest.raises(UsageError):
        store.find(Ticket, "\udc80")


def test_writes_are_synced_and_readers_do_not_block(store: StateStore) -> None:
    """What is acknowledged survives a power cut, and foreign keys hold."""
    with store._engine.connect() as connection:
        found = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert found == ["wal", 2, 1]


def test_kinds_are_kept_as_words(store: StateStore, path: Path) -> None:
    """Another program reads the database without ours."""
    store.put(TICKET, ASKED, Usage("G-9"))
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT kind, customers FROM ticket").fetchall() == [
        (str(TicketKind.SUPPORT), '["acme", "globex"]')
    ]
    assert connection.execute("SELECT state FROM access_request").fetchall() == [("approved",)]
    connection.close()


def damage(path: Path, statement: str) -> None:
    """Change the database behind everybody's back."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
