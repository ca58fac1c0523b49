"""Loading a policy directory, and deciding."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.resource import Action, Scope
from gateway.errors import PolicyError
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy import Effect, Facts, Plan, Policy, RoleScope, default_directory, engine, load
from gateway.policy.engine import key_of
from gateway.policy.rules import IDS
from gateway.policy.space import every_fact


def test_permitted_verdict_names_rule_and_clause(policy: Policy, facts: Facts) -> None:
    """The plain case at home is permitted, with where that stands in the contract."""
    verdict = policy.decide(facts)
    assert (verdict.effect, verdict.rule) == (Effect.PERMIT, "home-personnel")
    assert verdict.clause == policy.clauses["home-personnel"] == "Special terms: support in the United States only"


def test_denied_verdict_carries_no_obligation(policy: Policy, facts: Facts) -> None:
    """Nothing flows, so nothing is to be observed."""
    verdict = policy.decide(replace(facts, location=Assurance.OUTSIDE))
    assert (verdict.effect, verdict.rules, verdict.obligations) == (Effect.DENY, ("outside-home",), ())


def test_forbid_beside_a_fitting_permit_does_not_blame_the_place(policy: Policy, facts: Facts) -> None:
    """Outside home under a grant, a wrong store is the one reason."""
    attempt = replace(
        facts, location=Assurance.OUTSIDE, engineer=True, grant=True, action=Action.WRITE, storage_home=False
    )
    assert policy.decide(attempt).rules == ("storage-home",)


def test_decision_is_remembered_and_equal_to_the_first(policy: Policy, facts: Facts) -> None:
    """The second answer is the very object of the first, and what a fresh evaluation says."""
    first = policy.decide(facts)
    assert policy.decide(replace(facts)) is first
    assert policy.decide_all([facts]) == [first]


def test_memory_is_bounded(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full it starts again, and the answers stay right."""
    monkeypatch.setattr(engine, "REMEMBERED", 2)
    policy = load(default_directory())
    for scope in Scope:
        assert policy.decide(replace(facts, scope=scope)).rules
        assert len(policy._remembered) <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"grant": "yes"},
        {"infosec": 1, "location": Assurance.OUTSIDE},
        {"role": "bogus"},
        {"location": "Home"},
        {"location": None},
        {"plan": True},
        {"principal": "customer"},
        {"action": "READ"},
    ],
    ids=str,
)
def test_fact_of_the_wrong_type_raises(policy: Policy, facts: Facts, wrong: dict[str, Any]) -> None:
    """Nothing ill-typed is ever decided on, so nothing ill-typed is permitted."""
    with pytest.raises(PolicyError, match=r"wrong type"):
        policy.decide_all([replace(facts, **wrong)])


def test_rule_that_fails_to_evaluate_raises(directory: Path, facts: Facts) -> None:
    """An arithmetic overflow inside one rule is not taken for a rule that does not apply."""
    source = directory / "us_only.cedar"
    text = source.read_text("utf-8").replace(
        "unless { context.own_customer };",
        "when { 9223372036854775807 + (if context.own_customer then 0 else 1) > 0 };",
    )
    source.write_text(text, "utf-8")
    with pytest.raises(PolicyError, match="could not be evaluated"):
        load(directory).decide(replace(facts, principal=Kind.CUSTOMER))


def test_verdict_without_a_rule_raises(policy: Policy, facts: Facts) -> None:
    """A denial that no rule explains is an error, not an answer."""
    rules = [rule for rule in _rules() if rule.id not in ("outside-home", "location-unassured", "many-customers")]
    silent = Policy(rules, policy._schema, roles=policy.roles, version="silent@0")
    with pytest.raises(PolicyError, match="no rule gives a reason"):
        silent.decide(replace(facts, location=Assurance.OUTSIDE))


def _rules() -> tuple[Any, ...]:
    from cedarpy import Schema

    from gateway.policy.rules import read_rules

    directory = default_directory()
    schema = Schema.from_str((directory / "us_only.cedarschema").read_text("utf-8"))
    return read_rules((directory / "us_only.cedar").read_text("utf-8"), schema, name="us_only.cedar")


def test_forbidding_names_the_forbids_alone(policy: Policy, facts: Facts) -> None:
    """Asked without the permits, the forbids say the same."""
    denied = replace(facts, role=RoleScope.DENIED, support_closed=True)
    assert policy.forbidding([facts, denied]) == [frozenset(), frozenset({"role", "support-hours"})]


