"""Who read what under a ticket: permitted decisions with what came of them, out of the record alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.ledger.reader import LedgerReader, Projection, Query

UNDER_WAY = "not completed"


@dataclass(frozen=True, slots=True)
class Access:
    """One access, as recorded.

    Attributes:
        decision, sequence: where its evidence is.
        bytes, status, outcome: from its completion; 0, 0 and ``not completed`` where the record has none.
    """

    time_us: int
    subject: str
    country: str
    customer: str
    data_class: str
    action: str
    method: str
    path: str
    bytes: int
    status: int
    outcome: str
    rule: str
    grant: str
    decision: str
    sequence: int


def accesses(reader: LedgerReader, ticket: str) -> Iterator[Access]:
    """Every permitted access that cited a ticket, in the order of the record.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    decisions = list(reader.search(Query(kind="decision", effect="permit", ticket=ticket)))
    completions = reader.completions([decision["id"] for decision in decisions])
    return (_access(decision, completions.get(decision["id"], {})) for decision in decisions)


def _access(decision: Projection, completion: Projection) -> Access:
    return Access(
        time_us=decision["time_us"],
        subject=decision["subject"],
        country=decision["location"]["country"],
        customer=decision["customer"],
        data_class=decision["data_class"],
        action=decision["action"],
        method=decision["method"],
        path=decision["path"],
        bytes=completion.get("bytes", 0),
        status=completion.get("status", 0),
        outcome=completion.get("outcome", UNDER_WAY),
        rule=decision["rule"],
        grant=decision["grant"],
        decision=decision["id"],
        sequence=decision["sequence"],
    )
