"""The ledger's file: SQLite, a write-ahead log, one synced transaction for each batch.

Invariants: an entry and the head of the tree are written in one transaction; ``synchronous`` is FULL and was read
back whenever an entry is written, and less only while the index is; a commit that returned is on the disk; a file that
was unlinked, replaced, rolled back or damaged takes no further entry; after an I/O error nothing is written to the same
file again, for the page in question may be gone although the next sync succeeds. The write-ahead log is moved into the
database by :meth:`LedgerFile.tidy`, never by SQLite on its own, which would keep an error of that sync to itself; there
too the index is brought up to the entries, once enough of them lack a row, and when the file is opened and closed.

What a crash leaves, and what opening the file again does with it:

================================  ======================================  =========================================
crash                             leaves                                  next time
================================  ======================================  =========================================
while the file is made            a file without tables                   the tables are made
before the commit                 frames without a commit mark            SQLite passes over them: nobody was told
within the write of the commit    a torn frame, its checksum wrong        the same
written, not yet synced, or the   all of the batch, or nothing            either is whole: the head is in the batch;
sync failed                                                               what is there is written once more and
                                                                          synced before it is told
synced, nobody told yet           the batch                               it stands; the same entry handed in again
                                                                          gets the sequence that it has
before the index caught up        entries without a row in the index      opening gives them one
the index caught up, not synced   the same, or all of the rows            the same; it is synced with the next batch
while the log is moved            some pages moved, the log whole         they are moved again
of the committer alone            any of these                            the next one opens the same file, no
                                                                          shorter than it was seen, or none
of its gateway alone              nothing: it ends the batch, and closes  the same
================================  ======================================  =========================================
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from gateway.errors import LedgerUnavailable
from gateway.files import Identity, identity, sync_directory
from gateway.ledger import index, nodes, schema
from gateway.ledger.entry import Columns, Entry
from gateway.ledger.merkle import EMPTY_ROOT, Frontier

BUSY_TIMEOUT_S = 2.0
TIDY_PAGES = 4_000  # counted generously: entries share pages
_REWRITE_BYTES = 1 << 20
_COMMIT_PAGES = 6  # that a commit writes beside its entries: head, indexes

_REASONS = {
    sqlite3.SQLITE_BUSY: "another process has held its lock for too long; see which one has it open",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_READONLY: "it cannot be written; check its permissions and those of its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the path and the permissions of its directory",
    sqlite3.SQLITE_IOERR: "the disk failed; restart after checking the disk",
    sqlite3.SQLITE_CORRUPT: "it is damaged; run ledger verify, then restart",
    sqlite3.SQLITE_NOTADB: "it is not a ledger; name another path",
}
_FINAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Outcome = int | LedgerUnavailable


def connect(path: Path, *, mode: str, timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """A connection without implicit transactions; ``mode`` is SQLite's ``rw`` or ``ro``: neither makes a file."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=timeout_s,
        cached_statements=schema.MAX_ROWS,
    )


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code of an error, or 0."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


