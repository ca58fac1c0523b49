"""The desk: everything that can justify an access, in memory, kept current by the storage room.

Invariants: only what is open, active and within its caps is ever found; when the desk cannot tell whether what it
holds is still true (:attr:`Desk.fresh` answers no) it finds nothing, since all of it can be revoked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from gateway.catalog.resource import Resource, Scope
from gateway.justification.holdings import Holdings
from gateway.justification.lapses import Hanging, Lapse, lapse_of
from gateway.justification.mapping import Answer
from gateway.justification.nouns import (
    EVERY_CUSTOMER,
    AccessRequest,
    Authorization,
    Grant,
    HandOff,
    Justification,
    RequestState,
    Ticket,
    TicketKind,
    Usage,
)
from gateway.justification.requests import is_same
from gateway.justification.tracking import TrackedTickets

NOTHING = Justification()


class Desk:
    """Tickets by id, grants and requests by subject, authorizations by customer, usage by grant.

    ``tracked`` holds what other ticket systems said, where there are such, and ``lapses`` what that ends for good.
    """

    def __init__(self, fresh: Callable[[], bool] = lambda: True) -> None:
        self.fresh = fresh
        self.tracked: TrackedTickets | None = None
        self.lapses: deque[Lapse] = deque()
        self._tickets: dict[str, Ticket] = {}
        self._handed_off: set[str] = set()
        self._holdings = Holdings()
        self._authorizations: dict[str, dict[str, Authorization]] = {}
        self._usage: dict[str, Usage] = {}
        self._unfinished: dict[str, Grant | AccessRequest] = {}
        self._hanging: dict[str, dict[str, Hanging]] = {}

    def put(self, noun: Ticket | HandOff | AccessRequest | Grant | Authorization | Usage) -> None:
        """Take in a noun, in place of an earlier state of the same one."""
        match noun:
            case Ticket():
                self._tickets[noun.id] = noun
            case HandOff():
                self._handed_off.add(noun.id)
            case AccessRequest():
                goes_on = noun.state is RequestState.REQUESTED
                self._holdings.put_request(noun, goes_on=goes_on)
                self._watch(noun, goes_on=goes_on)
            case Grant():
                goes_on = not noun.revoked_us and not noun.ended_us
                self._holdings.put_grant(noun, goes_on=goes_on)
                self._watch(noun, goes_on=goes_on)
            case Authorization():
                self._authorizations.setdefault(noun.customer, {})[noun.id] = noun
                self._hang(noun, goes_on=bool(noun.ticket) and not noun.withdrawn_us)
            case Usage():
                known = self.usage(noun.grant)  # this node may have counted more than it has written yet
                self._usage[noun.grant] = Usage(
                    noun.grant, max(known.requests, noun.requests), max(known.bytes, noun.bytes)
                )

    def _watch(self, noun: Grant | AccessRequest, *, goes_on: bool) -> None:
        if goes_on:
            self._unfinished[noun.id] = noun
        else:
            self._unfinished.pop(noun.id, None)
        self._hang(noun, goes_on=goes_on)

    def _hang(self, noun: Hanging, *, goes_on: bool) -> None:
        if goes_on:
            self._hanging.setdefault(noun.ticket, {})[noun.id] = noun
        elif held := self._hanging.get(noun.ticket):
            held.pop(noun.id, None)
            if not held:
                del self._hanging[noun.ticket]

    def unfinished(self) -> tuple[Grant | AccessRequest, ...]:
        """The grants that were not seen to end, and the requests that wait; to be called from any thread."""
        return tuple(self._unfinished.values())

    def hanging(self, ticket: str) -> tuple[Hanging, ...]:
        """What hangs on a ticket and was not seen to end."""
        return tuple(self._hanging.get(ticket, {}).values())

    def hear(self, ticket: str, before: Answer | None, answer: Answer) -> None:
        """A tracker said how a ticket is: what that ends for good is to be ended."""
        lapse = lapse_of(ticket, before, answer, self.hanging(ticket))
        if lapse is not None and lapse not in tuple(self.lapses):  # the steward takes out while this looks
            self.lapses.append(lapse)

    def justify(
        self, *, subject: str, resource: Resource, cited: str, reason: str, now_us: int, counted: str = ""
    ) -> Justification:
        """What speaks for this attempt at this instant.

        Args:
            subject: the principal's subject.
            resource: what is asked for; its customer must be known for a grant to match.
            cited: the ticket's id as the request cites it, or "".
            reason: free text from the request.
            now_us: the instant of the attempt.
            counted: a grant against which this attempt is counted already, so that its caps do not matter.
        """
        if not cited:
            return self._uncited(subject, resource, reason, now_us, counted)
        if not self.fresh():
            return Justification(cited=cited, reason=reason)
        found, problem = self._find(cited)
        ticket = found if found is not None and found.is_open else None
        if ticket is None:
            return Justification(cited=cited, reason=reason, problem=problem)
        barred = bool(ticket.handed_off_us) and cited not in self._tickets  # at home elsewhere, so out of reach here
        handed_off = bool(ticket.handed_off_us) or cited in self._handed_off
        by_itself = not handed_off  # else only what somebody approved for it since
        customer = EVERY_CUSTOMER if resource.scope is Scope.MANY else resource.customer
        named = resource.scope in (Scope.ONE, Scope.MANY) and ticket.covers(customer)
        lost = ticket.kind is TicketKind.SECURITY and HandOff.of_holder(cited, subject).id in self._handed_off
        return Justification(
            cited=cited,
            ticket=ticket,
            reason=reason,
            incident=named and ticket.kind is TicketKind.SECURITY and not lost,  # for all others whose business it is
            grant=self._grant(subject, resource, ticket, now_us, counted) if not barred else None,
            authorization=self._authorization(subject, resource, ticket, now_us) if by_itself and named else None,
            problem=f"{cited} was handed to a US analyst while you held it, so you read under it no more"
            if lost
            else "",
        )

    def _uncited(self, subject: str, resource: Resource, reason: str, now_us: int, counted: str) -> Justification:
        """Whoever holds a single grant that fits need not cite its ticket: there is no doubt which issue it is for."""
        matching = [
            (grant, ticket)
            for grant in (self._holdings.candidates(subject, counted) if self.fresh() else ())
            if grant.ticket in self._tickets
            and (ticket := self._find(grant.ticket)[0]) is not None
            and ticket.is_open
            and self._fits(grant, subject, resource, ticket, now_us, counted)
        ]
        if len(matching) != 1:
            return Justification(reason=reason) if reason else NOTHING
        [(grant, ticket)] = matching
        return Justification(cited=ticket.id, ticket=ticket, grant=grant, reason=reason)

    def _find(self, cited: str) -> tuple[Ticket | None, str]:
        """The ticket with this id, here or in the system that it belongs to; in both: neither, and why."""
        here = self._tickets.get(cited)
        there = self.tracked.answer(cited) if self.tracked else None
        if there is None:
            return here, ""
        if here is not None:
            return None, f"{cited} is a ticket both here and of another system, so of neither"
        return there.ticket, there.problem

    def elsewhere(self, key: str) -> Ticket | None:
        """A ticket of another system, as that said it was, and not too long ago."""
        there = self.tracked.answer(key) if self.tracked else None
        return there.ticket if there else None

    def ask(self, cited: str) -> Awaitable[None] | None:
        """What to wait for before :meth:`justify`; None where nothing has to be asked elsewhere."""
        return None if self.tracked is None or cited in self._tickets else self.tracked.ask(cited)

    def renew(self, cited: str) -> None:
        """Something rests on this ticket: keep what another system said of it from growing too old."""
        if self.tracked is not None and cited not in self._tickets:
            self.tracked.renew(cited)

    def _grant(self, subject: str, resource: Resource, ticket: Ticket, now_us: int, counted: str) -> Grant | None:
        held = self._holdings.candidates(subject, counted)
        return next((one for one in held if self._fits(one, subject, resource, ticket, now_us, counted)), None)

    def _fits(self, grant: Grant, subject: str, resource: Resource, ticket: Ticket, now_us: int, counted: str) -> bool:
        """Whether a grant is usable for this attempt under this ticket."""
        named = resource.scope is Scope.ONE and ticket.covers(resource.customer)
        covers = grant.covers(
            subject=subject,
            customer=resource.customer,
            data_class=resource.data_class,
            action=resource.action,
            ticket=ticket.id,
        )
        return named and ticket.kind is TicketKind.BUG and covers and self._usable(grant, now_us, counted)

    def _usable(self, grant: Grant, now_us: int, counted: str) -> bool:
        exhausted = grant.is_exhausted(self.usage(grant.id))
        if grant.id == counted and exhausted:  # this very attempt may have used it up, and goes on
            return replace(grant, ended_us=0).is_active(now_us)
        return grant.is_active(now_us) and not exhausted

    def _authorization(self, subject: str, resource: Resource, ticket: Ticket, now_us: int) -> Authorization | None:
        """The customer's authorization that covers this attempt; nobody uses one that they recorded themselves."""
        if resource.scope is not Scope.ONE:
            return None
        for authorization in self._authorizations.get(resource.customer, {}).values():
            if (
                authorization.reaches(ticket)
                and authorization.is_active(now_us)
                and resource.data_class in authorization.data_classes
                and resource.action in authorization.actions
                and not is_same(authorization.recorded_by, subject)
            ):
                return authorization
        return None

    def usage(self, grant: str) -> Usage:
        """What has been read under a grant."""
        return self._usage.get(grant) or Usage(grant)

    def count(self, grant: str, *, requests: int = 0, bytes_: int = 0) -> Usage:
        """Add to a grant's usage, and return the sum."""
        before = self.usage(grant)
        after = Usage(grant, before.requests + requests, before.bytes + bytes_)
        self._usage[grant] = after
        return after

    def ticket(self, ticket: str) -> Ticket | None:
        return self._tickets.get(ticket)

    def grants(self) -> Iterable[Grant]:
        return self._holdings.grants()

    def held(self, subject: str, *, customer: str, ticket: str) -> Sequence[Grant]:
        """Grants that somebody has, or had for a customer or a ticket; a bounded number, see :class:`Holdings`."""
        return self._holdings.near(subject, customer=customer, ticket=ticket)

    def asked(self, subject: str) -> Sequence[AccessRequest]:
        """Requests of somebody that wait for an answer; a bounded number, too."""
        return self._holdings.waiting(subject)
