"""Every kind of damage is found, and named by its place."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import LedgerUnavailable
from gateway.ledger.merkle import Frontier, leaf_hash
from gateway.ledger.verification import MAX_PROBLEMS, Report, verify
from tests.unit.ledger.entries import completion, decision, tampering, write


def found(report: Report) -> dict[int, str]:
    assert not report.verified
    return {problem.sequence: problem.what for problem in report.problems}


def test_a_sound_ledger_verifies(written: Path) -> None:
    """Five entries, their root, and progress to the end."""
    steps: list[tuple[int, int]] = []
    report = verify(written, progress=lambda done, of: steps.append((done, of)))
    assert (report.verified, report.entries, report.problems, report.notes) == (True, 5, [], [])
    assert steps == [(5, 5)]
    with tampering(written) as connection:
        tree = Frontier()
        for [body] in connection.execute("SELECT body FROM entry ORDER BY sequence"):
            tree.append(leaf_hash(body))
    assert report.root == tree.root().hex()


def test_a_ledger_without_entries_verifies(path: Path) -> None:
    """The empty tree has a root."""
    write(path)
    assert verify(path).verified


def test_every_bit_flipped_in_an_entry_is_found(written: Path, tmp_path: Path) -> None:
    """Each bit of a body, one at a time, is named by its sequence."""
    with tampering(written) as connection:
        [body] = connection.execute("SELECT body FROM entry WHERE sequence = 3").fetchone()
        for bit in range(0, len(body) * 8, 29):
            flipped = bytearray(body)
            flipped[bit // 8] ^= 1 << bit % 8
            connection.execute("UPDATE entry SET body = ? WHERE sequence = 3", (bytes(flipped),))
            connection.commit()
            report = verify(written)
            assert "leaf hash" in next(problem.what for problem in report.problems if problem.sequence == 3)


def test_a_bit_flipped_in_the_file_is_found(written: Path, tmp_path: Path) -> None:
    """Damage below SQLite: wherever it strikes a body, a hash or the head."""
    sqlite3.connect(written).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    content = written.read_bytes()
    with tampering(Path(shutil.copy(written, tmp_path / "copy.db"))) as connection:
        bodies = connection.execute("SELECT leaf_hash, body FROM entry").fetchall()
    marks = [part for row in bodies for part in row]
    for at in [content.index(mark) + offset for mark in marks for offset in (0, len(mark) // 2, len(mark) - 1)]:
        flipped = bytearray(content)
        flipped[at] ^= 0x10
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(flipped)
        assert not verify(damaged).verified, at


SAME_ID = "UPDATE entry SET id = (SELECT id FROM entry WHERE sequence = 3) WHERE sequence = 4"
WRONG_INDEX = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'lookup_time'"
LACKING_INDEX = """PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = replace(sql, '<>', '=') WHERE name = 'lookup_decision'"""
SWAP = """UPDATE {table} SET sequence = -9 WHERE sequence = 3; UPDATE {table} SET sequence = 3 WHERE sequence = 4;
    UPDATE {table} SET sequence = 4 WHERE sequence = -9;"""


@pytest.mark.parametrize(
    ("script", "sequence", "what"),
    [
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE sequence = 2", 2, "leaf hash"),
        ("UPDATE entry SET body = CAST(body || ' ' AS BLOB) WHERE sequence = 2", 2, "canonical"),
        ("UPDATE entry SET body = x'7b' WHERE sequence = 2", 2, "no entry"),
        ("UPDATE entry SET body = x'7b7d' WHERE sequence = 2", 2, "no entry"),
        ("""UPDATE entry SET body = CAST('{"a":1.5}' AS BLOB) WHERE sequence = 2""", 2, "no entry"),
        ("DELETE FROM entry WHERE sequence = 2; DELETE FROM lookup WHERE sequence = 2", 2, "entry is missing"),
        ("DELETE FROM entry WHERE sequence IN (1, 2)", 1, "entries 1 to 2 are missing"),
        ("DELETE FROM entry WHERE sequence IN (0, 1)", 0, "entries 0 to 1 are missing"),
        ("DELETE FROM entry WHERE sequence > 2; DELETE FROM lookup WHERE sequence > 2", 3, "3 to 4 are missing"),
        ("DELETE FROM entry WHERE sequence = 4", 4, "entry is missing"),
        ("DELETE FROM entry", 0, "entries 0 to 4 are missing"),
        (SWAP.format(table="entry"), 3, "index says otherwise"),
        (SWAP.format(table="entry") + SWAP.format(table="lookup"), -1, "another root"),
        ("INSERT INTO entry SELECT 5, '5', leaf_hash, body FROM entry WHERE sequence = 4", 5, "head counts 5"),
        ("INSERT INTO entry SELECT -1, '-1', leaf_hash, body FROM entry WHERE sequence = 4", -1, "before the first"),
        ("UPDATE entry SET id = 'another' WHERE sequence = 3", 3, "id beside it"),
        ("UPDATE lookup SET customer = 'globex' WHERE sequence = 0", 0, "otherwise than the entry in customer"),
        ("UPDATE lookup SET time_us = 5, rule = 'x' WHERE sequence = 3", 3, "in time_us, rule"),
        ("DELETE FROM lookup WHERE sequence = 3", 3, "index has no row"),
        (
            """INSERT INTO lookup SELECT 77, time_us, kind, 'x', decision, customer, subject, country, rule, effect,
            store, ticket, grant_id, object FROM lookup WHERE sequence = 3""",
            77,
            "no entry stands behind",
        ),
        ("UPDATE head SET root = zeroblob(32)", -1, "another root"),
        ("UPDATE head SET frontier = zeroblob(64)", -1, "frontier"),
        ("UPDATE head SET size = 4", 4, "head counts 4"),
        ("DELETE FROM head", -1, "head is missing"),
        ("DROP TABLE head", -1, "damaged"),
        ("DROP TABLE entry", -1, "damaged"),
        ("DROP TABLE lookup", -1, "damaged"),
        (f"DROP INDEX entry_id; {SAME_ID}", 4, "earlier entry too"),
        (WRONG_INDEX, -1, "damaged"),
        (LACKING_INDEX, -1, "lookup_decision"),
    ],
)  # fmt: skip
def test_tampering_is_found_and_named(written: Path, script: str, sequence: int, what: str) -> None:
    """A flip, a deletion, a swap, a truncation, an insertion, a changed column: each in its place."""
    with tampering(written) as connection:
        connection.executescript(script)
    problems = [problem for problem in verify(written).problems if problem.sequence == sequence]
    assert any(what in problem.what for problem in problems), verify(written).problems


def test_a_hash_changed_along_with_its_bytes_is_found_by_the_root(written: Path) -> None:
    """Whoever mends the leaf hash has not mended the tree."""
    with tampering(written) as connection:
        [body] = connection.execute("SELECT body FROM entry WHERE sequence = 3").fetchone()
        forged = body.replace(b"globex", b"initec")
        connection.execute("UPDATE entry SET body = ?, leaf_hash = ? WHERE sequence = 3", (forged, leaf_hash(forged)))
        connection.execute("UPDATE lookup SET customer = 'initec' WHERE sequence = 3")
    assert found(verify(written)) == {-1: "the tree over the entries has another root than the head"}


PERMIT = decision(0)
DONE, DONE_AGAIN = completion(PERMIT), completion(PERMIT)
OF_A_COMPLETION = completion(PERMIT, decision=DONE["id"])


@pytest.mark.parametrize(
    ("entries", "sequence", "what"),
    [
        ((DONE,), 0, "no earlier entry holds"),
        ((DONE, PERMIT), 0, "no earlier entry holds"),
        ((PERMIT, DONE, OF_A_COMPLETION), 2, "no earlier entry holds"),
        ((PERMIT, DONE, DONE_AGAIN), 2, "completed already"),
    ],
)
def test_a_completion_without_its_decision_is_found(
    path: Path, entries: tuple[dict[str, Any], ...], sequence: int, what: str
) -> None:
    """A completion comes behind the decision it completes, once."""
    write(path, *entries)
    assert what in found(verify(path))[sequence]


def test_time_going_backwards_is_a_note(path: Path) -> None:
    """Within a minute it is usual; beyond, it is worth a look and no fault."""
    write(path, decision(1_000), decision(941), decision(939), decision(1_000))
    report = verify(path)
    assert report.verified
    assert [(note.sequence, note.what) for note in report.notes] == [(2, "61 s older than one before it")]


def test_problems_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is wrong throughout does not fill the memory."""
    monkeypatch.setattr("gateway.ledger.verification.MAX_PROBLEMS", 3)
    write(path, *(decision(number) for number in range(9)))
    with tampering(path) as connection:
        connection.execute("UPDATE entry SET body = x'00'")
    assert len(verify(path).problems) == 3
    assert MAX_PROBLEMS == 1_000


