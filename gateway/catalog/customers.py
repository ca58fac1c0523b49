"""Customers and their plans, in memory.

A look-up is one dictionary access however many there are. Instants are microseconds since the epoch; 0 stands for
"not yet" or "no end". Source: contract reading, *The plan*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CUSTOMER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class CustomerPlan:
    """One purchase of a plan.

    Attributes:
        id: of the purchase.
        name: which plan, such as ``us-only``.
        home: the plan's own jurisdiction, as ISO 3166-1 alpha-2 codes; none named: the policy's (:meth:`home_or`).
        seats: bought.
        ordered_us, due_us: when it was ordered, and when it begins by itself at the latest.
        enabled_us: when an operator enabled it, or 0.
        ends_us: when it ended or will, or 0.
        new: bought by a new customer, so in effect from onboarding (``enable-new``).
        begun_us: when it was seen to have begun by itself, being due and not enabled, or 0.
        recorded_us: when the order was typed in, which may be later than when the customer made it: it never began
            before. 0 where that is not known.
        past_seats: how many there were before, each with the instant until which there were.
    """

    id: str
    name: str
    home: tuple[str, ...]
    seats: int
    ordered_us: int
    due_us: int
    enabled_us: int = 0
    ends_us: int = 0
    new: bool = False
    begun_us: int = 0
    recorded_us: int = 0
    past_seats: tuple[tuple[int, int], ...] = ()

    def is_overdue(self, instant_us: int) -> bool:
        """Whether it was due and nobody enabled it, though it goes on."""
        return not self.enabled_us and self.is_in_effect(instant_us)

    @property
    def starts_us(self) -> int:
        """When it begins: when it was enabled, when due at the latest (``enable-existing``)."""
        begins_us = min(self.enabled_us, self.due_us) if self.enabled_us else self.due_us
        return max(begins_us, self.recorded_us)

    def is_in_effect(self, instant_us: int) -> bool:
        return self.starts_us <= instant_us and (not self.ends_us or instant_us < self.ends_us)

    def ever_begins(self) -> bool:
        """Whether it does not end before it would begin by itself."""
        return not self.ends_us or self.starts_us < self.ends_us

    def home_or(self, default: frozenset[str]) -> frozenset[str]:
        """What is home to this plan: what it lists itself, else the policy's."""
        return frozenset(self.home) or default


def shared_home(homes: Iterable[frozenset[str]], default: frozenset[str]) -> frozenset[str]:
    """What is home to several plans: what they share; without any of them the policy's."""
    each = list(homes)
    return frozenset.intersection(*each) if each else default


@dataclass(frozen=True, slots=True)
class Customer:
    """A company that bought the service, and every plan it ever had.

    An access request for its data needs so many ``approvers``, and its own ``consent`` if it says so.
    """

    id: str
    name: str
    plans: tuple[CustomerPlan, ...] = ()
    approvers: int = 1
    consent: bool = False

    def running(self, instant_us: int) -> CustomerPlan | None:
        """The plan that has not ended, in effect or ordered."""
        return next((plan for plan in self.plans if not plan.ends_us or plan.ends_us > instant_us), None)

    def plan_at(self, instant_us: int) -> CustomerPlan | None:
        """The plan in effect at an instant; of several, the one that began last."""
        latest: CustomerPlan | None = None
        for plan in self.plans:
            if plan.is_in_effect(instant_us) and (latest is None or plan.starts_us > latest.starts_us):
                latest = plan
        return latest


class Customers:
    """The customers that the gateway knows."""

    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._with_plans: set[str] = set()
        self._unbegun: dict[str, Customer] = {}
        self._homes: frozenset[frozenset[str]] | None = None  # of all plans; None when it has to be gathered anew

    def put(self, customer: Customer) -> None:
        """Take a customer in, in place of what was known of it."""
        self._customers[customer.id] = customer
        self._homes = None
        (self._with_plans.add if customer.plans else self._with_plans.discard)(customer.id)
        if any(not (plan.enabled_us or plan.begun_us) and plan.ever_begins() for plan in customer.plans):
            self._unbegun[customer.id] = customer
        else:
            self._unbegun.pop(customer.id, None)

    def unbegun(self) -> tuple[Customer, ...]:
        """Those with a plan that nobody enabled and nobody saw begin; to be called from any thread."""
        return tuple(self._unbegun.values())

    def get(self, key: str) -> Customer | None:
        return self._customers.get(key)

    def remove(self, key: str) -> None:
        """Forget a customer; one that is not known stays so."""
        self._customers.pop(key, None)
        self._unbegun.pop(key, None)
        self._homes = None
        self._with_plans.discard(key)

    def __len__(self) -> int:
        return len(self._customers)

    def common_home(self, default: frozenset[str]) -> frozenset[str]:
        """What is home to every plan that any customer ever had; ``default`` to those that list nothing themselves."""
        if self._homes is None:
            plans = (plan for key in self._with_plans for plan in self._customers[key].plans)
            self._homes = frozenset(frozenset(plan.home) for plan in plans)
        return shared_home((home or default for home in self._homes), default)

    def protected(self, instant_us: int) -> Iterator[Customer]:
        """Every customer with a plan in effect."""
        held = (self._customers[key] for key in self._with_plans)
        return (customer for customer in held if customer.plan_at(instant_us))

    def any_protected(self, instant_us: int) -> bool:
        """Whether any customer has a plan in effect."""
        return next(self.protected(instant_us), None) is not None

    def next_change_us(self, instant_us: int) -> int | None:
        """The first instant after the one given at which some plan begins or ends, or None."""
        plans = (plan for key in self._with_plans for plan in self._customers[key].plans)
        changes = (change for plan in plans for change in (plan.starts_us, plan.ends_us))
        return min((change for change in changes if change > instant_us), default=None)
