"""Who sees what, beyond what the permissions say may be read at all. What somebody may not see is not there for them.

* A customer's own user sees what is their customer's, and nothing else.
* Requests and grants of others are for whom ``access.read-all`` names; else one sees one's own.
* Passes of others, likewise.
* A denial is for who was denied, and for who may assign tickets.
* Security tickets are for whom ``ticket.read-security`` names, and for who holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.acts import Actor, Permissions
from gateway.acts.passes import is_own
from gateway.catalog.customers import Customer
from gateway.identity import TransferPass, UploadAccount
from gateway.justification import AccessRequest, Authorization, Grant, Ticket, TicketKind


@dataclass(frozen=True, slots=True)
class Sight:
    """What one actor sees."""

    actor: Actor
    permissions: Permissions

    def customer(self, customer: Customer) -> bool:
        return self._is_own(customer.id)

    def ticket(self, ticket: Ticket) -> bool:
        if self.actor.customer:
            return ticket.customers == (self.actor.customer,) and ticket.kind is not TicketKind.SECURITY
        is_open_to_all = ticket.kind is not TicketKind.SECURITY or ticket.holder == self.actor.name
        return is_open_to_all or self.permissions.allows(self.actor, "ticket.read-security")

    def access(self, noun: AccessRequest | Grant) -> bool:
        """Whether a request or a grant is seen."""
        if self.actor.customer:
            return self._is_own(noun.customer)
        return noun.subject == self.actor.name or self.permissions.allows(self.actor, "access.read-all")

    def upload(self, account: UploadAccount) -> bool:
        return self._is_own(account.customer)

    def transfer_pass(self, given: TransferPass) -> bool:
        """Whether a pass is seen: by its holder, and by whoever sees everybody's."""
        if self.actor.customer:
            return False
        return is_own(self.actor, given) or self.permissions.allows(self.actor, "access.read-all")

    def pass_limits(self) -> dict[str, str]:
        """What every pass that is seen has in common."""
        if self.permissions.allows(self.actor, "access.read-all") and not self.actor.customer:
            return {}
        return {"subject": self.actor.name, "issuer": self.actor.issuer}

    def authorization(self, authorization: Authorization) -> bool:
        return self._is_own(authorization.customer)

    def decision(self, decision: Mapping[str, object]) -> bool:
        """Whether a denial is seen, to be handed over: by who was denied, and by who assigns tickets."""
        own = decision.get("subject") == self.actor.name
        return not self.actor.customer and (own or self.permissions.allows(self.actor, "ticket.assign"))

    def access_limits(self) -> dict[str, str]:
        """What every request and grant that is seen has in common."""
        if self.actor.customer:
            return {"customer": self.actor.customer}
        return {} if self.permissions.allows(self.actor, "access.read-all") else {"subject": self.actor.name}

    def _is_own(self, customer: str) -> bool:
        return self.actor.customer in ("", customer)
