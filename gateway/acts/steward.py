"""The steward: does what time does, so that it stands in the record and somebody is told.

Nothing depends on the steward for what may be accessed: whatever is judged looks at the time itself. It makes endings
final (a clock that is set back revives nothing) and writes them down: grants that are over or used up, requests that
nobody answered, what a ticket of another system no longer carries, plans that began by themselves. Who is told of
endings and beginnings is the reminders' business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from gateway.acts.actor import Actor
from gateway.acts.endings import end_lapsed
from gateway.acts.office import Change, Office
from gateway.acts.tickets import send_cases_home
from gateway.catalog.customers import Customer
from gateway.justification import AccessRequest, Grant, Lapse, RequestState, Usage
from gateway.justification.requests import end_if_over, expire_unanswered

GATEWAY = Actor("gateway", operator=True, service=True)


@dataclass(frozen=True, slots=True)
class Steward:
    """See the module.

    Attributes:
        usage: what was read under a grant so far.
        unfinished: the grants and requests that may still end, where they are at hand; all that the state has if not.
        unbegun: likewise the customers whose plans may begin by themselves.
        lapses: what trackers said that ends access; each is taken out once that is done.
    """

    office: Office
    usage: Callable[[str], Usage]
    unfinished: Callable[[], Iterable[Grant | AccessRequest]] | None = None
    unbegun: Callable[[], Iterable[Customer]] | None = None
    lapses: deque[Lapse] = field(default_factory=deque)

    def attend(self) -> int:
        """Do what is due; blocking. It writes nothing where nothing is.

        Returns:
            How many things were.
        """
        lapsed = self._end_lapsed()
        state = self.office.state
        unfinished = list(self.unfinished() if self.unfinished else (*state.all(Grant), *state.all(AccessRequest)))
        over = [one.id for one in unfinished if isinstance(one, Grant) and self._is_over(one)]
        late = [one.id for one in unfinished if isinstance(one, AccessRequest) and self._is_late(one)]
        unbegun = self.unbegun() if self.unbegun else state.all(Customer)
        begun = [customer.id for customer in unbegun if self._begins(customer)]
        for key in over:
            with self._change() as change:
                self._end_grant(change, change.get(Grant, key))
        for key in late:
            with self._change() as change:
                self._expire(change, change.get(AccessRequest, key))
        for key in begun:
            with self._change() as change:
                self._begin_plan(change, change.get(Customer, key))
        return lapsed + len(over) + len(late) + len(begun)

    def _change(self) -> AbstractContextManager[Change]:
        return self.office.change(GATEWAY, "gateway.attend")

    def _end_lapsed(self) -> int:
        done = 0
        while self.lapses:  # others only add to it; one that cannot be written down is still there the next time
            with self._change() as change:
                end_lapsed(change, self.lapses[0])
            self.lapses.popleft()
            done += 1
        return done

    def _is_over(self, grant: Grant) -> bool:
        return end_if_over(grant, self.usage(grant.id), now_us=self.office.clock.now_us()) is not grant

    def _is_late(self, asked: AccessRequest) -> bool:
        return expire_unanswered(asked, now_us=self.office.clock.now_us()) is not asked

    def _begins(self, customer: Customer) -> bool:
        now_us = self.office.clock.now_us()
        plan = customer.plan_at(now_us)
        return plan is not None and plan.is_overdue(now_us) and not plan.begun_us

    def _end_grant(self, change: Change, grant: Grant) -> None:
        usage = self.usage(grant.id)
        ended = end_if_over(grant, usage, now_us=change.now_us)
        if ended is grant:
            return
        how = "exhausted" if grant.is_exhausted(usage) else "expired"
        change.put(ended)
        change.note(
            grant.id,
            act=f"grant.{how}",
            grant=grant.id,
            grantee=grant.subject,
            customer=grant.customer,
            ticket=grant.ticket,
            requests=usage.requests,
            bytes=usage.bytes,
        )

    def _expire(self, change: Change, asked: AccessRequest) -> None:
        expired = expire_unanswered(asked, now_us=change.now_us)
        if expired.state is not RequestState.EXPIRED:
            return
        change.put(expired)
        change.note(asked.id, act="access.expire", ticket=asked.ticket, customer=asked.customer)
        change.tell(
            "access.expired", asked.id, asked.customer, f"nobody answered {asked.id} of {asked.subject} in time"
        )

    def _begin_plan(self, change: Change, customer: Customer) -> None:
        plan = customer.plan_at(change.now_us)
        if plan is None or plan.begun_us or not plan.is_overdue(change.now_us):
            return
        begun = replace(plan, begun_us=change.now_us)
        change.put(replace(customer, plans=tuple(begun if old.id == plan.id else old for old in customer.plans)))
        change.note(customer.id, act="plan.begin", customer=customer.id, plan=plan.id, due_us=plan.due_us)
        send_cases_home(change, customer.id)
