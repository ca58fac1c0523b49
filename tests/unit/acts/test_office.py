"""How an act takes effect: written down first, as a whole or not at all, one after another, once for each key."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from gateway.acts import Actor, Permissions, Replayed, version_of
from gateway.acts.access import approve_access, consent_to_access
from gateway.acts.authorizations import record_authorization
from gateway.acts.customers import enable_plan, order_plan, set_conditions
from gateway.acts.tickets import assign_ticket, close_ticket, hand_off_ticket, open_ticket, widen_incident
from gateway.catalog import Customer
from gateway.errors import (
    Contradicted,
    LedgerFull,
    LedgerUnavailable,
    NotFound,
    Outdated,
    StateUnavailable,
    UsageError,
)
from gateway.justification import AccessRequest, Authorization, Grant, RequestState, Ticket, TicketKind
from gateway.storage import Replay
from tests.world.office import ADMIN, APPROVER, ENGINEER, OPERATOR, REFUSAL, SECOND_APPROVER, Bureau, together


def test_ledger_that_refuses_leaves_the_state_as_it_was(bureau: Bureau) -> None:
    """What cannot be written down does not happen, and no notice tells of it."""
    bureau.bug()
    asked = bureau.ask()
    before = bureau.snapshot()
    bureau.refuses = REFUSAL
    with pytest.raises(LedgerUnavailable):
        approve_access(bureau.office, APPROVER, asked.id)
    bureau.refuses = None
    assert bureau.snapshot() == before
    assert isinstance(approve_access(bureau.office, APPROVER, asked.id), Grant)


def test_entry_is_durable_before_the_state_changes(bureau: Bureau) -> None:
    """While it is written the state is the old one, as everybody else sees it."""
    bureau.bug()
    asked = bureau.ask()
    seen: list[RequestState] = []
    bureau.also = lambda: seen.append(bureau.state.get(AccessRequest, asked.id).state)
    approve_access(bureau.office, APPROVER, asked.id)
    assert seen == [RequestState.REQUESTED]
    assert bureau.state.get(AccessRequest, asked.id).state is RequestState.APPROVED


def break_commits(bureau: Bureau) -> None:
    """From the next entry on the state database cannot be committed."""

    def broken(*_: object) -> None:
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    def break_it() -> None:
        if not event.contains(bureau.state._engine, "commit", broken):
            event.listen(bureau.state._engine, "commit", broken)

    bureau.also = break_it


def test_state_that_cannot_be_committed_leaves_an_entry_that_says_so(bureau: Bureau) -> None:
    """It names what did not come true: the entry, the thing, who tried."""
    bureau.bug()
    asked = bureau.ask()
    before, since = bureau.snapshot(), len(bureau.entries)
    break_commits(bureau)
    with pytest.raises(StateUnavailable, match="disk I/O error"):
        approve_access(bureau.office, APPROVER, asked.id)
    grant = f"G-{asked.id.removeprefix('R-')}"
    assert bureau.acts(since) == [("dana", "access.approve", grant), ("dana", "access.approve.undone", grant)]
    approved, undone = bureau.entries[since:]
    assert undone["details"]["undone"] == approved["id"]
    assert bureau.snapshot() == before


def test_entry_that_is_not_known_to_be_durable_is_taken_back(bureau: Bureau) -> None:
    """It may land all the same, as the ledger says; then the entry after it says that nothing came of it."""
    bureau.bug()
    asked = bureau.ask()
    since = len(bureau.entries)
    real, times = bureau.write, []

    def late(entry: object) -> int:
        times.append(entry)
        landed = real(entry)  # type: ignore[arg-type]
        if len(times) == 1:
            raise LedgerUnavailable("not known to be durable")
        return landed

    office = replace(bureau.office, record=late)
    with pytest.raises(LedgerUnavailable, match="not known"):
        approve_access(office, APPROVER, asked.id)
    assert [act for _, act, _ in bureau.acts(since)] == ["access.approve", "access.approve.undone"]
    assert bureau.state.get(AccessRequest, asked.id) == asked


@pytest.mark.parametrize("error", [LedgerFull("too many wait"), UsageError("too long")])
def test_entry_that_was_certainly_not_written_is_not_taken_back(bureau: Bureau, error: Exception) -> None:
    """There is nothing to take back."""
    bureau.bug()
    asked, since = bureau.ask(), len(bureau.entries)

    def refuse_first() -> None:
        bureau.also = lambda: None
        raise error

    bureau.also = refuse_first
    with pytest.raises(type(error)):
        approve_access(bureau.office, APPROVER, asked.id)
    assert bureau.acts(since) == []


def test_of_several_entries_the_written_ones_are_taken_back(bureau: Bureau) -> None:
    """Enabling a plan sends cases home, each with an entry; the second of them fails."""
    bureau.case("CASE-1", "globex", holder="raj")
    order_plan(bureau.office, ADMIN, "globex", seats=400)
    since = len(bureau.entries)
    real, count = bureau.write, iter(range(9))

    def second_fails(entry: object) -> int:
        if next(count) == 1:
            raise LedgerFull("too many wait")
        return real(entry)  # type: ignore[arg-type]

    before = bureau.snapshot()
    with pytest.raises(LedgerFull):
        enable_plan(replace(bureau.office, record=second_fails), ADMIN, "globex")
    assert bureau.acts(since) == [("root", "plan.enable", "globex"), ("root", "plan.enable.undone", "globex")]
    assert bureau.snapshot() == before


def test_text_that_no_record_can_hold_is_refused_and_changes_nothing(bureau: Bureau) -> None:
    """Half a character, or more than an entry may have."""
    bureau.bug()
    before = bureau.snapshot()
    for reason in ("\ud800", "x" * 70_000):
        with pytest.raises(UsageError):
            bureau.ask(reason=reason)
    assert bureau.snapshot() == before


def test_two_who_approve_at_once_make_one_grant(bureau: Bureau) -> None:
    """One comes first; the other finds it decided."""
    bureau.bug()
    asked, since = bureau.ask(), len(bureau.entries)
    results = together(
        lambda: approve_access(bureau.office, APPROVER, asked.id),
        lambda: approve_access(bureau.office, SECOND_APPROVER, asked.id),
    )
    assert sorted(type(result).__name__ for result in results) == ["Contradicted", "Grant"]
    assert len(list(bureau.state.all(Grant))) == 1
    assert [act for _, act, _ in bureau.acts(since)] == ["access.approve"]


def test_both_approvals_count_of_two_who_approve_at_once_where_two_are_needed(bureau: Bureau) -> None:
    """Neither overwrites the other."""
    bureau.bug()
    set_conditions(bureau.office, OPERATOR, "acme", approvers=2, consent=False)
    asked = bureau.ask()
    results = together(
        lambda: approve_access(bureau.office, APPROVER, asked.id),
        lambda: approve_access(bureau.office, SECOND_APPROVER, asked.id),
    )
    assert sorted(type(result).__name__ for result in results) == ["AccessRequest", "Grant"]
    [grant] = bureau.state.all(Grant)
    assert sorted(grant.approved_by.split(", ")) == ["dana", "dave"]


def test_one_approver_twice_at_once_counts_once(bureau: Bureau) -> None:
    """Pressing twice is not two people."""
    bureau.bug()
    set_conditions(bureau.office, OPERATOR, "acme", approvers=2, consent=False)
    asked = bureau.ask()
    results = together(*[lambda: approve_access(bureau.office, APPROVER, asked.id)] * 2)
    assert sorted(type(result).__name__ for result in results) == ["AccessRequest", "Contradicted"]
    assert not list(bureau.state.all(Grant))


def test_approval_and_closing_at_once_leave_no_grant_behind(bureau: Bureau) -> None:
    """Whichever comes first: of a closed ticket no grant is in force."""
    bureau.bug()
    asked = bureau.ask()
    together(
        lambda: approve_access(bureau.office, APPROVER, asked.id),
        lambda: close_ticket(bureau.office, ENGINEER, "BUG-9"),
    )
    assert not any(grant.is_active(bureau.now_us) for grant in bureau.state.all(Grant))
    assert bureau.state.get(AccessRequest, asked.id).state is not RequestState.REQUESTED


def test_call_made_again_with_its_key_acts_once_and_answers_the_same(bureau: Bureau) -> None:
    """It has one effect and one entry, and the answer of the first time comes back."""
    bureau.bug()
    asked, since = bureau.ask(), len(bureau.entries)
    office = bureau.office.once(APPROVER, "key-1", b"POST approve")
    grant = approve_access(office, APPROVER, asked.id)
    before = bureau.snapshot()
    with pytest.raises(Replayed) as again:
        approve_access(bureau.office.once(APPROVER, "key-1", b"POST approve"), APPROVER, asked.id)
    assert orjson.loads(again.value.answer)["id"] == grant.id
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since + 1)


def test_key_used_for_another_call_is_refused(bureau: Bureau) -> None:
    """Nothing happens: it is not told which of both is meant."""
    bureau.bug()
    approve_access(bureau.office.once(APPROVER, "key-1", b"one"), APPROVER, bureau.ask().id)
    since = len(bureau.entries)
    with pytest.raises(Contradicted, match="make a new key"):
        close_ticket(bureau.office.once(APPROVER, "key-1", b"another"), OPERATOR, "BUG-9")
    assert len(bureau.entries) == since


def test_keys_of_two_people_are_two_keys(bureau: Bureau) -> None:
    """Nobody gets the answer that somebody else was given; nor do two of the same name at different customers."""
    bureau.bug()
    set_conditions(bureau.office, OPERATOR, "acme", approvers=2, consent=False)
    asked = bureau.ask()
    for actor in (APPROVER, SECOND_APPROVER):
        approve_access(bureau.office.once(actor, "key", b"same"), actor, asked.id)
    keys = [bureau.office.once(replace(APPROVER, customer=customer), "key", b"same")._call for customer in ("", "acme")]
    assert len(set(keys)) == 2
    assert len(list(bureau.state.all(Replay))) == 2


@pytest.mark.parametrize("refused", [REFUSAL, None])
def test_call_that_failed_may_be_made_again_with_its_key(bureau: Bureau, refused: Exception | None) -> None:
    """Only what took effect is remembered."""
    bureau.bug()
    asked = bureau.ask()
    office = bureau.office.once(APPROVER, "key-1", b"approve")
    bureau.refuses = refused
    with pytest.raises((LedgerUnavailable, NotFound)):
        approve_access(office, APPROVER, asked.id if refused else "R-none")
    bureau.refuses = None
    assert isinstance(approve_access(office, APPROVER, asked.id), Grant)


def test_what_has_changed_since_it_was_read_is_not_changed(bureau: Bureau) -> None:
    """Neither what was outdated, nor anything else."""
    bureau.incident()
    read = version_of(bureau.state.get(Ticket, "INC-7"))
    widen_incident(bureau.office, OPERATOR, "INC-7", customers=["globex"], expected=read)
    before, since = bureau.snapshot(), len(bureau.entries)
    for act in (
        lambda: widen_incident(bureau.office, OPERATOR, "INC-7", customers=["*"], expected=read),
        lambda: assign_ticket(bureau.office, OPERATOR, "INC-7", holder="liam", expected=read),
        lambda: close_ticket(bureau.office, OPERATOR, "INC-7", expected=read),
    ):
        with pytest.raises(Outdated, match="read it again"):
            act()
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since)


def test_version_differs_between_states_and_is_the_same_for_equal_ones(bureau: Bureau) -> None:
    """A customer's plans are part of it."""
    acme = bureau.state.get(Customer, "acme")
    assert version_of(acme) == version_of(bureau.state.get(Customer, "acme"))
    assert len({version_of(acme), version_of(replace(acme, consent=True)), version_of(replace(acme, plans=()))}) == 3


