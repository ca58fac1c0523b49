"""A bureau for each test: acme is protected, globex has no plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.office import Bureau, make_bureau


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    made = make_bureau(tmp_path)
    made.customer("acme")
    made.customer("globex", plan=False)
    made.entries.clear()
    yield made
    made.state.close()
