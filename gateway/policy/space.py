"""The space of facts: every combination that can occur, and the verdict on each.

A combination is left out only where the meaning of a fact rules it out (:data:`EXCLUSIONS`, each with its reason),
never because a verdict on it would not matter: what is improbable, or prevented by the role table as shipped, stays in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from itertools import islice, product
from math import prod
from typing import Any, NamedTuple, get_type_hints

from gateway.catalog.resource import Scope
from gateway.identity.principal import Kind
from gateway.policy.engine import Policy
from gateway.policy.facts import DataKind, Facts, Verdict

_BATCH = 2_000
_KINDS = get_type_hints(Facts)
NAMES = tuple(field.name for field in fields(Facts))
DOMAIN: Mapping[str, tuple[Any, ...]] = {
    name: tuple(_KINDS[name]) if issubclass(_KINDS[name], Enum) else (False, True) for name in NAMES
}


@dataclass(frozen=True, slots=True)
class Exclusion:
    """For these principals and scopes, a fact has only one value.

    Attributes:
        fact: the name of the fact.
        only: the one value that it can have.
        principals, scopes: for whom; all of them unless told.
        why: the reason.
    """

    fact: str
    only: Any
    why: str
    principals: frozenset[Kind] = frozenset(Kind)
    scopes: frozenset[Scope] = frozenset(Scope)

    def holds(self, principal: Kind, scope: Scope) -> bool:
        """Whether it speaks about this principal and scope."""
        return principal in self.principals and scope in self.scopes


_VENDOR = frozenset({Kind.PERSONNEL, Kind.SERVICE})
_CUSTOMER = frozenset({Kind.CUSTOMER})
_NAMELESS = frozenset({Scope.UNKNOWN, Scope.UNROUTED})

EXCLUSIONS = (
    Exclusion("own_customer", False, "the vendor's people and programs belong to no customer", principals=_VENDOR),
    Exclusion(
        "own_customer",
        False,
        "several customers, or none, are not one's own",
        scopes=frozenset({Scope.MANY, Scope.UNROUTED}),
    ),
    Exclusion("infosec", False, "a customer's user has exactly the role customer", principals=_CUSTOMER),
    Exclusion("engineer", False, "a customer's user has exactly the role customer", principals=_CUSTOMER),
    Exclusion("grant", False, "grants are made to the vendor's people", principals=_CUSTOMER),
    Exclusion("authorization", False, "a customer authorizes the vendor's people", principals=_CUSTOMER),
    Exclusion("grant", False, "a grant names exactly one customer", scopes=frozenset(Scope) - {Scope.ONE}),
    Exclusion("authorization", False, "a customer that cannot be named has authorized nothing", scopes=_NAMELESS),
    Exclusion(
        "support_closed",
        False,
        "only a person of the vendor's is a support analyst",
        principals=frozenset(Kind) - {Kind.PERSONNEL},
    ),
    Exclusion("data", DataKind.OTHER, "without a route there is no data class", scopes=frozenset({Scope.UNROUTED})),
)


class Row(NamedTuple):
    """One line of the full decision table."""

    facts: Facts
    verdict: Verdict


def domain(principal: Kind, scope: Scope) -> dict[str, tuple[Any, ...]]:
    """The values that each fact can have for this principal and scope."""
    told = {"principal": (principal,), "scope": (scope,)}
    only = {each.fact: (each.only,) for each in EXCLUSIONS if each.holds(principal, scope)}
    return {**DOMAIN, **told, **only}


def impossible(facts: Facts) -> str:
    """Why these facts cannot occur together, or "" if they can."""
    for each in EXCLUSIONS:
        if each.holds(facts.principal, facts.scope) and getattr(facts, each.fact) is not each.only:
            return f"{each.fact} cannot be {getattr(facts, each.fact)}: {each.why}"
    return ""


def every_fact() -> Iterator[Facts]:
    """Every possible combination of facts, once."""
    for principal, scope in product(Kind, Scope):
        for values in product(*domain(principal, scope).values()):
            yield Facts(*values)


def decide_every(policy: Policy, *, advance: Callable[[int], object] = lambda _rows: None) -> list[Row]:
    """The verdict on every possible combination of facts.

    Args:
        policy: which one is asked.
        advance: told the number of rows after each batch, for a progress bar.
    """
    rows: list[Row] = []
    for batch in _batches():
        rows += map(Row, batch, policy.decide_all(batch))
        advance(len(batch))
    return rows


def count() -> int:
    """How many combinations there are, without listing them."""
    return sum(
        prod(len(values) for values in domain(principal, scope).values()) for principal, scope in product(Kind, Scope)
    )


def _batches() -> Iterator[list[Facts]]:
    facts = every_fact()
    while batch := list(islice(facts, _BATCH)):
        yield batch