def test_consent_and_approval_at_once_make_one_grant(bureau: Bureau) -> None:
    """Whichever comes last completes it."""
    bureau.bug()
    set_conditions(bureau.office, OPERATOR, "acme", approvers=1, consent=True)
    asked = bureau.ask()
    results = together(
        lambda: approve_access(bureau.office, APPROVER, asked.id),
        lambda: consent_to_access(bureau.office, OPERATOR, asked.id, by="Ada of Acme"),
    )
    assert sorted(type(result).__name__ for result in results) == ["AccessRequest", "Grant"]
    assert len(list(bureau.state.all(Grant))) == 1


def with_tails(bureau: Bureau, *tails: str) -> None:
    """From now on new ids end so, one after the other."""
    bureau.office = replace(bureau.office, tail=iter(tails).__next__)


def test_new_id_is_never_one_that_is_taken(bureau: Bureau) -> None:
    """A source of ids that repeats itself overwrites nobody's request, grant or authorization."""
    bureau.bug(), bureau.case()
    with_tails(bureau, "a", "a", "a", "b", "a", "b", "c")
    first, second = bureau.ask(), bureau.ask(data_classes=["case"])
    assert (first.id, second.id) == ("R-a", "R-b")
    assert [authorization(bureau).id for _ in range(2)] == ["A-a", "A-b"]
    assert bureau.state.get(AccessRequest, "R-a") == first
    assert authorization(bureau).id == "A-c"


