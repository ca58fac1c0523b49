"""Reading the ledger: read-only connections that never hold a writer up.

Everything read is a projection: the entry's fields with its ``sequence`` in front.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from gateway.errors import LedgerUnavailable, NotFound, UsageError
from gateway.ledger import index, schema
from gateway.ledger.entry import decode
from gateway.ledger.file import connect
from gateway.ledger.keys import ACT, KeyEntry, chain
from gateway.ledger.nodes import StoredNodes
from gateway.ledger.sealed import Removed, Sealed, entries

Projection = dict[str, Any]

_JOINED = "SELECT sequence, body FROM found LEFT JOIN entry USING (sequence)"  # without bytes: in a segment
_LISTED = "SELECT sequence, body FROM main.lookup LEFT JOIN entry USING (sequence)"
_WALK = """WITH RECURSIVE walk (segment) AS (
    VALUES (:at) UNION ALL SELECT segment + :step FROM walk WHERE segment <> :to) SELECT segment FROM walk"""
_PLACE_OF = "SELECT sequence FROM entry WHERE id = :key UNION ALL SELECT sequence FROM sealed WHERE id = :key"
_ACTS = """SELECT sequence, body FROM (
    SELECT sequence FROM main.lookup WHERE kind = 'administrative' AND +sequence <= (SELECT last FROM temp.indexed)
    UNION ALL SELECT sequence FROM temp.fresh WHERE kind = 'administrative')
    LEFT JOIN entry USING (sequence) ORDER BY +sequence"""  # by an index of their own: "+" keeps it from all rows
_BUNCH = 500
_KEY = f'"act":"{ACT}"'.encode()

Part = tuple[str, list[str], dict[str, int]]
"""A part of the record: what to select from, under which conditions, with which values."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; every field that is set must hold, and "" asks for nothing.

    Attributes:
        since_us, until_us: the entry's time, from and before, microseconds since the epoch.
        customer, store, ticket, grant: of a decision, or named by (or the object of) an administrative act; a
            customer also among several that one names.
        subject: who asked, or who did an administrative act.
        pseudonym: the same person's, for a reader that knows none.
        decision: the decision with this id, and its completion.
        object: what an administrative act was done to.
        of_no_customer: what names no customer, such as a request that covers several.
        before, after: only entries with a smaller, or a larger, sequence.
        limit: at most so many.
        newest_first: else in the order of the record.
    """

    since_us: int | None = None
    until_us: int | None = None
    kind: str = ""
    customer: str = ""
    subject: str = ""
    pseudonym: str = ""
    country: str = ""
    rule: str = ""
    effect: str = ""
    store: str = ""
    ticket: str = ""
    grant: str = ""
    decision: str = ""
    object: str = ""
    of_no_customer: bool = False
    before: int | None = None
    after: int | None = None
    limit: int | None = None
    newest_first: bool = False


_CONDITIONS = {
    "since_us": "time_us >= :since_us",
    "until_us": "time_us < :until_us",
    "before": "sequence < :before",
    "after": "sequence > :after",
    "decision": """sequence IN (SELECT sequence FROM entry WHERE id = :decision
        UNION SELECT sequence FROM sealed WHERE id = :decision
        UNION SELECT sequence FROM found WHERE decision = :decision AND decision <> '')""",
    "of_no_customer": "customer = ''",
    **{name: f"{name} = :{name}" for name in ("kind", "effect")},
}
_COLUMNS_OF = {
    **{name: (name,) for name in ("subject", "country", "rule", "object")},
    **{name: (name, "object") for name in ("customer", "store", "ticket")},
    "grant": ("grant_id", "object"),
}
"""What a search has lists for, with the columns that may hold it; see :mod:`gateway.ledger.index`."""

_WAYS = {"subject": "IN (:subject, :pseudonym)"}
"""How a column is compared where that is not by ``=``: a person stands there by name or by pseudonym."""

_ASKED = (*_CONDITIONS, *_COLUMNS_OF)


_AMONG_SEVERAL = "instr(',' || {0} || ',', ',' || :customer || ',')"  # with commas between


def _unlisted(name: str) -> str:
    """Whether a row holds what is asked for, by the row itself."""
    ways = [f"{column} {_way(name)}" for column in _COLUMNS_OF[name]]
    if name == "customer":
        ways.append(f"(kind = 'administrative' AND {_AMONG_SEVERAL.format('customer')})")
    return f"({' OR '.join(ways)})"


def _way(name: str) -> str:
    return _WAYS.get(name, f"= :{name}")


def _lists(name: str, segment: str) -> list[str]:
    """The lists of a segment that hold what is asked for."""
    columns = ", ".join(f"'{column}'" for column in _COLUMNS_OF[name])
    held = [f"posting.name IN ({columns}) AND posting.value {_way(name)}"]
    if name == "customer":
        held.append(f"posting.name = '{index.SEVERAL}' AND {_AMONG_SEVERAL.format('posting.value')}")
    return [f"posting.segment = {segment} AND {each}" for each in held]


def _listed(name: str) -> str:
    """Whether a row holds what is asked for, by the lists of its segment."""
    places = "SELECT atom + :start FROM posting, json_each(places) WHERE"
    return f"sequence IN ({' UNION ALL '.join(f'{places} {each}' for each in _lists(name, ':segment'))})"


def _somewhere(name: str) -> str:
    """Whether a segment has such a list."""
    there = (f"EXISTS (SELECT 1 FROM posting WHERE {each})" for each in _lists(name, "walk.segment"))  # noqa: S608  ours
    return f"({' OR '.join(there)})"


class TurningBack(Protocol):
    """What turns pseudonyms back; see :class:`gateway.ledger.pseudonyms.Pseudonyms`."""

    def shown(self, fields: Projection) -> Projection: ...

    def find(self, name: str) -> str: ...


class LedgerReader:
    """A ledger opened for reading.

    Args:
        path: the ledger.
        pseudonyms: has projections name people who were not erased, and finds them by name. Exact bytes stay as they
            are.

    Raises:
        LedgerUnavailable: there is none, or it cannot be read.
    """

    def __init__(self, path: Path, pseudonyms: TurningBack | None = None) -> None:
        self._path = path
        self._pseudonyms = pseudonyms
        if not path.exists():
            raise LedgerUnavailable(f"the ledger {path}: there is none; check the path, or start the gateway first")
        with self._translated():
            self._connection = connect(path, mode="ro")
            self._sealed = Sealed(self._connection)
            marks = [self._connection.execute(statement).fetchone() for statement in schema.READ_MARKS]
        if marks != [(schema.APPLICATION_ID,), (schema.SCHEMA_VERSION,)]:
            self.close()
            mend = "name another path, or start the gateway, which brings an older ledger up to this version"
            raise LedgerUnavailable(f"the ledger {path}: it is another database, or of another version; {mend}")

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

    def latest_us(self) -> int:
        """When the last entry was written, by its own account; 0 before the first."""
        last = self.tail(1)
        told = last[0].get("time_us") if last else 0
        return told if isinstance(told, int) else 0

    def tail(self, count: int) -> list[Projection]:
        """The last entries, the newest last."""
        return [self._project(row) for row in self.bodies(start=max(0, self.size() - count))]

    def after(self, sequence: int) -> Iterator[Projection]:
        """Every entry behind this one, in their order."""
        return map(self._project, self.bodies(start=sequence + 1))

    def bodies(self, *, start: int = 0, before: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Sequence and exact bytes of entries in their order, read in bunches so that no writer is held up."""
        while rows := self._bunch(start):
            for row in rows:
                if before is not None and row[0] >= before:
                    return
                yield row
            start = rows[-1][0] + 1

    def removed(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
    ) -> list[Removed]:
        """What was removed of these sequences and this period (see :class:`Query`), in order."""
        with self._translated():
            found = self._sealed.gone()
        behind, end = (-1 if after is None else after), (self.size() if before is None else before)
        return [one for one in found if one.first < end and one.last > behind and one.in_period(since_us, until_us)]

    def leaves(self, start: int, count: int) -> tuple[list[bytes], list[bytes]]:
        """Stored leaf hash and exact bytes of so many entries; both empty where one is missing."""
        with self._translated():
            rows = entries(self._connection, self._sealed, start, start + count)
            sealed = dict(enumerate(self._sealed.leaves(start, start + count), start))
        found = {sequence: (leaf, body) for sequence, leaf, body in rows}
        pairs = [found.get(sequence, (sealed.get(sequence, b""), b"")) for sequence in range(start, start + count)]
        return [leaf for leaf, _ in pairs], [body for _, body in pairs]

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Hashes of the tree; see :class:`gateway.ledger.proof.Nodes`."""
        with self._translated():
            return StoredNodes(self._connection).hashes(level, start, count)

    def checkpoints(self) -> dict[int, str]:
        """The stored checkpoints by their sizes, each with the lines of witnesses below its own."""
        notes: dict[int, str] = dict(self._rows("SELECT size, note FROM checkpoint ORDER BY size", {}))
        for size, line in self._rows("SELECT size, line FROM cosignature ORDER BY size, name", {}):
            if size in notes:
                notes[size] += line
        return notes

    def signing_keys(self) -> list[KeyEntry]:
        """The keys that sign checkpoints, as they follow each other."""
        self._make_whole()
        rows = self._filled(_ACTS, {})
        return chain((sequence, _readable(body)) for sequence, body in rows if _KEY in body)[0]

    def named(self, key: str) -> tuple[int, bytes]:
        """Sequence and exact bytes of an entry by its id or sequence.

        Raises:
            NotFound: there is none.
        """
        sequence = self._sequence_of(key)
        with self._translated():
            rows = entries(self._connection, self._sealed, sequence, sequence + 1)
        if not rows:
            raise self._not_found(key, "its id or its sequence")
        return sequence, rows[0][2]

    def search(self, query: Query) -> Iterator[Projection]:
        """What a query finds."""
        return map(self._project, self.find(query))

    def find(self, query: Query) -> Iterator[tuple[int, bytes]]:
        """Sequence and exact bytes of what a query finds."""
        asked = {name: value for name in _ASKED if not _is_nothing(value := getattr(query, name))}
        if not asked.keys() - {"before", "after"}:
            return self._stretch(query)
        if query.subject:
            found = self._pseudonyms.find(query.subject) if self._pseudonyms else query.pseudonym
            asked["pseudonym"] = found or query.subject
        self._make_whole()
        return self._fitting(query, asked)

    def _stretch(self, query: Query) -> Iterator[tuple[int, bytes]]:
        """A stretch of the record, for which no index is needed; in bunches when it is read forwards."""
        if not query.newest_first:
            return islice(
                self.bodies(start=1 + (-1 if query.after is None else query.after), before=query.before), query.limit
            )
        statement = f"{_JOINED} WHERE sequence > :after AND sequence < :before ORDER BY sequence DESC LIMIT :limit"
        after, before = (
            (-1 if query.after is None else query.after),
            (self.size() if query.before is None else query.before),
        )
        limit = -1 if query.limit is None else query.limit
        self._make_whole()
        return self._filled(statement, {"after": after, "before": before, "limit": limit})

    def _fitting(self, query: Query, asked: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
        left = -1 if query.limit is None else query.limit
        for source, conditions, values in self._parts(asked, newest_first=query.newest_first):
            if left == 0:
                return
            where = " AND ".join(["1", *conditions, *(_CONDITIONS[name] for name in asked if name in _CONDITIONS)])
            order = "DESC" if query.newest_first else "ASC"
            statement = f"{source} WHERE {where} ORDER BY sequence {order} LIMIT :limit"
            for row in self._filled(statement, {**asked, **values, "limit": left}):
                yield row
                left -= 1

    def _parts(self, asked: dict[str, Any], *, newest_first: bool) -> Iterator[Part]:
        """Where to look, one part of the record after the other: the segments whose lists have what is asked for, and
        what has no lists yet."""
        searched = [name for name in asked if name in _COLUMNS_OF]
        [[segments]] = self._rows("SELECT coalesce(max(segment) + 1, 0) FROM posting", {})
        unlisted = ["sequence >= :unlisted", *map(_unlisted, searched)]
        rest: Part = (_JOINED, unlisted, {"unlisted": segments * schema.SEGMENT if searched else 0})
        if newest_first or not searched:
            yield rest
        for segment in self._segments(asked, searched, segments, newest_first=newest_first) if searched else ():
            yield _LISTED, list(map(_listed, searched)), {"segment": segment, "start": segment * schema.SEGMENT}
        if not newest_first and searched:
            yield rest

    def _segments(
        self, asked: dict[str, Any], searched: list[str], segments: int, *, newest_first: bool
    ) -> Iterator[int]:
        """The segments whose lists have everything that is searched for."""
        first = min(max(asked.get("after", -1) + 1, 0) // schema.SEGMENT, segments)
        end = min(segments, -(-max(asked.get("before", schema.SEGMENT * segments), 0) // schema.SEGMENT))
        if first >= end:
            return
        walk = {"at": end - 1, "to": first, "step": -1} if newest_first else {"at": first, "to": end - 1, "step": 1}
        held = " AND ".join(map(_somewhere, searched))
        for [segment] in self._rows(f"{_WALK} WHERE {held}", {**asked, **walk}):
            yield segment

    def completions(self, decisions: Sequence[str]) -> dict[str, Projection]:
        """The completions of decisions, by the decision's id; one that has none is left out."""
        self._make_whole()
        found: dict[str, Projection] = {}
        for start in range(0, len(decisions), _BUNCH):
            asked = {f"id{place}": key for place, key in enumerate(decisions[start : start + _BUNCH])}
            among = f"decision <> '' AND decision IN ({', '.join(f':{name}' for name in asked)})"
            rows = self._filled(f"{_JOINED} WHERE kind = 'completion' AND {among} ORDER BY sequence", asked)
            found |= {each["decision"]: each for each in map(self._project, rows)}
        return found

    def decision_of(self, completion: Projection) -> Projection | None:
        """The decision that a completion is of; None where the record has none."""
        statement = f"SELECT sequence, body FROM ({_PLACE_OF}) LEFT JOIN entry USING (sequence)"  # noqa: S608  ours
        return next(map(self._project, self._filled(statement, {"key": completion["decision"]})), None)

    def newest_checkpoint(self) -> tuple[int, str]:
        """The size of the tree that was signed last, and the note; 0 and "" where none was."""
        rows = self._rows("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1", {})
        return next(((int(size), str(note)) for size, note in rows), (0, ""))

    def permits(self, grants: Sequence[str], *, since_us: int) -> dict[str, list[str]]:
        """The ids of the permitted decisions under each of these grants, by the grant's id; in one pass for all."""
        self._make_whole()
        found: dict[str, list[str]] = {grant: [] for grant in grants}
        for start in range(0, len(grants), _BUNCH):
            asked = {f"id{place}": key for place, key in enumerate(grants[start : start + _BUNCH])}
            statement = f"""SELECT grant_id, id FROM found WHERE time_us >= :since AND kind = 'decision'
                AND effect = 'permit' AND grant_id IN ({", ".join(f":{name}" for name in asked)})"""  # noqa: S608  names
            for grant, decision in self._rows(statement, {**asked, "since": since_us}):
                found[grant].append(decision)
        return found

    def show(self, key: str) -> list[Projection]:
        """An entry by its id or sequence; a decision with its completion, and a completion with its decision.

        Raises:
            NotFound: there is none.
        """
        statement = """WITH named AS (SELECT sequence, id, decision, kind FROM found WHERE sequence = :key),
            completed AS (SELECT decision FROM named WHERE kind = 'completion'),
            wanted AS (SELECT sequence FROM named
                UNION SELECT sequence FROM entry WHERE id IN (SELECT decision FROM completed)
                UNION SELECT sequence FROM sealed WHERE id IN (SELECT decision FROM completed)
                UNION SELECT sequence FROM found
                    WHERE decision <> '' AND kind = 'completion' AND decision IN (SELECT id FROM named))
            SELECT sequence, body FROM wanted LEFT JOIN entry USING (sequence) ORDER BY sequence"""
        self._make_whole()
        found = [self._project(row) for row in self._filled(statement, {"key": self._sequence_of(key)})]
        if not found:
            raise self._not_found(key, "a decision's id, or a sequence")
        return found

    def _sequence_of(self, key: str) -> int:
        """The sequence that an id or a sequence names; -1 for an id that the ledger never had."""
        return int(key) if _is_sequence(key) else next((int(row[0]) for row in self._rows(_PLACE_OF, {"key": key})), -1)

    def _not_found(self, key: str, expected: str) -> NotFound:
        sequence = self._sequence_of(key)
        with self._translated():
            gone = [each for each in self._sealed.over(sequence, sequence + 1) if each.removed]
        if not gone:
            return NotFound(f"the ledger has no entry {key!r}; expected {expected}")
        return NotFound(f"entry {sequence} was removed when its time was over; entry {gone[0].removed_by} says so")

    def _bunch(self, start: int) -> list[tuple[int, bytes]]:
        """Some entries from one on, in their order; none only where there is none any more."""
        statement = "SELECT sequence, body FROM entry WHERE sequence >= :start ORDER BY sequence LIMIT :bunch"
        rows: list[tuple[int, bytes]] = list(self._rows(statement, {"start": start, "bunch": _BUNCH}))
        first = rows[0][0] if rows else start
        with self._translated():
            for segment in self._sealed.over(start, first):
                for at in range(max(start, segment.first), min(first, segment.after), _BUNCH):
                    sealed = self._sealed.rows(at, min(at + _BUNCH, first, segment.after))
                    if sealed:
                        return [(sequence, body) for sequence, _, body in sealed]
        return rows

    def _project(self, row: tuple[int, bytes]) -> Projection:
        sequence, body = row
        fields = decode(body)
        return {"sequence": sequence, **(self._pseudonyms.shown(fields) if self._pseudonyms else fields)}

    def _make_whole(self) -> None:
        with self._translated():
            index.make_whole(self._connection)

    def _filled(self, statement: str, parameters: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
        """Rows of sequences and bytes, where these stand in a segment too."""
        with self._translated():
            yield from self._sealed.filled(self._connection.execute(statement, parameters))

    def _rows(self, statement: str, parameters: dict[str, Any]) -> Iterator[Any]:
        with self._translated():
            yield from self._connection.execute(statement, parameters)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger {self._path} cannot be read: {error}; run ledger verify") from error


def _is_nothing(value: object) -> bool:
    return value is None or value is False or value == ""  # and 0 is an instant


def _readable(body: bytes) -> Projection:
    """The fields of an entry; none where it is damaged, which verifying names."""
    try:
        return decode(body)
    except UsageError:
        return {}


def _is_sequence(key: str) -> bool:
    return key.isdecimal() and len(key) < 19  # SQLite's integers have no more
