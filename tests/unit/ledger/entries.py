"""Entries as the checkpoint makes them, and ways to damage a ledger that its own triggers would refuse."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uuid_utils

from gateway.clock import SECOND_US, rfc3339
from gateway.ledger.writer import LedgerWriter
from tests.world.clock import NOW_S


def decision(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A denial; ``number`` moves its time on by as many seconds."""
    time_us = (NOW_S + number) * SECOND_US
    entry: dict[str, Any] = {
        "kind": "decision",
        "version": 1,
        "id": str(uuid_utils.uuid7()),
        "time": rfc3339(time_us),
        "time_us": time_us,
        "door": "http",
        "effect": "deny",
        "rule": "outside-home",
        "rules": ["outside-home"],
        "subject": "priya",
        "location": {"country": "IN", "assured": False, "signals": []},
        "customer": "acme",
        "store": "crm",
        "method": "GET",
        "path": "/crm/acme/accounts/7",
        "ticket": "BUG-9",
        "grant": "",
        "reason": "naïve “reason” 😀",
    }
    return entry | fields


def completion(of: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """How a decision ended, a second later."""
    time_us = of["time_us"] + SECOND_US
    return {
        "kind": "completion",
        "version": 1,
        "id": str(uuid_utils.uuid7()),
        "time": rfc3339(time_us),
        "time_us": time_us,
        "decision": of["id"],
        "outcome": "whole",
        "status": 200,
        "bytes": 12,
    } | fields


def write(path: Path, *entries: dict[str, Any]) -> list[int]:
    """Append entries to the ledger at a path; their sequences."""
    with LedgerWriter(path) as writer:
        return [writer.append(entry) for entry in entries]


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """The database without the triggers that keep it."""
    with closing(sqlite3.connect(path)) as connection:
        triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name <> 'append'"
        names = [name for [name] in connection.execute(triggers)]
        for name in names:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.commit()
