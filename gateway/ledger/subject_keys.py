"""The keys of people: what makes a pseudonym of a name, in a file of its own, so that destroying a key erases a person.

Each person has a random key, made when they are first met. A pseudonym is an HMAC-SHA-256 with that key (RFC 2104), so
it cannot be had from a name without the key, nor the name from it. Beside the key stand the *words* that became
pseudonyms by it: the name itself, and texts and addresses, so that they can be shown as long as the key is there.

Invariants: a key and a word are on the disk before anything that rests on them is recorded; a person has one key,
whoever makes it when; once a key is destroyed, the file holds neither it nor any word of that person, and every other
process learns of it by :attr:`State.destroyed`, before its next look at the file's stamp is over.

What a crash leaves, and what is done with it:

================================  ======================================  =========================================
crash                             leaves                                  next time
================================  ======================================  =========================================
while the file is made            nothing under its name                  it is made
before a commit                   a journal                               SQLite takes back what was not committed
destroyed, not yet vacuumed       bytes that SQLite overwrote with zeros  destroying again vacuums
================================  ======================================  =========================================
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.errors import LedgerUnavailable, UsageError
from gateway.files import sync_directory
from gateway.ledger.file import connect, primary_code

APPLICATION_ID = 0x52475348
VERSION = 1
KEY_BYTES = 32
TOKEN_BYTES = 16
MAX_WORDS = 1_000
"""How many words are kept of a person; further ones become pseudonyms that nothing turns back."""

NAME = "name"
ADDRESS = "address"
TEXT = "text"

Word = tuple[str, str]
"""What kind of word it is (:data:`NAME`, :data:`ADDRESS` or :data:`TEXT`), and the word."""

_CREATE = (
    "CREATE TABLE about (id TEXT NOT NULL, destroyed INTEGER NOT NULL)",
    "CREATE TABLE person (name TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE word (pseudonym TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX word_of ON word (name)",
)
_BUNCH = 500
_REASONS = {
    sqlite3.SQLITE_BUSY: "another process has held its lock for too long; see which one has it open",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_READONLY: "it cannot be written; check its permissions and those of its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the path, and the permissions of it and of its directory",
    sqlite3.SQLITE_IOERR: "the disk failed; check the disk",
    sqlite3.SQLITE_CORRUPT: "it is damaged; put a sound copy in its place",
    sqlite3.SQLITE_NOTADB: "it holds no subject keys; put the right file in its place",
}


class State(NamedTuple):
    """What a file of keys says of itself: which it is, and how many keys were destroyed in it."""

    id: str
    destroyed: int


def pseudonym(key: bytes, kind: str, text: str) -> str:
    """The pseudonym of a word by somebody's key: ``~`` and the first 16 bytes of the HMAC, as base64url."""
    digest = hmac.digest(key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), "sha256")
    return "~" + base64.urlsafe_b64encode(digest[:TOKEN_BYTES]).rstrip(b"=").decode()


