"""``ledger reindex``: what it prints and records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.reindexing import reindex
from gateway.ledger.verification import verify
from tests.unit.ledger.entries import tampering
from tests.unit.ledger.test_keeping_command import Operation, last, lines, run
from tests.unit.ledger.test_keeping_command import operation as operation


@pytest.fixture
def damaged(operation: Operation, path: Path) -> Operation:
    """Two rows of the index are wrong."""
    with tampering(path) as connection:
        connection.execute("UPDATE lookup SET customer = 'x' WHERE sequence IN (5, 7)")
    return operation


def test_reindex_mends_and_records_it(damaged: Operation, path: Path) -> None:
    """Where, and how much, stands in an entry under whoever acts; a second run finds nothing."""
    [told] = lines(damaged, reindex, "--as", "dana")
    counted = {"first": 0, "last": 599, "rows": 2, "lists": 0}
    entry = last(path)
    assert told == {**counted, "mended": True}
    assert (entry["act"], entry["actor"], entry["details"]) == ("ledger.reindex", "dana", counted)
    assert verify(path).verified
    result = run(damaged, reindex)
    assert (result.return_value, result.stderr) == (0, "the index says what the entries say\n")


def test_dry_run_says_what_is_wrong_and_leaves_it(damaged: Operation, path: Path) -> None:
    """With an exit status of its own."""
    result: Any = run(damaged, reindex, "--dry-run")
    assert (result.return_value, result.stdout) == (
        1,
        "the entries 0 to 599: 2 rows, and the lists of 0 segments, wrong\n",
    )
    assert not verify(path).verified


def test_rows_beyond_the_entries_are_told(operation: Operation, path: Path) -> None:
    """They stand at no entry."""
    with tampering(path) as connection:
        connection.execute("UPDATE lookup SET sequence = 7000 WHERE sequence = 599")
    result = run(operation, reindex)
    assert "entry 600 and beyond: 1 rows, and the lists of 0 segments, mended" in result.stdout
    assert verify(path).verified
