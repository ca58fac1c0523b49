"""Putting a new location database in the place of the configured one.

A crash at any point leaves either the old file or the whole new one: the bytes that were read through are written
beside the old file, synced, and renamed over it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gateway.errors import LocationUnavailable, UsageError
from gateway.location.database import Database, Kind, parse, read_file

_READABLE = 0o644  # the data is public, and the gateway may run as somebody else than the person who updates it


def install(source: Path, target: Path, kind: Kind, *, allow_older: bool = False) -> Database:
    """Replace the database at ``target`` by the one at ``source``; the new one.

    Raises:
        LocationUnavailable: ``source`` cannot be read, is damaged, or is of another kind.
        UsageError: it is older than the one in place without ``allow_older``, or ``target`` cannot be written.
    """
    data, _ = read_file(source)
    new = parse(data, kind, source)
    old = _in_place(target, kind)
    if old is not None and new.built_us < old.built_us and not allow_older:
        raise UsageError(
            f"{source}: built {new.built_on}, older than the database in place (built {old.built_on}); "
            "expected a newer one, or say --allow-older"
        )
    try:
        _replace(target, data)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror}); check path and permissions") from error
    return new


def _in_place(target: Path, kind: Kind) -> Database | None:
    """The database that would be replaced; None when it is missing or unusable, and so no loss."""
    try:
        return parse(read_file(target)[0], kind, target)
    except LocationUnavailable:
        return None


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, _READABLE)
            os.fsync(descriptor)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