def test_bunches_do_not_change_the_answer(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries read two at a time make the same tree."""
    whole = verify(written)
    monkeypatch.setattr("gateway.ledger.rereading.BUNCH", 2)
    assert verify(written) == whole


def test_entries_written_meanwhile_are_left_for_the_next_time(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway goes on appending while its ledger is verified."""
    monkeypatch.setattr("gateway.ledger.rereading.BUNCH", 2)
    report = verify(written, progress=lambda done, of: write(written, decision(100)) and None)
    assert (report.verified, report.entries) == (True, 5)
    assert verify(written).entries == 6


def test_a_ledger_that_is_not_there_is_out_of_reach(path: Path, tmp_path: Path) -> None:
    """Nothing to verify is not a verified ledger."""
    with pytest.raises(LedgerUnavailable, match="there is none"):
        verify(path)
    with pytest.raises(LedgerUnavailable, match="cannot be read"):
        verify(tmp_path)


def test_a_file_that_is_no_database_does_not_verify(tmp_path: Path) -> None:
    """What stood there may have been a ledger."""
    path = tmp_path / "ledger.db"
    path.write_text("text" * 1_000)
    assert "damaged" in found(verify(path))[-1]


def test_a_locked_ledger_is_out_of_reach(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Being kept from reading says nothing about what stands there."""
    blocker = sqlite3.connect(written, isolation_level=None)
    blocker.execute("PRAGMA journal_mode = DELETE")
    blocker.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(
        "gateway.ledger.verification.connect",
        lambda path, *, mode: sqlite3.connect(f"file:{path}?mode={mode}", uri=True, timeout=0),
    )
    with pytest.raises(LedgerUnavailable, match="locked"):
        verify(written)
    blocker.close()
