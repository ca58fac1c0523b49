"""An export that is interrupted anywhere ends as the same file as one that is not."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger.export import Found
from gateway.ledger.exporting import Export
from gateway.ledger.reader import LedgerReader, Query
from tests.unit.ledger.entries import completion, decision, write

QUERY = Query(before=6)


@pytest.fixture
def several(path: Path) -> Path:
    """Entries with what may be mistaken for the end of a line: line ends and quotes within a field."""
    asked = [decision(number, reason=f'a "quoted"\r\nline {number}\n"') for number in range(4)]
    permit = decision(4, effect="permit", rule="no-plan")
    write(path, *asked, permit, completion(permit))
    return path


def counted(entries: Found, _total: int | None) -> Iterator[tuple[int, bytes]]:
    yield from entries


def run(several: Path, form: str, output: Path, query: Query = QUERY, asked: tuple[str, ...] = ()) -> tuple[int, bool]:
    with LedgerReader(several) as reader:
        return Export(form, output, asked).run(reader, query, counted)


def interrupted(several: Path, form: str, output: Path, after: int) -> None:
    """A run that is stopped when it has read so many entries."""

    def stop(entries: Found, _total: int | None) -> Iterator[tuple[int, bytes]]:
        for count, entry in enumerate(entries):
            if count == after:
                raise KeyboardInterrupt
            yield entry

    with LedgerReader(several) as reader, pytest.raises(KeyboardInterrupt):
        Export(form, output, ()).run(reader, QUERY, stop)


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
def test_an_export_torn_anywhere_is_gone_on_with(several: Path, tmp_path: Path, form: str) -> None:
    """Whatever is left of it: a torn line is cut, whole ones stay, and nothing is doubled."""
    whole = tmp_path / "whole"
    run(several, form, whole)
    content = whole.read_bytes()
    output = tmp_path / "out"
    interrupted(several, form, output, after=0)
    part, note = tmp_path / "out.part", (tmp_path / "out.part.asked").read_bytes()
    ends = {at + near for at, byte in enumerate(content) if byte == ord("\n") for near in range(-1, 3)}
    for size in sorted({*ends, *range(0, len(content), 97), len(content)}):
        part.write_bytes(content[:size])
        (tmp_path / "out.part.asked").write_bytes(note)
        run(several, form, output)
        assert output.read_bytes() == content, size
        output.unlink()
    assert not list(tmp_path.glob("out*"))


def test_what_was_recorded_meanwhile_stays_out(several: Path, tmp_path: Path) -> None:
    """The part is finished as it was begun: up to where the record ended then, from when it was said then."""
    output = tmp_path / "out"
    interrupted(several, "jsonl", output, after=2)
    write(several, decision(9))
    assert run(several, "jsonl", output, Query(before=7, since_us=1)) == (4, True)
    lines = [json.loads(line)["sequence"] for line in output.read_text().splitlines()]
    assert lines == [0, 1, 2, 3, 4, 5]


def test_a_part_of_another_export_is_refused(several: Path, tmp_path: Path) -> None:
    """Two exports in one file would be neither; what to do is said."""
    output = tmp_path / "out"
    interrupted(several, "jsonl", output, after=2)
    for form, asked in (("ocsf", ()), ("jsonl", ("customer=acme",))):
        with pytest.raises(UsageError, match=r"another export \(format=jsonl\); remove it"):
            run(several, form, output, asked=asked)
    (tmp_path / "out.part.asked").unlink()
    with pytest.raises(UsageError, match="not known; remove it"):
        run(several, "jsonl", output)
    assert not output.exists()


def test_a_part_that_is_no_export_is_refused(several: Path, tmp_path: Path) -> None:
    """A disk that lost power may have left anything."""
    interrupted(several, "jsonl", tmp_path / "out", after=2)
    (tmp_path / "out.part").write_bytes(b"{\0\0\0\n")
    with pytest.raises(UsageError, match="ends with what is no export"):
        run(several, "jsonl", tmp_path / "out")


def test_a_file_that_is_there_is_left_alone(several: Path, tmp_path: Path) -> None:
    """Also one that came while the export was made."""
    output = tmp_path / "out"
    export = Export("jsonl", output, ())
    output.write_text("mine")
    with LedgerReader(several) as reader, pytest.raises(UsageError, match="there already"):
        export.run(reader, QUERY, counted)
    with pytest.raises(UsageError, match="there already"):
        Export("jsonl", output, ())
    assert output.read_text() == "mine"


def test_a_part_and_its_file_are_their_owners(several: Path, tmp_path: Path) -> None:
    """They hold who did what."""
    interrupted(several, "jsonl", tmp_path / "out", after=2)
    run(several, "jsonl", tmp_path / "whole")
    for path in (tmp_path / name for name in ("out.part", "out.part.asked", "whole")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_written_is_told(several: Path, tmp_path: Path) -> None:
    """A directory that is not there."""
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        run(several, "jsonl", tmp_path / "no" / "out")


def test_a_last_line_of_any_length_is_found(several: Path, tmp_path: Path) -> None:
    """It may be longer than what is read at once, and the part may have one line only."""
    output = tmp_path / "out"
    write(several, decision(9, reason="x" * 60_000), decision(10, reason="y" * 60_000))
    with LedgerReader(several) as reader:
        Export("jsonl", tmp_path / "whole", ()).run(reader, Query(before=8), counted)
    content = (tmp_path / "whole").read_bytes()
    for torn in (content[:-1], content, content[: content.index(b"\n") + 1]):
        with LedgerReader(several) as reader, pytest.raises(KeyboardInterrupt):
            Export("jsonl", output, ()).run(reader, Query(before=8), stopped)
        (tmp_path / "out.part").write_bytes(torn)
        run(several, "jsonl", output)
        assert output.read_bytes() == content
        output.unlink()


def stopped(_entries: Found, _total: int | None) -> Iterator[tuple[int, bytes]]:
    raise KeyboardInterrupt
    yield
