"""Parquet: what the CSV holds, with types."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UsageError
from gateway.ledger import parquet
from gateway.ledger.export import FIELDS
from gateway.ledger.exporting import Export
from gateway.ledger.reader import LedgerReader, Query
from tests.unit.ledger.entries import completion, decision, write


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and nothing is written."""
    monkeypatch.setattr(parquet, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'residency-gateway\[parquet\]'"):
        Export("parquet", tmp_path / "out", ())
    assert not list(tmp_path.iterdir())


def test_it_needs_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is written last, and tells where the rest is."""
    monkeypatch.setattr(parquet, "find_spec", lambda _name: sys)
    with pytest.raises(UsageError, match="--output"):
        Export("parquet", None, ())


def exported(path: Path, output: Path, *entries: dict[str, Any]) -> Any:
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="there is no pyarrow for this machine")
    write(path, *entries)
    with LedgerReader(path) as reader:
        Export("parquet", output, ()).run(reader, Query(before=reader.size()), lambda entries, _total: iter(entries))
    return pyarrow.ParquetFile(output)


def test_columns_have_the_types_of_their_fields(path: Path, tmp_path: Path) -> None:
    """A time is a time, a list a list; what a kind of entry does not have is null."""
    permit = decision(0, rules=["a", "b"], effect="permit")
    rows = exported(path, tmp_path / "out", permit, completion(permit)).read().to_pylist()
    first, second = rows
    assert tuple(first) == FIELDS
    assert (first["sequence"], first["rules"], first["location.country"]) == (0, ["a", "b"], "IN")
    assert (first["location.assured"], first["status"], first["grant"]) == (False, None, None)
    assert first["time"].timestamp() * 1e6 == permit["time_us"]
    assert first["reason"] == permit["reason"]
    assert (second["decision"], second["status"], second["bytes"]) == (permit["id"], 200, 12)


def test_rows_are_written_group_by_group(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory holds one group."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 2)
    file = exported(path, tmp_path / "out", *(decision(number) for number in range(5)))
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [2, 2, 1]


def test_a_field_of_another_type_is_null(path: Path, tmp_path: Path) -> None:
    """An entry of another build does not keep the rest from being exported."""
    [row] = exported(path, tmp_path / "out", decision(0, status="?", rules="?", location="?")).read().to_pylist()
    assert (row["status"], row["rules"], row["location.assured"]) == (None, None, None)


def test_an_interrupted_one_begins_anew(path: Path, tmp_path: Path) -> None:
    """Nothing can be added to a part of such a file."""
    (tmp_path / "out.part").write_bytes(b"PAR1...")
    note = '{"asked": ["format=parquet"], "query": {"before": 2}}'
    (tmp_path / "out.part.asked").write_text(note)
    assert exported(path, tmp_path / "out", decision(0), decision(1)).read().num_rows == 2
