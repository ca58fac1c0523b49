"""Entries in segments: read, searched, proved, exported and verified as before; every step of sealing fails once."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import LedgerUnavailable
from gateway.files import locked
from gateway.ledger import sealing, segment
from gateway.ledger.bundle import export_bundle
from gateway.ledger.entry import Entry, seal
from gateway.ledger.evidence import evidence
from gateway.ledger.file import LedgerFile
from gateway.ledger.note import Checkpoint, split
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.receipt import prove
from gateway.ledger.sealing import SealingElsewhere
from gateway.ledger.segment import SegmentDamaged, SegmentFile
from gateway.ledger.verification import Report, verify
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.entries import decision, tampering
from tests.unit.ledger.sealing_world import LATER_US, Stopped, built, seal_all, sealed_entry
from tests.unit.ledger.signed import ORIGIN, SIZES

SEALED = 512


@pytest.fixture
def written(path: Path) -> list[Entry]:
    return built(path)


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])


def told(report: Report) -> list[str]:
    return [problem.what for problem in report.problems]


def all_of(path: Path) -> list[tuple[int, bytes]]:
    with LedgerReader(path) as reader:
        return list(reader.bodies())


def test_sealed_entries_leave_the_file_and_are_read_as_before(path: Path, written: list[Entry]) -> None:
    """Whole tiles up to the newest checkpoint; every way of reading gives the same bytes as before."""
    with LedgerReader(path) as reader:
        found = {key: reader.show(key) for key in ("1", "300", written[7].id, "599")}
        searched = list(reader.find(Query(customer="acme", newest_first=True, limit=590)))
        named = [reader.named(entry.id) for entry in written]
        leaves = reader.leaves(500, 30)
    [one] = seal_all(path)
    assert (one.first, one.last, rows(path)) == (0, SEALED - 1, len(written) - SEALED + 1)
    assert [body for _, body in all_of(path)][: len(written)] == [entry.body for entry in written]
    with LedgerReader(path) as reader:
        assert {key: reader.show(key) for key in found} == found
        assert list(reader.find(Query(customer="acme", newest_first=True, limit=590))) == searched
        assert [reader.named(entry.id) for entry in written] == named
        assert reader.leaves(500, 30) == leaves
        assert [entry["sequence"] for entry in reader.tail(200)] == list(range(401, 601))
        assert len(reader.signing_keys()) == 2
        permit = str(reader.show("1")[0]["id"])
        assert reader.completions([permit])[permit]["sequence"] == 2
        assert [at for at, _ in reader.find(Query(decision=permit))] == [1, 2]


def test_sealed_ledger_verifies_and_says_nothing_is_missing(path: Path, written: list[Entry]) -> None:
    """Before, after one segment, and after another behind it."""
    before = verify(path, processes=1)
    seal_all(path)
    after = verify(path, processes=1)
    assert (told(before), told(after), after.checkpoints) == ([], [], len(SIZES))
    assert after.entries == len(written) + 1


def test_younger_entries_stay(path: Path, written: list[Entry]) -> None:
    """What is sealed ends with the last whole tile before the first entry that is younger."""
    young_us = written[300].columns[0]
    [one] = seal_all(path, before_us=young_us)
    assert one.last == 255
    assert seal_all(path, before_us=young_us) == []
    [next_one] = seal_all(path)
    assert (next_one.first, next_one.last) == (256, 511)
    assert told(verify(path, processes=1)) == []


def test_what_is_not_signed_is_not_sealed(path: Path) -> None:
    """Without a checkpoint nothing is moved."""
    path.parent.mkdir(parents=True)
    with LedgerWriter(path) as writer:
        for number in range(300):
            writer.append(decision(number))
    assert seal_all(path) == []


def test_proofs_and_checkpoints_hold_over_sealed_entries(path: Path, written: list[Entry]) -> None:
    """Proofs of a sealed and of another entry, roots and consistency between all checkpoints."""
    seal_all(path)
    with LedgerReader(path) as reader:
        assert prove(reader, written[3].id).body == written[3].body
        assert prove(reader, "590").index == 590
        notes = reader.checkpoints()
    with evidence(path, ORIGIN) as found:
        for size, note in notes.items():
            assert found.root_at(size) == Checkpoint.parse(split(note)[0]).root
        assert found.consistency(200, 400)


def test_bundle_of_a_sealed_ledger_is_the_same(path: Path, written: list[Entry], tmp_path: Path) -> None:
    """To the byte, every file."""
    places = [tmp_path / "before", tmp_path / "after"]
    for place in places:
        with LedgerReader(path) as reader:
            export_bundle(reader, place, lambda _done, _of: None)
        seal_all(path)
    before, after = ({p.relative_to(at): p.read_bytes() for p in at.rglob("*") if p.is_file()} for at in places)
    assert before == after


def test_rows_outside_a_segment_are_kept_by_the_ledger_itself(path: Path, written: list[Entry]) -> None:
    """Neither an entry without a segment, nor a row of the index of one that was not removed, nor a segment goes."""
    seal_all(path)
    with closing(sqlite3.connect(path)) as connection:
        for statement in (
            "DELETE FROM entry WHERE sequence = 512",
            "DELETE FROM lookup WHERE sequence = 3",
            "DELETE FROM segment",
            "UPDATE segment SET sha256 = x''",
            "UPDATE sealed SET sequence = 1",
            "INSERT INTO segment VALUES (512, 768, 0, 1, zeroblob(32), 'x', 1, NULL)",
            "INSERT INTO segment VALUES (0, 256, 0, 1, zeroblob(32), 'x', 1, NULL)",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)


def test_segments_moved_with_their_directory_are_found_beside_the_ledger(
    path: Path, written: list[Entry], tmp_path: Path
) -> None:
    """A directory elsewhere is named by its whole path; a copy of it beside the ledger does as well."""
    elsewhere = tmp_path / "elsewhere" / "sealed"
    [one] = seal_all(path, elsewhere)
    assert Path(one.file).is_absolute()
    elsewhere.rename(path.parent / "sealed")
    assert told(verify(path, processes=1)) == []


def test_ledger_verifies_from_copies_of_its_segments(path: Path, written: list[Entry], tmp_path: Path) -> None:
    """Copied away, and read back beside a copy of the ledger elsewhere; a copy that was altered is named."""
    [one] = seal_all(path)
    before = all_of(path)
    bucket, restored = tmp_path / "bucket", tmp_path / "restored"
    shutil.copytree((path.parent / one.file).parent, bucket, ignore=shutil.ignore_patterns(".*"))
    assert [copy.name for copy in bucket.iterdir()] == ["000000000000-000000000511.segment"]
    restored.mkdir()
    shutil.copy(path, restored)
    shutil.copytree(bucket, restored / "ledger.db.segments")
    shutil.rmtree(path.parent)
    found = verify(restored / "ledger.db", processes=1)
    assert (told(found), found.checkpoints, all_of(restored / "ledger.db")) == ([], len(SIZES), before)
    flip(restored / "ledger.db.segments" / "000000000000-000000000511.segment")
    assert any("the file was altered" in what for what in told(verify(restored / "ledger.db", processes=1)))


def test_copy_is_told_by_the_hash_that_its_entry_names(path: Path, written: list[Entry]) -> None:
    """By the two lines that the page on the ledger shows."""
    [one] = seal_all(path)
    page = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text("utf-8")
    [script] = re.findall(r"```sh\n(head -c -32.*?)```", page, re.DOTALL)
    script = script.replace("000000000000-000000008191.segment", Path(one.file).name)
    where = (path.parent / one.file).parent
    done = subprocess.run(["sh", "-eu", "-c", script], cwd=where, capture_output=True, text=True, check=True)
    worked_out, ends_with = done.stdout.split("\n")[:2]
    assert worked_out.split()[0] == ends_with == one.sha256.hex()


Damage = Callable[[Path], object]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def anew(path: Path) -> None:
    """Another entry, and everything in the file made to fit."""
    file = SegmentFile(path)
    bunches = [list(file.bunch(first)) for first in (0, 256)]
    bunches[0][3] = bunches[0][3].replace(b"acme", b"emca")
    segment.write(path, ledger=bytes.fromhex(file.header.ledger), first=0, bunches=iter(bunches))


def stranger(path: Path) -> None:
    other = path.parents[1] / "other" / "ledger.db"
    other.parent.mkdir()
    with LedgerFileOf(other, [seal(decision(number)) for number in range(600)]):
        pass
    sealing_directory = other.parent / "s"
    sealing_directory.mkdir()
    one = sealing.write(other, sealing_directory, 0, SEALED)
    path.write_bytes((other.parent / one.file).read_bytes())


@contextlib.contextmanager
def LedgerFileOf(path: Path, written: list[Entry]) -> Iterator[None]:
    file = LedgerFile(path)
    file.open()
    file.commit(written)
    file.close()
    yield


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "missing or cannot be read"),
        (flip, "the file was altered: it does not have the hash"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "cut short"),
        (anew, "altered and given a new hash"),
        (stranger, "of another ledger"),
        (lambda path: path.write_bytes(b""), "cut short"),
    ],
)
def test_damaged_segment_is_named(path: Path, written: list[Entry], damage: Damage, said: str) -> None:
    """What was done to it, and to which."""
    [one] = seal_all(path)
    damage(path.parent / one.file)
    report = verify(path, processes=1)
    assert any(said in what and "the entries 0 to 511" in what for what in told(report)), told(report)


def test_swapped_segment_is_named(path: Path, written: list[Entry]) -> None:
    """One in the place of another of the same ledger."""
    [first] = seal_all(path, before_us=written[300].columns[0])
    [second] = seal_all(path)
    (path.parent / first.file).write_bytes((path.parent / second.file).read_bytes())
    assert any("swapped: it is the segment of the entries 256 to 511" in what for what in told(verify(path)))


def test_segment_and_row_rewritten_together_do_not_have_the_root(path: Path, written: list[Entry]) -> None:
    """Whoever can write the file and the database still has neither the tree nor the entry that names the hash."""
    [one] = seal_all(path)
    file = path.parent / one.file
    anew(file)
    found, _, length = segment.digest(file)
    with tampering(path) as connection:
        connection.execute("UPDATE segment SET sha256 = ?, length = ?", (found, length))
    said = told(verify(path, processes=1))
    assert any("another root than the head" in what for what in said)
    assert any("and no entry says so" in what for what in said)


def test_segment_row_taken_away_is_named(path: Path, written: list[Entry]) -> None:
    """Its entries are missing, and the entry that tells of it says what there should be."""
    seal_all(path)
    with tampering(path) as connection:
        connection.execute("DELETE FROM segment")
    said = told(verify(path, processes=1))
    assert "the entries 0 to 511 are missing" in said
    assert any("it says that a segment was sealed" in what for what in said)


def test_reading_a_sealed_entry_without_its_file_says_which(path: Path, written: list[Entry]) -> None:
    """No silence: the file is named."""
    [one] = seal_all(path)
    (path.parent / one.file).unlink()
    with LedgerReader(path) as reader, pytest.raises(SegmentDamaged, match=r"000000000511\.segment is missing"):
        reader.show("3")


STEPS = {
    "while the file is written": "gateway.ledger.segment._write_synced",
    "written, not read back": "gateway.ledger.segment._require_whole",
    "renamed, its directory not synced": "gateway.ledger.segment.sync_directory",
    "renamed, not recorded": "gateway.ledger.writer.LedgerWriter.append_with",
    "within the transaction": "gateway.ledger.file._append",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("persisted", [False, True])
def test_crash_at_each_step_leaves_all_and_is_mended_by_sealing_again(
    path: Path, written: list[Entry], monkeypatch: pytest.MonkeyPatch, step: str, *, persisted: bool
) -> None:
    """Failed, and failed but persisted: every entry is there once, everything verifies, then and after another try."""
    module, _, name = STEPS[step].rpartition(".")
    owner = LedgerWriter if name == "append_with" else __import__(module, fromlist=[name])
    whole = getattr(owner, name)

    def crash(*arguments: object, **named: object) -> None:
        if persisted:
            whole(*arguments, **named)
        raise Stopped(step)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(owner, name, crash)
        seal_all(path)
    assert [body for _, body in all_of(path)][: len(written)] == [entry.body for entry in written]
    assert told(verify(path, processes=1)) == []
    seal_all(path)
    assert rows(path) < SEALED
    assert told(verify(path, processes=1)) == []
    assert [body for _, body in all_of(path)][: len(written)] == [entry.body for entry in written]


def test_entries_that_are_not_what_the_tree_says_are_not_sealed(path: Path, written: list[Entry]) -> None:
    """Sealing would hide the damage; it stays where verifying finds it."""
    with tampering(path) as connection:
        connection.execute("UPDATE entry SET body = x'7b7d' WHERE sequence = 5")
    with pytest.raises((LedgerUnavailable, SegmentDamaged), match="do not have the hashes"):
        seal_all(path)


def test_missing_entries_are_not_sealed(path: Path, written: list[Entry]) -> None:
    """The same of one that is gone."""
    with tampering(path) as connection:
        connection.execute("DELETE FROM entry WHERE sequence = 5")
    with pytest.raises(LedgerUnavailable, match="not all of the 256 entries from 0"):
        seal_all(path)


def test_sealing_while_others_append_and_read_loses_nothing(path: Path, written: list[Entry]) -> None:
    """A writer with the file open appends before, during and after; a reader in the middle sees all."""
    stop, reading = threading.Event(), threading.Event()
    appended: list[int] = []
    seen: list[list[int]] = []

    def append() -> None:
        with LedgerWriter(path) as writer:
            number = 0
            while not stop.is_set():
                appended.append(writer.append(decision(number)))
                number += 1

    def read() -> None:
        while not stop.is_set():
            seen.append([at for at, _ in all_of(path)])
            reading.set()

    threads = [threading.Thread(target=append), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for before_us in (written[300].columns[0], LATER_US):
        reading.clear()
        assert reading.wait(10)
        assert seal_all(path, before_us=before_us)
    reading.clear()
    assert reading.wait(10)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(appended) == len(set(appended)) > 0
    assert len(seen) >= 3
    for found in seen:
        assert len(found) >= len(written)
        assert found == list(range(len(found)))
    assert told(verify(path, processes=1)) == []


def test_two_at_once_wait_for_each_other(path: Path, written: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second waits for the first, and then finds what is left: every entry is moved once."""
    begun, go_on = threading.Event(), threading.Event()
    whole, done = sealing.write, {}

    def held(*arguments: Any) -> sealing.Written:
        begun.set()
        assert go_on.wait(10)
        return whole(*arguments)

    def first() -> None:
        done["first"] = seal_all(path, before_us=written[300].columns[0])

    def second() -> None:
        done["second"] = seal_all(path)

    monkeypatch.setattr(sealing, "write", held)
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    threads[1].join(0.3)
    assert (threads[1].is_alive(), done) == (True, {})
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert [(one.first, one.last) for name in ("first", "second") for one in done[name]] == [(0, 255), (256, 511)]
    assert told(verify(path, processes=1)) == []


