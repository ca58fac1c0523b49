"""Exports: JSON lines that hold the exact entries, and CSV for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from io import StringIO

from gateway.ledger.entry import decode

FIELDS = (
    "sequence",
    "time",
    "kind",
    "id",
    "effect",
    "rule",
    "rules",
    "clause",
    "obligations",
    "subject",
    "roles",
    "acting_for",
    "actor",
    "issuer",
    "location.country",
    "location.assured",
    "location.signals",
    "client_address",
    "customer",
    "plan",
    "store",
    "data_class",
    "action",
    "door",
    "method",
    "path",
    "ticket",
    "grant",
    "reason",
    "problem",
    "policy_version",
    "geo_version",
    "node",
    "decision",
    "outcome",
    "status",
    "bytes",
    "bytes_in",
    "duration_ms",
    "act",
    "object",
    "details",
)
"""The columns of a CSV export; a field that a kind of entry does not have is empty."""

Found = Iterable[tuple[int, bytes]]


def jsonl(entries: Found) -> Iterator[str]:
    """A line for each entry: its sequence put in front, and then its very bytes.

    Without ``"sequence":N,`` the line is what the leaf hash is over.
    """
    for sequence, body in entries:
        yield f'{{"sequence":{sequence},{body[1:].decode()}\n'


def as_csv(entries: Found) -> Iterator[str]:
    """A header and a row for each entry (RFC 4180). Lists are joined by spaces; objects are JSON.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(FIELDS)
    yield buffer.getvalue()
    for sequence, body in entries:
        buffer.seek(0)
        buffer.truncate()
        fields = {"sequence": sequence, **decode(body)}
        writer.writerow([_cell(flat(fields, name)) for name in FIELDS])
        yield buffer.getvalue()


FORMATS: dict[str, Callable[[Found], Iterator[str]]] = {"jsonl": jsonl, "csv": as_csv}


def flat(fields: dict[str, object], name: str) -> object:
    """The value of a column; "" where the entry has none."""
    first, _, rest = name.partition(".")
    value = fields.get(first, "")
    return value.get(rest, "") if rest and isinstance(value, dict) else value


def plain(value: object) -> str:
    """A value as text: lists are joined by spaces; objects are JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)


def defused(text: str) -> str:
    """Text that a spreadsheet would take for a formula, with an apostrophe in front."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _cell(value: object) -> str:
    text = plain(value)
    return defused(text) if isinstance(value, (str, list)) else text
