"""The policy against an independent oracle, on every row; and the oracle against policies broken on purpose."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cedarpy import Schema

from gateway.policy import Policy, Verdict, default_directory
from gateway.policy.roles import load_roles
from gateway.policy.rules import Part, Rule, read_rules
from gateway.policy.space import Row
from tests.unit.policy.oracle import judge

SHIPPED = default_directory()
SCHEMA = Schema.from_str((SHIPPED / "us_only.cedarschema").read_text("utf-8"))
RULES = read_rules((SHIPPED / "us_only.cedar").read_text("utf-8"), SCHEMA, name="us_only.cedar")


def said(verdict: Verdict) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return verdict.effect.value, verdict.rules, verdict.obligations


def test_every_possible_combination_is_judged_as_the_contract_says(rows: list[Row]) -> None:
    """Effect, all rules in their order, and obligations agree with the oracle on every row."""
    wrong = [(facts, verdict, judge(facts)) for facts, verdict in rows if said(verdict) != judge(facts)]
    assert wrong[:3] == []


@pytest.fixture(scope="module")
def samples(rows: list[Row]) -> dict[str, list[Row]]:
    """For each rule some rows that it takes part in, and some of any kind."""
    chance = random.Random(7)
    by_rule: dict[str, list[Row]] = {rule.id: [] for rule in RULES}
    for row in rows:
        for name in (*row.verdict.rules, *row.verdict.obligations):
            by_rule[name].append(row)
    others = chance.sample(rows, 400)
    return {name: chance.sample(found, min(len(found), 300)) + others for name, found in by_rule.items()}


def differs(rules: list[Rule], sample: list[Row]) -> bool:
    """Whether the oracle tells these rules from the right ones."""
    policy = Policy(rules, SCHEMA, roles=load_roles(SHIPPED / "roles.toml"), version="broken")
    try:
        verdicts = policy.decide_all([row.facts for row in sample])
    except Exception:  # refusing to answer is seen as well
        return True
    return any(said(verdict) != judge(row.facts) for row, verdict in zip(sample, verdicts, strict=True))


def test_unbroken_rules_pass_the_sample(samples: dict[str, list[Row]]) -> None:
    """The comparison that the tests below expect to fail holds for the rules as shipped."""
    assert not differs(list(RULES), samples["role"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_dropped_rule_is_noticed(rule: Rule, samples: dict[str, list[Row]]) -> None:
    """No rule can be taken away without the oracle seeing it."""
    assert differs([each for each in RULES if each is not rule], samples[rule.id])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_flipped_rule_is_noticed(rule: Rule, samples: dict[str, list[Row]]) -> None:
    """No permit can become a forbid, nor a forbid a permit."""
    was, becomes = ("forbid", "permit") if rule.part is Part.FORBID else ("permit", "forbid")
    part = {Part.FORBID: Part.PERMIT, Part.PERMIT: Part.FORBID}.get(rule.part, rule.part)
    flipped = replace(rule, text=rule.text.replace(f"{was} (", f"{becomes} (", 1), part=part)
    assert differs([flipped if each is rule else each for each in RULES], samples[rule.id])


def mutants() -> Iterator[tuple[str, Rule, Rule]]:
    """Each rule with one operator or one fact changed."""
    changes = {"==": "!=", "!=": "==", "&&": "||", "||": "&&", "when": "unless", "unless": "when"}
    for rule in RULES:
        head, body = rule.text.split("resource)", 1)
        for found in re.finditer(r"==|!=|&&|\|\||\bwhen\b|\bunless\b|context\.(\w+)(?!\w| [=!]=)", body):
            new = changes.get(found[0], f"!{found[0]}")
            text = f"{head}resource){body[: found.start()]}{new}{body[found.end() :]}"
            name = (
                f"{rule.id}: {new} at {found.start()}: {' '.join(body[found.start() - 20 : found.end() + 12].split())}"
            )
            yield name, rule, replace(rule, text=text)


@pytest.mark.parametrize(("rule", "mutant"), [m[1:] for m in mutants()], ids=[m[0] for m in mutants()])
def test_changed_condition_is_noticed(rule: Rule, mutant: Rule, samples: dict[str, list[Row]]) -> None:
    """No operator of a condition can change without the oracle seeing it."""
    assert differs([mutant if each is rule else each for each in RULES], samples[rule.id])
