"""The decision table: what the policy says to every combination of facts, short enough to be read.

It is read from the top, and the first line that fits decides. So the lines that forbid stand first, then those that
permit, the narrowest first, and what is left is denied. A fact that does not matter to a line says ``any``.

The table is worked out from the verdicts on every combination, not from the rules, so that it shows what the policy
does and not what it means to do. A set of combinations is an integer with a bit for each row of the full table.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.policy.engine import key_of
from gateway.policy.facts import Facts, Verdict
from gateway.policy.rules import FORBIDS, PERMITS, REASONS
from gateway.policy.space import DOMAIN, NAMES, Row

ANY = "any"
_PRIORITY = {rule: index for index, rule in enumerate((*FORBIDS, *PERMITS, *REASONS))}
# Tried for "any" in this order: where two facts could each explain an answer, the later one is kept in the line.
_WIDENED = (
    "role",
    "storage_home",
    "support_closed",
    "authorization",
    "incident",
    "grant",
    "infosec",
    "engineer",
    "action",
    "data",
    "scope",
    "plan",
    "own_customer",
    "location",
    "principal",
)

Cells = Mapping[str, frozenset[Any]]
Answer = tuple[str, str, tuple[str, ...]]
Sets = Mapping[str, Mapping[Any, int]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        cells: by the name of the fact, the values that fit; a fact that does not matter is absent.
        effect, rule, obligations: the answer; the rule is the one to show.
        count: how many combinations it decides that no line above it does.
    """

    cells: Cells
    effect: str
    rule: str
    obligations: tuple[str, ...]
    count: int

    def fits(self, facts: Facts) -> bool:
        """Whether the line speaks about these facts."""
        return all(getattr(facts, name) in values for name, values in self.cells.items())


def compress(rows: Sequence[Row]) -> list[Line]:
    """The lines whose first fit gives the effect, shown rule and obligations of each row."""
    sets, answers = _value_sets(rows), _answer_sets(rows)
    lines: list[Line] = []
    every, decided = (1 << len(rows)) - 1, 0
    for answer in sorted(answers, key=lambda answer: (_PRIORITY[answer[1]], answer[2])):
        left = answers[answer] & ~decided
        while left:
            seed = rows[(left & -left).bit_length() - 1].facts
            cells, covered = _widen(seed, sets, left=left, outside=every & ~(decided | answers[answer]))
            lines.append(Line(cells, *answer, (covered & left).bit_count()))
            decided |= covered
            left &= ~covered
    return lines


def _widen(seed: Facts, sets: Sets, *, left: int, outside: int) -> tuple[dict[str, frozenset[Any]], int]:
    """The widest line around one combination that touches nothing ``outside``, and what it covers.

    Where a fact cannot be ``any``, it takes the values that reach something still ``left`` to decide.
    """
    cells = {name: frozenset((getattr(seed, name),)) for name in NAMES}
    for name in _WIDENED:
        others = _covered({key: cells[key] for key in cells if key != name}, sets)
        if not others & outside:
            del cells[name]
            continue
        found = {value: others & sets[name][value] for value in DOMAIN[name]}
        cells[name] |= frozenset(value for value, rows in found.items() if rows & left and not rows & outside)
    return cells, _covered(cells, sets)


def _covered(cells: Cells, sets: Sets) -> int:
    covered = -1
    for name, values in cells.items():
        union = 0
        for value in values:
            union |= sets[name][value]
        covered &= union
    return covered


def _value_sets(rows: Sequence[Row]) -> Sets:
    """By fact and value, the rows that have it."""
    columns = zip(NAMES, zip(*(key_of(facts) for facts, _ in rows), strict=True), strict=True)
    return {
        name: {value: _bits(value is each for each in column) for value in DOMAIN[name]} for name, column in columns
    }


def _answer_sets(rows: Sequence[Row]) -> dict[Answer, int]:
    where: dict[Answer, bytearray] = defaultdict(lambda: bytearray(len(rows)))
    for index, (_, verdict) in enumerate(rows):
        where[_answer(verdict)][index] = 1
    return {answer: _bits(map(bool, flags)) for answer, flags in where.items()}


def _bits(flags: Iterable[bool]) -> int:
    """The integer whose bit n is the n-th flag."""
    digits = "".join("1" if flag else "0" for flag in flags)
    return int(digits[::-1], 2)


def _answer(verdict: Verdict) -> Answer:
    return verdict.effect.value, verdict.rule, verdict.obligations


def reading_header() -> list[str]:
    """The titles of the columns of :func:`reading_texts`."""
    return ["when", "effect", "rule", "obligations", "combinations"]


def reading_texts(lines: Iterable[Line]) -> list[list[str]]:
    """The table for people: only the facts that matter to a line, in words."""
    return [[_condition(line), line.effect, line.rule, " ".join(line.obligations), f"{line.count:,}"] for line in lines]


def _condition(line: Line) -> str:
    told = [f"{name.replace('_', ' ')} {_cell(line.cells[name])}" for name in NAMES if name in line.cells]
    return ", ".join(told) or "anything else"


def header() -> list[str]:
    """The titles of the columns of :func:`texts`, for programs: a column for each fact."""
    return [*NAMES, "effect", "rule", "obligations", "combinations"]


def texts(lines: Iterable[Line]) -> list[list[str]]:
    """The table as text, a cell for each title of :func:`header`."""
    return [
        [
            *(_cell(line.cells.get(name)) for name in NAMES),
            line.effect,
            line.rule,
            " ".join(line.obligations),
            str(line.count),
        ]
        for line in lines
    ]


def full_header() -> list[str]:
    """The titles of the columns of :func:`full_texts`."""
    return [*NAMES, "effect", "rules", "obligations"]


def full_texts(rows: Iterable[Row]) -> Iterable[list[str]]:
    """Every combination by itself, with all its rules."""
    for facts, verdict in rows:
        yield [*map(_word, key_of(facts)), verdict.effect.value, " ".join(verdict.rules), " ".join(verdict.obligations)]


def to_csv(titles: Sequence[str], table: Iterable[Sequence[str]]) -> str:
    """Comma-separated values (RFC 4180, but for the line ends, which are the terminal's)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(table)
    return out.getvalue()


def to_markdown(titles: Sequence[str], table: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *table]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_json(titles: Sequence[str], table: Iterable[Sequence[str]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(dict(zip(titles, line, strict=True))) + "\n" for line in table)


def _cell(values: frozenset[Any] | None) -> str:
    return ANY if values is None else " or ".join(sorted(map(_word, values)))


def _word(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)
