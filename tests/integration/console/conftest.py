"""A gateway over the sample world, and its control API. No store is needed: nothing passes a door here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from tests.integration.conftest import Running, running
from tests.integration.console.callers import Api

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Running]:
    addresses = Addresses(NOWHERE, NOWHERE, NOWHERE, "ftp://127.0.0.1:9/")
    async with running(tmp_path / "world", addresses) as site:
        yield site


@pytest.fixture
def api(site: Running) -> Api:
    return Api(site)