class LedgerFile:
    """One ledger on disk. Opened, used and closed in one thread.

    Args:
        path: where it is; it is made when it is not there and nothing was written yet.
        busy_timeout_s: how long to wait for another process that appends.
        connect: how a connection is had; tests give one that fails.

    Attributes:
        failure: why nothing will be written any more, or "".
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        connect: Callable[..., sqlite3.Connection] = connect,
    ) -> None:
        self.path = path
        self.failure = ""
        self._busy_timeout_s = busy_timeout_s
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._wal = path.with_name(path.name + "-wal")
        self._wal_identity: Identity | None = None
        self._tree = Frontier()  # as this process last saw it
        self._least = 0  # entries that another process saw before
        self._unindexed: dict[int, Columns] = {}
        self._tiles: dict[tuple[int, int], bytes] = {}  # full, and not yet stored
        self._unmoved_pages = 0

    def open(self, opened: Identity | None = None, size: int = 0) -> Identity | None:
        """Open the ledger, or begin one.

        Args:
            opened: the file that it has to be, if another process had it open before this one.
            size: how many entries that one had seen in it.

        Returns:
            Which file it is.

        Raises:
            LedgerUnavailable: it cannot be opened, made or written, or is no ledger.
        """
        self._identity, self._least = opened, size
        with self._translated():
            if opened is None:
                self._make_if_missing()
                self._identity = identity(self.path)
            self._index(self._reconnect())
        return self._identity

    def commit(self, batch: Sequence[Entry]) -> list[Outcome]:
        """Write entries in one transaction and sync it. An empty batch writes and syncs too: a probe.

        Nobody may be told of it before :meth:`require_in_place` has returned.

        Returns:
            For each entry its sequence. An entry whose id is there already with the same bytes gets the sequence it
            has, so that handing one in again after a failure makes no duplicate; with other bytes it gets an error.

        Raises:
            LedgerUnavailable: it is not known to be durable. Entries of the batch may still have landed, as a whole.
        """
        if self.failure:
            raise LedgerUnavailable(self.failure)
        with self._translated():
            connection = self._connection or self._reconnect()
            try:
                outcomes = self._write(connection, batch)
            except sqlite3.IntegrityError:
                outcomes = self._write_anew(connection, batch)
        self._unmoved_pages += _COMMIT_PAGES + len(batch)
        return outcomes

    def require_in_place(self) -> None:
        """Make sure that whoever opens these paths after us finds what was just written. For any thread.

        Raises:
            LedgerUnavailable: the file was unlinked or replaced, so what was written is lost; nothing more is written.
        """
        try:
            there = identity(self.path), identity(self._wal)
        except OSError as error:
            raise LedgerUnavailable(self._told(f"{error.strerror}; check the path and its permissions")) from error
        if there != (self._identity, self._wal_identity):
            raise self._give_up("its file was unlinked or replaced while in use; put it back and restart")

    @property
    def size(self) -> int:
        """How many entries there were when this process, or the one before it, last looked. For any thread."""
        return max(self._tree.size, self._least)

    def head(self) -> tuple[int, bytes]:
        """Size and root of the tree over all that is durable.

        Raises:
            LedgerUnavailable: it cannot be read, or is not what it was.
        """
        if self.failure:
            raise LedgerUnavailable(self.failure)
        with self._translated():
            tree = self._read_tree(self._connection or self._reconnect())
        self.require_in_place()
        return tree.size, tree.root()

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint, durably; one of that size that is there already stays.

        Raises:
            LedgerUnavailable: it is not known to be kept.
        """
        self._keep(schema.KEEP_CHECKPOINT, (size, note))

    def keep_cosignature(self, size: int, name: str, line: str) -> None:
        """Keep what a witness signed of a checkpoint, durably; the first counts.

        Raises:
            LedgerUnavailable: it is not known to be kept.
        """
        self._keep(schema.KEEP_COSIGNATURE, (size, name, line))

    def commit_with(self, entry: Entry, work: Callable[[sqlite3.Connection, int], None]) -> int:
        """Write an entry, and do in the same transaction what it tells of.

        Args:
            entry: one that is not there yet.
            work: done first, with the sequence that the entry gets. What is deleted in it is overwritten on the disk.

        Returns:
            Its sequence. The entry and the work are durable.

        Raises:
            LedgerUnavailable: it is not known whether they are; both are, or neither.
        """
        if self.failure:
            raise LedgerUnavailable(self.failure)
        with self._translated():
            connection = self._connection or self._reconnect()
            connection.execute("PRAGMA secure_delete = ON").fetchone()
            with _transaction(connection):
                tree = self._read_tree(connection)
                work(connection, tree.size)
                extended = _append(connection, tree, [entry])
            self._tree = extended  # not before the commit
        self._unmoved_pages += TIDY_PAGES
        self.require_in_place()
        return tree.size

    def _keep(self, statement: str, values: tuple[int | str, ...]) -> None:
        if self.failure:
            raise LedgerUnavailable(self.failure)
        with self._translated():
            (self._connection or self._reconnect()).execute(statement, values)
        self._unmoved_pages += 2
        self.require_in_place()

    def tidy(self) -> None:
        """Bring the index up to the entries and move the write-ahead log into the database, when there is enough.

        To be called while nobody waits.
        """
        if self._connection is None or self.failure:
            return
        with contextlib.suppress(LedgerUnavailable), self._translated():
            if len(self._unindexed) >= schema.MAX_ROWS:
                self._index(self._connection)
            if self._unmoved_pages >= TIDY_PAGES:
                self._unmoved_pages = 0
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close the file, unless it failed for good: closing would move a log that cannot be relied on."""
        if self._connection and not self.failure:
            with contextlib.suppress(LedgerUnavailable), self._translated():
                self._index(self._connection)
            self._disconnect()

    def _disconnect(self) -> None:
        """Let go of the connection. After a failure at once: the index would wait for the same lock, or disk, again."""
        if self._connection and not self.failure:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _index(self, connection: sqlite3.Connection) -> None:
        """Give every entry its row in the index, and the tree its upper hashes. Failing leaves them behind, which harms
        nobody but for the disk."""
        written = schema.MAX_ROWS
        with _unsynced(connection):
            while written >= schema.MAX_ROWS:
                with _transaction(connection):
                    written = index.catch_up(connection, self._unindexed)
                    index.post(connection)
                    nodes.catch_up(connection, self._tiles)
        self._unindexed.clear()
        self._tiles.clear()

    def _write(self, connection: sqlite3.Connection, batch: Sequence[Entry]) -> list[Outcome]:
        """Write upon the tree as it was last seen, in one statement, which is a transaction of its own.

        Raises:
            sqlite3.IntegrityError: another process has appended since, or an entry is there already; or it is no
                batch for one statement.
        """
        if not 0 < len(batch) <= schema.MAX_ROWS:
            raise sqlite3.IntegrityError("not a batch for one statement")
        first = self._tree.size
        self._take(_append(connection, self._tree, batch), batch)
        return list(range(first, self._tree.size))

    def _take(self, tree: Frontier, entries: Sequence[Entry]) -> None:
        """The tree as it is with these entries, of which index and upper hashes need read nothing back."""
        self._tree = tree
        self._tiles.update(tree.tiles)
        sequences = range(tree.size - len(entries), tree.size)
        self._unindexed.update(zip(sequences, (entry.columns for entry in entries), strict=True))

    def _write_anew(self, connection: sqlite3.Connection, batch: Sequence[Entry]) -> list[Outcome]:
        """Write upon the tree as it is now; entries that are there already keep their place."""
        with _transaction(connection):
            tree = self._read_tree(connection)
            there = _find(connection, [entry.id for entry in batch])
            new: list[Entry] = []
            for entry in batch:
                if entry.id not in there:
                    there[entry.id] = (tree.size + len(new), entry.leaf_hash)
                    new.append(entry)
            connection.execute(schema.TOUCH)  # even without a new entry
            taken: list[tuple[Frontier, Sequence[Entry]]] = [(tree, ())]
            for start in range(0, len(new), schema.MAX_ROWS):
                part = new[start : start + schema.MAX_ROWS]
                tree = _append(connection, tree, part)
                taken.append((tree, part))
        for each in taken:  # not before the commit
            self._take(*each)
        return [_outcome(entry, there[entry.id]) for entry in batch]

    def _read_tree(self, connection: sqlite3.Connection) -> Frontier:
        """The tree as the head has it: another process may have appended since."""
        size, root, hashes, entries = connection.execute(schema.READ_HEAD).fetchone() or (0, b"", b"", 0)
        was = self.size
        if size < was:
            raise self._give_up(f"it went back from {was} entries to {size}; put the newer one back and restart")
        try:
            tree = Frontier.from_bytes(size, hashes)
        except ValueError as error:
            raise self._give_up(_REASONS[sqlite3.SQLITE_CORRUPT]) from error
        if size != entries or tree.root() != root:
            raise self._give_up(_REASONS[sqlite3.SQLITE_CORRUPT])
        return tree

    def _make_if_missing(self) -> None:
        missing = [directory for directory in (self.path.parent, *self.path.parent.parents) if not directory.exists()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for directory in missing:
            sync_directory(directory.parent)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            sync_directory(self.path.parent)  # SQLite syncs the directory for its log, not for the database

    def _reconnect(self) -> sqlite3.Connection:
        """A connection to the same file as before; never to one that was put in its place."""
        if identity(self.path) != self._identity:
            raise self._give_up("its file was unlinked or replaced while in use; put it back and restart")
        left = self._wal.exists() and self._wal.stat().st_size
        connection = self._connect(self.path, mode="rw", timeout_s=self._busy_timeout_s)
        self._connection = connection
        self._require_ledger(connection)  # before anything of it is changed
        _prepare(connection)
        with _transaction(connection):
            if _is_empty(connection):
                _make_tables(connection)
            _upgrade(connection)
            self._tree = self._read_tree(connection)
            if left:  # by a process that may have ended before it synced, or after a sync that failed
                _rewrite(self._wal)
                connection.execute(schema.TOUCH)
        self._wal_identity = identity(self._wal)
        sync_directory(self.path.parent)  # SQLite passes over a failure of this for its log
        return connection

    def _require_ledger(self, connection: sqlite3.Connection) -> None:
        marks = [connection.execute(statement).fetchone()[0] for statement in schema.READ_MARKS]
        versions = {schema.SCHEMA_VERSION, *schema.UPGRADES}
        known = marks[0] == schema.APPLICATION_ID and marks[1] in versions
        if not known and not (marks == [0, 0] and _is_empty(connection)):
            raise self._give_up("it is another database, or a ledger of another version; name another path")

    def _give_up(self, why: str) -> LedgerUnavailable:
        self.failure = self.failure or self._told(why)
        return LedgerUnavailable(self.failure)

    def _told(self, why: str) -> str:
        return f"the ledger {self.path}: {why}"

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's and the system's errors as ours; the next commit then begins with a new connection."""
        try:
            yield
        except sqlite3.Error as error:
            code = primary_code(error)
            why = _REASONS.get(code, str(error))
            failed = self._give_up(why) if code in _FINAL else LedgerUnavailable(self._told(why))
            self._disconnect()
            raise failed from error
        except OSError as error:
            self._disconnect()
            raise LedgerUnavailable(self._told(f"{error.strerror}; check the path and its permissions")) from error
        except LedgerUnavailable:
            self._disconnect()
            raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,))


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in schema.CREATE:
        connection.execute(statement)
    connection.execute(schema.INSERT_HEAD, (EMPTY_ROOT,))


