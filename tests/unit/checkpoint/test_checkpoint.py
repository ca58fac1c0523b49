"""The steps of the checkpoint, each made to fail in turn: one record whatever happens, and no permit by accident."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.attempt import Approach
from gateway.catalog import Action, Catalog, Classified, Customers, Resource, RouteTable, Scope, Target, canonical
from gateway.catalog.customers import Customer, CustomerPlan
from gateway.checkpoint import Checkpoint
from gateway.clock import SECOND_US
from gateway.errors import (
    GatewayError,
    LedgerFull,
    LedgerUnavailable,
    Malformed,
    TrackerUnavailable,
    Unauthenticated,
    Unavailable,
)
from gateway.identity import Kind, Principal
from gateway.justification import Answer, Desk, Grant, Ticket, TicketKind, TrackedTickets
from gateway.ledger.entry import Entry, decode, encode, seal
from gateway.location import Location
from gateway.location.location import Signal, Source
from gateway.policy import Effect, Facts, Plan, RoleScope, Verdict
from gateway.record import fields_of
from gateway.settings import RouteSettings
from tests.world.clock import NOW_S, FakeClock
from tests.world.trackers import FakeTracker

SAM = Principal("sam", "https://idp.example/", Kind.PERSONNEL, frozenset({"support"}), token_id="canary-token-id")
OFFICE = Location("10.20.0.5", (Signal(Source.SITE, "US", "office"),), "country 2026-11-01")
PERMIT = Verdict(Effect.PERMIT, ("at-home",), "2.1", ("no-store",))
DENY = Verdict(Effect.DENY, ("outside-home",), "2.2")
CANARY = "eyJhbGciOiJub25lIn0.canary.canary"

DECISION_FIELDS = {
    *("kind", "version", "id", "time", "time_us", "door", "effect", "rule", "rules", "clause", "obligations"),
    *("subject", "roles", "acting_for", "actor", "issuer", "location", "client_address", "customer", "plan", "store"),
    *(
        "data_class",
        "action",
        "method",
        "path",
        "ticket",
        "grant",
        "authorization",
        "support_window",
        "reason",
        "problem",
        "policy_version",
    ),
    *("geo_version", "node"),
}
COMPLETION_FIELDS = {
    *("kind", "version", "id", "time", "time_us", "decision", "outcome", "status", "bytes", "bytes_in"),
    *("duration_ms", "node", "why"),
}


class World:
    """Rooms that say what they are told to, or fail as they are told to; every other answer is a permit."""

    version = "us_only@1"

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.customers = Customers()
        self.customers.put(Customer("acme", "Acme", (CustomerPlan("P-1", "us-only", ("US",), 1, 0, 0),)))
        self.desk = Desk()
        self.principal, self.location, self.verdict = SAM, OFFICE, PERMIT
        self.store_at_home = self.window_open = True
        self.failing: dict[str, Exception] = {}
        self.asked: list[Facts] = []
        self.entries: list[Entry] = []
        self.submitted: list[Entry] = []
        route = RouteSettings(path="/crm/{customer}/{rest...}", store="crm", data_class="crm_account")
        self.catalog = Catalog(RouteTable([route]), self.customers)

    def checkpoint(self, **changes: Any) -> Checkpoint:
        rooms: dict[str, Any] = dict.fromkeys(
            ("authenticator", "resolver", "locator", "roles", "policy", "ledger", "window"), self
        )
        rooms |= {"catalog": Failing(self, "catalog", self.catalog), "desk": Failing(self, "desk", self.desk)}
        rooms |= {"customers": Failing(self, "customers", self.customers), "clock": self.clock}
        return Checkpoint(
            **rooms | changes,
            home=frozenset({"US"}),
            node="node-1",
            store_is_home=lambda _store, _home: self.answer("residence", self.store_at_home),
            fresh=lambda: True,
        )

    def answer(self, room: str, value: Any) -> Any:
        if room in self.failing:
            raise self.failing[room]
        return value

    async def authenticate(self, authorization: str | None, on_behalf_of: str | None = None) -> Principal:
        return self.answer("authenticator", self.principal)

    def resolve(self, *_: object) -> object:
        return self.answer("resolver", ip_address("10.20.0.5"))

    def locate(self, *_: object, **__: str) -> Location:
        return self.answer("locator", self.location)

    def scope(self, *_: object, **__: str) -> RoleScope:
        return self.answer("roles", RoleScope.ALLOWED)

    def is_open(self, _instant_us: int) -> bool:
        return self.answer("window", self.window_open)

    def decide(self, facts: Facts) -> Verdict:
        self.asked.append(facts)
        return self.answer("policy", self.verdict)

    async def append(
        self, entry: Mapping[str, object] | Entry, *, permit: bool = False, unclaimed: object = None
    ) -> int:
        self.entries.append(self.answer("ledger", entry if isinstance(entry, Entry) else seal(entry)))
        return len(self.entries) - 1

    def submit(self, entry: Mapping[str, object] | Entry) -> None:
        self.submitted.append(self.answer("ledger", entry if isinstance(entry, Entry) else seal(entry)))


class Failing:
    """A real room, until it is told to fail."""

    def __init__(self, world: World, name: str, room: object) -> None:
        self._world, self._name, self._room = world, name, room

    def __getattr__(self, name: str) -> Any:
        return self._world.answer(self._name, getattr(self._room, name))


@pytest.fixture
def world() -> World:
    return World()


def approach(**changes: Any) -> Approach:
    given = Approach("http", "GET", "/crm/acme/accounts/7", "gateway.test", "10.20.0.5", [f"Bearer {CANARY}"])
    return given._replace(**changes)


ROOMS = ("authenticator", "resolver", "locator", "catalog", "customers", "desk", "residence", "roles", "policy")


ERRORS = pytest.mark.parametrize("error", [Unavailable("out of reach"), KeyError("a bug")], ids=["expected", "a bug"])


@ERRORS
@pytest.mark.parametrize("room", ROOMS)
async def test_a_room_that_fails_denies_and_is_recorded_once(world: World, room: str, error: Exception) -> None:
    """Whichever step fails and however, the answer is a denial, and there is one entry for it."""
    world.failing[room] = error
    decision = await world.checkpoint().decide(approach(ticket="CASE-5"))
    assert decision.verdict.rules == ("unavailable",)
    [entry] = world.entries
    assert decode(entry.body)["effect"] == "deny"
    assert entry.id == decision.id


async def test_a_plan_counts_from_the_microsecond_in_which_it_begins(world: World) -> None:
    """Two of one second are judged differently, and nothing remembered of the first serves the second."""
    begins_us = world.clock.now_us() + 500_000
    plan = CustomerPlan("P-9", "us-only", ("US",), 1, 0, due_us=begins_us, ends_us=begins_us + 2)
    world.customers.put(Customer("acme", "Acme", (plan,)))
    checkpoint = world.checkpoint()
    world.clock.advance(0.499999)
    plans = []
    for _ in range(4):
        decision = await checkpoint.decide(approach())
        plans.append((decision.attempt.time_us - begins_us, decision.attempt.plan, decision.attempt.plan_id))
        world.clock.advance(0.000001)
    none, held = (Plan.NONE, ""), (Plan.IN_EFFECT, "P-9")
    assert plans == [(-1, *none), (0, *held), (1, *held), (2, *none)]
    assert [decode(entry.body)["plan"] for entry in world.entries] == ["none", "P-9", "P-9", "none"]


@pytest.fixture
def jira(world: World) -> FakeTracker:
    """A tracker that knows one open incident of acme."""
    tracker = FakeTracker("jira", "SEC-[0-9]+")
    tracker.answers["SEC-7"] = Answer(Ticket("SEC-7", TicketKind.SECURITY, ("acme",), "Odd sign-ins", 1))
    world.desk.tracked = TrackedTickets([tracker], clock=world.clock)
    return tracker


async def test_ticket_of_another_system_is_asked_for_there(world: World, jira: FakeTracker) -> None:
    """Once, before the policy is asked."""
    checkpoint = world.checkpoint()
    for _ in range(3):
        decision = await checkpoint.decide(approach(ticket="SEC-7"))
    assert decision.attempt.justification.incident
    assert world.asked[0].incident
    assert jira.asked == ["SEC-7"]


async def test_tracker_that_fails_leaves_other_reasons_alone(world: World, jira: FakeTracker) -> None:
    """The record says why the ticket is not known; whoever needs none is judged as without it."""
    jira.answers["SEC-7"] = TrackerUnavailable("the tracker jira answered 500")
    decision = await world.checkpoint().decide(approach(ticket="SEC-7"))
    assert decision.permitted
    assert not world.asked[0].incident
    [entry] = world.entries
    assert decode(entry.body)["problem"] == "SEC-7 is not known now: the tracker jira answered 500"


async def test_who_asks_is_established_again_after_waiting(world: World, jira: FakeTracker) -> None:
    """A token that was revoked while a tracker was asked is revoked."""
    jira.open.clear()
    deciding = asyncio.ensure_future(world.checkpoint().decide(approach(ticket="SEC-7")))
    while not jira.asked:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    world.failing["authenticator"] = Unauthenticated("the token is revoked")
    world.clock.advance(2)
    jira.open.set()
    decision = await deciding
    assert decision.verdict.rules == ("unauthenticated",)
    assert decision.attempt.time_us == world.clock.now_us()


async def test_nobody_and_no_customer_has_a_tracker_asked(world: World, jira: FakeTracker) -> None:
    """A ticket speaks for personnel alone."""
    world.principal = replace(SAM, kind=Kind.CUSTOMER, customer="acme")
    await world.checkpoint().decide(approach(ticket="SEC-7"))
    world.failing["authenticator"] = Unauthenticated("no token")
    await world.checkpoint().decide(approach(ticket="SEC-7"))
    assert jira.asked == []


@ERRORS
@pytest.mark.parametrize("room", [room for room in ROOMS if room not in ("roles", "policy")])
async def test_a_room_that_fails_later_denies_what_was_permitted_before(
    world: World, room: str, error: Exception
) -> None:
    """A remembered permit stands in for no fact: what cannot be established now denies now."""
    checkpoint = world.checkpoint()
    assert (await checkpoint.decide(approach())).permitted
    world.failing[room] = error
    assert (await checkpoint.decide(approach())).verdict.rules == ("unavailable",)
    assert len(world.entries) == 2


async def test_a_failing_window_denies(world: World) -> None:
    """The support window is asked only for a support ticket of severity 2 to 4; when it cannot say, nothing passes."""
    world.desk.put(Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "No sound", 0, severity=3))
    world.failing["window"] = KeyError("a bug")
    assert not (await world.checkpoint().decide(approach(ticket="CASE-5"))).permitted
    assert len(world.entries) == 1


@pytest.mark.parametrize(
    ("kind", "severity", "customers", "late"),
    [
        (TicketKind.SUPPORT, 1, ("acme",), False),
        (TicketKind.SUPPORT, 1, ("globex", "acme"), False),
        (TicketKind.SUPPORT, 1, ("globex",), True),  # critical, but another customer's
        (TicketKind.SUPPORT, 2, ("acme",), True),
        (TicketKind.BUG, 0, ("acme",), False),
        (TicketKind.SECURITY, 0, ("*",), False),
        (TicketKind.SECURITY, 0, ("globex",), True),
    ],
)
async def test_only_a_critical_case_of_this_customer_is_a_reason_to_work_at_night(
    world: World, kind: TicketKind, severity: int, customers: tuple[str, ...], late: bool
) -> None:
    """What a support analyst cites outside the window has to name the customer whose data they ask for."""
    world.window_open = False
    world.desk.put(Ticket("T-1", kind, customers, "No sound", 0, severity=severity))
    await world.checkpoint().decide(approach(ticket="T-1"))
    assert world.asked[-1].support_closed is late


@pytest.mark.parametrize(
    ("room", "error", "rule"),
    [
        ("authenticator", Unauthenticated("expired"), "unauthenticated"),
        ("authenticator", Malformed("two credentials"), "malformed"),
        ("catalog", Malformed("no such method"), "malformed"),
    ],
)
async def test_a_refusal_names_its_reason(world: World, room: str, error: GatewayError, rule: str) -> None:
    """What a room says is wrong with the request stands in the record; later steps still establish what they can."""
    world.failing[room] = error
    decision = await world.checkpoint().decide(approach())
    assert decision.verdict.rules == (rule,)
    assert decode(world.entries[0].body)["problem"] == str(error)
    assert decision.attempt.location is OFFICE


@pytest.mark.parametrize(
    "changes",
    [{"authorization": ["Bearer a", "Bearer b"]}, {"on_behalf_of": ["Bearer a", "Bearer b"]}, {"ambiguity": "odd"}],
)
async def test_what_can_be_read_in_two_ways_is_malformed(world: World, changes: dict[str, Any]) -> None:
    """Two credentials, or what the door found, deny before any rule is asked."""
    decision = await world.checkpoint().decide(approach(**changes))
    assert decision.verdict.rules == ("malformed",)
    assert world.asked == []


async def test_a_ledger_that_fails_lets_nothing_pass(world: World) -> None:
    """There is no decision in hand that is not a durable one."""
    world.failing["ledger"] = LedgerUnavailable("the disk is full")
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await world.checkpoint().decide(approach())


async def test_only_a_recorded_permit_is_admitted(world: World) -> None:
    """Neither a denial nor a rehearsed permit opens anything."""
    checkpoint = world.checkpoint()
    rehearsed = checkpoint.rehearse(approach(), SAM)
    assert rehearsed.permitted
    world.verdict = DENY
    denied = await checkpoint.decide(approach())
    for decision in (rehearsed, denied):
        with pytest.raises(ValueError, match="recorded permit"):
            checkpoint.admit(decision, approach())
    assert len(world.entries) == 1


async def test_entries_have_exactly_the_public_fields(world: World) -> None:
    """A first decision, a remembered one, a refusal, and a completion."""
    checkpoint = world.checkpoint()
    decisions = [await checkpoint.decide(approach()) for _ in range(2)]
    await checkpoint.decide(approach(target="/crm/%zz"))
    checkpoint.admit(decisions[1], approach()).complete("whole", 200)
    assert [decode(entry.body).keys() for entry in world.entries] == [DECISION_FIELDS] * 3
    [completion] = world.submitted
    assert decode(completion.body).keys() == COMPLETION_FIELDS
    assert decode(completion.body)["decision"] == decisions[1].id == completion.columns[3]


async def test_a_completion_is_recorded_once_with_what_flowed(world: World) -> None:
    """Bytes both ways and the time it took; a second completion does not count."""
    checkpoint = world.checkpoint()
    admission = checkpoint.admit(await checkpoint.decide(approach()), approach())
    assert admission.count_out(7)
    admission.count_in(5)
    world.clock.advance(1.5)
    admission.complete("whole", 200)
    admission.complete("cut", 0)
    [entry] = [decode(entry.body) for entry in world.submitted]
    assert entry | {"bytes": 7, "bytes_in": 5, "duration_ms": 1_500, "outcome": "whole", "status": 200} == entry
    assert entry["time_us"] == (NOW_S + 1) * SECOND_US + SECOND_US // 2
    assert seal(entry) == world.submitted[0]


async def test_nothing_secret_stands_in_an_entry(world: World) -> None:
    """No credential, no token id and no query, in a first entry, a remembered one, a refusal or a completion."""
    checkpoint = world.checkpoint()
    given = approach(target=f"/crm/acme/accounts/7?key={CANARY}", on_behalf_of=[CANARY])
    decisions = [await checkpoint.decide(given) for _ in range(2)]
    await checkpoint.decide(given._replace(target=f"/crm/%zz?key={CANARY}"))
    checkpoint.admit(decisions[0], approach()).complete("whole", 200)
    assert len(world.entries + world.submitted) == 4
    assert not any(b"canary" in entry.body for entry in world.entries + world.submitted)


async def test_what_was_judged_before_is_not_judged_again(world: World) -> None:
    """Another path and another instant: the policy was asked once, and every record is its own."""
    checkpoint = world.checkpoint()
    first = await checkpoint.decide(approach())
    world.clock.advance(1)
    second = await checkpoint.decide(approach(target="/crm/acme/accounts/8"))
    assert len(world.asked) == 1
    assert (first.facts, first.verdict) == (second.facts, second.verdict)
    one, other = (decode(entry.body) for entry in world.entries)
    assert {name for name in one if one[name] != other[name]} == {"id", "path", "time", "time_us"}


CHANGES: dict[str, Callable[[World], object]] = {
    "principal": lambda world: setattr(world, "principal", replace(SAM, roles=frozenset({"engineer"}))),
    "location": lambda world: setattr(world, "location", Location("198.51.100.7", (Signal(Source.NETWORK, "IN"),))),
    "plan ended": lambda world: world.customers.put(Customer("acme", "Acme")),
    "customer gone": lambda world: world.customers.remove("acme"),
    "store moved": lambda world: setattr(world, "store_at_home", False),
    "window closed": lambda world: setattr(world, "window_open", False),
    "ticket closed": lambda world: world.desk.put(Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "", 0, 3, "", 1)),
    "policy": lambda world: setattr(world, "version", "us_only@2"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_whatever_changes_is_judged_anew(world: World, change: Callable[[World], object]) -> None:
    """Memory never outlives a fact: the second request meets the verdict of its own moment."""
    world.desk.put(Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "No sound", 0, severity=3))
    checkpoint = world.checkpoint()
    assert (await checkpoint.decide(approach(ticket="CASE-5"))).permitted
    change(world)
    world.verdict = DENY
    assert not (await checkpoint.decide(approach(ticket="CASE-5"))).permitted
    assert len(world.asked) == 2


BUG = Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash", 0)
GRANT = Grant(
    "G-1",
    "R-1",
    "sam",
    "BUG-9",
    "acme",
    ("crm_account",),
    ("read",),
    0,
    (NOW_S + 60) * SECOND_US,
    "dana",
    max_requests=1,
)


@pytest.mark.parametrize("remembered", [False, True])
async def test_one_too_many_is_recorded_as_a_denial_and_counts_against_no_grant(world: World, remembered: bool) -> None:
    """Nothing was permitted, so there is nothing to complete; the grant's only request is still to be made."""
    world.desk.put(BUG)
    world.desk.put(replace(GRANT, max_requests=1 + remembered))
    checkpoint = world.checkpoint()
    if remembered:
        assert (await checkpoint.decide(approach(ticket="BUG-9"))).permitted
    limited = await checkpoint.decide(approach(ticket="BUG-9"), limit=lambda who: f"too many, {who.subject}")
    assert (limited.permitted, limited.verdict.rules, limited.sequence) == (False, ("too-many-requests",), remembered)
    entry = decode(world.entries[-1].body)
    assert (entry["effect"], entry["problem"], entry["grant"]) == ("deny", "too many, sam", "G-1")
    assert world.desk.usage("G-1").requests == remembered
    assert (await checkpoint.decide(approach(ticket="BUG-9"), limit=lambda _: "")).permitted
    assert world.desk.usage("G-1").requests == 1 + remembered
    assert world.submitted == []


