"""Properties of a policy, checked over every possible combination of facts.

Each property is a small function over the full decision table: it yields, for each row that it speaks about, that row
and whether the property holds there. A property that speaks about no row at all fails: it would prove nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from gateway.catalog.resource import Action, Scope
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy.engine import Policy, key_of
from gateway.policy.facts import Effect, Facts, Plan, Verdict
from gateway.policy.roles import RoleScope
from gateway.policy.rules import CONSENTS, FORBIDS, PERMITS, REASONS
from gateway.policy.space import NAMES, Row

Key = tuple[Any, ...]
Checked = Iterator[tuple[Facts, bool]]

# What speaks for the requester, weaker → stronger.
STRONGER: Mapping[str, Mapping[Any, Any]] = {
    "role": {RoleScope.DENIED: RoleScope.BY_GRANT, RoleScope.BY_GRANT: RoleScope.ALLOWED},
    "location": {Assurance.UNASSURED: Assurance.OUTSIDE, Assurance.OUTSIDE: Assurance.HOME},
    **{name: {False: True} for name in ("infosec", "engineer", "own_customer", "incident", "grant", "authorization")},
    "storage_home": {False: True},
    "support_closed": {True: False},
}
# What is not known → what may be found out.
KNOWN: Mapping[str, Mapping[Any, Any]] = {
    "plan": {Plan.UNKNOWN: Plan.IN_EFFECT},
    "location": {Assurance.UNASSURED: Assurance.OUTSIDE},
    "scope": {Scope.UNKNOWN: Scope.ONE},
}


class Table:
    """The full decision table of a policy, with what the properties look up in it."""

    def __init__(self, policy: Policy, rows: Sequence[Row]) -> None:
        self.policy = policy
        self.rows = rows

    @cached_property
    def by_key(self) -> dict[Key, Verdict]:
        """The verdict by the values of the facts."""
        return {key_of(facts): verdict for facts, verdict in self.rows}

    @cached_property
    def permitted(self) -> list[Row]:
        """The rows that let something through."""
        return [row for row in self.rows if row.verdict.effect is Effect.PERMIT]

    def permitted_with(self, facts: Facts, change: Mapping[str, Mapping[Any, Any]]) -> Iterator[bool]:
        """Whether it would be permitted too with one fact changed, for each change that is possible."""
        key = key_of(facts)
        for name, steps in change.items():
            index = NAMES.index(name)
            if key[index] in steps:
                verdict = self.by_key.get((*key[:index], steps[key[index]], *key[index + 1 :]))
                if verdict is not None:
                    yield verdict.effect is Effect.PERMIT


def consent_needed(table: Table) -> Checked:
    """Outside home, the vendor's people reach a protected customer's data only under one of the named consents.

    Contract: "Notwithstanding the foregoing, Customer consents to the access … under the following circumstances".
    """
    for facts, verdict in table.permitted:
        if _vendor_outside(facts):
            yield facts, bool(CONSENTS.intersection(verdict.rules)) and _has_consent(facts)


def reading_only(table: Table) -> Checked:
    """Outside home, nothing but reading without a grant or a customer's authorization.

    Contract: the consents speak of "access".
    """
    for facts, _ in table.permitted:
        if _vendor_outside(facts) and facts.action is not Action.READ:
            yield facts, facts.grant or facts.authorization


def stronger_never_denied(table: Table) -> Checked:
    """Taking away a fact that speaks for the requester never turns a denial into a permit.

    Contract: each exception is something that must be there.
    """
    for facts, _ in table.permitted:
        for permitted in table.permitted_with(facts, STRONGER):
            yield facts, permitted


def unknown_never_better(table: Table) -> Checked:
    """What is unknown is never treated better than what is known: plan, location, customer.

    Contract: "in the United States only".
    """
    for facts, _ in table.permitted:
        for permitted in table.permitted_with(facts, KNOWN):
            yield facts, permitted


def customers_apart(table: Table) -> Checked:
    """A customer's own users never reach another customer's data.

    Contract: each order is one customer's.
    """
    for facts, verdict in table.rows:
        if facts.principal is Kind.CUSTOMER and not facts.own_customer:
            yield facts, verdict.effect is Effect.DENY and "other-customer" in verdict.rules


def services_without_exception(table: Table) -> Checked:
    """A program uses none of the consents, and reaches a protected customer's data from home only.

    Contract: the consents name personnel.
    """
    for facts, verdict in table.permitted:
        if facts.principal is Kind.SERVICE:
            at_home = facts.location is Assurance.HOME or facts.plan is Plan.NONE
            yield facts, at_home and not CONSENTS.intersection(verdict.rules)


def nothing_kept_outside(table: Table) -> Checked:
    """Every permit for a protected customer's data to somebody not at home carries no-store.

    Contract: "storage of Customer Data … will occur only in the United States".
    """
    for facts, verdict in table.permitted:
        if facts.plan is not Plan.NONE and facts.location is not Assurance.HOME:
            yield facts, "no-store" in verdict.obligations


def exceptions_counted(table: Table) -> Checked:
    """Every permit under an exception outside home carries read-cap.

    Contract: "as necessary", "solely".
    """
    for facts, verdict in table.permitted:
        if _vendor_outside(facts):
            yield facts, "read-cap" in verdict.obligations


def denials_named(table: Table) -> Checked:
    """Every denial names rules that deny, and only such; its clause is the first one's.

    Contract: whoever is refused is told why.
    """
    for facts, verdict in table.rows:
        if verdict.effect is Effect.DENY:
            yield facts, _named(table, verdict, {*FORBIDS, *REASONS})


def permits_named(table: Table) -> Checked:
    """Every permit names rules that permit, and only such; its clause is the first one's.

    Contract: an auditor is told what an access rested on.
    """
    for facts, verdict in table.permitted:
        yield facts, _named(table, verdict, set(PERMITS))


def forbids_final(table: Table) -> Checked:
    """No forbid is overridden: where one applies, asked alone, nothing is permitted.

    Contract: deny by default; a forbid beats every permit.
    """
    forbidding = table.policy.forbidding([facts for facts, _ in table.permitted])
    for row, rules in zip(table.permitted, forbidding, strict=True):
        yield row.facts, not rules


def stored_at_home(table: Table) -> Checked:
    """Nothing of a protected customer is written to a store that is not at home, by anybody.

    Contract: "stored only in the United States".
    """
    for facts, verdict in table.rows:
        if facts.action is Action.WRITE and facts.plan is not Plan.NONE and not facts.storage_home:
            yield facts, verdict.effect is Effect.DENY and "storage-home" in verdict.rules


def role_is_the_most(table: Table) -> Checked:
    """What the role table denies is never permitted; what it gives by grant, not without grant or authorization.

    Contract: "as necessary" (least privilege).
    """
    for facts, verdict in table.rows:
        by_grant = facts.role is RoleScope.BY_GRANT and not (facts.grant or facts.authorization)
        if facts.role is RoleScope.DENIED or by_grant:
            yield facts, verdict.effect is Effect.DENY and "role" in verdict.rules


def support_in_hours(table: Table) -> Checked:
    """Outside the support window, a severity 2-4 ticket opens no protected customer's data to a support analyst.

    Contract: "from 8:00am to 8:00pm eastern standard time (Monday-Friday)".
    """
    for facts, verdict in table.rows:
        if facts.support_closed and facts.principal is Kind.PERSONNEL and facts.plan is not Plan.NONE:
            yield facts, verdict.effect is Effect.DENY and "support-hours" in verdict.rules


PROPERTIES: tuple[Callable[[Table], Checked], ...] = (
    consent_needed,
    reading_only,
    stronger_never_denied,
    unknown_never_better,
    customers_apart,
    services_without_exception,
    nothing_kept_outside,
    exceptions_counted,
    denials_named,
    permits_named,
    forbids_final,
    stored_at_home,
    role_is_the_most,
    support_in_hours,
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one property.

    Attributes:
        name: of the property.
        says: what it promises, and the contract's words.
        checked: how many cases it speaks about.
        failed: how many of them it does not hold for.
        counterexample: the first of these, for people; "" if there is none.
    """

    name: str
    says: str
    checked: int
    failed: int
    counterexample: str = ""

    @property
    def holds(self) -> bool:
        """Whether it holds everywhere, and speaks about something."""
        return self.checked > 0 and self.failed == 0


