"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.identity import Kind, Principal


class ActorKind(StrEnum):
    """Whose person or program acts. Without it, a customer's user could bear the name of one of the vendor's people."""

    PERSONNEL = "personnel"
    CUSTOMER = "customer"
    SERVICE = "service"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts on the state.

    Attributes:
        name: the subject that the record names.
        roles: as the identity provider says.
        customer: set for a customer's own user: the customer.
        via: by what way they came, where that is not with a token of their own: the tool that acts for them, or the
            command line, as ``cli:ACCOUNT@NODE``; the record names it beside them.
        operator: at the keyboard of the gateway's own machine; may do everything, and is recorded all the same.
        service: a program: with a token of its own, a tracker, or the gateway itself.
        issuer: who vouched for them, or "".
        token: what their own token says, where they came with one.
    """

    name: str
    roles: frozenset[str] = frozenset()
    customer: str = ""
    operator: bool = False
    via: str = ""
    service: bool = False
    issuer: str = ""
    token: Principal | None = field(default=None, compare=False)

    @classmethod
    def of(cls, token: Principal, *, via: str = "") -> Actor:
        """Whoever came with this token."""
        service = token.kind is Kind.SERVICE
        return cls(
            token.subject, token.roles, token.customer, via=via, service=service, issuer=token.issuer, token=token
        )

    @property
    def kind(self) -> ActorKind:
        if self.customer:
            return ActorKind.CUSTOMER
        if self.service:
            return ActorKind.SERVICE
        return ActorKind.OPERATOR if self.operator else ActorKind.PERSONNEL

    def said(self) -> dict[str, str]:
        """What the details of an entry tell of whoever acts, beside the name."""
        told = {"actor_customer": self.customer, "actor_issuer": self.issuer, "via": self.via}
        return {"actor_kind": self.kind.value} | {name: value for name, value in told.items() if value}
