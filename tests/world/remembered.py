"""What every gateway of the tests works out alike, worked out once in a process: the policy that some files say, and
how the database's statements read as SQL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine

from gateway.policy import Policy, load
from gateway.storage import store

_POLICIES: dict[tuple[tuple[str, bytes], ...], Policy] = {}
_STATEMENTS: dict[Any, Any] = {}
_engine = store._engine


def load_once(directory: Path) -> Policy:
    """As :func:`gateway.policy.load`, for the same files the same policy; what is wrong is found each time."""
    try:
        files = tuple((path.name, path.read_bytes()) for path in sorted(directory.iterdir()) if path.is_file())
    except OSError:
        return load(directory)
    if files not in _POLICIES:
        _POLICIES[files] = load(directory)
    return _POLICIES[files]


def engine_that_remembers(url: str) -> Engine:
    """An engine as the state store makes one, which compiles no statement that another has compiled."""
    engine = _engine(url)
    engine.dialect = _dialect_of().dialect
    engine.update_execution_options(compiled_cache=_STATEMENTS)
    return engine


@cache
def _dialect_of() -> Engine:
    """An engine whose dialect has seen a connection."""
    engine = create_engine("sqlite://")
    engine.connect().close()
    return engine
