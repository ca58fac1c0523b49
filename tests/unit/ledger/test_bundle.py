"""A bundle: laid out as C2SP says, whole up to its checkpoint, and gone on with where it was left."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable, NotFound, UsageError
from gateway.ledger import bundle
from gateway.ledger.bundle import Bundle, _path, _tiles, export_bundle
from gateway.ledger.entry import Entry
from gateway.ledger.reader import LedgerReader
from tests.unit.ledger.entries import decision, write
from tests.unit.ledger.signed import FIRST, ROTATION, SECOND, WITNESS, build, checkpoint
from tests.unit.ledger.signed import whole as whole
from tests.unit.ledger.signed import written as written


def export(path: Path, directory: Path) -> Bundle:
    with LedgerReader(path) as reader:
        return export_bundle(reader, directory, lambda _done, _of: None)


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_bundle_has_the_files_of_a_tiled_log(whole: Path, written: list[Entry], tmp_path: Path) -> None:
    """Two full tiles, what is left of the third as each checkpoint needs it, and the hashes above."""
    assert export(whole, tmp_path / "b") == Bundle(600, 3)
    found = files(tmp_path / "b")
    assert set(found) == {
        *("checkpoint", "keys", "README", "checkpoints/200", "checkpoints/400", "checkpoints/600"),
        *("tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/1", "tile/1/000.p/2"),
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"),
    }
    assert found["tile/0/001"] == b"".join(entry.leaf_hash for entry in written[256:512])
    bodies = [entry.body for entry in written[512:]]
    assert found["tile/entries/002.p/88"] == b"".join(len(body).to_bytes(2) + body for body in bodies)
    assert found["checkpoint"] == found["checkpoints/600"]
    assert found["checkpoint"].decode().startswith(checkpoint([entry.body for entry in written]))
    assert f"— {WITNESS.name} " in found["checkpoint"].decode()
    assert found["keys"].decode() == f"0 {FIRST.verifier}\n{ROTATION} {SECOND.verifier}\n"


def test_bundle_is_its_owners(whole: Path, tmp_path: Path) -> None:
    """It holds who did what."""
    export(whole, tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o700
    held = [path for path in (tmp_path / "b").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in held} == {0o600}


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (67, 3, "tile/0/067.p/3"),
        (1_234_067, 256, "tile/0/x001/x234/067"),
        (1_000, 256, "tile/0/x001/000"),
    ],
)
def test_tile_has_its_path(number: int, width: int, path: str) -> None:
    """In elements of three digits; the second is the specification's own example."""
    assert _path("0", number, width) == path


def test_tiles_of_the_specifications_example() -> None:
    """A tree of 70,000: 273 full tiles and one of 112; one and one of 17; one of 1."""
    levels = [list(_tiles(70_000, [70_000], level)) for level in range(4)]
    assert [(len(level), level[-1] if level else None) for level in levels] == [
        (274, (273, 112)),
        (2, (1, 17)),
        (1, (0, 1)),
        (0, None),
    ]


def test_interrupted_export_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was written is left, what a crash emptied is written again, and the checkpoint comes last."""

    def stop(done: int, _of: int) -> None:
        if done == 512:
            raise KeyboardInterrupt

    with LedgerReader(whole) as reader, pytest.raises(KeyboardInterrupt):
        export_bundle(reader, tmp_path / "b", stop)
    half = files(tmp_path / "b")
    assert "tile/0/001" in half
    assert not {"checkpoint", "tile/0/002.p/88"} & set(half)
    (tmp_path / "b/tile/0/001").write_bytes(b"")
    before = (tmp_path / "b/tile/0/000").stat().st_mtime_ns
    export(whole, tmp_path / "b")
    assert (tmp_path / "b/tile/0/000").stat().st_mtime_ns == before
    export(whole, tmp_path / "c")
    assert files(tmp_path / "b") == files(tmp_path / "c")


def test_later_export_adds_what_is_new(written: list[Entry], tmp_path: Path) -> None:
    """To an earlier bundle of the same ledger."""
    path = tmp_path / "ledger.db"
    build(path, written[:400])
    assert export(path, tmp_path / "b").entries == 400
    build(path, written)
    assert export(path, tmp_path / "b").entries == 600
    assert "tile/0/001" in files(tmp_path / "b")


@pytest.mark.parametrize("there", ["something", "checkpoints/200"])
def test_directory_that_holds_something_else_is_left_alone(whole: Path, tmp_path: Path, there: str) -> None:
    """Two ledgers in one bundle would be neither."""
    other = tmp_path / "b" / there
    other.parent.mkdir(parents=True)
    other.write_text("else")
    with pytest.raises(UsageError, match="something else"):
        export(whole, tmp_path / "b")
    assert set(files(tmp_path / "b")) == {there}


def test_ledger_without_a_checkpoint_has_no_bundle(tmp_path: Path) -> None:
    """And it is told what to do."""
    write(tmp_path / "ledger.db", decision())
    with pytest.raises(NotFound, match="run ledger checkpoint"):
        export(tmp_path / "ledger.db", tmp_path / "b")


def test_bundle_that_cannot_be_written_is_told(whole: Path, tmp_path: Path) -> None:
    """The same command goes on."""
    (tmp_path / "b").write_text("")
    with pytest.raises(LedgerUnavailable, match="goes on"):
        export(whole, tmp_path / "b")


def test_entry_that_is_too_long_has_no_place() -> None:
    """Two bytes tell a length."""
    assert bundle._framed(bytes(65_536)) == b"\0\0"
    assert bundle._framed(b"ab") == b"\0\2ab"