def test_every_known_rule_has_a_clause(policy: Policy) -> None:
    """The ids of the reading and the rules of the file are the same set."""
    assert set(policy.clauses) == {name for names in IDS.values() for name in names}


def test_nothing_asked_is_nothing_answered(policy: Policy) -> None:
    """An empty batch is no error."""
    assert policy.decide_all([]) == []


def test_version_changes_with_any_policy_file(directory: Path) -> None:
    """The version is the name and a digest over rules, schema and role table, and nothing else."""
    before = load(directory).version
    assert before.startswith("us_only@")
    assert len(before) == len("us_only@") + 12
    (directory / "README.md").write_text("other", "utf-8")
    assert load(directory).version == before
    for name in ("us_only.cedar", "us_only.cedarschema", "roles.toml"):
        path = directory / name
        path.write_text(path.read_text("utf-8") + "\n", "utf-8")
        after = load(directory).version
        assert after != before
        before = after


def test_directory_without_a_policy_is_refused(tmp_path: Path) -> None:
    """An empty directory is not an empty policy."""
    with pytest.raises(PolicyError, match=r"exactly one \.cedar file, found none"):
        load(tmp_path)


def test_directory_with_two_policies_is_refused(directory: Path) -> None:
    """Which one is meant cannot be told."""
    (directory / "other.cedar").write_text("", "utf-8")
    with pytest.raises(PolicyError, match=r"found other\.cedar, us_only\.cedar"):
        load(directory)


def test_missing_schema_is_refused(directory: Path) -> None:
    """Without its schema a policy is not checked, so it is not used."""
    (directory / "us_only.cedarschema").unlink()
    with pytest.raises(PolicyError, match=r"us_only\.cedarschema: cannot be read \(FileNotFoundError\)"):
        load(directory)


def test_schema_that_does_not_parse_is_refused(directory: Path) -> None:
    """The line names the file."""
    (directory / "us_only.cedarschema").write_text("entity ;", "utf-8")
    with pytest.raises(PolicyError, match=r"us_only\.cedarschema: not a Cedar schema"):
        load(directory)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("infosec: Bool,", "infosec: Bool, extra: Bool,"), ("  plan: String,\n};", "  plan: String,\n  more: Bool,\n};")],
)
def test_schema_that_does_not_fit_the_facts_is_refused(directory: Path, was: str, becomes: str) -> None:
    """A schema that asks for more than the gateway establishes is found at start, not at the first request."""
    path = directory / "us_only.cedarschema"
    path.write_text(path.read_text("utf-8").replace(was, becomes), "utf-8")
    with pytest.raises(PolicyError, match="does not fit the facts"):
        load(directory)


def test_faults_of_all_files_are_told_at_once(directory: Path) -> None:
    """Rules and role table are both read before the directory is refused."""
    (directory / "us_only.cedar").write_text("permit;", "utf-8")
    (directory / "roles.toml").write_text("x = 1", "utf-8")
    with pytest.raises(PolicyError) as caught:
        load(directory)
    assert {Path(problem.split(":")[0]).name for problem in caught.value.problems} == {"us_only.cedar", "roles.toml"}


def test_packaged_policies_come_before_the_source_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package uses the policies inside it, never a directory that happens to be beside it."""
    monkeypatch.setattr(engine, "files", lambda _package: tmp_path)
    assert default_directory().name == "policies"
    (tmp_path / "_policies").mkdir()
    assert default_directory() == tmp_path / "_policies"


def test_key_holds_every_fact(facts: Facts) -> None:
    """Two attempts that differ in any fact never share a remembered verdict."""
    assert key_of(facts) != key_of(replace(facts, plan=Plan.UNKNOWN))
    assert len(key_of(facts)) == len(Facts.__slots__)


def test_the_schema_would_have_no_other_answer_to_any_facts(policy: Policy) -> None:
    """So that no decision need ask it: some of every principal, action, and value of each fact."""
    requests = [engine._access_request(facts) for facts in islice(every_fact(), 0, None, 101)]
    asked = policy._ask(policy._access, requests, schema=policy._schema)
    assert asked == policy._ask(policy._access, requests)
    assert len(requests) > 1_000