async def test_a_completion_that_the_ledger_does_not_take_is_named_in_the_log(world: World) -> None:
    """And what it cost its grant is kept all the same."""
    world.desk.put(BUG)
    world.desk.put(GRANT)
    saved: list[str] = []
    checkpoint = world.checkpoint(save_usage=saved.append)
    decision = await checkpoint.decide(approach(ticket="BUG-9"))
    admission = checkpoint.admit(decision, approach(ticket="BUG-9"))
    world.failing["ledger"] = LedgerFull("16384 entries wait")
    with structlog.testing.capture_logs() as logs:
        admission.complete("whole", 200)
    [line] = logs
    assert (line["event"], line["decision"], line["problem"]) == (
        "ledger_entry_lost",
        decision.id,
        "16384 entries wait",
    )
    assert saved == ["G-1"]


async def test_limit_is_asked_only_about_who_would_be_permitted(world: World) -> None:
    """Who is denied anyway takes nobody's place."""
    world.verdict = DENY
    decision = await world.checkpoint().decide(approach(), limit=lambda _: pytest.fail("asked"))
    assert decision.verdict is DENY


async def test_limit_that_fails_denies(world: World) -> None:
    """As any other step."""

    def fail(_: Principal) -> str:
        raise KeyError("a bug")

    decision = await world.checkpoint().decide(approach(), limit=fail)
    assert decision.verdict.rules == ("unavailable",)
    assert decode(world.entries[0].body)["effect"] == "deny"


