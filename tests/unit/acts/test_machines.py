"""Access requests and grants, moved about at random by Hypothesis, beside a model that was written from the contract.

People spell their names as they like, clocks are set back and forth, some act by a machine's own clock and some by the
gateway's, which never goes back. After every step the code and the model say the same: of every request and grant, of
what speaks for whom, and of the record, which has one line for each thing that happened.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.acts import Actor, Steward
from gateway.acts import access as acts
from gateway.acts.customers import set_conditions
from gateway.acts.tickets import assign_ticket, close_ticket, hand_off_ticket
from gateway.catalog import Action, Resource, Scope
from gateway.clock import SteadyClock, rfc3339
from gateway.errors import GatewayError
from gateway.justification import AccessRequest, Desk, Grant, Ticket
from tests.world.access_model import ANSWER_WITHIN_US, SECOND_US, SPELLINGS, WHO, Asked, Bug, Granted, Model, Refused
from tests.world.office import COUNTRIES, DATA_CLASSES, Bureau, make_bureau

pytestmark = pytest.mark.timeout(400)  # a busy machine makes no law untrue

EVERY_ROLE = frozenset({"engineer", "approver", "admin", "support"})
ENGINEERS = ("priya", "pavel")
CLASSES = ("case", "conversation")
ACTIONS = ("read", "export")
CUSTOMERS = ("acme", "globex")
people = st.sampled_from(("priya", "pavel", "dana", "dave", "drew"))
spelled = st.builds(lambda name, spell: spell(name), people, st.sampled_from(SPELLINGS))
customers = st.sampled_from(CUSTOMERS)
by_machine = st.booleans()
pick = st.integers(0, 10**6)
assert set(CLASSES) <= DATA_CLASSES


class AccessMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.bureau: Bureau = make_bureau(Path(self.directory.name))
        self.steady = SteadyClock(self.bureau.clock)
        self.office = replace(self.bureau.office, clock=self.steady)
        self.desk = Desk()
        self.model = Model(dict.fromkeys(CUSTOMERS, (1, False)))
        self.known: dict[type, dict[str, Any]] = defaultdict(dict)
        self.revision = self.latest_us = 0
        self.silent: set[str] = set()

    def teardown(self) -> None:
        self.bureau.state.close()
        self.directory.cleanup()

    @initialize(approvers=st.sampled_from((1, 2)), consent=st.booleans(), holder=spelled)
    def begin(self, approvers: int, consent: bool, holder: str) -> None:
        """Two customers, one of them with conditions; a bug of the one and a bug of both; a grant, a request."""
        for customer in CUSTOMERS:
            self.bureau.customer(customer)
        for key, named in (("BUG-1", ("acme",)), ("BUG-2", CUSTOMERS)):
            self.bureau.bug(key, *named)
            self.model.bugs[key] = Bug(key, named)
        self.bureau.clock.advance(100 * 86_400)  # no clock is set back to before the plan
        self.bureau.entries.clear()
        self.change_conditions("acme", approvers, consent)
        for bug, duration_s, granted in ((0, 3_600, True), (1, 86_400, True), (0, 60, False)):
            self.request("priya", bug, "acme", {"case"}, {"read", "export"}, duration_s, 2, False, granted)
        self.assign(1, holder, machine=False)

    def both(self, mine: Callable[[], object], theirs: Callable[[], Any]) -> Any:
        """Do the same in the model and in the code: both do it, or both refuse and nothing has changed."""
        before = self.bureau.state.revision(), len(self.bureau.entries)
        try:
            mine()
        except Refused:
            allowed = False
        else:
            return theirs()
        with contextlib.suppress(GatewayError):
            theirs()
            allowed = True
        assert not allowed, "the model refuses what the code does"
        assert (self.bureau.state.revision(), len(self.bureau.entries)) == before
        return None

    def clock(self, machine: bool) -> Any:
        return self.bureau.clock if machine else self.steady

    def at(self, machine: bool) -> Any:
        """The office, as somebody finds it who goes by the machine's own clock."""
        return replace(self.office, clock=self.clock(machine))

    def look(self, kind: type) -> dict[str, Any]:
        """Every noun of a kind, by id, as the state has it now; it is put before the desk, too."""
        self.revision, changed = self.bureau.state.changes(self.revision)
        for noun in changed:
            if isinstance(noun, (Ticket, AccessRequest, Grant)):
                self.known[type(noun)][noun.id] = noun
                self.desk.put(noun)
        return self.known[kind]

    def bug(self, which: int) -> Bug:
        """One of the bugs; mostly one that is open."""
        live = {key: bug for key, bug in self.model.bugs.items() if bug.is_open or which % 4 == 0}
        return self.one(live or self.model.bugs, which)

    def request_(self, which: int) -> Asked:
        """One of the requests; mostly one that waits."""
        waits = {key: asked for key, asked in self.model.asked.items() if asked.state == "requested" or which % 4 == 0}
        return self.one(waits or self.model.asked, which)

    def grant(self, which: int) -> Granted:
        """One of the grants; mostly one that goes on."""
        live = {key: grant for key, grant in self.model.granted.items() if not grant.over or which % 4 == 0}
        return self.one(live or self.model.granted, which)

    def one(self, nouns: dict[str, Any], which: int) -> Any:
        return list(nouns.values())[which % len(nouns)]  # in the order in which they were made: ids are random

    @rule(
        who=st.sampled_from(ENGINEERS),
        bug=pick,
        customer=customers,
        data_classes=st.sets(st.sampled_from(CLASSES), min_size=1),
        actions=st.sets(st.sampled_from(ACTIONS), min_size=1),
        duration_s=st.sampled_from((60, 3_600, 86_400)),
        max_requests=st.sampled_from((0, 0, 1, 2)),
        machine=by_machine,
        granted=st.booleans(),
    )
    def request(
        self,
        who: str,
        bug: int,
        customer: str,
        data_classes: set[str],
        actions: set[str],
        duration_s: int,
        max_requests: int,
        machine: bool,
        granted: bool,
    ) -> None:
        """An engineer asks, and often is granted what was asked for at once."""
        ticket, now_us = self.bug(bug), self.clock(machine).now_us()
        customer = customer if bug % 5 == 0 else ticket.customers[bug % len(ticket.customers)]
        approvers, consent = self.model.conditions[customer]
        asked = Asked(
            "",
            who,
            ticket,
            customer,
            frozenset(data_classes),
            frozenset(actions),
            duration_s,
            max_requests,
            now_us + ANSWER_WITHIN_US,
            approvers,
            consent,
        )
        made = self.both(
            lambda: self.model.may_ask(who, ticket, customer, asked, now_us),
            lambda: acts.request_access(
                self.at(machine),
                Actor(who, EVERY_ROLE),
                ticket=ticket.id,
                customer=customer,
                data_classes=sorted(data_classes),
                actions=sorted(actions),
                reason="the stack trace needs it",
                duration_s=duration_s,
                max_requests=max_requests,
            ),
        )
        if made:
            asked.id = made.id
            self.model.asked[made.id] = asked
            self.model.log.append((who, "access.request", made.id))
        if made and granted:
            self.answer(made.id, ("dana", "dave"), customer if sum(self.model.conditions[customer]) > 1 else "")

    @precondition(lambda self: self.model.asked)
    @rule(which=pick, by=spelled, machine=by_machine)
    def approve(self, which: int, by: str, machine: bool) -> None:
        """Somebody approves, be they an approver, the requester or the holder."""
        self.approved(self.request_(which), by, machine=machine)

    def answer(self, key: str, approvers: tuple[str, ...], consents: str) -> None:
        """Those who should say yes do."""
        for by in approvers:
            self.approved(self.model.asked[key], by, machine=False)
        if consents:
            self.consented(self.model.asked[key], consents)

    def approved(self, asked: Asked, by: str, *, machine: bool) -> None:
        now_us = self.clock(machine).now_us()
        self.both(
            lambda: self.model.approve(asked, by, now_us, self.steady.monotonic_s()),
            lambda: acts.approve_access(self.at(machine), Actor(by, EVERY_ROLE), asked.id),
        )

    def consented(self, asked: Asked, customer: str) -> None:
        now_us, name = self.steady.now_us(), f"user@{customer}"

        def mine() -> None:
            if asked.customer != customer:
                raise Refused
            self.model.consent(asked, name, name, now_us, self.steady.monotonic_s())

        self.both(mine, lambda: acts.consent_to_access(self.office, Actor(name, customer=customer), asked.id))

    @precondition(lambda self: any(asked.state == "requested" for asked in self.model.asked.values()))
    @rule(which=pick, by=st.sampled_from(("dana", "dave", "drew")))
    def approve_what_waits(self, which: int, by: str) -> None:
        """An approver looks through what waits."""
        waits = {key: asked for key, asked in self.model.asked.items() if asked.state == "requested"}
        self.answer(self.one(waits, which).id, (by,), "")

    @precondition(lambda self: self.model.asked)
    @rule(which=pick, by=st.one_of(spelled, st.just("Ada of Acme")), machine=by_machine)
    def consent_by_the_operator(self, which: int, by: str, machine: bool) -> None:
        """Somebody's consent is recorded."""
        asked, now_us = self.request_(which), self.clock(machine).now_us()
        self.both(
            lambda: self.model.consent(asked, by, "olga", now_us, self.steady.monotonic_s()),
            lambda: acts.consent_to_access(self.at(machine), Actor("olga", operator=True), asked.id, by=by),
        )

    @precondition(lambda self: self.model.asked)
    @rule(which=pick, customer=customers)
    def consent_by_the_customer(self, which: int, customer: str) -> None:
        """A customer's own user consents, to requests for its data and to others."""
        self.consented(self.request_(which), customer)

    @precondition(lambda self: self.model.asked)
    @rule(which=pick, by=spelled, machine=by_machine)
    def deny(self, which: int, by: str, machine: bool) -> None:
        """Somebody says no."""
        asked, now_us = self.request_(which), self.clock(machine).now_us()
        self.both(
            lambda: self.model.deny(asked, by, now_us),
            lambda: acts.deny_access(self.at(machine), Actor(by, EVERY_ROLE), asked.id, why="no need"),
        )

    @precondition(lambda self: self.model.asked)
    @rule(which=pick, by=st.sampled_from(ENGINEERS))
    def withdraw(self, which: int, by: str) -> None:
        """An engineer takes a request back, their own or another's."""
        asked, now_us = self.request_(which), self.steady.now_us()
        self.both(
            lambda: self.model.withdraw(asked, by, now_us),
            lambda: acts.withdraw_access(self.office, Actor(by, EVERY_ROLE), asked.id),
        )

    @precondition(lambda self: self.model.granted)
    @rule(which=pick, machine=by_machine)
    def revoke(self, which: int, machine: bool) -> None:
        """Somebody ends a grant."""
        grant, now_us = self.grant(which), self.clock(machine).now_us()
        self.both(
            lambda: self.model.revoke(grant, "dana", now_us),
            lambda: acts.revoke_grant(self.at(machine), Actor("dana", EVERY_ROLE), grant.id, why="found it"),
        )

    @rule(which=pick, holder=spelled, machine=by_machine)
    def assign(self, which: int, holder: str, machine: bool) -> None:
        """A bug goes to somebody."""
        bug, now_us = self.bug(which), self.clock(machine).now_us()
        self.both(
            lambda: self.model.assign(bug, holder, COUNTRIES.get(WHO[holder], ""), "sam", now_us),
            lambda: assign_ticket(self.at(machine), Actor("sam", EVERY_ROLE), bug.id, holder=holder),
        )

    @rule(which=pick, machine=by_machine)
    def hand_off(self, which: int, machine: bool) -> None:
        """Send to US Analyst."""
        bug, now_us = self.bug(which), self.clock(machine).now_us()
        self.both(
            lambda: self.model.hand_off(bug, "sam", now_us),
            lambda: hand_off_ticket(self.at(machine), Actor("sam", EVERY_ROLE), bug.id),
        )

    @precondition(lambda self: len(self.model.log) > 8)
    @rule(which=pick, machine=by_machine)
    def close(self, which: int, machine: bool) -> None:
        """A bug is mended; another one turns up."""
        bug, now_us = self.bug(which), self.clock(machine).now_us()
        self.both(
            lambda: self.model.close(bug, "sam", now_us),
            lambda: close_ticket(self.at(machine), Actor("sam", EVERY_ROLE), bug.id),
        )
        key = f"BUG-{len(self.model.bugs) + 1}"
        self.bureau.bug(key, *CUSTOMERS)
        self.model.bugs[key] = Bug(key, CUSTOMERS)
        self.model.log.append(("olga", "ticket.open", key))

    @precondition(lambda self: len(self.model.log) % 3 == 0)
    @rule(customer=customers, approvers=st.sampled_from((1, 1, 2)), consent=st.sampled_from((False, False, True)))
    def change_conditions(self, customer: str, approvers: int, consent: bool) -> None:
        """A customer wants more, or less."""
        set_conditions(self.office, Actor("root", EVERY_ROLE), customer, approvers=approvers, consent=consent)
        if self.model.conditions[customer] != (approvers, consent):
            self.model.conditions[customer] = (approvers, consent)
            self.model.log.append(("root", "customer.change", customer))

    @precondition(lambda self: self.model.granted)
    @rule(which=pick)
    def use(self, which: int) -> None:
        """A request is let through under a grant that counts."""
        grant = self.grant(which)
        if grant.counts(self.steady.now_us()):
            grant.used += 1
            self.bureau.state.put(self.desk.count(grant.id, requests=1))

    @rule(seconds=st.sampled_from((1e-6, 1, 59, 60, 1_800, 3_600, 86_400, 3 * 86_400)))
    def time_passes(self, seconds: float) -> None:
        self.bureau.clock.advance(seconds)

    @rule(seconds=st.sampled_from((-86_400, -3_600, -1, 1, 3_600, 86_400)))
    def somebody_sets_the_clock(self, seconds: float) -> None:
        self.bureau.clock.jump(seconds)

    @rule()
    def steward_attends(self) -> None:
        """At whatever time."""
        Steward(self.office, self.desk.usage).attend()
        self.model.attend(self.steady.now_us())

    @invariant()
    def state_is_what_the_model_says(self) -> None:
        """Each request and each grant, to the last name."""
        requests = {
            key: (asked.state.value, list(asked.approved_by), asked.consented_by)
            for key, asked in self.look(AccessRequest).items()
        }
        assert requests == {
            key: (asked.state, asked.approved, asked.consented) for key, asked in self.model.asked.items()
        }
        grants = {
            key: (grant.starts_us, grant.ends_us, bool(grant.revoked_us), bool(grant.ended_us))
            for key, grant in self.look(Grant).items()
        }
        assert grants == {
            key: (one.starts_us, one.ends_us, one.over == "revoked", one.over in ("expired", "exhausted"))
            for key, one in self.model.granted.items()
        }
        holders = {key: (ticket.holder, ticket.is_open) for key, ticket in self.look(Ticket).items()}
        assert holders == {key: (bug.holder, bug.is_open) for key, bug in self.model.bugs.items()}

    @invariant()
    def record_has_one_line_for_each_thing_that_happened(self) -> None:
        """Who did what to what, in this order, each with its own time."""
        assert self.bureau.acts() == self.model.log
        for entry in self.bureau.entries:
            assert entry["time"] == rfc3339(entry["time_us"])
            assert re.fullmatch(r"[0-9a-f-]{36}", entry["id"])

    @invariant()
    def clock_never_goes_back(self) -> None:
        """By which the gateway goes."""
        assert self.steady.now_us() >= self.latest_us
        self.latest_us = self.steady.now_us()

    @invariant()
    def what_speaks_for_whom_is_what_the_model_says(self) -> None:
        """For everybody, every bug cited or none, every customer, data class and action."""
        self.look(Grant)
        now_us = self.steady.now_us()
        for who, cited, asked in product(ENGINEERS, ("", *self.model.bugs), product(CUSTOMERS, CLASSES, ACTIONS)):
            customer, data_class, action = asked
            found = self.desk.justify(
                subject=who,
                resource=Resource("store", data_class, customer, Action(action), Scope.ONE),
                cited=cited,
                reason="",
                now_us=now_us,
            ).grant
            expected = self.model.speaking(who, cited, customer, data_class, action, now_us)
            assert (found.id in expected) if found else not expected, (who, cited, asked, found, expected)

    @invariant()
    def no_grant_outlives_what_was_asked_for_or_revives(self) -> None:
        """By time as it really passes, whatever clocks say."""
        now_us, now_s = self.steady.now_us(), self.steady.monotonic_s()
        for grant in self.model.granted.values():
            if not grant.counts(now_us):
                self.silent.add(grant.id)
                continue
            assert grant.id not in self.silent
            assert now_s - grant.began_s < grant.of.duration_s

    @invariant()
    def nobody_approved_what_they_may_not(self) -> None:
        """In the state itself: no requester, nobody twice, enough of them, and the consent where it was wanted."""
        for grant in self.look(Grant).values():
            asked = self.look(AccessRequest)[grant.request]
            names = [re.sub(r"[\u200b\s]", "", name).translate(_NARROW).lower() for name in asked.approved_by]
            assert len(set(names)) == len(names) >= asked.approvers
            assert asked.subject not in names
            assert bool(asked.consented_by) >= asked.consent
            assert (grant.data_classes, grant.actions) == (asked.data_classes, asked.actions)
            assert grant.ends_us - grant.starts_us == asked.duration_s * SECOND_US


_NARROW = {0xFEE0 + code: code for code in range(0x21, 0x7F)}


def each(*machines: type[RuleBasedStateMachine]) -> Iterator[Any]:
    """The test cases of machines, each short enough for a machine that others use too."""
    for machine in machines:
        case = machine.TestCase
        case.settings = settings(max_examples=25, stateful_step_count=50)
        yield case


(TestAccess,) = each(AccessMachine)
