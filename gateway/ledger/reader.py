"""Reading the ledger: read-only connections that never hold a writer up.

Everything read is a projection: the entry's fields with its ``sequence`` in front.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.errors import LedgerUnavailable, NotFound
from gateway.ledger import index, schema
from gateway.ledger.entry import decode
from gateway.ledger.file import connect

Projection = dict[str, Any]

_JOINED = "SELECT sequence, body FROM found JOIN entry USING (sequence)"
_BUNCH = 500


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; every field that is set must hold, and "" asks for nothing.

    Attributes:
        since_us, until_us: the entry's time, from and before, microseconds since the epoch.
        customer, store, ticket, grant: of a decision, or named by (or the object of) an administrative act.
        subject: who asked, or who did an administrative act.
        decision: the decision with this id, and its completion.
        before: only entries with a smaller sequence.
        limit: at most so many.
        newest_first: else in the order of the record.
    """

    since_us: int | None = None
    until_us: int | None = None
    kind: str = ""
    customer: str = ""
    subject: str = ""
    country: str = ""
    rule: str = ""
    effect: str = ""
    store: str = ""
    ticket: str = ""
    grant: str = ""
    decision: str = ""
    before: int | None = None
    limit: int | None = None
    newest_first: bool = False


_CONDITIONS = {
    "since_us": "time_us >= :since_us",
    "until_us": "time_us < :until_us",
    "before": "sequence < :before",
    "decision": """sequence IN (SELECT sequence FROM entry WHERE id = :decision
        UNION SELECT sequence FROM found WHERE decision = :decision AND decision <> '')""",
    **{name: f"{name} = :{name}" for name in ("kind", "subject", "country", "rule", "effect")},
    **{name: f"({name} = :{name} OR object = :{name})" for name in ("customer", "store", "ticket")},
    "grant": "(grant_id = :grant OR object = :grant)",
}


class LedgerReader:
    """A ledger opened for reading.

    Args:
        path: the ledger.

    Raises:
        LedgerUnavailable: there is none, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise LedgerUnavailable(f"the ledger {path}: there is none; check the path, or start the gateway first")
        with self._translated():
            self._connection = connect(path, mode="ro")
            marks = [self._connection.execute(statement).fetchone() for statement in schema.READ_MARKS]
        if marks != [(schema.APPLICATION_ID,), (schema.SCHEMA_VERSION,)]:
            self.close()
            raise LedgerUnavailable(f"the ledger {path}: it is another database, or a ledger of another version")

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def size(self) -> int:
        """How many entries there are."""
        [row] = self._rows("SELECT coalesce(max(sequence) + 1, 0) FROM entry", {})
        return int(row[0])

    def tail(self, count: int) -> list[Projection]:
        """The last entries, the newest last."""
        rows = self._rows("SELECT sequence, body FROM entry ORDER BY sequence DESC LIMIT :count", {"count": count})
        return [_project(row) for row in rows][::-1]

    def after(self, sequence: int) -> Iterator[Projection]:
        """Every entry behind this one, in their order."""
        return map(_project, self.bodies(start=sequence + 1))

    def bodies(self, *, start: int = 0, before: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Sequence and exact bytes of entries in their order, read in bunches so that no writer is held up."""
        statement = "SELECT sequence, body FROM entry WHERE sequence >= :start ORDER BY sequence LIMIT :bunch"
        while rows := list(self._rows(statement, {"start": start, "bunch": _BUNCH})):
            for row in rows:
                if before is not None and row[0] >= before:
                    return
                yield row
            start = rows[-1][0] + 1

    def search(self, query: Query) -> Iterator[Projection]:
        """What a query finds."""
        return map(_project, self.find(query))

    def find(self, query: Query) -> Iterator[tuple[int, bytes]]:
        """Sequence and exact bytes of what a query finds."""
        asked = {name: value for name in _CONDITIONS if (value := getattr(query, name)) not in (None, "")}
        where = " AND ".join(["1", *(_CONDITIONS[name] for name in asked)])
        order = "DESC" if query.newest_first else "ASC"
        limit = -1 if query.limit is None else query.limit
        self._make_whole()
        return self._rows(f"{_JOINED} WHERE {where} ORDER BY sequence {order} LIMIT :limit", {**asked, "limit": limit})

    def show(self, key: str) -> list[Projection]:
        """An entry by its id or sequence; a decision with its completion, and a completion with its decision.

        Raises:
            NotFound: there is none.
        """
        condition = (
            "sequence = :key" if _is_sequence(key) else "sequence = (SELECT sequence FROM entry WHERE id = :key)"
        )
        statement = f"""WITH named AS (SELECT sequence, id, decision, kind FROM found WHERE {condition}),
            wanted AS (SELECT sequence FROM named
                UNION SELECT sequence FROM entry
                    WHERE id IN (SELECT decision FROM named WHERE kind = 'completion')
                UNION SELECT sequence FROM found
                    WHERE decision <> '' AND kind = 'completion' AND decision IN (SELECT id FROM named))
            SELECT sequence, body FROM entry JOIN wanted USING (sequence) ORDER BY sequence"""  # noqa: S608  one of two
        self._make_whole()
        found = [_project(row) for row in self._rows(statement, {"key": int(key) if _is_sequence(key) else key})]
        if not found:
            raise NotFound(f"the ledger has no entry {key!r}; expected a decision's id, or a sequence")
        return found

    def _make_whole(self) -> None:
        with self._translated():
            index.make_whole(self._connection)

    def _rows(self, statement: str, parameters: dict[str, Any]) -> Iterator[Any]:
        with self._translated():
            yield from self._connection.execute(statement, parameters)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger {self._path} cannot be read: {error}; run ledger verify") from error


def _is_sequence(key: str) -> bool:
    return key.isdecimal() and len(key) < 19  # SQLite's integers have no more


def _project(row: tuple[int, bytes]) -> Projection:
    sequence, body = row
    return {"sequence": sequence, **decode(body)}