def _upgrade(connection: sqlite3.Connection) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    for statement in schema.UPGRADES.get(version, ()):
        connection.execute(statement)
    if version in schema.UPGRADES:  # what an earlier version left of what it removed
        connection.execute("PRAGMA secure_delete = ON").fetchone()
        for removed in connection.execute("SELECT first, after FROM segment WHERE removed_by IS NOT NULL").fetchall():
            index.post_over(connection, *removed)


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # no temporary files: where everything but the ledger's directory is read-only, a large batch could not be written
    for setting in ("fullfsync = ON", "wal_autocheckpoint = 0", "temp_store = MEMORY", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {setting}")
    _sync_fully(connection)


def _sync_fully(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    [mode] = connection.execute("PRAGMA journal_mode").fetchone()
    [synchronous] = connection.execute("PRAGMA synchronous").fetchone()
    if (mode, synchronous) != ("wal", 2):
        said = f"SQLite says journal mode {mode}, synchronous {synchronous}"
        raise LedgerUnavailable(f"the ledger cannot be synced: {said}; expected wal and 2 (FULL)")


def _rewrite(log: Path) -> None:
    """Write a log over itself and sync it: after a sync that failed, the system may take for written what is not, and
    the next sync would leave that out. For whoever has the lock for writing.

    Raises:
        OSError: it cannot be read, written or synced.
    """
    with log.open("r+b", buffering=0) as file:
        at = 0
        while data := os.pread(file.fileno(), _REWRITE_BYTES, at):
            at += os.pwrite(file.fileno(), data, at)
        os.fsync(file.fileno())


@contextlib.contextmanager
def _unsynced(connection: sqlite3.Connection) -> Iterator[None]:
    """For what is derived, and can be lost: it is synced with the next batch, which need not wait for a sync of this.
    It lies before that batch in the log, so that it is never torn where the batch is whole."""
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    except sqlite3.Error:
        raise  # it ends the connection, and says more than a setting that cannot be changed now
    except BaseException:
        _sync_fully(connection)
        raise
    _sync_fully(connection)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """The lock for writing is taken at the beginning: what is read inside is what is built upon."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise


def _append(connection: sqlite3.Connection, tree: Frontier, entries: Sequence[Entry]) -> Frontier:
    """Write entries upon a tree; the tree with them."""
    leaves = [entry.leaf_hash for entry in entries]
    extended = tree.extended(leaves)
    connection.execute(*schema.append(entries, leaves, tree, extended))
    return extended


def _find(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """Sequence and leaf hash of the entries that are there, by id."""
    statement = "SELECT sequence, leaf_hash FROM entry WHERE id = ?"
    found = ((name, connection.execute(statement, (name,)).fetchone()) for name in ids)
    return {name: row for name, row in found if row}


def _outcome(entry: Entry, there: tuple[int, bytes]) -> Outcome:
    sequence, leaf_hash = there
    if leaf_hash == entry.leaf_hash:
        return sequence
    return LedgerUnavailable(f"the id {entry.id} stands at {sequence} with another content; expected a new id")
