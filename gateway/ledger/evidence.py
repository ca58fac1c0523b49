"""What a ledger says of itself at one instant: its tree, its keys, and what it has signed.

Everything is read in one transaction, by a connection that may only read, so no writer is held up. A checkpoint from
outside is judged here: by the key that counted when it was signed, and by the root of the tree as it was then, which is
worked out anew from the leaf hashes (RFC 6962 §2.1).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import LedgerContradicted, LedgerUnavailable, UsageError
from gateway.ledger import index, proof, schema
from gateway.ledger.entry import decode
from gateway.ledger.file import connect
from gateway.ledger.keys import KeyEntry, chain, key_of
from gateway.ledger.nodes import StoredNodes
from gateway.ledger.note import Checkpoint, NoteRefused, opened, split
from gateway.ledger.sealed import Sealed

KEY_OBJECT = "ledger-key"
"""What the entry of a key says that was acted upon: how the few of them are found among all."""

_KEYS = """SELECT sequence, body FROM found LEFT JOIN entry USING (sequence)
    WHERE kind = 'administrative' AND object = ? ORDER BY sequence"""
_LATEST = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"
_COSIGNED = "SELECT coalesce(max(size), 0) FROM cosignature WHERE name = ?"


class Evidence:
    """A ledger at one instant; see :func:`evidence`.

    Attributes:
        size: how many entries it has.
        keys: the chain of keys that sign its checkpoints.
        key_problems: what is wrong with entries that name a key, by sequence.
    """

    def __init__(self, connection: sqlite3.Connection, origin: str) -> None:
        self._connection = connection
        self._nodes = StoredNodes(connection)
        self._origin = origin
        self.size = int(next(iter(connection.execute(schema.READ_HEAD).fetchone() or (0,))))
        index.make_whole(connection)
        self.keys, self.key_problems = chain(
            (sequence, _fields(body))
            for sequence, body in Sealed(connection).filled(connection.execute(_KEYS, (KEY_OBJECT,)))
        )

    @property
    def key(self) -> KeyEntry | None:
        """The key that signs now."""
        return self.keys[-1] if self.keys else None

    def latest(self) -> str | None:
        """The checkpoint over most entries that the ledger keeps."""
        found = self._connection.execute(_LATEST).fetchone()
        return str(found[0]) if found else None

    def cosigned(self, name: str) -> int:
        """The size of the largest tree of which a witness's cosignature is kept; 0 where there is none."""
        return int(self._connection.execute(_COSIGNED, (name,)).fetchone()[0])

    def root_at(self, size: int) -> bytes:
        """The root of the tree over the first so many entries."""
        return proof.root(self._nodes, size)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """See :func:`gateway.ledger.proof.consistency`."""
        return proof.consistency(self._nodes, first, second)

    def judge(self, note: str) -> Checkpoint:
        """A checkpoint that stands outside, if it is of this ledger's past.

        Raises:
            LedgerContradicted: it is not, or is no checkpoint.
        """
        found = self._read(note)
        if found.size > self.size:
            told = f"it is over {found.size} entries, and the ledger has {self.size}"
            raise LedgerContradicted(f"{told}: the ledger was rolled back, or is another one; put the newer one back")
        self._require_signed(note, found)
        if self.root_at(found.size) != found.root:
            told = f"the first {found.size} entries have another root than it says"
            raise LedgerContradicted(f"{told}: the ledger was changed or forked; compare it with a copy")
        return found

    def _read(self, note: str) -> Checkpoint:
        try:
            found = Checkpoint.parse(split(note)[0])
        except NoteRefused as error:
            raise LedgerContradicted(
                f"what stands there is no checkpoint ({error}); move it away, if it may go"
            ) from error
        if found.origin != self._origin:
            told = f"it is of {found.origin[:80]!r}, and this ledger is {self._origin!r}"
            raise LedgerContradicted(f"{told}; give each ledger a place of its own")
        return found

    def _require_signed(self, note: str, found: Checkpoint) -> None:
        key = key_of(self.keys, found.size)
        try:
            opened(note, [key] if key else [])
        except NoteRefused as error:
            raise LedgerContradicted(f"it is not signed by this ledger's key: {error}") from error


@contextlib.contextmanager
def evidence(path: Path, origin: str) -> Iterator[Evidence]:
    """What the ledger at a path says of itself now.

    Args:
        path: the ledger.
        origin: its name in checkpoints.

    Raises:
        LedgerUnavailable: there is none, or it cannot be read.
    """
    if not path.exists():
        raise LedgerUnavailable(f"the ledger {path}: there is none; check the path, or start the gateway first")
    try:
        with contextlib.closing(connect(path, mode="ro")) as connection:
            connection.execute("BEGIN")
            yield Evidence(connection, origin)
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"the ledger {path} cannot be read: {error}; run ledger verify") from error


def _fields(body: bytes) -> dict[str, object]:
    try:
        return decode(body)
    except UsageError:
        return {}
