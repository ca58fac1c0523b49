"""The properties hold for the shipped policy, and each can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.catalog.resource import Action, Scope
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy import Effect, Facts, Plan, Policy, RoleScope
from gateway.policy.prove import PROPERTIES, Proof, Table, describe, prove
from gateway.policy.space import Row


def test_all_properties_hold(proofs: list[Proof]) -> None:
    """Over every combination, without a counterexample."""
    assert [proof for proof in proofs if not proof.holds] == []
    assert len(proofs) == len(PROPERTIES) + 1


def test_properties_quote_the_contract(proofs: list[Proof]) -> None:
    """Each says what it promises and where that comes from."""
    assert all("Contract: " in proof.says for proof in proofs)


def test_property_about_nothing_does_not_hold(policy: Policy) -> None:
    """Over an empty table nothing is proved."""
    assert not any(proof.holds for proof in prove(policy, []))


def permit(row: Row, rule: str, *obligations: str) -> Row:
    verdict = replace(row.verdict, effect=Effect.PERMIT, rules=(rule,), obligations=obligations, clause="wrong")
    return Row(row.facts, verdict)


Where = Callable[[Facts], bool]
OUTSIDE: Where = lambda f: f.location is Assurance.OUTSIDE and f.plan is Plan.IN_EFFECT  # noqa: E731
# property → a row of this kind, wrongly permitted under this rule, shows that it can fail
DAMAGE: dict[str, tuple[Where, str]] = {
    "consent-needed": (lambda f: OUTSIDE(f) and f.principal is Kind.PERSONNEL, "home-personnel"),
    "reading-only": (
        lambda f: (
            OUTSIDE(f)
            and f.principal is Kind.PERSONNEL
            and f.action is Action.EXPORT
            and not (f.grant or f.authorization)
        ),
        "crm-account",
    ),
    "stronger-never-denied": (lambda f: f.role is RoleScope.DENIED and f.location is Assurance.UNASSURED, "no-plan"),
    "unknown-never-better": (lambda f: f.plan is Plan.UNKNOWN and f.location is Assurance.UNASSURED, "no-plan"),
    "customers-apart": (lambda f: f.principal is Kind.CUSTOMER and not f.own_customer, "customer-own-data"),
    "services-without-exception": (lambda f: OUTSIDE(f) and f.principal is Kind.SERVICE, "crm-account"),
    "nothing-kept-outside": (OUTSIDE, "crm-account"),
    "exceptions-counted": (lambda f: OUTSIDE(f) and f.principal is Kind.PERSONNEL, "crm-account"),
    "permits-named": (lambda f: f.scope is Scope.ONE, "outside-home"),
    "forbids-final": (lambda f: f.role is RoleScope.DENIED, "no-plan"),
    "stored-at-home": (
        lambda f: f.action is Action.WRITE and f.plan is Plan.UNKNOWN and not f.storage_home,
        "home-personnel",
    ),
    "role-is-the-most": (lambda f: f.role is RoleScope.BY_GRANT and not (f.grant or f.authorization), "home-personnel"),
    "support-in-hours": (lambda f: f.support_closed and f.plan is Plan.IN_EFFECT, "home-personnel"),
}


def failures(policy: Policy, rows: list[Row], name: str) -> list[Facts]:
    prop = next(each for each in PROPERTIES if each.__name__.replace("_", "-") == name)
    return [facts for facts, holds in prop(Table(policy, rows)) if not holds]


@pytest.mark.parametrize("name", DAMAGE)
def test_wrong_permit_is_found(policy: Policy, rows: list[Row], name: str) -> None:
    """One row permitted wrongly in the whole table is a counterexample."""
    where, rule = DAMAGE[name]
    index = next(i for i, row in enumerate(rows) if where(row.facts) and row.verdict.effect is Effect.DENY)
    damaged = [*rows[:index], permit(rows[index], rule), *rows[index + 1 :]]
    assert rows[index].facts in failures(policy, damaged, name)


def test_denial_under_a_permits_name_is_found(policy: Policy, rows: list[Row]) -> None:
    """A denial must name what denies."""
    index = next(i for i, row in enumerate(rows) if row.verdict.effect is Effect.DENY)
    wrong = Row(rows[index].facts, replace(rows[index].verdict, rules=("home-personnel",)))
    damaged = [*rows[:index], wrong, *rows[index + 1 :]]
    assert failures(policy, damaged, "denials-named") == [rows[index].facts]


def test_counterexample_is_shown_and_dead_rule_named(policy: Policy, rows: list[Row]) -> None:
    """What fails is told with a row, a rule on which no row rests by its name."""
    vendor = [row for row in rows if row.facts.principal is Kind.PERSONNEL and OUTSIDE(row.facts)]
    few = [permit(row, "no-plan") for row in vendor[::500]]
    found = {proof.name: proof for proof in prove(policy, few)}
    assert not found["consent-needed"].holds
    assert found["consent-needed"].failed == found["consent-needed"].checked > 0
    assert "→ permit no-plan" in found["consent-needed"].counterexample
    assert found["rules-alive"].counterexample.startswith("dead: customer-own-data, home-personnel")


def test_description_leaves_out_what_is_false(policy: Policy, facts: Facts) -> None:
    """Only flags that are set stand in the line."""
    told = describe(facts, policy.decide(facts))
    assert told.endswith("storage_home → permit home-personnel")
    assert "grant" not in told.replace("by_grant", "")
