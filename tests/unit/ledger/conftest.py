"""A ledger of five entries, for each test to read or to damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ledger.entry import administrative
from tests.unit.ledger.entries import completion, decision, write
from tests.world.clock import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def written(path: Path, clock: FakeClock) -> Path:
    """0 a permit, 1 its completion, 2 an approval, 3 and 4 denials."""
    permit = decision(0, effect="permit", rule="code-level-bug", rules=["code-level-bug"], grant="G-1")
    approval = administrative(
        clock=clock, node="n", actor="dana", act="access.approve", subject="G-1", details={"customer": "acme"}
    )
    write(path, permit, completion(permit), approval, decision(3, customer="globex"), decision(4, subject="sam"))
    return path