def test_grant_ends_as_its_request_unless_another_grant_does(bureau: Bureau) -> None:
    """Whoever knows the one knows the other, and still no grant is overwritten."""
    bureau.bug()
    with_tails(bureau, "a", "b", "b", "c")
    first = bureau.granted()
    assert first.id == "G-a"
    taken = replace(first, id="G-b", request="R-other", subject="erin")
    bureau.state.put(taken)
    second = bureau.granted(data_classes=["case"])
    assert (second.id, second.request) == ("G-c", "R-b")
    assert bureau.state.get(Grant, "G-b") == taken


def test_ids_that_are_all_taken_change_nothing(bureau: Bureau) -> None:
    """A source that always says the same is not asked forever."""
    bureau.bug()
    with_tails(bureau, *["a"] * 200)
    bureau.ask()
    before = bureau.snapshot()
    with pytest.raises(StateUnavailable, match="100 new ids were all taken"):
        bureau.ask(data_classes=["case"])
    assert bureau.snapshot() == before


def authorization(bureau: Bureau) -> Authorization:
    return record_authorization(
        bureau.office, ADMIN, customer="acme", given_by="Ada", received="letter", data_classes=["case"], ticket="CASE-5"
    )


def test_a_key_that_is_two_days_old_is_a_new_one(bureau: Bureau) -> None:
    """Whether or not its answer was pruned by then."""
    office = bureau.office.once(OPERATOR, "key-1", b"one")
    open_ticket(office, OPERATOR, id="BUG-1", kind=TicketKind.BUG, customers=("acme",), title="Odd")
    bureau.clock.advance(48 * 3_600)
    with pytest.raises(Replayed):
        open_ticket(office, OPERATOR, id="BUG-2", kind=TicketKind.BUG, customers=("acme",), title="Odd")
    bureau.clock.advance(1)
    open_ticket(office, OPERATOR, id="BUG-2", kind=TicketKind.BUG, customers=("acme",), title="Odd")
    with pytest.raises(Replayed):
        open_ticket(office, OPERATOR, id="BUG-3", kind=TicketKind.BUG, customers=("acme",), title="Odd")


