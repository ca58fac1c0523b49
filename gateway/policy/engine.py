"""The engine: asks Cedar, orders the rules it names, remembers.

Invariants: the code here decides nothing, every effect, reason and obligation is Cedar's; a rule that fails to
evaluate, a fact of the wrong type or an answer without a reason raises :class:`PolicyError`, which the checkpoint takes
as a denial; a verdict depends on the facts and on the policy files alone.

An access request is asked of all the rules at once. Where a forbid denied it, the permits are asked once more alone:
only if none of them fits either is the place a reason too ("nothing above applies").
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from itertools import product
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, get_type_hints

import orjson
from cedarpy import AuthzResult, Decision, Entities, PolicySet, Schema, is_authorized_batch

from gateway.catalog.resource import Action, Scope
from gateway.errors import PolicyError
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy.facts import DataKind, Effect, Facts, Plan, Verdict
from gateway.policy.roles import RoleScope, RoleTable, load_roles
from gateway.policy.rules import IDS, Part, Rule, read_rules

REMEMBERED = 65_536
_NAMES = tuple(field.name for field in fields(Facts))
_TYPES = tuple(get_type_hints(Facts)[name] for name in _NAMES)
_ORDER = {name: index for index, name in enumerate(name for names in IDS.values() for name in names)}
_PRINCIPALS = {
    Kind.PERSONNEL: {"type": "Personnel", "id": "one"},
    Kind.SERVICE: {"type": "Service", "id": "one"},
    Kind.CUSTOMER: {"type": "CustomerUser", "id": "one"},
}
_RESOURCE = {"type": "CustomerData", "id": "some"}
_HEAD = ("principal", "action")  # told by the request's principal and action, not by its context

key_of = attrgetter(*_NAMES)  # facts → tuple; hashes and compares several times faster than the dataclass
_circumstance_of = attrgetter("principal", "location", "scope", "plan")


class _Answer(NamedTuple):
    permitted: bool
    rules: frozenset[str]


class _Aside(NamedTuple):
    """What follows from the circumstances alone."""

    obligations: tuple[str, ...]
    reasons: frozenset[str]


class Policy:
    """A policy in force: facts in, verdict out. Made by :func:`load`.

    Attributes:
        version: the policy's name and the digest of its files, such as ``us_only@1f0c5b2a9d3e``.
        clauses: by rule id, where in the contract it comes from.
        roles: the role table that came with it.
    """

    def __init__(self, rules: Sequence[Rule], schema: Schema, *, roles: RoleTable, version: str) -> None:
        self.version = version
        self.clauses: Mapping[str, str] = MappingProxyType({rule.id: rule.clause for rule in rules})
        self.roles = roles
        self._schema = schema
        self._entities = Entities.from_json_str("[]", schema)  # the schema brings the hierarchy of actions
        self._access = _policy_set(rules, Part.PERMIT, Part.FORBID)
        self._permits = _policy_set(rules, Part.PERMIT)
        self._forbids = _policy_set(rules, Part.FORBID)
        self._asides = self._work_out_asides(rules)
        self._remembered: dict[tuple[Any, ...], Verdict] = {}

    def decide(self, facts: Facts) -> Verdict:
        """The verdict on these facts; remembered, so a second time costs about a microsecond.

        Raises:
            PolicyError: a rule failed to evaluate, or a fact has the wrong type: deny.
        """
        key = key_of(facts)
        verdict = self._remembered.get(key)
        if verdict is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            [verdict] = self.decide_all([facts])
            self._remembered[key] = verdict
        return verdict

    def decide_all(self, rows: Sequence[Facts]) -> list[Verdict]:
        """The verdicts on many facts, in their order; nothing is remembered.

        Raises:
            PolicyError: as for :meth:`decide`.
        """
        requests = [_access_request(facts) for facts in rows]
        answers = self._ask(self._access, requests)
        blocked = [not answer.permitted and bool(answer.rules) for answer in answers]
        again = [each for each, block in zip(requests, blocked, strict=True) if block]
        permits = iter(self._ask(self._permits, again))
        unmatched = [
            not next(permits).rules if block else not answer.permitted
            for answer, block in zip(answers, blocked, strict=True)
        ]
        return [self._verdict(*row) for row in zip(rows, answers, unmatched, strict=True)]

    def require_fit(self) -> None:
        """Hold the schema to what is asked under it: a request of each principal and action.

        It has no say on the values of facts, and of what types they are is settled by :class:`Facts`: what fits here
        fits always, and a decision need not ask it again.

        Raises:
            PolicyError, ValueError: it does not fit.
        """
        self._ask(self._access, [_access_request(facts) for facts in _samples()], schema=self._schema)

    def forbidding(self, rows: Sequence[Facts]) -> list[frozenset[str]]:
        """For each row the forbids that apply to it, asked without the permits beside them."""
        return [answer.rules for answer in self._ask(self._forbids, [_access_request(f) for f in rows])]

    def _verdict(self, facts: Facts, answer: _Answer, unmatched: bool) -> Verdict:
        aside = self._asides[_circumstance_of(facts)]
        rules = _ordered(answer.rules | aside.reasons if unmatched else answer.rules)
        if not rules:
            raise PolicyError([f"{self.version}: no rule gives a reason for {answer.permitted=}; denied: {facts}"])
        if answer.permitted:
            return Verdict(Effect.PERMIT, rules, self.clauses[rules[0]], aside.obligations)
        return Verdict(Effect.DENY, rules, self.clauses[rules[0]])

    def _work_out_asides(self, rules: Sequence[Rule]) -> dict[tuple[Any, ...], _Aside]:
        """Obligations and reasons for every circumstance there is: 108 of them, so no decision has to ask."""
        circumstances = list(product(Kind, Assurance, Scope, Plan))
        oblige, explain = (
            self._ask(
                _policy_set(rules, part),
                [_aside_request(part, *where) for where in circumstances],
                schema=self._schema,
            )
            for part in (Part.OBLIGE, Part.EXPLAIN)
        )
        return {
            where: _Aside(_ordered(obligations.rules), reasons.rules)
            for where, obligations, reasons in zip(circumstances, oblige, explain, strict=True)
        }

    def _ask(
        self, policies: PolicySet, requests: list[dict[str, Any]], *, schema: Schema | None = None
    ) -> list[_Answer]:
        if not requests:
            return []
        return [_answer(result) for result in is_authorized_batch(requests, policies, self._entities, schema)]


def default_directory() -> Path:
    """The policies shipped with the package; in a source tree, the ones beside it."""
    shipped = Path(str(files("gateway") / "_policies"))
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "policies"


def load(directory: Path) -> Policy:
    """The policy in a directory: one ``NAME.cedar``, its ``NAME.cedarschema`` and ``roles.toml``.

    Raises:
        PolicyError: a line ``file:line: what, and what to do`` for every fault.
    """
    source = _only_policy_file(directory)
    paths = (source, source.with_suffix(".cedarschema"), directory / "roles.toml")
    text, schema_text = (_read(path) for path in paths[:2])
    schema = _schema(schema_text, paths[1])
    problems: list[str] = []
    rules: tuple[Rule, ...] = ()
    try:
        rules = read_rules(text, schema, name=str(source))
    except PolicyError as error:
        problems += error.problems
    try:
        roles = load_roles(paths[2])
    except PolicyError as error:
        problems += error.problems
    if problems:
        raise PolicyError(problems)
    try:
        policy = Policy(rules, schema, roles=roles, version=f"{source.stem}@{_digest(paths)[:12]}")
        policy.require_fit()
    except (PolicyError, ValueError) as error:
        raise PolicyError([f"{paths[1]}: does not fit the facts that the gateway establishes: {error}"]) from error
    return policy


def _only_policy_file(directory: Path) -> Path:
    found = sorted(directory.glob("*.cedar"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise PolicyError([f"{directory}: expected a directory with exactly one .cedar file, found {names}"])
    return found[0]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError([f"{path}: cannot be read ({error.__class__.__name__}); expected a file in UTF-8"]) from error


def _schema(text: str, path: Path) -> Schema:
    try:
        return Schema.from_str(text)
    except ValueError as error:
        raise PolicyError([f"{path}: not a Cedar schema: {' '.join(str(error).split())}"]) from error


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def _samples() -> list[Facts]:
    """A few facts of every principal and action: a schema that does not fit them is found at start."""
    flags = {name: False for name, kind in zip(_NAMES, _TYPES, strict=True) if kind is bool}
    return [
        Facts(
            principal=principal,
            action=action,
            role=RoleScope.ALLOWED,
            location=Assurance.OUTSIDE,
            scope=Scope.ONE,
            plan=Plan.IN_EFFECT,
            data=DataKind.OTHER,
            **flags,
        )
        for principal, action in product(Kind, Action)
    ]


def _policy_set(rules: Iterable[Rule], *parts: Part) -> PolicySet:
    return PolicySet.from_str("\n".join(rule.text for rule in rules if rule.part in parts))


def _access_request(facts: Facts) -> dict[str, Any]:
    values = key_of(facts)
    if tuple(map(type, values)) != _TYPES:
        wrong = [name for name, value, kind in zip(_NAMES, values, _TYPES, strict=True) if type(value) is not kind]
        raise PolicyError([f"the facts {', '.join(wrong)} have the wrong type; nothing can be decided on them"])
    context = {name: value for name, value in zip(_NAMES, values, strict=True) if name not in _HEAD}
    return _request(facts.principal, facts.action, context)


def _aside_request(part: Part, principal: Kind, location: Assurance, scope: Scope, plan: Plan) -> dict[str, Any]:
    return _request(principal, part, {"location": location, "scope": scope, "plan": plan})


def _request(principal: Kind, action: str, context: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "principal": _PRINCIPALS[principal],
        "action": {"type": "Action", "id": action.value if isinstance(action, Action | Part) else action},
        "resource": _RESOURCE,
        "context": orjson.dumps(context).decode(),
    }


def _answer(result: AuthzResult) -> _Answer:
    diagnostics = result.diagnostics
    if diagnostics.errors or result.decision is Decision.NoDecision:
        raise PolicyError(
            [f"a rule could not be evaluated, so nothing is permitted: {error}" for error in diagnostics.errors]
        )
    return _Answer(result.allowed, frozenset(diagnostics.id_annotations_by_reason.values()))


def _ordered(rules: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(rules, key=_ORDER.__getitem__))
