"""The nouns between a door and the record: an approach, an attempt, a decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.catalog import Resource, Route, Target
from gateway.identity import Principal
from gateway.justification import Justification
from gateway.location import Location
from gateway.policy import Effect, Facts, Plan, Verdict

MAX_REASON = 1_000
MAX_TICKET = 128


class Approach(NamedTuple):
    """What a door knows of a request before anybody judged it.

    Attributes:
        door: which door, such as ``http``.
        method, target, host: as they came: the target is the raw request target.
        peer: the address at the other end of the connection.
        authorization: every credential that was presented; more than one is refused.
        on_behalf_of: the credential of the person that a service says it acts for.
        forwarded, x_forwarded_for: the lines of these headers.
        ticket, reason: why, as cited.
        header: every value of a header by name, for routes that name the customer in one.
        ambiguity: what makes the request readable in two ways, as the door found it, or "".
        certificate: the service that the client's verified certificate names, or "".
        account: what a client of a transfer door signed in with, as the authenticator knows it, or "".
    """

    door: str
    method: str
    target: str
    host: str
    peer: str
    authorization: Sequence[str] = ()
    on_behalf_of: Sequence[str] = ()
    forwarded: Sequence[str] = ()
    x_forwarded_for: Sequence[str] = ()
    ticket: str = ""
    reason: str = ""
    header: Callable[[str], Sequence[str]] = lambda _name: ()
    ambiguity: str = ""
    certificate: str = ""
    account: str = ""

    def towards(self, target: str) -> Approach:
        """The same, to another target."""
        return Approach(self.door, self.method, target, *self[3:])


class Attempt(NamedTuple):
    """Who, where, what and why, at an instant.

    ``out_of_hours``: a support analyst cites a case, other than of severity 1, outside the support window.
    """

    principal: Principal
    location: Location
    resource: Resource
    justification: Justification
    time_us: int
    home: frozenset[str]
    plan: Plan
    plan_id: str
    target: Target | None
    route: Route | None
    out_of_hours: bool = False


class Decision(NamedTuple):
    """An attempt and its verdict, as recorded under ``id`` at ``sequence``.

    ``allowed``: the methods that could have come, where the method is what was refused; else None.
    """

    id: str
    attempt: Attempt
    verdict: Verdict
    policy_version: str
    problem: str = ""
    facts: Facts | None = None
    allowed: tuple[str, ...] | None = None
    sequence: int = -1

    def at(self, sequence: int) -> Decision:
        """The same, recorded there."""
        return Decision(*self[:-1], sequence)

    @property
    def is_recorded(self) -> bool:
        """Whether it stands in the ledger, and is no mere rehearsal."""
        return self.sequence >= 0

    @property
    def permitted(self) -> bool:
        return self.verdict.effect is Effect.PERMIT