async def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons are free text: whoever invents new ones makes nobody keep them all."""
    monkeypatch.setattr("gateway.recollection.REMEMBERED", 3)
    checkpoint = world.checkpoint()
    for number in range(8):
        await checkpoint.decide(approach(reason=f"reason {number}"))
        assert len(checkpoint._recollection) <= 3


texts = st.text(max_size=40)


@settings(max_examples=60)
@given(reason=texts, ticket=texts, method=st.sampled_from(["GET", "PUT"]), subject=st.text(min_size=1), path=texts)
async def test_a_remembered_entry_has_the_bytes_of_one_made_anew(
    reason: str, ticket: str, method: str, subject: str, path: str
) -> None:
    """Whatever a client or an issuer writes, canonical form and index are those of ``seal(fields_of(...))``."""
    world = World()
    world.principal = replace(SAM, subject=subject)
    world.catalog = Anything()  # type: ignore[assignment]
    checkpoint = world.checkpoint()
    letters = "".join(char for char in path if char.isascii() and char.isalnum()) or "x"
    given = approach(reason=reason, ticket=ticket, method=method, target=f"/crm/acme/{letters}'()*&~%22%C3%A9")
    await checkpoint.decide(given)
    again = await checkpoint.decide(given)
    fields = fields_of(again, given, node=checkpoint.node)
    assert len(world.asked) == 1
    assert world.entries[1] == seal(fields)
    assert world.entries[1].body == encode(fields)


class Anything:
    """A catalog that takes every path for the same thing."""

    def read(self, raw: str, _host: str, *, max_bytes: int) -> Target:
        return canonical(raw, max_bytes=max_bytes)

    def classify(self, *_: object, **_named: object) -> Classified:
        return Classified(Resource("crm", "crm_account", "acme", Action.READ, Scope.ONE), None)