@pytest.mark.parametrize(
    ("actor", "told"),
    [
        (
            Actor("dana", frozenset({"approver"}), issuer="https://id/"),
            {"actor_kind": "personnel", "actor_issuer": "https://id/"},
        ),
        (Actor("dana", customer="acme"), {"actor_kind": "customer", "actor_customer": "acme"}),
        (Actor("etl", frozenset({"admin"}), service=True), {"actor_kind": "service"}),
        (Actor("dana", operator=True, via="cli:root@n"), {"actor_kind": "operator", "via": "cli:root@n"}),
    ],
)
def test_the_record_tells_people_of_one_name_apart(bureau: Bureau, actor: Actor, told: dict[str, str]) -> None:
    """By whose they are, who vouched for them, and by what way they came."""
    bureau.bug()
    permissions = Permissions({"ticket.handoff": frozenset({"approver", "customer", "admin"})})
    hand_off_ticket(replace(bureau.office, permissions=permissions), actor, "BUG-9")
    names = ("actor_kind", "actor_customer", "actor_issuer", "via")
    details = bureau.entries[-1]["details"]
    assert {name: details[name] for name in names if name in details} == told


def test_what_the_gateway_does_by_itself_is_no_persons_act(bureau: Bureau) -> None:
    """Nor an operator's."""
    bureau.bug()
    bureau.granted()
    bureau.clock.advance(5 * 3_600)
    bureau.steward.attend()
    assert (bureau.entries[-1]["actor"], bureau.entries[-1]["details"]["actor_kind"]) == ("gateway", "service")
