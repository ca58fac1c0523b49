"""What a call is answered from, and what is known of it for the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.acts import Actor, Office
from gateway.console.errand import Tracking
from gateway.identity import Principal
from gateway.justification import Ticket, Usage
from gateway.ledger.entry import administrative
from gateway.ledger.reader import LedgerReader
from gateway.masking import masked
from gateway.ports import AddressResolving

MAX_TOLD = 256
_TOLD = ("customer", "ticket", "grant", "subject", "holder", "state", "kind")
Entry = Mapping[str, object]


class Authenticating(Protocol):
    """Of the doors' port, what is needed here: people come with tokens of their own."""

    async def authenticate(self, authorization: str | None, on_behalf_of: str | None = None) -> Principal: ...


class Limiting(Protocol):
    """How much one may call; see :class:`gateway.proxy.limits.SubjectLimits`."""

    def enter(self, subject: Any) -> float | None: ...

    def leave(self, subject: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What calls are answered from, under one configuration.

    Attributes:
        office: what acts work with; its ``record``, ``elsewhere`` and ``homeward`` are not used.
        authenticator, resolver: the same that the doors have.
        limits: how much one person may call.
        usage: what was read under a grant so far.
        ledger: opens the ledger for reading.
        elsewhere: a ticket of another system, as that says it is now; None where it has none; raises TrackerUnavailable
            where it does not say.
        tracking: sends tickets of other systems home.
    """

    office: Office
    authenticator: Authenticating
    resolver: AddressResolving
    limits: Limiting
    usage: Callable[[str], Usage]
    ledger: Callable[[], LedgerReader]
    elsewhere: Callable[[str], Awaitable[Ticket | None]]
    tracking: Tracking


@dataclass(slots=True)
class Visit:
    """What is known of a call, for the record.

    Attributes:
        client: the client's address; the peer's where it cannot be told.
        name: of the operation, or ``unknown``.
        thing: the id in the path.
        asked: what else was asked for by name.
        actor: who calls, once that is known.
        entries: how many an act has written.
    """

    around: Surroundings
    client: str
    name: str
    thing: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    actor: Actor | None = None
    entries: int = 0

    @property
    def caller(self) -> tuple[str, ...]:
        """Whose calls are counted together."""
        return (self.actor.name, self.actor.customer) if self.actor else (self.client,)

    def ask(self, *sources: object) -> None:
        """Keep what a query or a body names: ids, kinds and states, and no free text."""
        for source in sources:
            found = {name: getattr(source, name, None) for name in _TOLD}
            self.asked |= {name: told(value) for name, value in found.items() if isinstance(value, str) and value}

    def entry(self, outcome: str, status: int, **details: str | int) -> Entry:
        """The administrative entry of the call.

        Args:
            outcome: ``shown``, ``unchanged``, ``replayed``, or the kind of problem.
        """
        office = self.around.office
        said = {"outcome": outcome, "status": status, "client_address": self.client, **self.asked, **details}
        who = self.actor.said() if self.actor else {}
        return administrative(
            clock=office.clock,
            node=office.node,
            actor=self.actor.name if self.actor else "",
            act=f"api.{self.name}",
            subject=self.thing,
            details={**said, **who},
        )

    def located(self, entry: Entry) -> Entry:
        """What an act says of itself, and from where it was called."""
        details = entry["details"]
        return {**entry, "details": {**details, "client_address": self.client}} if isinstance(details, dict) else entry


def told(text: str) -> str:
    """Text of a caller as it is recorded: without a credential, bounded, and Unicode."""
    return masked(text).encode("utf-8", "replace").decode()[:MAX_TOLD]
