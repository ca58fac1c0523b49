"""What another system's fields mean: its words for kind, severity, customers and status, as the configuration has them.

Invariants: a word that the configuration does not name means nothing, and a ticket with such a word where it matters
justifies nothing; a status is open only where it is listed as open; nothing of what a field holds stands in a problem,
since whoever asked reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from gateway.justification.nouns import EVERY_CUSTOMER, Ticket, TicketKind
from gateway.settings import TrackerSettings

MAX_TITLE = 200
MAX_CUSTOMERS = 50
_CUSTOMER = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LABELS = ("value", "name", "objectId")  # of an option, of a named thing, and of an object of Assets

USUAL_FIELDS: Mapping[str, Mapping[str, str]] = {
    "jira": {
        "kind": "issuetype.name",
        "severity": "priority.name",
        "status": "status.statusCategory.key",
        "holder": "assignee.accountId",
        "title": "summary",
        "opened": "created",
        "closed": "resolutiondate",
    },
    "servicenow": {
        "kind": "sys_class_name",
        "severity": "priority",
        "status": "state",
        "holder": "assigned_to",
        "title": "short_description",
        "opened": "opened_at",
        "closed": "closed_at",
    },
    "webhook": {
        name: name for name in ("kind", "severity", "customers", "status", "holder", "title", "opened", "closed")
    },
}
_OPEN = {"jira": ("new", "indeterminate"), "servicenow": ("1", "2", "3"), "webhook": ("open",)}
"""Jira's status categories but ``done``; New, In Progress and On Hold of ServiceNow's incident table."""

_WEBHOOK_KINDS = {kind.value: kind.value for kind in TicketKind}
_WEBHOOK_SEVERITIES = {str(severity): severity for severity in range(1, 5)}


class Answer(NamedTuple):
    """What a tracker said of one id.

    Attributes:
        ticket: as it is there, open or closed; None where there is none that can be used.
        problem: why there is none, fit to be shown to whoever cited it.
        said: what each mapped field holds, for the operator alone.
        unsaid: the tracker did not say: there may be one all the same.
    """

    ticket: Ticket | None = None
    problem: str = ""
    said: Mapping[str, Sequence[str]] = {}
    unsaid: bool = False


class _Unmapped(Exception):
    """A field holds no word that the configuration names."""


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """The words of one tracker.

    Attributes:
        fields: where ``kind``, ``severity``, ``customers``, … stand.
        kinds, severities, customers: what a word there means; without ``customers`` it is a customer's id itself.
        open: the words of a status that mean open.
        home_queues: holders who mean that the ticket was sent to analysts at home.
    """

    fields: Mapping[str, str]
    kinds: Mapping[str, str]
    severities: Mapping[str, int]
    open: frozenset[str]
    customers: Mapping[str, str] = field(default_factory=dict)
    home_queues: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: TrackerSettings) -> FieldMapping:
        """The mapping of a configuration, with what is usual for that kind of tracker where it says nothing."""
        pushed = settings.kind == "webhook"
        named = {name: path for name, path in settings.fields.model_dump().items() if path}
        return cls(
            fields={**USUAL_FIELDS[settings.kind], **named},
            kinds=settings.kinds or (_WEBHOOK_KINDS if pushed else {}),
            severities=settings.severities or (_WEBHOOK_SEVERITIES if pushed else {}),
            open=frozenset(settings.open or _OPEN[settings.kind]),
            customers=settings.customers,
            home_queues=frozenset(settings.home_queues),
        )

    def answer(self, ticket: str, read: Callable[[str], Sequence[str]], *, now_us: int) -> Answer:
        """The ticket that a tracker's fields describe.

        Args:
            ticket: its id.
            read: the words that stand at a path.
            now_us: the instant of its end, where it is closed and does not say since when.
        """
        said = {name: tuple(read(path)) for name, path in self.fields.items()}
        try:
            return Answer(self._ticket(ticket, said, now_us), said=said)
        except _Unmapped as error:
            name = str(error)
            where = self.fields.get(name, name)
            problem = f"{ticket} cannot be used: its {name} (field {where}) holds nothing that the configuration maps"
            return Answer(problem=problem, said=said)

    def _ticket(self, ticket: str, said: Mapping[str, Sequence[str]], now_us: int) -> Ticket:
        kind = TicketKind(_translated("kind", said, self.kinds))
        severity = int(_translated("severity", said, self.severities)) if kind is TicketKind.SUPPORT else 0
        opened_us = instant_us(_first(said, "opened"))
        if len(said["status"]) != 1:
            raise _Unmapped("status")
        is_open = said["status"][0] in self.open
        holder = _line(_first(said, "holder"))
        return Ticket(
            id=ticket,
            kind=kind,
            customers=self._customers(said.get("customers", ()), kind),
            title=_line(_first(said, "title")),
            opened_us=opened_us,
            severity=severity,
            holder=holder,
            closed_us=0 if is_open else instant_us(_first(said, "closed")) or now_us,
            handed_off_us=(opened_us or now_us) if holder in self.home_queues else 0,
        )

    def _customers(self, words: Sequence[str], kind: TicketKind) -> tuple[str, ...]:
        """All of them, or none: one that cannot be told might be the one that matters."""
        found = [self.customers.get(word, "") if self.customers else word for word in words]
        every_allowed = kind is TicketKind.SECURITY and bool(self.customers)  # only where the operator says so
        sound = [
            customer
            for customer in found
            if _CUSTOMER.fullmatch(customer) or (customer == EVERY_CUSTOMER and every_allowed)
        ]
        if not sound or len(sound) != len(words) or len(words) > MAX_CUSTOMERS:
            raise _Unmapped("customers")
        return tuple(dict.fromkeys(sound))


def words_at(document: Any, path: str) -> list[str]:
    """The words at a dotted path of nested JSON: of texts, numbers, options and the like, and of lists of them.

    What is there and holds no word gives an empty one, which stands for something that cannot be told.
    """
    found = [document]
    for step in path.split("."):
        found = [node[step] for node in _items(found) if isinstance(node, dict) and step in node]
    return [word for node in _items(found) for word in _words(node)]


def _items(nodes: Sequence[Any]) -> list[Any]:
    return [item for node in nodes for item in (node if isinstance(node, list) else [node])]


def _words(node: Any) -> list[str]:
    if isinstance(node, dict):  # one with children names something narrower than its own label
        label = None if "child" in node else next((node[name] for name in _LABELS if name in node), None)
        return [str(label)] if isinstance(label, str | int) else [""]
    if isinstance(node, bool):
        return [str(node).lower()]
    if node is None or node == "":
        return []
    return [str(node)] if isinstance(node, str | int) else [""]


def instant_us(text: str) -> int:
    """An ISO 8601 instant in microseconds since the epoch, in UTC unless it says otherwise; 0 where it is none."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0, (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    except (ValueError, OverflowError):
        return 0


def _translated(name: str, said: Mapping[str, Sequence[str]], words: Mapping[str, Any]) -> Any:
    found = said.get(name, ())
    if len(found) != 1 or found[0] not in words:
        raise _Unmapped(name)
    return words[found[0]]


def _first(said: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(said.get(name, ())), "")


def _line(text: str) -> str:
    """Text of another system as it may be shown: one line, bounded."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_TITLE])
