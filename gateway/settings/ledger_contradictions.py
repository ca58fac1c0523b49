"""Faults between the keys of ``[ledger]`` and others, each of which is sound by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os.path import normpath
from pathlib import PurePath
from typing import Any

_SQLITE = "sqlite:///"


def keys_in_a_backup(ledger: Any, state: Any) -> Iterator[tuple[str, str]]:
    """Keys of pseudonyms beside what is backed up would be in that backup, and could not be destroyed."""
    told = _mapping(ledger)
    if told.get("pseudonymise") is not True:
        return
    keys = _directory(told.get("subject_keys", "subject-keys/keys.db"))
    url = _mapping(state).get("url")
    others = {
        "ledger.path": _directory(told.get("path", "state/ledger.db")),
        "state.url": _directory(str(url).removeprefix(_SQLITE)) if str(url).startswith(_SQLITE) else None,
    }
    for name, other in others.items():
        if keys is not None and other is not None and _is_within(keys, other):
            yield (
                "ledger.subject_keys",
                f"is in the directory of {name}, and would be in its backups; expected one apart from it",
            )


def _is_within(keys: PurePath, other: PurePath) -> bool:
    """Whether a copy of the other directory has the keys. Of the configuration's own, only what lies in it itself."""
    return keys == other or (other.parts != () and other in keys.parents)


def _directory(path: Any) -> PurePath | None:
    return PurePath(normpath(path)).parent if isinstance(path, str) and path else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
