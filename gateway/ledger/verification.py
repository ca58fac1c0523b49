"""Re-reading every entry, and saying what is wrong and where.

What is checked:

1. every sequence from 0 to the head's size is there, and none besides;
2. the bytes are an entry, in canonical form, and their leaf hash is the one stored;
3. the tree over the bytes has the head's root, and the stored hashes of its upper levels are its own;
4. the index, as far as it goes, says of each entry what the entry says, and holds no row that no entry stands behind;
   its lists hold the rows that have their value, and no others;
5. ids are unique; a completion follows the decision that it completes, which no other one does;
6. keys follow each other, and every checkpoint is signed by the key that counts and has the root of the tree at its
   size (:mod:`gateway.ledger.attestation`);
7. each segment's file is the one that was sealed, and an entry says so; entries that were removed are noted, if an
   entry says by whom (:mod:`gateway.ledger.moves`);
8. SQLite finds its own structures sound.

Time going backwards is noted and is no fault: clocks are set, and writers overlap.

**What cannot be seen from here alone:** whoever can write to the file can cut entries off the end together with the
checkpoints over them, put an old copy in its place, or, with a key of their own, write all of it anew. A checkpoint
that somebody else kept shows the first two, that or the log's key the third.

Each entry is read once, a stretch at a time (:mod:`gateway.ledger.rereading`), by as many processes as there are
processors; memory is bounded, and writers go on meanwhile.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from gateway.errors import LedgerUnavailable
from gateway.ledger import index, rereading, schema
from gateway.ledger.attestation import NOTHING, Attestation, Signed, Trust, outside_size
from gateway.ledger.file import connect, primary_code
from gateway.ledger.merkle import EMPTY_ROOT, TILE_HEIGHT, Frontier
from gateway.ledger.moves import Moves
from gateway.ledger.progress import Progress
from gateway.ledger.proof import LeavesInMemory
from gateway.ledger.rereading import STRETCH, Finding, Stretch, Task, missing, wrong_node

MAX_PROBLEMS = 1_000
TOP_LEVEL = 7  # of tiles: SQLite's integers have 63 bits

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, 0})  # 0: not UTF-8
_NEXT = "SELECT min(sequence) FROM entry WHERE sequence >= ?"
_SEGMENT = "(SELECT {what} FROM segment WHERE first <= {at} ORDER BY first DESC LIMIT 1)"
_STRAYS = (
    ("SELECT sequence FROM entry WHERE sequence < 0", "an entry before the first one"),
    (
        f"""SELECT l.sequence FROM lookup l LEFT JOIN entry e ON e.sequence = l.sequence WHERE e.sequence IS NULL
            AND (l.sequence >= coalesce({_SEGMENT.format(what="after", at="l.sequence")}, 0)
            OR ({_SEGMENT.format(what="removed_by", at="l.sequence")} IS NOT NULL
            AND l.sequence NOT IN (SELECT sequence FROM kept)))""",  # noqa: S608  columns from here
        "the index has a row here, and no entry stands behind it",
    ),
    (
        """SELECT max(sequence) FROM (SELECT id, sequence FROM entry NOT INDEXED UNION ALL
            SELECT id, sequence FROM sealed) WHERE sequence < :size GROUP BY id HAVING count(*) > 1""",
        "its id stands in an earlier entry too",
    ),
    (
        f"""SELECT c.sequence FROM found c LEFT JOIN entry e ON e.id = c.decision
            LEFT JOIN sealed s ON s.id = c.decision
            LEFT JOIN lookup d ON d.sequence = coalesce(e.sequence, s.sequence)
            LEFT JOIN temp.fresh f ON f.sequence = e.sequence
            WHERE c.kind = 'completion' AND c.sequence < :size
            AND (coalesce(d.kind, f.kind) IS NOT 'decision' OR coalesce(e.sequence, s.sequence) >= c.sequence)
            AND (d.sequence IS NOT NULL OR s.sequence IS NULL
            OR {_SEGMENT.format(what="removed_by", at="s.sequence")} IS NULL)""",  # noqa: S608  columns from here
        "it completes a decision that no earlier entry holds",
    ),
    (
        """SELECT l.sequence FROM lookup l LEFT JOIN sealed s ON s.id = l.id
            WHERE l.sequence < (SELECT coalesce(max(after), 0) FROM segment) AND s.sequence IS NOT l.sequence""",
        "its id does not lead to it, though a segment holds it",
    ),
    (
        """SELECT max(sequence) FROM found WHERE kind = 'completion' AND sequence < :size
            GROUP BY decision HAVING count(*) > 1""",
        "it completes a decision that is completed already",
    ),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at a sequence; -1 where it is the whole that is."""

    sequence: int
    what: str


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        entries: how many the head counts.
        root: of the tree over what was read, hexadecimal.
        problems: what is wrong, at most :data:`MAX_PROBLEMS` of them.
        notes: what is worth a look and is no fault.
        checkpoints: how many stored checkpoints hold.
        signed: how many entries the newest of them is over; what comes after is not signed yet.
    """

    entries: int = 0
    root: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    checkpoints: int = 0
    signed: int = 0

    @property
    def verified(self) -> bool:
        return not self.problems

    @property
    def full(self) -> bool:
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, sequence: int, what: str) -> None:
        if not self.full:
            self.problems.append(Problem(sequence, what))

    def note(self, sequence: int, what: str) -> None:
        if len(self.notes) < MAX_PROBLEMS:
            self.notes.append(Problem(sequence, what))


def verify(
    path: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
    trust: Trust = NOTHING,
    resume: Path | None = None,
    processes: int | None = None,
) -> Report:
    """Check a ledger, entry by entry.

    Args:
        path: the ledger.
        progress: called with the number of entries read and how many there are.
        trust: what is known besides what the ledger says.
        resume: a file that says how far an interrupted verification came, and is kept until this one is through.
        processes: that read; as many as there are processors unless given.

    Raises:
        LedgerUnavailable: it cannot be read at all. Damage is a problem in the report, never an error.
        NoteRefused: the checkpoint kept outside is none.
    """
    if not path.exists():
        raise LedgerUnavailable(f"the ledger {path}: there is none; check the path")
    report = Report()
    sizes = {outside_size(trust)}
    try:
        with closing(connect(path, mode="ro")) as connection:
            verification = _Verification(path, connection, report, trust)
            verification.read(sizes, Progress(resume, path), progress, processes or os.cpu_count() or 1)
    except sqlite3.Error as error:
        if primary_code(error) not in _DAMAGE:
            raise LedgerUnavailable(f"the ledger {path} cannot be read: {error}") from error
        report.add(-1, f"the file is damaged: {error}")
    return report


class _Verification:
    """One run: what was stored at its beginning, and the tree as far as it was read."""

    def __init__(self, path: Path, connection: sqlite3.Connection, report: Report, trust: Trust) -> None:
        self._path = path
        self._connection = connection
        self._report = report
        self._trust = trust
        self._stretches: list[bytes] = []  # the roots of those that are whole
        self._upper = Frontier()  # over these roots
        self._roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self._last = b""  # the frontier of the tree
        self._broken = False  # a whole stretch is missing
        self._keys: list[tuple[int, dict[str, object]]] = []
        self._moves = Moves(connection)

    def read(self, sizes: set[int], resumed: Progress, progress: Callable[[int, int], None], processes: int) -> None:
        """All the steps."""
        size, root, hashes, signed = self._snapshot()
        self._report.entries = size
        for sequence, what in self._moves.wrong_files():
            self._report.add(sequence, what)
        tasks = self._tasks(size, sizes | set(signed.notes))
        with _Across(self._path, size) as across:
            for stretch in _read(tasks, resumed, processes):
                self._take(stretch)
                progress(stretch.end, size)
                if self._report.full:
                    return
            self._compare_head(size, root, hashes)
            self._compare_nodes()
            self._compare_lists()
            self._attest(signed, size)
            self._compare_moves()
            for sequence, what in across.problems():
                self._report.add(sequence, what)
        if resumed.earlier:
            self._report.note(-1, _read_earlier(resumed))
        resumed.close()

    def _snapshot(self) -> tuple[int, bytes, bytes, Signed]:
        """Head and checkpoints of one instant: a gateway may be writing."""
        execute = self._connection.execute
        execute("BEGIN")
        size, root, hashes, entries = execute(schema.READ_HEAD).fetchone() or self._without_head()
        notes = dict(execute("SELECT size, note FROM checkpoint").fetchall())
        cosignatures = execute("SELECT size, name, line FROM cosignature ORDER BY size, name").fetchall()
        index.make_whole(self._connection)
        self._moves.read()
        execute("COMMIT")
        if size != entries:
            told = f"the head counts {size} entries, and the last one has sequence {entries - 1}"
            self._report.add(min(size, entries), told)
        return size, root, hashes, Signed(notes, cosignatures)

    def _without_head(self) -> tuple[int, bytes, bytes, int]:
        self._report.add(-1, "the head is missing")
        [entries] = self._connection.execute("SELECT coalesce(max(sequence) + 1, 0) FROM entry").fetchone()
        return entries, b"", b"", entries

    def _tasks(self, size: int, sizes: set[int]) -> list[Task]:
        """The stretches that there are; those that are missing as a whole are named."""
        [indexed] = self._connection.execute("SELECT last FROM temp.indexed").fetchone()
        listed = min(index.count_listed(self._connection), size // schema.SEGMENT)
        tasks: list[Task] = []
        start = 0
        while start < size:
            there = self._there(start, size)
            if there - start >= STRETCH or there == size:
                self._report.add(start, missing(start, there))
                self._broken = True
                start = there - there % STRETCH if there < size else size
                continue
            end = min(start + STRETCH, size)
            asked = sorted({end, *(each for each in sizes if start < each <= end)})
            tasks.append(Task(self._path, start, end, indexed, listed, tuple(asked)))
            start = end
        return tasks

    def _there(self, start: int, size: int) -> int:
        if self._moves.sealed(start):
            return start
        [there] = self._connection.execute(_NEXT, (start,)).fetchone()
        return size if there is None else min(int(there), size)

    def _take(self, stretch: Stretch) -> None:
        for sequence, what in stretch.problems:
            self._report.add(sequence, what)
        for sequence, what in stretch.notes:
            self._report.note(sequence, what)
        self._keys += stretch.keys
        self._moves.told += stretch.moves
        if self._broken:
            return
        before = self._upper.to_bytes()
        if stretch.whole:
            self._stretches.append(stretch.trees[stretch.end])
            self._upper.append(stretch.trees[stretch.end])
        for size, hashes in stretch.trees.items():
            at_end = stretch.whole and size == stretch.end
            self._last = self._upper.to_bytes() if at_end else before + hashes
            self._roots[size] = Frontier.from_bytes(size, self._last).root()

    def _compare_head(self, size: int, root: bytes, hashes: bytes) -> None:
        found = self._roots.get(size)
        self._report.root = found.hex() if found else ""
        if found != root:
            self._report.add(-1, "the tree over the entries has another root than the head")
        elif self._last != hashes:
            self._report.add(-1, "the head's frontier is not that of the tree over the entries")

    def _compare_nodes(self) -> None:
        """The levels above those that stretches compare; none that is not full, and none left out."""
        entries = self._there_now()
        tree = LeavesInMemory(self._stretches)
        for level, number, held in self._connection.execute("SELECT level, number, hash FROM node WHERE level > 1"):
            known = not self._broken and level <= TOP_LEVEL and tree.hashes(level - 2, number, 1)
            if known and known != [held]:
                self._report.add(*wrong_node(level, number))
        counts = "SELECT level, count(*), min(number), max(number) FROM node GROUP BY level"
        for level, count, lowest, highest in self._connection.execute(counts):
            if not 1 <= level <= TOP_LEVEL or lowest < 0 or highest >= entries >> TILE_HEIGHT * level:
                self._report.add(-1, f"a hash of level {level} is stored over entries that are not there")
            elif count != highest + 1:
                self._report.add(-1, f"stored hashes of level {level} are missing: {count} of {highest + 1} are there")

    def _compare_lists(self) -> None:
        """That none is over rows that do not fill a segment; stretches compare the others."""
        segments = self._there_now() // schema.SEGMENT
        if self._connection.execute(index.LISTED_BEYOND, (segments,)).fetchone():
            self._report.add(-1, "lists for searches are stored over entries that are not there")

    def _compare_moves(self) -> None:
        for sequence, what in self._moves.problems():
            self._report.add(sequence, what)
        for sequence, what in self._moves.notes():
            self._report.note(sequence, what)

    def _there_now(self) -> int:
        [entries] = self._connection.execute("SELECT coalesce(max(sequence) + 1, 0) FROM entry").fetchone()
        return int(entries)

    def _attest(self, signed: Signed, size: int) -> None:
        attestation = Attestation(self._keys, signed, size, self._roots.get, self._trust)
        for sequence, what in attestation.problems():
            self._report.add(sequence, what)
        self._report.checkpoints = len(attestation.sound)
        self._report.signed = max(attestation.sound, default=0)


class _Across:
    """What one entry alone does not show, looked for while the entries are read: SQLite does without the interpreter.

    Leaving it stops what is still going on.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1)
        self._found = self._thread.submit(self._look)

    def __enter__(self) -> _Across:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection and not self._found.done():
            self._connection.interrupt()
        self._thread.shutdown()

    def problems(self) -> list[Finding]:
        """All that were found, once all was looked through."""
        return self._found.result()

    def _look(self) -> list[Finding]:
        with closing(connect(self._path, mode="ro")) as self._connection:
            return list(self._problems(self._connection))

    def _problems(self, connection: sqlite3.Connection) -> Iterator[Finding]:
        index.make_whole(connection)
        for statement, what in _STRAYS:
            for [sequence] in connection.execute(f"{statement} LIMIT {MAX_PROBLEMS}", {"size": self._size}):
                yield sequence, what
        for [line] in connection.execute("PRAGMA integrity_check(20)"):
            if line != "ok":
                yield -1, f"SQLite finds its file damaged: {line}"


def _read_earlier(resumed: Progress) -> str:
    again = "signatures, upper hashes, ids and completions were checked anew"
    return f"the entries before {resumed.earlier} were read {resumed.since}, by another run, and not again; {again}"


def _read(tasks: list[Task], resumed: Progress, processes: int) -> Iterator[Stretch]:
    """Every stretch in its order: from the file of an interrupted run, or read."""
    rest: list[Task] = []
    for task in tasks:
        earlier = None if rest else resumed.take(task)
        if earlier:
            yield earlier
        else:
            rest.append(task)
    for stretch in _in_processes(rest, processes) if processes > 1 and len(rest) > 2 else map(rereading.read, rest):
        resumed.keep(stretch)
        yield stretch


def _in_processes(tasks: Iterable[Task], processes: int) -> Iterator[Stretch]:
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(rereading.read, tasks)
        finally:
            pool.shutdown(cancel_futures=True)
