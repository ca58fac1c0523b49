"""A ledger as static files (C2SP ``tlog-tiles``), for whoever checks it elsewhere or serves it.

=============================  ====================================================================================
file                           holds
=============================  ====================================================================================
``checkpoint``                 the newest checkpoint, with what witnesses signed of it; written last
``checkpoints/SIZE``           each stored checkpoint, likewise
``tile/L/N``, ``N.p/W``        hashes of level L: 256, or the W there are
``tile/entries/N``, ``N.p/W``  as many entries, each behind its length in two bytes, the higher one first
``keys``                       the sequence from which each key counts, and the key
``README``                     how to check it by hand
=============================  ====================================================================================

A file is written aside, synced and renamed, so that one that is there is whole: an export that was interrupted goes on,
and a later one adds what is new. The directories are synced before the newest checkpoint is written. Nothing is judged
here: of a damaged ledger the bundle shows the damage. A missing entry is one of no bytes, and so is one that was
removed when its time was over; a hash that is not known any more is zeros.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from gateway.errors import LedgerUnavailable, NotFound, UsageError
from gateway.files import sync_directory
from gateway.ledger.entry import MAX_BYTES
from gateway.ledger.merkle import HASH_BYTES, TILE_HEIGHT
from gateway.ledger.proof import TILE_WIDTH
from gateway.ledger.reader import LedgerReader

_NO_HASH = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written.

    Attributes:
        entries: how many; up to the newest checkpoint.
        checkpoints: how many.
    """

    entries: int
    checkpoints: int


def export_bundle(reader: LedgerReader, directory: Path, progress: Callable[[int, int], None]) -> Bundle:
    """Write a bundle, or what it lacks.

    Args:
        reader: of the ledger.
        directory: made when it is not there; it holds nothing else than an earlier bundle of this ledger.
        progress: called with the number of entries written and how many there are.

    Raises:
        NotFound: there is no checkpoint yet.
        UsageError: the directory holds something else.
        LedgerUnavailable: the ledger cannot be read, or the directory cannot be written.
    """
    checkpoints = reader.checkpoints()
    if not checkpoints:
        raise NotFound("the ledger has no checkpoint yet, and a bundle is whole up to one; run ledger checkpoint")
    newest = max(checkpoints)
    size = min(newest, reader.size())
    place = _Place(directory)
    try:
        place.require_same({f"checkpoints/{each}": note for each, note in checkpoints.items()})
        for each, note in checkpoints.items():
            place.write(f"checkpoints/{each}", note.encode())
        _write_tiles(reader, place, size, sorted({size, *checkpoints}), progress)
        keys = "".join(f"{key.sequence} {key.verifier}\n" for key in reader.signing_keys())
        place.replace("keys", keys.encode())
        place.replace("README", files("gateway.ledger").joinpath("bundle.txt").read_bytes())
        place.sync()
        place.replace("checkpoint", checkpoints[newest].encode())
        place.sync()
    except OSError as error:
        told = f"{directory} cannot be written: {error.strerror}; the bundle is not whole, and the same command goes on"
        raise LedgerUnavailable(told) from error
    return Bundle(size, len(checkpoints))


class _Place:
    """A directory whose files are whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._changed: set[Path] = set()  # directories

    def require_same(self, expected: dict[str, str]) -> None:
        """Refuse what is not an earlier bundle of the same ledger: checkpoints never change."""
        there = list(self._directory.iterdir()) if self._directory.exists() else []
        held = [f"checkpoints/{each.name}" for each in (self._directory / "checkpoints").glob("[0-9]*")]
        strange = there and not held
        for name in held:
            text = (self._directory / name).read_text("utf-8")
            strange = strange or expected.get(name, "").partition("\n\n")[0] != text.partition("\n\n")[0]
        if strange:
            raise UsageError(f"{self._directory} holds something else than a bundle of this ledger; name another")

    def has(self, name: str) -> bool:
        """Whether a file is there; one of no bytes was lost in a crash."""
        path = self._directory / name
        return path.exists() and path.stat().st_size > 0

    def write(self, name: str, content: bytes) -> None:
        """A file that never changes."""
        if not self.has(name):
            self.replace(name, content)

    def replace(self, name: str, content: bytes) -> None:
        """A file, for its owner only: it holds who did what."""
        path = self._directory / name
        if not self._directory.exists():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._changed.add(self._directory.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.new")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        self._changed.update(each for each in path.parents if each.is_relative_to(self._directory))

    def sync(self) -> None:
        """Make durable which files there are."""
        for each in sorted(self._changed):
            sync_directory(each)
        self._changed.clear()


def _write_tiles(
    reader: LedgerReader, place: _Place, size: int, sizes: list[int], progress: Callable[[int, int], None]
) -> None:
    for number, width in _tiles(size, sizes, 0):
        entries, hashes = _path("entries", number, width), _path("0", number, width)
        if not (place.has(entries) and place.has(hashes)):
            leaves, bodies = reader.leaves(number * TILE_WIDTH, width)
            place.write(entries, b"".join(map(_framed, bodies)))
            place.write(hashes, b"".join(leaf or _NO_HASH for leaf in leaves))
        progress(number * TILE_WIDTH + width, size)
    level = 1
    while size >> TILE_HEIGHT * level:
        for number, width in _tiles(size, sizes, level):
            hashes = _path(str(level), number, width)
            if not place.has(hashes):
                place.write(hashes, b"".join(reader.hashes(level, number * TILE_WIDTH, width)))
        level += 1


def _tiles(size: int, sizes: list[int], level: int) -> Iterator[tuple[int, int]]:
    """Number and width of every tile of a level; of one that is not full, as wide as each checkpoint asks."""
    full, rest = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
    yield from ((number, TILE_WIDTH) for number in range(full))
    asked = (divmod(each >> TILE_HEIGHT * level, TILE_WIDTH) for each in sizes if each <= size)
    yield from sorted({(number, width) for number, width in asked if number == full and 0 < width <= rest})


def _path(level: str, number: int, width: int) -> str:
    """``tile/0/x001/x234/067.p/12``."""
    elements = [f"{number % 1000:03}"]
    while number := number // 1000:
        elements.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/{'/'.join(elements)}{f'.p/{width}' if width < TILE_WIDTH else ''}"


def _framed(body: bytes) -> bytes:
    """An entry behind its length; one that is longer than an entry may be has no place here."""
    kept = body if len(body) <= MAX_BYTES else b""
    return len(kept).to_bytes(2) + kept
