"""The examples beside the policy: all hold, each file fault is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import PolicyError
from gateway.policy import Policy, default_directory
from gateway.policy.fixtures import read_fixtures, run
from gateway.policy.rules import IDS, Part

CASE = '[[case]]\nsays = "s"\neffect = "permit"\nrule = "home-personnel"\n'


def write(directory: Path, text: str) -> Path:
    (directory / "tests").mkdir(parents=True, exist_ok=True)
    (directory / "tests" / "x.toml").write_text(text, "utf-8")
    return directory


def test_shipped_examples_hold(policy: Policy) -> None:
    """Every example comes out as it says."""
    outcomes = list(run(policy, read_fixtures(default_directory())))
    assert [outcome.problem for outcome in outcomes if outcome.problem] == []


def test_shipped_examples_speak_of_every_rule() -> None:
    """No access rule is without an example."""
    shown = {name for fixture in read_fixtures(default_directory()) for name in (fixture.rule, *(fixture.rules or ()))}
    assert shown >= {name for part in (Part.PERMIT, Part.FORBID, Part.EXPLAIN) for name in IDS[part]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ""),
        ('where = "outside"', "effect: expected permit, got deny"),
        ('plan = "none"', "rule: expected home-personnel, got no-plan"),
        ('rules = ["home-personnel", "role"]', "rules: expected home-personnel, role, got home-personnel"),
        ('obligations = ["no-store"]', "obligations: expected no-store, got none"),
        ("obligations = []", ""),
    ],
)
def test_difference_is_told(tmp_path: Path, policy: Policy, more: str, expected: str) -> None:
    """What was expected and what came."""
    [outcome] = run(policy, read_fixtures(write(tmp_path, CASE + more)))
    assert outcome.problem == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[case", "not a TOML file"),
        ("x = 1", "expected nothing but [[case]] tables, got x"),
        ("case = [1]", "expected nothing but [[case]] tables"),
        ("[case]", "expected nothing but [[case]] tables"),
        ('[[case]]\nsays = "s"\neffect = "permit"', "case 1: rule is missing"),
        (CASE + CASE.replace("permit", "permitted"), "case 2: effect: got 'permitted'; expected one of permit, deny"),
        (CASE + 'who = "me"', "who: got 'me'; expected one of personnel, infosec"),
        (CASE + 'where = "home "', "where: got 'home '; expected one of home, outside, unassured"),
        (CASE + 'wher = "home"', "unknown key 'wher'; expected one of says, who"),
        (CASE + 'with = ["grants"]', "with: got ['grants']; expected a list of incident, grant"),
        (CASE + 'with = "grant"', "with: got 'grant'; expected a list"),
        (CASE + "rules = [1]", "rules: got [1]; expected a list of rule ids"),
        (CASE + 'obligations = ["no"]', "obligations: got ['no']; expected a list of no-store, read-cap"),
        (CASE + 'scope = "many"\nwith = ["grant"]', "cannot happen: grant cannot be True: a grant names exactly one"),
    ],
)
def test_wrong_file_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    """File, case, and what to do."""
    with pytest.raises(PolicyError) as caught:
        read_fixtures(write(tmp_path, text))
    [problem] = caught.value.problems
    assert expected in problem
    assert "x.toml" in problem


def test_no_examples_is_refused(tmp_path: Path) -> None:
    """Nothing tested is not everything passed."""
    with pytest.raises(PolicyError, match="no fixtures"):
        read_fixtures(write(tmp_path, ""))
