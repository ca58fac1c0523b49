"""A ledger with feeds for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.feeds import Fed, opened


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    """An empty ledger, and cursors."""
    found = opened(tmp_path)
    yield found
    found.ledger.close()
    found.state.close()
