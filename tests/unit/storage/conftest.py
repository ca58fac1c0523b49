"""A state database for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.storage import StateStore
from tests.world.clock import FakeClock

Opener = Callable[[], StateStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "gateway.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_store(path: Path, clock: FakeClock) -> Iterator[Opener]:
    """Opens the database, as often as asked: each as another process would."""
    opened: list[StateStore] = []

    def open_() -> StateStore:
        opened.append(StateStore(f"sqlite:///{path}", clock))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opener) -> StateStore:
    return open_store()
