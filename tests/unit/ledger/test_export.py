"""Exports hold what the ledger holds."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from gateway.ledger.entry import seal
from gateway.ledger.export import FIELDS, FORMATS
from gateway.ledger.reader import LedgerReader
from tests.unit.ledger.entries import completion, decision


def test_a_json_line_holds_the_exact_bytes(written: Path) -> None:
    """Without its sequence a line is what was hashed."""
    with LedgerReader(written) as reader:
        bodies = list(reader.bodies())
    lines = list(FORMATS["jsonl"](bodies))
    assert [json.loads(line)["sequence"] for line in lines] == [0, 1, 2, 3, 4]
    for (sequence, body), line in zip(bodies, lines, strict=True):
        assert line.encode() == body.replace(b"{", b'{"sequence":%d,' % sequence, 1) + b"\n"


def rows(*entries: dict[str, object]) -> list[dict[str, str]]:
    text = "".join(FORMATS["csv"]((number, seal(entry).body) for number, entry in enumerate(entries)))
    return list(csv.DictReader(StringIO(text)))


def test_a_row_holds_the_fields_of_its_kind() -> None:
    """Every column stands in the header; what a kind does not have is empty."""
    signals = [{"source": "network", "country": "IN", "detail": 'a, "b"'}]
    permit = decision(0, rules=["a", "b"], location={"country": "IN", "assured": False, "signals": signals})
    first, second = rows(permit, completion(permit))
    assert tuple(first) == FIELDS
    assert (first["sequence"], first["kind"], first["rules"], first["id"]) == ("0", "decision", "a b", permit["id"])
    assert (first["location.country"], first["location.assured"]) == ("IN", "false")
    assert json.loads(first["location.signals"]) == signals
    assert first["outcome"] == ""
    assert (second["decision"], second["status"], second["location.country"]) == (permit["id"], "200", "")


def test_details_of_an_act_are_json() -> None:
    """What has no column of its own is kept whole."""
    [row] = rows(decision(0, details={"customer": "acme", "actions": ["read"]}))
    assert json.loads(row["details"]) == {"customer": "acme", "actions": ["read"]}


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("plain", "plain"),
        ("a\nb, \"c\"", "a\nb, \"c\""),
        ("", ""),
    ],
)  # fmt: skip
def test_text_that_a_spreadsheet_would_run_is_defused(text: str, cell: str) -> None:
    """A reason is a stranger's text."""
    [row] = rows(decision(0, reason=text))
    assert row["reason"] == cell


def test_a_negative_number_stays_a_number() -> None:
    """Only text is defused."""
    [row] = rows(decision(0, status=-1))
    assert row["status"] == "-1"
