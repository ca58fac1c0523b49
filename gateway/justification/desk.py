"""The desk: everything that can justify an access, in memory, kept current by the storage room.

Invariants: only what is open, active and within its caps is ever found; when the desk cannot tell whether what it
holds is still true (:attr:`Desk.fresh` answers no) it finds nothing, since all of it can be revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gateway.catalog.resource import Resource, Scope
from gateway.justification.nouns import (
    EVERY_CUSTOMER,
    AccessRequest,
    Authorization,
    Grant,
    Justification,
    Ticket,
    TicketKind,
    Usage,
)

NOTHING = Justification()


class Desk:
    """Tickets by id, grants by subject, authorizations by customer, usage by grant."""

    def __init__(self, fresh: Callable[[], bool] = lambda: True) -> None:
        self.fresh = fresh
        self._tickets: dict[str, Ticket] = {}
        self._requests: dict[str, AccessRequest] = {}
        self._grants: dict[str, dict[str, Grant]] = {}
        self._authorizations: dict[str, dict[str, Authorization]] = {}
        self._usage: dict[str, Usage] = {}

    def put(self, noun: Ticket | AccessRequest | Grant | Authorization | Usage) -> None:
        """Take in a noun, in place of an earlier state of the same one."""
        match noun:
            case Ticket():
                self._tickets[noun.id] = noun
            case AccessRequest():
                self._requests[noun.id] = noun
            case Grant():
                self._grants.setdefault(noun.subject, {})[noun.id] = noun
            case Authorization():
                self._authorizations.setdefault(noun.customer, {})[noun.id] = noun
            case Usage():
                known = self.usage(noun.grant)  # this node may have counted more than it has written yet
                self._usage[noun.grant] = Usage(
                    noun.grant, max(known.requests, noun.requests), max(known.bytes, noun.bytes)
                )

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
        if not cited and not reason:
            return NOTHING
        if not cited or not self.fresh():
            return Justification(cited=cited, reason=reason)
        found = self._tickets.get(cited)
        ticket = found if found is not None and found.is_open else None
        if ticket is None:
            return Justification(cited=cited, reason=reason)
        by_itself = not ticket.handed_off_us  # else only what somebody approved for it since
        customer = EVERY_CUSTOMER if resource.scope is Scope.MANY else resource.customer
        named = resource.scope in (Scope.ONE, Scope.MANY) and ticket.covers(customer)
        return Justification(
            cited=cited,
            ticket=ticket,
            reason=reason,
            incident=by_itself and named and ticket.kind is TicketKind.SECURITY,
            grant=self._grant(subject, resource, ticket, now_us, counted) if named else None,
            authorization=self._authorization(resource, ticket, now_us) if by_itself and named else None,
        )

    def _grant(self, subject: str, resource: Resource, ticket: Ticket, now_us: int, counted: str) -> Grant | None:
        if resource.scope is not Scope.ONE or ticket.kind is not TicketKind.BUG:
            return None
        matching = self._matching(subject, resource, ticket.id)
        return next((grant for grant in matching if self._usable(grant, now_us, counted)), None)

    def _matching(self, subject: str, resource: Resource, ticket: str) -> Iterator[Grant]:
        for grant in self._grants.get(subject, {}).values():
            if grant.covers(
                subject=subject,
                customer=resource.customer,
                data_class=resource.data_class,
                action=resource.action,
                ticket=ticket,
            ):
                yield grant

    def _usable(self, grant: Grant, now_us: int, counted: str) -> bool:
        if grant.id == counted:
            return grant.is_active(now_us)
        usage = self.usage(grant.id)
        exhausted = (grant.max_bytes and usage.bytes >= grant.max_bytes) or (
            grant.max_requests and usage.requests >= grant.max_requests
        )
        return grant.is_active(now_us) and not exhausted

    def _authorization(self, resource: Resource, ticket: Ticket, now_us: int) -> Authorization | None:
        if resource.scope is not Scope.ONE:
            return None
        standing = ticket.kind is TicketKind.SUPPORT and ticket.severity == 1
        for authorization in self._authorizations.get(resource.customer, {}).values():
            covered = authorization.ticket == ticket.id or (not authorization.ticket and standing)
            if (
                covered
                and authorization.is_active(now_us)
                and resource.data_class in authorization.data_classes
                and resource.action in authorization.actions
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
        return [grant for held in self._grants.values() for grant in held.values()]
