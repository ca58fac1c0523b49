"""A customer's plans, ordered, enabled, due and ended at random by Hypothesis, beside what the contract says of them.

What was judged at an instant stays judged so: whatever is done later, the plan in effect *then* is the one that was in
effect then. Due times are counted on a calendar that is written out here, not computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.acts import Actor, Steward
from gateway.acts.customers import enable_plan, end_plan, order_plan, overdue
from gateway.catalog import Customer
from gateway.clock import SECOND_US, SteadyClock
from gateway.errors import GatewayError
from gateway.justification import Usage
from tests.world.office import make_bureau

pytestmark = pytest.mark.timeout(400)  # a busy machine makes no law untrue

NEW_YORK = ZoneInfo("America/New_York")
OLGA = Actor("olga", operator=True)
BEGINNING_S = datetime(2027, 10, 29, 15, tzinfo=UTC).timestamp()
"""A Friday before daylight saving ends (Sunday, November 7), Thanksgiving, and a Christmas on a Saturday."""

HOLIDAYS = frozenset(
    map(
        date.fromisoformat,
        (
            *("2027-11-11", "2027-11-25", "2027-12-24", "2027-12-31", "2028-01-17", "2028-02-21", "2028-05-29"),
            *("2028-06-19", "2028-07-04", "2028-09-04", "2028-10-09", "2028-11-10", "2028-11-23", "2028-12-25"),
        ),
    )
)
"""Federal holidays on weekdays, as observed, from November 2027 to the end of 2028."""


def due(ordered_us: int) -> int:
    """ "within two business days": the second business day after the order, at the same time on New York's clocks."""
    local = datetime.fromtimestamp(ordered_us // SECOND_US, UTC).astimezone(NEW_YORK)
    day, business_days = local.date(), 0
    while business_days < 2:
        day += timedelta(days=1)
        business_days += day.weekday() < 5 and day not in HOLIDAYS
    at = datetime.combine(day, local.time(), NEW_YORK)
    return int(at.timestamp()) * SECOND_US + ordered_us % SECOND_US


class Refused(Exception):
    """The contract does not allow it."""


@dataclass
class Bought:
    """A plan, as the model has it."""

    due_us: int
    enabled: bool = False
    begun: bool = False
    started_us: int = 0
    ended_us: int = 0

    def is_in_effect(self, now_us: int) -> bool:
        """From when it was enabled, when due at the latest, until it ended."""
        starts_us = min(self.started_us or self.due_us, self.due_us)
        return starts_us <= now_us and not (self.ended_us and now_us >= self.ended_us)


class PlanMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.bureau = make_bureau(Path(self.directory.name), now_s=BEGINNING_S)
        self.steady = SteadyClock(self.bureau.clock)
        self.office = replace(self.bureau.office, clock=self.steady)
        self.bought: list[Bought] = []
        self.log: list[tuple[str, str, str]] = []
        self.judged: dict[int, int] = {}  # of two judgements in one microsecond the later one counts

    def teardown(self) -> None:
        self.bureau.state.close()
        self.directory.cleanup()

    @initialize()
    def begin(self) -> None:
        """A customer without a plan."""
        self.bureau.customer("globex", plan=False)
        self.bureau.entries.clear()

    @property
    def now_us(self) -> int:
        return self.steady.now_us()

    @property
    def customer(self) -> Customer:
        return self.bureau.state.get(Customer, "globex")

    def running(self) -> Bought | None:
        return next((plan for plan in self.bought if not plan.ended_us), None)

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

    @rule(seats=st.integers(0, 500))
    def order(self, seats: int) -> None:
        """One plan at a time, of a seat at least."""

        def mine() -> None:
            if self.running() or not seats:
                raise Refused
            self.bought.append(Bought(due(self.now_us)))
            self.log.append(("olga", "plan.order", "globex"))

        self.both(mine, lambda: order_plan(self.office, OLGA, "globex", seats=seats))

    @rule()
    def enable(self) -> None:
        """Before it is due, or late."""

        def mine() -> None:
            plan = self.running()
            if not plan:
                raise Refused
            if not plan.enabled:
                plan.enabled, plan.started_us = True, self.now_us
                self.log.append(("olga", "plan.enable", "globex"))

        self.both(mine, lambda: enable_plan(self.office, OLGA, "globex"))

    @rule()
    def end(self) -> None:
        """In effect or not yet."""

        def mine() -> None:
            plan = self.running()
            if not plan:
                raise Refused
            plan.ended_us = self.now_us
            self.log.append(("olga", "plan.end", "globex"))

        self.both(mine, lambda: end_plan(self.office, OLGA, "globex"))

    @rule()
    def steward_attends(self) -> None:
        """It says once that a plan began by itself."""
        Steward(self.office, Usage).attend()
        plan = self.running()
        if plan and not plan.enabled and not plan.begun and self.now_us >= plan.due_us:
            plan.begun = True
            self.log.append(("gateway", "plan.begin", "globex"))

    @rule(hours=st.sampled_from((1e-6, 1, 11, 24, 47, 48, 72, 24 * 30)))
    def time_passes(self, hours: float) -> None:
        self.bureau.clock.advance(hours * 3_600)

    @rule()
    def it_is_due(self) -> None:
        """Exactly now, or a microsecond earlier where that has not passed."""
        plan = self.running()
        if plan and plan.due_us > self.now_us:
            self.bureau.clock.advance((plan.due_us - 1 - self.now_us) / SECOND_US)
            self.look()
            self.bureau.clock.advance(1e-6)

    @rule(hours=st.sampled_from((-48, -1, 1)))
    def somebody_sets_the_clock(self, hours: int) -> None:
        self.bureau.clock.jump(hours * 3_600)

    @invariant()
    def look(self) -> None:
        """The plan in effect now is the model's, and so it will stay known for this instant."""
        now_us, customer = self.now_us, self.customer
        [mine] = [place for place, plan in enumerate(self.bought) if plan.is_in_effect(now_us)] or [-1]
        plan = customer.plan_at(now_us)
        assert (customer.plans.index(plan) if plan else -1) == mine
        late = mine >= 0 and not self.bought[mine].enabled
        assert overdue([customer], now_us) == ([customer] if late else [])
        self.judged[now_us] = mine

    @invariant()
    def what_was_judged_stays_judged(self) -> None:
        """By the plan in effect at that moment."""
        customer = self.customer
        for instant_us, mine in self.judged.items():
            plan = customer.plan_at(instant_us)
            assert (customer.plans.index(plan) if plan else -1) == mine

    @invariant()
    def record_has_one_line_for_each_thing_that_happened(self) -> None:
        assert self.bureau.acts() == self.log
        assert [plan.due_us for plan in self.customer.plans] == [plan.due_us for plan in self.bought]


TestPlans = PlanMachine.TestCase
TestPlans.settings = settings(max_examples=30, stateful_step_count=40)
