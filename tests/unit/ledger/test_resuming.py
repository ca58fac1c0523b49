"""Stretches: read by several processes, remembered by one run for the next, and missed when they are gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger.attestation import Trust
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.rereading import STRETCH
from gateway.ledger.verification import Report, verify
from tests.unit.ledger.entries import decision, tampering, write
from tests.unit.ledger.signed import checkpoint
from tests.unit.ledger.signed import signed as signed
from tests.unit.ledger.signed import whole as whole
from tests.unit.ledger.signed import written as written

SMALL = 256


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of one tile, so that six hundred entries make three."""
    for module in ("rereading", "verification"):
        monkeypatch.setattr(f"gateway.ledger.{module}.STRETCH", SMALL)


def interrupted(path: Path, resume: Path, *, at: int) -> None:
    """A verification that was stopped after so many entries."""

    def stop(done: int, _of: int) -> None:
        if done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(path, progress=stop, resume=resume, processes=1)


def steps(path: Path, resume: Path | None, trust: Trust = Trust()) -> tuple[Report, list[int]]:  # noqa: B008
    taken: list[int] = []
    return verify(path, progress=lambda done, _of: taken.append(done), resume=resume, trust=trust), taken


@pytest.mark.usefixtures("small")
def test_processes_find_what_one_finds(signed: Path) -> None:
    """Of what is sound, and of what is not."""
    assert verify(signed, processes=2) == verify(signed, processes=1)
    assert verify(signed, processes=2).checkpoints == 3
    with tampering(signed) as connection:
        connection.execute("UPDATE entry SET body = x'00' WHERE sequence IN (1, 300, 599)")
    assert verify(signed, processes=2) == verify(signed, processes=1)


@pytest.mark.usefixtures("small")
def test_interrupted_verification_goes_on(signed: Path, tmp_path: Path) -> None:
    """What was read is not read again, which is told; at the end nothing is left of the file."""
    resume = tmp_path / "resume"
    interrupted(signed, resume, at=2 * SMALL)
    assert len(resume.read_text().splitlines()) == 3
    with tampering(signed) as connection:
        connection.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE sequence IN (7, 513)")
    report, taken = steps(signed, resume)
    assert taken == [256, 512, 600]
    assert [problem.sequence for problem in report.problems] == [513]
    [note] = report.notes
    assert note.what.startswith("the entries before 512 were read 20")
    assert not resume.exists()
    assert [problem.sequence for problem in steps(signed, None)[0].problems] == [7, 513]


@pytest.mark.usefixtures("small")
def test_problems_found_before_an_interruption_are_told_after_it(signed: Path, tmp_path: Path) -> None:
    """They are in the file."""
    with tampering(signed) as connection:
        connection.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE sequence = 7")
    interrupted(signed, tmp_path / "resume", at=SMALL)
    assert [problem.sequence for problem in steps(signed, tmp_path / "resume")[0].problems] == [7]


@pytest.mark.usefixtures("small")
def test_stretch_is_read_again_where_more_is_asked(signed: Path, written: list[Entry], tmp_path: Path) -> None:
    """A checkpoint kept outside needs a root that the earlier run did not work out."""
    resume = tmp_path / "resume"
    interrupted(signed, resume, at=2 * SMALL)
    kept = checkpoint([entry.body for entry in written[:77]])
    report, _ = steps(signed, resume, Trust(outside=kept))
    assert (report.problems, report.notes) == ([], [])


@pytest.mark.usefixtures("small")
def test_torn_line_is_read_again(signed: Path, tmp_path: Path) -> None:
    """An interruption may strike while the file is written."""
    resume = tmp_path / "resume"
    interrupted(signed, resume, at=2 * SMALL)
    resume.write_text(resume.read_text()[:-40])
    interrupted(signed, resume, at=2 * SMALL)
    assert [json.loads(line).get("start") for line in resume.read_text().splitlines()] == [None, 0, 256]
    assert "before 512" in steps(signed, resume)[0].notes[0].what


@pytest.mark.parametrize("content", ["text\n", "[]\n", '{"ledger": "/elsewhere", "since": ""}\n', "7\n{}\n"])
def test_file_of_something_else_is_left_alone(signed: Path, tmp_path: Path, content: str) -> None:
    """It is not ours to write to."""
    (tmp_path / "resume").write_text(content)
    with pytest.raises(UsageError, match="not of a verification of this ledger"):
        verify(signed, resume=tmp_path / "resume")
    assert (tmp_path / "resume").read_text() == content