def prove(policy: Policy, rows: Sequence[Row]) -> list[Proof]:
    """Every property, and that no rule is dead, over the full table of a policy."""
    table = Table(policy, rows)
    return [_proof(each, table) for each in PROPERTIES] + [_rules_alive(table)]


def describe(facts: Facts, verdict: Verdict) -> str:
    """A row in one line, saying only what sets it apart: flags that are false are left out."""
    values = {field.name: getattr(facts, field.name) for field in fields(facts)}
    words = [f"{name}={value}" for name, value in values.items() if not isinstance(value, bool)]
    flags = [name for name, value in values.items() if value is True]
    return f"{' '.join(words + flags)} → {verdict.effect} {', '.join(verdict.rules)}"


def _proof(prop: Callable[[Table], Checked], table: Table) -> Proof:
    checked = failed = 0
    first: Facts | None = None
    for facts, holds in prop(table):
        checked += 1
        if not holds:
            failed += 1
            first = first or facts
    says = " ".join((prop.__doc__ or "").split())
    counterexample = describe(first, table.by_key[key_of(first)]) if first else ""
    return Proof(prop.__name__.replace("_", "-"), says, checked, failed, counterexample)


def _rules_alive(table: Table) -> Proof:
    """A permit or forbid is alive if some row rests on it alone; a reason or obligation if some row names it."""
    alone = Counter(verdict.rules[0] for _, verdict in table.rows if len(verdict.rules) == 1)
    named = Counter(name for _, verdict in table.rows for name in (*verdict.rules, *verdict.obligations))
    dead = [name for name in table.policy.clauses if not (alone if name in (*PERMITS, *FORBIDS) else named)[name]]
    says = "Every rule decides something: some combination of facts rests on it. Contract: no sentence is idle."
    return Proof("rules-alive", says, len(table.policy.clauses), len(dead), f"dead: {', '.join(dead)}" if dead else "")


def _vendor_outside(facts: Facts) -> bool:
    return facts.principal is not Kind.CUSTOMER and facts.plan is not Plan.NONE and facts.location is not Assurance.HOME


def _has_consent(facts: Facts) -> bool:
    """Whether the facts themselves hold what one of the consents asks for, whatever the policy called it."""
    return (
        facts.data in ("crm_account", "ftp_upload")
        or (facts.infosec and facts.incident)
        or (facts.engineer and facts.grant)
        or facts.authorization
    )


def _named(table: Table, verdict: Verdict, among: set[str]) -> bool:
    return set(verdict.rules) <= among and verdict.clause == table.policy.clauses[verdict.rules[0]]