class SubjectKeys:
    """The keys at a path. Each call opens the file, so that one put in its place is noticed. For any thread; blocking.

    Every call raises LedgerUnavailable where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Make the file where there is none, whole or not at all, for its owner only."""
        if self.path.exists():
            return
        with self._translated():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            os.close(handle)
            try:
                self._make(Path(name))
                with contextlib.suppress(FileExistsError):  # another process was first
                    os.link(name, self.path)
            finally:
                Path(name).unlink()
            sync_directory(self.path.parent)

    def state(self) -> State:
        """What the file says of itself."""
        with self._opened() as connection:
            return State(*connection.execute("SELECT id, destroyed FROM about").fetchone())

    def key(self, name: str, words: Collection[Word] = ()) -> bytes:
        """Somebody's key, made where they have none; it, their name and these words are durable."""
        with self._opened() as connection:
            found = _find(connection, name)
            if found is None or _missing(connection, name, found, words):
                with _transaction(connection):
                    found = _find(connection, name) or _make_key(connection, name)
                    _keep(connection, name, found, words)
            return found

    def find(self, name: str) -> bytes | None:
        """Somebody's key; None where they have none."""
        with self._opened() as connection:
            return _find(connection, name)

    def names(self) -> list[str]:
        """Everybody who has a key."""
        with self._opened() as connection:
            return [name for [name] in connection.execute("SELECT name FROM person ORDER BY name")]

    def words(self, pseudonyms: Collection[str]) -> dict[str, str]:
        """What these pseudonyms stand for, where that is kept."""
        asked, found = list(pseudonyms), dict[str, str]()
        with self._opened() as connection:
            for start in range(0, len(asked), _BUNCH):
                bunch = asked[start : start + _BUNCH]
                among = ", ".join("?" * len(bunch))
                statement = f"SELECT pseudonym, text FROM word WHERE pseudonym IN ({among})"  # noqa: S608  marks only
                found.update(connection.execute(statement, bunch).fetchall())
        return found

    def destroy(self, name: str) -> bool:
        """Destroy somebody's key, and forget every word of theirs; whether they had one.

        What is deleted is overwritten, and the file written anew without it.
        """
        with self._opened() as connection:
            with _transaction(connection):
                destroyed = connection.execute("DELETE FROM person WHERE name = ?", (name,)).rowcount
                connection.execute("DELETE FROM word WHERE name = ?", (name,))
                connection.execute("UPDATE about SET destroyed = destroyed + ?", (destroyed,))
            connection.execute("VACUUM")
        with self._translated():
            now_ns = time.time_ns()
            os.utime(self.path, ns=(now_ns, now_ns))  # a file system's own times may be too coarse to differ
        return bool(destroyed)

    def _make(self, path: Path) -> None:
        with contextlib.closing(connect(path, mode="rw")) as connection:
            _prepare(connection)
            with _transaction(connection):
                for statement in (f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}"):
                    connection.execute(statement)
                for statement in _CREATE:
                    connection.execute(statement)
                connection.execute("INSERT INTO about VALUES (?, 0)", (secrets.token_hex(16),))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), contextlib.closing(connect(self.path, mode="rw")) as connection:
            marks = [connection.execute(f"PRAGMA {mark}").fetchone()[0] for mark in ("application_id", "user_version")]
            if marks != [APPLICATION_ID, VERSION]:
                raise LedgerUnavailable(self._told(_REASONS[sqlite3.SQLITE_NOTADB]))
            _prepare(connection)
            yield connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerUnavailable(self._told(_REASONS.get(primary_code(error), str(error)))) from error
        except UnicodeEncodeError as error:
            raise UsageError("a name or a reason is not Unicode text, so it cannot be recorded") from error
        except OSError as error:
            raise LedgerUnavailable(self._told(f"{error.strerror}; check the path and its permissions")) from error

    def _told(self, why: str) -> str:
        return f"the subject keys {self.path}: {why}"


def _prepare(connection: sqlite3.Connection) -> None:
    """A journal that is cut off at each commit, not a log that keeps what was deleted; nothing in files elsewhere."""
    [mode] = connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    for setting in ("synchronous = FULL", "fullfsync = ON", "temp_store = MEMORY", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    said = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "secure_delete")]
    if (mode, said) != ("truncate", [2, 1]):
        told = f"SQLite says journal mode {mode}, synchronous {said[0]}, secure_delete {said[1]}"
        raise LedgerUnavailable(f"the subject keys cannot be synced and destroyed: {told}; expected truncate, 2 and 1")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise


def _find(connection: sqlite3.Connection, name: str) -> bytes | None:
    found = connection.execute("SELECT key FROM person WHERE name = ?", (name,)).fetchone()
    return bytes(found[0]) if found else None


def _make_key(connection: sqlite3.Connection, name: str) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    connection.execute("INSERT INTO person VALUES (?, ?)", (name, key))
    connection.execute("INSERT INTO word VALUES (?, ?, ?)", (pseudonym(key, NAME, name), name, name))
    return key


def _missing(connection: sqlite3.Connection, name: str, key: bytes, words: Collection[Word]) -> list[tuple[str, str]]:
    """Those of a person's words that are not kept, as far as there is room for them: pseudonym and text."""
    wanted = {pseudonym(key, kind, text): text for kind, text in words}
    there = "SELECT 1 FROM word WHERE pseudonym = ?"
    missing = [each for each in wanted.items() if connection.execute(there, each[:1]).fetchone() is None]
    if not missing:
        return []
    [kept] = connection.execute("SELECT count(*) FROM word WHERE name = ?", (name,)).fetchone()
    return missing[: max(0, MAX_WORDS - kept)]


def _keep(connection: sqlite3.Connection, name: str, key: bytes, words: Collection[Word]) -> None:
    rows = [(token, name, text) for token, text in _missing(connection, name, key, words)]
    connection.executemany("INSERT INTO word VALUES (?, ?, ?)", rows)
