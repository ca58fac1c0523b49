"""Tickets, moved about at random by Hypothesis, beside what the contract says of them.

Acme has the plan, Globex has none at first, Maple has one whose home is Canada. Whatever is done: a protected
customer's case is in the hands of somebody at home or in the queue, it waits exactly until support opens next, a closed
ticket stays closed, an incident only ever grows, and each thing that happened is one line of the record and of the
ticket's history.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.acts import Actor
from gateway.acts.customers import enable_plan, end_plan, order_plan
from gateway.acts.tickets import (
    assign_ticket,
    change_severity,
    close_ticket,
    hand_off_ticket,
    open_ticket,
    widen_incident,
)
from gateway.catalog import Customer
from gateway.clock import SECOND_US
from gateway.errors import GatewayError
from gateway.justification import Ticket, TicketKind
from tests.world.office import make_bureau

pytestmark = pytest.mark.timeout(400)  # a busy machine makes no law untrue

NEW_YORK = ZoneInfo("America/New_York")
HOUR_US = 3_600 * SECOND_US
HOMES = {"acme": {"US"}, "maple": {"CA"}}
CUSTOMERS = ("acme", "globex", "maple")
COUNTRIES = {"sam": "US", "erin": "US", "raj": "IN", "neil": ""}
OLGA = Actor("olga", operator=True)
pick = st.integers(0, 10**6)
holders = st.sampled_from(tuple(COUNTRIES))
named = st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=2, unique=True)


class Refused(Exception):
    """The contract does not allow it."""


def support_is_open(instant_us: int) -> bool:
    """ "8:00am to 8:00pm … (Monday-Friday)" on the clocks of New York."""
    local = datetime.fromtimestamp(instant_us // SECOND_US, UTC).astimezone(NEW_YORK)
    return local.weekday() <= 4 and 8 <= local.hour <= 19


def waits_until(severity: int, now_us: int) -> int:
    """ "to be addressed the next business day": the first full hour at which support is open, found by trying."""
    if severity == 1 or support_is_open(now_us):
        return 0
    hour_us = now_us - now_us % HOUR_US + HOUR_US
    while not support_is_open(hour_us):
        hour_us += HOUR_US
    return hour_us


@dataclass
class Case:
    """A ticket, as the model has it."""

    kind: TicketKind
    customers: tuple[str, ...]
    severity: int
    holder: str = ""
    country: str = ""
    queued_until_us: int = 0
    is_open: bool = True
    handed_off: bool = False
    lines: int = 0


class TicketMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.bureau = make_bureau(Path(self.directory.name))
        self.office = self.bureau.office
        self.cases: dict[str, Case] = {}
        self.log: list[tuple[str, str, str]] = []
        self.globex_is_protected = False

    def teardown(self) -> None:
        self.bureau.state.close()
        self.directory.cleanup()

    @initialize()
    def begin(self) -> None:
        """Three customers."""
        for customer in CUSTOMERS:
            self.bureau.customer(customer, plan=customer != "globex")
        maple = self.bureau.state.get(Customer, "maple")
        self.bureau.state.put(replace(maple, plans=tuple(replace(plan, home=("CA",)) for plan in maple.plans)))
        self.bureau.entries.clear()

    def homes(self, customers: Iterable[str]) -> list[set[str]]:
        """Of those that are protected."""
        plans = HOMES | ({"globex": {"US"}} if self.globex_is_protected else {})
        return list(plans.values()) if "*" in customers else [plans[each] for each in customers if each in plans]

    def both(self, mine: Callable[[], object], theirs: Callable[[], object]) -> None:
        """Both do it, or both refuse and nothing has changed."""
        before = self.bureau.state.revision()
        try:
            mine()
        except Refused:
            allowed = False
        else:
            theirs()
            return
        with contextlib.suppress(GatewayError):
            theirs()
            allowed = True
        assert not allowed, "the model refuses what the code does"
        assert self.bureau.state.revision() == before

    def wrote(self, act: str, key: str) -> None:
        self.log.append(("olga", act, key))
        self.cases[key].lines += 1

    def wait(self, case: Case) -> None:
        """A protected customer's case is in the queue unless somebody has it, and waits while support is closed."""
        if case.kind is TicketKind.SUPPORT and (self.homes(case.customers) or case.holder == "us-queue"):
            case.holder = case.holder or "us-queue"
            case.queued_until_us = waits_until(case.severity, self.bureau.now_us)

    def hold(self, case: Case, holder: str, said: str) -> None:
        """``us-assignment``: at home for every protected customer; what the directory says counts, and is not denied.

        Home is what the plan lists: for Maple's that is Canada, although the gateway's own home is the United States.
        """
        known = {"sam": "US", "erin": "US", "raj": "IN"}.get(holder, "")
        if known and said and known != said:
            raise Refused
        country = known or said
        homes = self.homes(case.customers) if case.kind is TicketKind.SUPPORT else []
        if any(country not in home for home in homes):
            raise Refused
        case.holder, case.country = holder, country

    @rule(
        kind=st.sampled_from(TicketKind),
        customers=named,
        severity=st.integers(1, 4),
        holder=st.one_of(st.just(""), holders),
    )
    def open(self, kind: TicketKind, customers: list[str], severity: int, holder: str) -> None:
        """Somebody has a problem."""
        key = f"T-{len(self.cases) + 1}"
        severity = severity if kind is TicketKind.SUPPORT else 0
        case = Case(kind, tuple(customers), severity)

        def mine() -> None:
            if holder:
                self.hold(case, holder, "")
            self.wait(case)
            self.cases[key] = case
            self.wrote("ticket.open", key)

        self.both(
            mine,
            lambda: open_ticket(
                self.office, OLGA, id=key, kind=kind, customers=customers, title="t", severity=severity, holder=holder
            ),
        )

    @precondition(lambda self: self.cases)
    @rule(which=pick, holder=holders, country=st.sampled_from(("", "US", "IN", "CA")))
    def assign(self, which: int, holder: str, country: str) -> None:
        """It goes to somebody."""
        key = self.key(which)
        case = self.cases[key]

        def mine() -> None:
            if not case.is_open:
                raise Refused
            before = case.holder, case.country
            self.hold(case, holder, country)
            if (case.holder, case.country) != before:
                self.wrote("ticket.assign", key)

        self.both(mine, lambda: assign_ticket(self.office, OLGA, key, holder=holder, country=country))

    @precondition(lambda self: self.cases)
    @rule(which=pick)
    def hand_off(self, which: int) -> None:
        """Send to US Analyst: once is enough, and who holds it at home goes on; an incident is not shut."""
        key = self.key(which)
        case = self.cases[key]

        def mine() -> None:
            if not case.is_open:
                raise Refused
            bars = case.kind is not TicketKind.SECURITY
            homes = self.homes(case.customers) or [{"US"}]
            at_home = all(case.country in home for home in homes)
            stays = at_home or case.holder == "us-queue"
            if stays and (case.handed_off or not bars):
                return
            case.handed_off = bars
            if not at_home:
                case.holder, case.country = "us-queue", ""
                self.wait(case)
            self.wrote("ticket.handoff", key)

        self.both(mine, lambda: hand_off_ticket(self.office, OLGA, key))

    @precondition(lambda self: self.cases)
    @rule(which=pick, severity=st.integers(0, 5))
    def change_severity(self, which: int, severity: int) -> None:
        """It is worse than it seemed, or not as bad."""
        key = self.key(which)
        case = self.cases[key]

        def mine() -> None:
            if case.kind is not TicketKind.SUPPORT or not case.is_open or severity not in (1, 2, 3, 4):
                raise Refused
            if case.severity != severity:
                case.severity, case.queued_until_us = severity, 0
                self.wait(case)
                self.wrote("ticket.severity", key)

        self.both(mine, lambda: change_severity(self.office, OLGA, key, severity=severity, why="as it seems now"))

    @precondition(lambda self: self.cases)
    @rule(which=pick, customers=st.lists(st.sampled_from((*CUSTOMERS, "*")), max_size=2))
    def widen(self, which: int, customers: list[str]) -> None:
        """An incident concerns more customers."""
        key = self.key(which)
        case = self.cases[key]

        def mine() -> None:
            if case.kind is not TicketKind.SECURITY or not case.is_open or not customers:
                raise Refused
            added = [customer for customer in dict.fromkeys(customers) if customer not in case.customers]
            if added and "*" not in case.customers:
                case.customers = ("*",) if "*" in added else (*case.customers, *added)
                self.wrote("ticket.widen", key)

        self.both(mine, lambda: widen_incident(self.office, OLGA, key, customers=customers))

    @precondition(lambda self: len(self.cases) > 3)
    @rule(which=pick)
    def close(self, which: int) -> None:
        """It is over, for good."""
        key = self.key(which)
        case = self.cases[key]
        if case.is_open:
            case.is_open = False
            self.wrote("ticket.close", key)
        close_ticket(self.office, OLGA, key)

    @rule()
    def globex_begins_or_ends_its_plan(self) -> None:
        """With a plan, whatever of its cases is not at home goes to the queue."""
        if self.globex_is_protected:
            end_plan(self.office, OLGA, "globex")
            self.log.append(("olga", "plan.end", "globex"))
            self.globex_is_protected = False
            self.bureau.clock.advance(1)
            return
        order_plan(self.office, OLGA, "globex", seats=1)
        enable_plan(self.office, OLGA, "globex")
        self.log += [("olga", "plan.order", "globex"), ("olga", "plan.enable", "globex")]
        self.globex_is_protected = True
        for key in sorted(self.cases):
            case = self.cases[key]
            support = case.kind is TicketKind.SUPPORT and case.is_open and "globex" in case.customers
            homes = self.homes(case.customers)
            if support and case.holder != "us-queue" and any(case.country not in home for home in homes):
                case.holder, case.country = "us-queue", ""
                self.wait(case)
                self.wrote("ticket.queue", key)

    @rule(hours=st.sampled_from((1e-6, 0.5, 3, 11, 24, 60, 24 * 55)))
    def time_passes(self, hours: float) -> None:
        self.bureau.clock.advance(hours * 3_600)

    def key(self, which: int) -> str:
        return list(self.cases)[which % len(self.cases)]

    @invariant()
    def tickets_are_what_the_model_says(self) -> None:
        """In every respect."""
        found = {
            ticket.id: Case(
                ticket.kind,
                ticket.customers,
                ticket.severity,
                ticket.holder,
                ticket.holder_country,
                ticket.queued_until_us,
                ticket.is_open,
                bool(ticket.handed_off_us),
                len(self.bureau.history(ticket.id)),
            )
            for ticket in self.bureau.state.all(Ticket)
        }
        assert found == self.cases

    @invariant()
    def record_has_one_line_for_each_thing_that_happened(self) -> None:
        assert self.bureau.acts() == self.log

    @invariant()
    def protected_cases_are_at_home_or_in_the_queue(self) -> None:
        """As they came, were assigned, or were found when a plan began."""
        for ticket in self.bureau.state.all(Ticket):
            if ticket.kind is TicketKind.SUPPORT and ticket.is_open and "acme" in ticket.customers:
                assert ticket.holder == "us-queue" or ticket.holder_country == "US"


TestTickets = TicketMachine.TestCase
TestTickets.settings = settings(max_examples=30, stateful_step_count=40)
