"""What a feed hands to a sink: an entry in a line, and what is known of it beside."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from gateway.errors import NotFound, UsageError
from gateway.ledger.entry import COLUMNS, decode, derive
from gateway.ledger.reader import LedgerReader

REMEMBERED_DECISIONS = 4_096


class Facts(NamedTuple):
    """What is known of an entry; a completion has its decision's rule, effect and customer.

    Attributes:
        time: RFC 3339.
        decision: the id of the decision that it is, completes or names.
        customer: several with commas between; "*" for all.
        object: of an administrative act.
    """

    time: str = ""
    kind: str = ""
    decision: str = ""
    rule: str = ""
    effect: str = ""
    customer: str = ""
    object: str = ""


class Item(NamedTuple):
    """One entry on its way out.

    Attributes:
        id: the entry's own, the same however often it is sent.
        body: JSON in one line.
    """

    sequence: int
    id: str
    body: bytes
    facts: Facts


def entry(sequence: int, body: bytes) -> bytes:
    """The line of ``ledger export``: without ``"sequence":N,`` it is what the leaf hash is over."""
    return b'{"sequence":%d,%b' % (sequence, body[1:])


class Items:
    """Makes items of entries; remembers decisions, since their completions come soon after."""

    def __init__(self) -> None:
        self._decisions: OrderedDict[str, Facts] = OrderedDict()

    def item(self, reader: LedgerReader, sequence: int, body: bytes) -> Item:
        """The item of an entry; of one that is damaged nothing is known.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        key, facts = _facts(body)
        if facts.kind == "decision":
            self._remember(key, facts)
        elif facts.kind == "completion":
            decided = self._decision(reader, facts.decision)
            facts = facts._replace(rule=decided.rule, effect=decided.effect, customer=decided.customer)
        return Item(sequence, key, entry(sequence, body), facts)

    def _decision(self, reader: LedgerReader, decision: str) -> Facts:
        found = self._decisions.get(decision)
        if found is None:
            try:
                found = _facts(reader.named(decision)[1])[1]
            except NotFound:
                found = Facts()
            self._remember(decision, found)
        return found

    def _remember(self, decision: str, facts: Facts) -> None:
        self._decisions[decision] = facts
        if len(self._decisions) > REMEMBERED_DECISIONS:
            self._decisions.popitem(last=False)


def _facts(body: bytes) -> tuple[str, Facts]:
    """The id of an entry and what it says itself."""
    try:
        fields = decode(body)
    except UsageError:
        return "", Facts()
    found = dict(zip(COLUMNS, map(str, derive(fields)), strict=True))
    named = {name: found[name] for name in ("kind", "rule", "effect", "customer", "object")}
    decision = found["id"] if found["kind"] == "decision" else found["decision"]
    return found["id"], Facts(time=str(fields.get("time", "")), decision=decision, **named)


def lines(bodies: list[bytes]) -> bytes:
    """JSON lines (https://jsonlines.org/)."""
    return b"".join(body + b"\n" for body in bodies)
