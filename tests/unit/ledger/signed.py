"""A signed ledger, its key changed once, with three checkpoints; and what somebody who can write its file can mend."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import UsageError
from gateway.ledger import schema
from gateway.ledger.entry import COLUMNS, Entry, administrative, decode, derive, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.keys import ACT, details
from gateway.ledger.merkle import Frontier, leaf_hash
from gateway.ledger.note import Checkpoint, Signer, Verifier
from gateway.ledger.proof import LeavesInMemory, root
from tests.unit.ledger.entries import completion, decision
from tests.world.clock import NOW_S, FakeClock

ORIGIN = "gateway.test/ledger"
ROTATION = 300
SIZES = (200, 400, 600)


def signer(seed: int, name: str = ORIGIN) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


FIRST, SECOND, STRANGER, WITNESS = signer(1), signer(2), signer(3), signer(4, "witness.test")
TRUSTED = FIRST.verifier
KNOWN_WITNESS = Verifier(WITNESS.name, WITNESS.verifier.public, 4)


def key_entry(new: Signer, previous: Signer | None = None) -> Entry:
    said = details(new, previous)
    clock = FakeClock(NOW_S + ROTATION if previous else NOW_S)
    fields = administrative(clock=clock, node="n", actor="gateway", act=ACT, subject=new.name, details=said)
    return seal(fields)


def entries() -> list[Entry]:
    """A key, permits with their completions, and in the middle another key."""
    written = [key_entry(FIRST)]
    while len(written) < SIZES[-1]:
        if len(written) == ROTATION:
            written.append(key_entry(SECOND, FIRST))
        permit = decision(len(written), effect="permit")
        written += [seal(permit)]
        if len(written) not in (ROTATION, SIZES[-1]):
            written.append(seal(completion(permit)))
    return written


def build(path: Path, written: Sequence[Entry]) -> None:
    """The ledger as a gateway would have it, its checkpoints cosigned."""
    file = LedgerFile(path)
    file.open()
    for start in range(0, len(written), 100):
        file.commit(written[start : start + 100])
        size = start + 100
        if size in SIZES:
            note = checkpoint([entry.body for entry in written[:size]])
            file.keep_checkpoint(size, note)
            file.keep_cosignature(size, WITNESS.name, WITNESS.cosignature(note.partition("\n\n")[0] + "\n", NOW_S))
    file.close()


def checkpoint(bodies: Sequence[bytes], by: Signer | None = None) -> str:
    """The note over these bytes, by whoever's key counts."""
    by = by or (SECOND if len(bodies) > ROTATION else FIRST)
    tree = LeavesInMemory([leaf_hash(body) for body in bodies])
    return Checkpoint(by.name, len(bodies), root(tree, len(bodies))).signed(by)


def bodies(connection: sqlite3.Connection) -> list[bytes]:
    return [body for [body] in connection.execute("SELECT body FROM entry ORDER BY sequence")]


def mend(connection: sqlite3.Connection, written: Sequence[bytes]) -> None:
    """Make everything that hangs on the bytes fit other bytes: hashes, index, head. Nothing of it needs a key."""
    connection.execute("DROP INDEX IF EXISTS entry_id")
    for table in ("entry", "lookup", "node"):
        connection.execute(f"DELETE FROM {table}")
    leaves = [leaf_hash(body) for body in written]
    for sequence, body in enumerate(written):
        columns = _columns(body)
        connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", (sequence, columns[2], leaves[sequence], body))
        connection.execute(schema.insert("lookup", len(COLUMNS) + 1, 1), (sequence, *columns))
    nodes = LeavesInMemory(leaves)
    for number in range(len(leaves) // 256):
        connection.execute("INSERT INTO node VALUES (1, ?, ?)", (number, *nodes.hashes(1, number, 1)))
    tree = Frontier().extended(leaves)
    connection.execute("UPDATE head SET size = ?, root = ?, frontier = ?", (tree.size, tree.root(), tree.to_bytes()))
    ids = len({id_ for [id_] in connection.execute("SELECT id FROM entry")})
    connection.execute(f"CREATE {'UNIQUE' if ids == len(written) else ''} INDEX entry_id ON entry (id)")


def _columns(body: bytes) -> tuple[int | str, ...]:
    try:
        return derive(decode(body))
    except UsageError:
        return derive({})


def sign(connection: sqlite3.Connection, by: Signer | None = None, sizes: Sequence[int] = SIZES) -> None:
    """Put checkpoints over what is there now in place of those that were."""
    connection.execute("DELETE FROM cosignature")
    connection.execute("DELETE FROM checkpoint")
    written = bodies(connection)
    for size in sizes:
        note = checkpoint(written[:size], by)
        connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (size, note))


@pytest.fixture(scope="module")
def written() -> list[Entry]:
    """The entries of a signed ledger, for a whole module."""
    return entries()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, written: list[Entry]) -> Path:
    """A signed ledger, for a whole module, which reads it and leaves it as it is."""
    path = tmp_path_factory.mktemp("whole") / "ledger.db"
    build(path, written)
    return path


@pytest.fixture
def signed(whole: Path, tmp_path: Path) -> Path:
    """A signed ledger to be damaged."""
    return Path(shutil.copy(whole, tmp_path / "ledger.db"))