def test_second_is_told_whom_it_waited_for(path: Path, written: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first takes too long; nothing is moved."""
    directory = sealing.segments_directory(path)
    directory.mkdir()
    monkeypatch.setattr(sealing, "locked", partial(locked, timeout_s=0.1))
    with locked(directory / ".lock"), pytest.raises(SealingElsewhere, match="another process is sealing"):
        seal_all(path)
    assert rows(path) == len(written)


def test_directory_that_cannot_be_written_is_said(path: Path, written: list[Entry], tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "file").touch()
    with LedgerWriter(path) as writer, pytest.raises(LedgerUnavailable, match="cannot be written"):
        list(sealing.seal(path, tmp_path / "file", writer, before_us=LATER_US, told=sealed_entry))


@pytest.mark.parametrize(("at", "said"), [(0, "no segment"), (30, "no segment"), (-600, "damaged about entry")])
def test_damage_is_named_by_whoever_reads_it(path: Path, written: list[Entry], at: int, said: str) -> None:
    """At the beginning, in the header, in a bunch; nothing that was damaged is handed out."""
    [one] = seal_all(path)
    file = path.parent / one.file
    content = bytearray(file.read_bytes())
    content[at] ^= 255
    file.write_bytes(content)
    with pytest.raises(SegmentDamaged, match=said):
        SegmentFile(file).bunch(511)


def test_segment_cut_short_while_it_is_read_is_named(path: Path, written: list[Entry]) -> None:
    """Or taken away."""
    [one] = seal_all(path)
    file = path.parent / one.file
    found = SegmentFile(file)
    file.write_bytes(file.read_bytes()[:-5_000])
    with pytest.raises(SegmentDamaged, match="cut short"):
        found.bunch(511)
    file.unlink()
    with pytest.raises(SegmentDamaged, match="is missing"):
        found.leaves(0, 1)


def test_segment_row_in_another_place_is_named(path: Path, written: list[Entry]) -> None:
    """Segments come one behind the other."""
    seal_all(path)
    with tampering(path) as connection:
        connection.execute("UPDATE segment SET first = 256")
    assert any("has no place here" in what for what in told(verify(path, processes=1)))


def test_new_directory_is_synced_up_to_one_that_was_there(
    path: Path, written: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a crash after the rows are gone could take the way to the file."""
    synced: list[Path] = []
    monkeypatch.setattr(sealing, "sync_directory", synced.append)
    seal_all(path, tmp_path / "deep" / "er")
    assert synced == [tmp_path / "deep", tmp_path]