def test_file_that_cannot_be_written_is_told(signed: Path, tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(LedgerUnavailable, match="cannot be read or written"):
        verify(signed, resume=tmp_path / "nowhere" / "resume")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        ("BETWEEN 256 AND 511", (256, "the entries 256 to 511 are missing")),
        ("BETWEEN 200 AND 560", (200, "the entries 200 to 255 are missing")),
        ("< 580", (0, "the entries 0 to 579 are missing")),
    ],
)
def test_stretch_that_is_gone_is_named(signed: Path, gone: str, missing: tuple[int, str]) -> None:
    """And what is behind it is still read."""
    with tampering(signed) as connection:
        for table in ("entry", "lookup"):
            connection.execute(f"DELETE FROM {table} WHERE sequence {gone}")
        connection.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE sequence = 590")
    problems = {problem.sequence: problem.what for problem in verify(signed).problems if problem.sequence >= 0}
    assert problems[missing[0]] == missing[1]
    assert "leaf hash" in problems[590]


def test_head_that_counts_what_was_never_there_is_named_at_once(signed: Path) -> None:
    """A thousand billion entries are not looked for one by one."""
    with tampering(signed) as connection:
        connection.execute("UPDATE head SET size = 1000000000000")
    problems = [problem.what for problem in verify(signed).problems]
    assert "the head counts 1000000000000 entries, and the last one has sequence 599" in problems


def test_upper_hashes_of_a_large_ledger_are_compared(tmp_path: Path) -> None:
    """The second level stands over whole stretches."""
    path = tmp_path / "ledger.db"
    file = LedgerFile(path)
    file.open()
    for start in range(0, STRETCH + 512, 512):
        file.commit([seal(decision(number)) for number in range(start, start + 512)])
    file.close()
    assert verify(path).problems == []
    with tampering(path) as connection:
        assert connection.execute("UPDATE node SET hash = zeroblob(32) WHERE level = 2").rowcount == 1
    [problem] = verify(path).problems
    assert (problem.sequence, problem.what) == (
        0,
        f"the stored hash over the entries 0 to {STRETCH - 1} is not that of the tree",
    )


def test_first_entry_of_a_stretch_is_held_against_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time going backwards is seen across the border, if the entry before it can be read."""
    path = tmp_path / "ledger.db"
    for module in ("rereading", "verification"):
        monkeypatch.setattr(f"gateway.ledger.{module}.STRETCH", 2)
    write(path, decision(500), decision(1_000), decision(0))
    assert [note.sequence for note in verify(path).notes] == [2]
    with tampering(path) as connection:
        connection.execute("UPDATE entry SET body = x'00' WHERE sequence = 1")
    assert verify(path).notes == []


@pytest.mark.usefixtures("small")
def test_findings_are_bounded(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that is wrong throughout fills no memory: neither a stretch's findings nor all of them."""
    with tampering(signed) as connection:
        connection.execute("UPDATE entry SET leaf_hash = zeroblob(32)")
    monkeypatch.setattr("gateway.ledger.rereading.MAX_FINDINGS", 2)
    assert [problem.sequence for problem in verify(signed, processes=1).problems if problem.sequence >= 0] == [
        0,
        1,
        256,
        257,
        512,
        513,
    ]
    monkeypatch.setattr("gateway.ledger.verification.MAX_PROBLEMS", 3)
    assert [problem.sequence for problem in verify(signed, processes=1).problems] == [0, 1, 256]


@pytest.mark.usefixtures("small")
def test_notes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise."""
    write(tmp_path / "ledger.db", decision(1_000), decision(1), decision(2), decision(3))
    monkeypatch.setattr("gateway.ledger.rereading.MAX_FINDINGS", 2)
    assert [note.sequence for note in verify(tmp_path / "ledger.db").notes] == [1, 2]
    monkeypatch.setattr("gateway.ledger.verification.MAX_PROBLEMS", 1)
    assert [note.sequence for note in verify(tmp_path / "ledger.db").notes] == [1]
