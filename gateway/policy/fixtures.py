"""Examples of the policy in ``tests/*.toml`` beside it: a sentence of the contract, a situation, what must come out.

A situation says only what matters; the rest is the plain case: a person of the vendor's with a sufficient role, at
home, who reads some data of one customer whose plan is in effect, from a store at home, within the support window.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.catalog.resource import Action, Scope
from gateway.errors import PolicyError
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy.engine import Policy
from gateway.policy.facts import DataKind, Effect, Facts, Plan, Verdict
from gateway.policy.roles import RoleScope
from gateway.policy.rules import OBLIGATIONS
from gateway.policy.space import impossible

WHO: Mapping[str, Mapping[str, Any]] = {
    "personnel": {},
    "infosec": {"infosec": True},
    "engineer": {"engineer": True},
    "service": {"principal": Kind.SERVICE},
    "customer": {"principal": Kind.CUSTOMER, "own_customer": True},
    "another customer": {"principal": Kind.CUSTOMER},
}
WORDS: Mapping[str, tuple[str, type[StrEnum]]] = {  # key of a fixture → the fact it sets, and its values
    "where": ("location", Assurance),
    "what": ("data", DataKind),
    "action": ("action", Action),
    "role": ("role", RoleScope),
    "scope": ("scope", Scope),
    "plan": ("plan", Plan),
}
WITH: Mapping[str, tuple[str, bool]] = {
    "incident": ("incident", True),
    "grant": ("grant", True),
    "authorization": ("authorization", True),
    "store outside home": ("storage_home", False),
    "support closed": ("support_closed", True),
}
PLAIN: Mapping[str, Any] = {
    "principal": Kind.PERSONNEL,
    "role": RoleScope.ALLOWED,
    "location": Assurance.HOME,
    "scope": Scope.ONE,
    "plan": Plan.IN_EFFECT,
    "data": DataKind.OTHER,
    "action": Action.READ,
    "storage_home": True,
    **dict.fromkeys(
        ("infosec", "engineer", "own_customer", "incident", "grant", "authorization", "support_closed"), False
    ),
}
_KEYS = ("says", "who", *WORDS, "with", "effect", "rule", "rules", "obligations")


@dataclass(frozen=True, slots=True)
class Fixture:
    """One example.

    Attributes:
        place: the file and which case in it.
        says: the sentence that it stands for.
        facts: the situation.
        effect, rule: what must come out.
        rules, obligations: all of them in their order, or None where the example does not say.
    """

    place: str
    says: str
    facts: Facts
    effect: Effect
    rule: str
    rules: tuple[str, ...] | None = None
    obligations: tuple[str, ...] | None = None

    def differs(self, verdict: Verdict) -> str:
        """What is wrong with a verdict, or "" if it is as expected."""
        for name in ("effect", "rule", "rules", "obligations"):
            expected, came = getattr(self, name), getattr(verdict, name)
            if expected is not None and expected != came:
                return f"{name}: expected {_text(expected)}, got {_text(came)}"
        return ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fixture and what is wrong, or ""."""

    fixture: Fixture
    problem: str


def read_fixtures(directory: Path) -> list[Fixture]:
    """The fixtures of a policy directory, from its ``tests/*.toml``.

    Raises:
        PolicyError: a line ``file: case: what, and what to do`` for every fault; or there are none at all.
    """
    paths = sorted((directory / "tests").glob("*.toml"))
    problems: list[str] = []
    found: list[Fixture] = []
    for path in paths:
        try:
            found += _read_file(path)
        except PolicyError as error:
            problems += error.problems
    if not found and not problems:
        problems.append(f"{directory / 'tests'}: no fixtures; expected *.toml files with [[case]] tables")
    if problems:
        raise PolicyError(problems)
    return found


def run(policy: Policy, fixtures: Sequence[Fixture]) -> Iterator[Outcome]:
    """What the policy makes of each fixture."""
    for fixture in fixtures:
        yield Outcome(fixture, fixture.differs(policy.decide(fixture.facts)))


def _read_file(path: Path) -> list[Fixture]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError([f"{path}: not a TOML file in UTF-8: {error}"]) from error
    cases = document.pop("case", [])
    if document or not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise PolicyError(
            [f"{path}: expected nothing but [[case]] tables, got {', '.join(document) or 'another case'}"]
        )
    problems: list[str] = []
    found: list[Fixture] = []
    for number, case in enumerate(cases, 1):
        faults = list(_faults(case))
        problems += [f"{path}: case {number}: {fault}" for fault in faults]
        if not faults:
            found.append(_fixture(f"{path.name}: case {number}", case))
    if problems:
        raise PolicyError(problems)
    return found


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    unknown = [key for key in case if key not in _KEYS]
    yield from (f"unknown key {key!r}; expected one of {', '.join(_KEYS)}" for key in unknown)
    yield from (f"{key} is missing" for key in ("says", "effect", "rule") if not isinstance(case.get(key), str))
    expected: dict[str, list[str]] = {"who": list(WHO), "effect": list(Effect)}
    expected |= {key: list(kind) for key, (_, kind) in WORDS.items()}
    wrong = [key for key, values in expected.items() if key in case and case[key] not in values]
    yield from (f"{key}: got {case[key]!r}; expected one of {', '.join(expected[key])}" for key in wrong)
    lists = {"with": tuple(WITH), "obligations": OBLIGATIONS, "rules": None}
    strange = [key for key, values in lists.items() if not _is_list(case.get(key, []), values)]
    yield from (
        f"{key}: got {case[key]!r}; expected a list of {', '.join(lists[key] or ['rule ids'])}" for key in strange
    )
    if not unknown and not wrong and not strange and (why := impossible(_facts(case))):
        yield f"cannot happen: {why}"


def _is_list(value: Any, among: Sequence[str] | None) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and (among is None or v in among) for v in value)


def _facts(case: Mapping[str, Any]) -> Facts:
    told = {fact: kind(case[key]) for key, (fact, kind) in WORDS.items() if key in case}
    cited = dict(WITH[word] for word in case.get("with", []))
    return Facts(**{**PLAIN, **WHO[case.get("who", "personnel")], **told, **cited})


def _fixture(place: str, case: Mapping[str, Any]) -> Fixture:
    rules, obligations = (tuple(case[key]) if key in case else None for key in ("rules", "obligations"))
    return Fixture(place, case["says"], _facts(case), Effect(case["effect"]), case["rule"], rules, obligations)


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"
