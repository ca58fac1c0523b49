"""Who read what under a ticket, out of the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import reader as module
from gateway.ledger.accesses import accesses
from gateway.ledger.reader import LedgerReader
from tests.unit.ledger.entries import completion, decision, write


def permit(number: int, **fields: Any) -> dict[str, Any]:
    """A permitted access that cites BUG-9."""
    return decision(number, **{"effect": "permit", "data_class": "case", "action": "read"} | fields)


def test_permitted_accesses_that_cited_the_ticket_are_reported_with_their_bytes(path: Path) -> None:
    """In the order of the record; no denial, no other ticket, and what has no completion says so."""
    first, second, under_way = permit(0), permit(1, subject="sam", grant="G-1"), permit(2)
    write(path, first, decision(1), permit(1, ticket="BUG-1"), second, completion(second, bytes=7), under_way)
    write(path, completion(first, bytes=40, outcome="ended", status=206))
    with LedgerReader(path) as reader:
        found = list(accesses(reader, "BUG-9"))
    assert [(access.subject, access.bytes, access.status, access.outcome) for access in found] == [
        ("priya", 40, 206, "ended"),
        ("sam", 7, 200, "whole"),
        ("priya", 0, 0, "not completed"),
    ]
    assert (found[1].decision, found[1].country, found[1].grant) == (second["id"], "IN", "G-1")


@pytest.mark.parametrize("bunch", [1, 2, 500])
def test_completions_are_found_however_many_are_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, bunch: int
) -> None:
    """Each decision has its own, whatever the bunches; one that has none is left out."""
    monkeypatch.setattr(module, "_BUNCH", bunch)
    decisions = [permit(number) for number in range(5)]
    write(path, *decisions, *(completion(each, bytes=number) for number, each in enumerate(decisions[1:])))
    with LedgerReader(path) as reader:
        found = reader.completions([each["id"] for each in decisions])
        assert reader.completions([]) == {}
    assert {key: entry["bytes"] for key, entry in found.items()} == {
        each["id"]: number for number, each in enumerate(decisions[1:])
    }


@pytest.mark.parametrize("bunch", [1, 2, 500])
def test_permits_under_grants_are_found_by_grant(path: Path, monkeypatch: pytest.MonkeyPatch, bunch: int) -> None:
    """No denial, no other grant, none from before; a grant that was not used has none."""
    monkeypatch.setattr(module, "_BUNCH", bunch)
    first, second = permit(1, grant="G-1"), permit(2, grant="G-2")
    write(path, permit(0, grant="G-1"), first, decision(1, grant="G-1"), permit(1, grant="G-9"), second, permit(3))
    with LedgerReader(path) as reader:
        found = reader.permits(["G-1", "G-2", "G-3"], since_us=first["time_us"])
        assert reader.permits([], since_us=0) == {}
    assert found == {"G-1": [first["id"]], "G-2": [second["id"]], "G-3": []}
