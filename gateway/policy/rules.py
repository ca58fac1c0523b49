"""The rules of a policy file: read one by one, checked, each with the line where it stands.

Invariants of what :func:`read_rules` returns: every rule has a known ``@id`` that occurs once, a ``@clause``, the
effect and action that its id stands for, and passes the schema; it compares facts only with values that facts can take;
no required rule is missing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, cast, get_type_hints

from cedarpy import Schema, policies_to_json_str, validate_policies

from gateway.catalog.resource import Action
from gateway.errors import PolicyError
from gateway.policy.facts import Facts

# The ids of the contract's reading, the one to show first standing first.
PERMITS = (
    "customer-own-data",
    "no-plan",
    "home-personnel",
    "crm-account",
    "ftp-upload",
    "code-level-bug",
    "security-incident",
    "customer-authorized",
)
FORBIDS = ("other-customer", "role", "unclassified", "storage-home", "support-hours")
REASONS = ("location-unassured", "outside-home", "many-customers")
OBLIGATIONS = ("no-store", "read-cap")

# What the customer consented to. A plan may consent to less, so these may be left out; nothing else may.
CONSENTS = frozenset({"crm-account", "ftp-upload", "code-level-bug", "security-incident", "customer-authorized"})

VOCABULARY: Mapping[str, frozenset[str]] = {
    name: frozenset(str(member.value) for member in kind)
    for name, kind in get_type_hints(Facts).items()
    if isinstance(kind, type) and issubclass(kind, Enum)
}
_EVERY_VALUE = frozenset(value for values in VOCABULARY.values() for value in values)


class Part(StrEnum):
    """Which question a rule answers, told by the action in its head."""

    PERMIT = "permit"
    FORBID = "forbid"
    EXPLAIN = "explain"
    OBLIGE = "oblige"


IDS: Mapping[Part, tuple[str, ...]] = {
    Part.PERMIT: PERMITS,
    Part.FORBID: FORBIDS,
    Part.EXPLAIN: REASONS,
    Part.OBLIGE: OBLIGATIONS,
}
_KNOWN = {name: part for part, names in IDS.items() for name in names}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its id, its clause of the contract, the question it answers, its Cedar text and its first line."""

    id: str
    clause: str
    part: Part
    text: str
    line: int


def read_rules(text: str, schema: Schema, *, name: str) -> tuple[Rule, ...]:
    """The rules in a Cedar file.

    Args:
        text: the file's content.
        schema: what the rules may speak of.
        name: what to call the file in errors.

    Raises:
        PolicyError: a line ``name:line: what, and what to do`` for every fault.
    """
    problems: list[str] = []
    rules: list[Rule] = []
    for line, statement in split_statements(text):
        faults = _text_faults(statement, schema) or list(_faults(_parse(statement)))
        problems += [f"{name}:{line}: {fault}" for fault in faults]
        if not faults:
            rules.append(_rule(statement, line))
    if not problems:
        problems += [f"{name}:{what}" for what in _faults_between(rules)]
    if problems:
        raise PolicyError(problems)
    return tuple(rules)


