"""What the same attempt led to before: a verdict, and the form of its entry."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from gateway.ledger.entry import Template
from gateway.policy import Facts, Verdict

REMEMBERED = 4_096


class Judged(NamedTuple):
    """What an attempt led to."""

    facts: Facts
    verdict: Verdict
    template: Template


class Recollection:
    """The judgements that are remembered, by all that they rest on; bounded."""

    def __init__(self) -> None:
        self._judged: dict[Hashable, Judged] = {}

    def __len__(self) -> int:
        return len(self._judged)

    def recall(self, key: Hashable) -> Judged | None:
        return self._judged.get(key)

    def remember(self, key: Hashable, facts: Facts, verdict: Verdict, template: Template) -> None:
        if len(self._judged) >= REMEMBERED:
            self._judged.clear()
        self._judged[key] = Judged(facts, verdict, template)
