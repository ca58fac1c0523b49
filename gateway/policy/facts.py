"""The finite, frozen summary of an attempt that the policy sees, and the verdict it gives.

Every field is an enum or a boolean, so a verdict is a pure function that can be remembered, and the whole space can
be enumerated (:func:`gateway.policy.space.every_fact`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.catalog.resource import Action, Scope
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy.roles import RoleScope


class Plan(StrEnum):
    """Whether a plan is in effect for the customer. ``UNKNOWN`` is judged as in effect."""

    NONE = "none"
    IN_EFFECT = "in_effect"
    UNKNOWN = "unknown"


class DataKind(StrEnum):
    """The data classes that the contract treats apart; all the rest are ``OTHER``."""

    CRM_ACCOUNT = "crm_account"
    FTP_UPLOAD = "ftp_upload"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was established about one attempt.

    Attributes:
        principal: whose person or program asks.
        role: what the principal's roles allow for this data class and action.
        infosec, engineer: whether these roles are held (consents 2 and 4 name them).
        own_customer: a customer's own user asks for its own customer's data.
        location: for the home of the customer's plan.
        scope: whether one customer, several, none that is known, or no route at all.
        plan: whether a plan is in effect (for ``Scope.MANY``: for any of them).
        data: which of the contract's data classes.
        action: what is to be done.
        incident: an *open* security ticket that names this customer is cited.
        grant: an active grant covers exactly this person, customer, data class, action and the open bug ticket cited.
        authorization: a customer's authorization covers this person's access, data class, action and the open case
            cited, which is of severity 1 unless the authorization goes further.
        storage_home: the store is declared in home and its address resolves there.
        support_closed: a support analyst cites a severity 2-4 ticket outside the support window.
    """

    principal: Kind
    role: RoleScope
    infosec: bool
    engineer: bool
    own_customer: bool
    location: Assurance
    scope: Scope
    plan: Plan
    data: DataKind
    action: Action
    incident: bool
    grant: bool
    authorization: bool
    storage_home: bool
    support_closed: bool


class Effect(StrEnum):
    """What the policy says."""

    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer.

    Attributes:
        effect: permit or deny.
        rules: ids of every determining rule, the one to show first.
        clause: where in the contract the first rule comes from (its ``@clause``).
        obligations: such as ``("no-store", "read-cap")``.
    """

    effect: Effect
    rules: tuple[str, ...]
    clause: str
    obligations: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The rule to show."""
        return self.rules[0]