def split_statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with its first line. A semicolon outside comments and strings ends one, and only that."""
    start = 0
    for token in re.finditer(r'//[^\n]*|"(?:\\.|[^"\\])*"|;', text):
        if token[0] == ";":
            yield _statement(text, start, token.end())
            start = token.end()
    line, rest = _statement(text, start, len(text))
    if rest:
        yield line, rest


def _statement(text: str, start: int, end: int) -> tuple[int, str]:
    blank = re.compile(r"(?:\s|//[^\n]*)*").match(text, start, end)
    first = blank.end() if blank else start
    return text.count("\n", 0, first) + 1, text[first:end]


def _text_faults(statement: str, schema: Schema) -> list[str]:
    """What Cedar itself has against a statement."""
    try:
        parsed = json.loads(policies_to_json_str(statement))
    except ValueError as error:
        return [f"not Cedar: {_one_line(error)}; correct the rule that begins here"]
    if len(parsed["staticPolicies"]) != 1:
        return ["a template; write each rule out, without ?principal and ?resource"]
    result = validate_policies(statement, schema)
    if result:
        return []
    first = _one_line(result.errors[0].error).removeprefix("for policy `policy0`").lstrip(":, ")
    return [f"does not fit the schema: {first}; use the names that the schema declares"]


def _parse(statement: str) -> Mapping[str, Any]:
    """The one policy of a statement that :func:`_text_faults` has nothing against."""
    [policy] = json.loads(policies_to_json_str(statement))["staticPolicies"].values()
    return cast(Mapping[str, Any], policy)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _faults(policy: Mapping[str, Any]) -> Iterator[str]:
    annotations = policy.get("annotations", {})
    rule_id, part = annotations.get("id"), _part(policy)
    if not rule_id:
        yield 'no @id; name the rule, such as @id("outside-home")'
    elif rule_id not in _KNOWN:
        yield f"@id {rule_id!r} is unknown; expected one of {', '.join(_KNOWN)}"
    elif part is not None and part is not _KNOWN[rule_id]:
        yield f"{rule_id} is written as {_phrase(part)}; expected {_phrase(_KNOWN[rule_id])}"
    if not annotations.get("clause"):
        yield f"{rule_id or 'the rule'} has no @clause; say where in the contract it comes from"
    if part is None:
        yield 'the head names no action; expected Action::"access" (or read, write, …), "explain" or "oblige"'
    yield from _strange_values(policy["conditions"])


def _phrase(part: Part) -> str:
    if part in (Part.PERMIT, Part.FORBID):
        return f'{part.value} (…, action in Action::"access", …)'
    return f'permit (…, action == Action::"{part.value}", …)'


def _part(policy: Mapping[str, Any]) -> Part | None:
    """The question that the head answers, or None where it answers none or more than one."""
    action = policy["action"]
    named = {entity["id"] for entity in action.get("entities", [action["entity"]] if "entity" in action else [])}
    if named and named <= {"access", *Action}:
        return Part(policy["effect"])
    if policy["effect"] == "permit" and named in ({"explain"}, {"oblige"}):
        return Part(named.pop())
    return None


def _strange_values(node: Any) -> Iterator[str]:
    """Comparisons with a value that the fact never has: Cedar would take them for merely false, or merely true."""
    if isinstance(node, list):
        for item in node:
            yield from _strange_values(item)
    elif isinstance(node, dict):
        for operator, operand in node.items():
            if operator in ("==", "!="):
                yield from _strange_comparison(operand)
            elif operator == "Value" and isinstance(operand, str) and operand not in _EVERY_VALUE:
                yield f'"{operand}" is a value of no fact'
            else:
                yield from _strange_values(operand)


def _strange_comparison(operand: Mapping[str, Any]) -> Iterator[str]:
    sides = (operand["left"], operand["right"])
    names = [side["."]["attr"] for side in sides if "." in side]
    values = [side["Value"] for side in sides if isinstance(side.get("Value"), str)]
    if len(names) == len(values) == 1 and names[0] in VOCABULARY:
        expected = VOCABULARY[names[0]]
        if values[0] not in expected:
            yield f'context.{names[0]} is never "{values[0]}"; expected one of {", ".join(sorted(expected))}'
    else:
        yield from _strange_values(list(sides))


def _rule(statement: str, line: int) -> Rule:
    annotations = _parse(statement)["annotations"]
    return Rule(annotations["id"], annotations["clause"], _KNOWN[annotations["id"]], statement, line)


def _faults_between(rules: list[Rule]) -> Iterator[str]:
    counts = Counter(rule.id for rule in rules)
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            yield f"{rule.line}: {rule.id} stands here a second time; join its conditions with ||"
        seen.add(rule.id)
    required = [name for names in IDS.values() for name in names if name not in CONSENTS]
    yield from (f"1: the rule {name} is missing; the contract needs it" for name in required if not counts[name])
