"""What is removed when its time is over, what stays of it, and what a legal hold keeps."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.clock import SECOND_US
from gateway.errors import LedgerUnavailable, NotFound
from gateway.ledger import retention, schema
from gateway.ledger.attestation import Trust
from gateway.ledger.bundle import export_bundle
from gateway.ledger.entry import Entry, administrative, derive, seal
from gateway.ledger.evidence import evidence
from gateway.ledger.file import connect
from gateway.ledger.hold import Hold
from gateway.ledger.note import Checkpoint, split
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.receipt import prove
from gateway.ledger.retention import Due
from gateway.ledger.sealed import Sealed, Segment
from gateway.ledger.verification import Report, verify
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.entries import completion, decision, tampering, write
from tests.unit.ledger.sealing_world import LATER_US, Stopped, built, removed_entry, seal_all
from tests.unit.ledger.signed import FIRST, ORIGIN, ROTATION, SECOND, SIZES, checkpoint, entries, key_entry
from tests.world.clock import NOW_S, FakeClock

FIRST_TILE = 256


@pytest.fixture
def written(path: Path) -> list[Entry]:
    """Two segments, 0 to 255 and 256 to 511; the rest as it was."""
    found = built(path)
    seal_all(path, before_us=found[300].columns[0])
    seal_all(path)
    return found


def told(report: Report) -> list[str]:
    return [problem.what for problem in report.problems]


def segments(path: Path) -> list[Segment]:
    with closing(connect(path, mode="ro")) as connection:
        return Sealed(connection).all()


def remove(path: Path, number: int) -> None:
    one = segments(path)[number]
    with LedgerWriter(path) as writer:
        retention.remove(path, writer, one, removed_entry(one))


def hold(**fields: str | int) -> Hold:
    values = {"name": "case-1", "customer": "", "since_us": 0, "until_us": 0, "reason": "r", "placed_by": "d"}
    return Hold(**{**values, "placed_us": 1, **fields})  # type: ignore[arg-type]  # each of its own kind


def due(path: Path, *holds: Hold) -> list[Due]:
    """Every segment that is old, with what covers it."""
    return [retention.judge(path, one, holds) for one in retention.over(path, before_us=LATER_US)]


@pytest.mark.parametrize("rows", [256, 512, 128])
def test_lists_for_searches_forget_what_was_removed(path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """No value of an entry that is gone stays in them; what is left is listed, found and verified as before."""
    monkeypatch.setattr(schema, "SEGMENT", rows)
    found = [key_entry(FIRST), *(seal(decision(number, subject=f"person{number}")) for number in range(1, 600))]
    found[ROTATION] = key_entry(SECOND, FIRST)
    built(path, found)
    for _ in range(5):
        LedgerWriter(path).close()  # each writes the lists of a segment
    seal_all(path, before_us=found[300].columns[0])
    remove(path, 0)
    with closing(connect(path, mode="ro")) as connection:
        [segments] = connection.execute("SELECT max(segment) + 1 FROM posting").fetchone()
        people = {value for [value] in connection.execute("SELECT value FROM posting WHERE name = 'subject'")}
    left = set(range(256, segments * rows)) - {ROTATION}
    assert people == {"gateway", *(f"person{number}" for number in left)}
    assert segments == 600 // rows
    assert told(verify(path, processes=1)) == []
    with LedgerReader(path) as reader:
        assert [len(list(reader.search(Query(subject=f"person{at}")))) for at in (255, 256, 599)] == [0, 1, 1]


@pytest.mark.parametrize("numbers", [(0,), (1,), (0, 1), (1, 0)])
def test_what_is_left_verifies_and_the_removal_is_a_note(
    path: Path, written: list[Entry], numbers: tuple[int, ...]
) -> None:
    """Whichever goes first: no problem, one note for each, and every checkpoint still holds, also those inside."""
    for number in numbers:
        remove(path, number)
    report = verify(path, processes=1)
    assert (told(report), report.checkpoints) == ([], len(SIZES))
    assert [note.what for note in report.notes] == [
        f"the entries {number * 256} to {number * 256 + 255} were removed on {day} by dana (kept until "
        "2026-01-01T00:00:00Z)"
        for number in sorted(numbers)
        for day in [removed_entry(segments(path)[number])["time"][:10]]  # type: ignore[index]  # it is text
    ]


def test_what_was_removed_is_gone_and_whoever_asks_is_told(path: Path, written: list[Entry]) -> None:
    """File, bytes and index; an id still leads to the entry that tells of the removal."""
    one = segments(path)[0]
    remove(path, 0)
    assert not (path.parent / one.file).exists()
    with LedgerReader(path) as reader:
        for ask in (reader.show, reader.named, lambda key: prove(reader, key)):
            for key in ("7", written[7].id):
                with pytest.raises(NotFound, match=r"entry 7 was removed .* entry 602 says so"):
                    ask(key)
        assert [at for at, _ in reader.find(Query(before=256))] == [0]  # the key
        assert reader.named("0")[1] == written[0].body
        assert [at for at, _ in reader.bodies()] == [0, *range(256, 603)]
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert path in files
    for file in files:  # an id leads to whoever removed it, and stays in the database alone
        assert written[7].id.encode() not in file.read_bytes() or file == path
        assert written[7].body not in file.read_bytes()
    with closing(connect(path, mode="ro")) as connection:
        for table in ("entry", "lookup", "kept"):
            assert connection.execute(f"SELECT count(*) FROM {table} WHERE sequence = 7").fetchone() == (0,)


def test_keys_and_proofs_outlive_what_they_were_in(path: Path, written: list[Entry]) -> None:
    """The chain of keys is whole, roots and consistency at every checkpoint are told, and kept entries are proved."""
    remove(path, 0)
    remove(path, 1)
    with LedgerReader(path) as reader:
        assert [key.sequence for key in reader.signing_keys()] == [0, ROTATION]
        assert prove(reader, "0").body == written[0].body
        assert prove(reader, "580").body == written[580].body
        notes = reader.checkpoints()
    with evidence(path, ORIGIN) as found:
        for size, note in notes.items():
            assert found.root_at(size) == Checkpoint.parse(split(note)[0]).root
        for first, second in ((200, 400), (200, 600), (400, 600)):
            assert found.consistency(first, second)


def test_checkpoint_kept_outside_is_compared_where_it_can_be(path: Path) -> None:
    """One that the ledger stores, too, is; of any other it is said that it cannot be."""
    found = built(path, [*entries(), *(seal(decision(number)) for number in range(600, 1_100))])
    bodies = [entry.body for entry in found]
    with LedgerWriter(path) as writer:
        writer.keep_checkpoint(1_050, checkpoint(bodies[:1_050]))
    seal_all(path)
    remove(path, 0)
    assert told(verify(path, processes=1, trust=Trust(outside=checkpoint(bodies[:600])))) == []
    [said] = told(verify(path, processes=1, trust=Trust(outside=checkpoint(bodies[:800]))))
    assert "cannot be compared: some of them were removed" in said
    with pytest.raises(LedgerUnavailable, match="were removed"), evidence(path, ORIGIN) as left:
        left.root_at(800)


def test_removal_that_no_entry_tells_of_is_a_problem(path: Path, written: list[Entry]) -> None:
    """Whoever marks it by hand is named by what is missing."""
    one = segments(path)[0]
    (path.parent / one.file).unlink()
    with tampering(path) as connection:
        connection.execute("UPDATE segment SET removed_by = 500 WHERE first = 0")
        connection.execute("DELETE FROM lookup WHERE sequence < 256")
    assert "the entries 0 to 255 were removed, and no entry says so" in told(verify(path, processes=1))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tile SET leaves = zeroblob(8192)",
        "UPDATE kept SET body = replace(body, x'61', x'62')",
        "DELETE FROM kept",
        "DELETE FROM tile",
        "UPDATE node SET hash = zeroblob(32) WHERE level = 1 AND number = 0",
    ],
)
def test_damage_to_what_stays_is_found(path: Path, written: list[Entry], damage: str) -> None:
    """Leaf hashes, entries, upper hashes."""
    remove(path, 0)
    with tampering(path) as connection:
        if "body" in damage:
            damage = "UPDATE kept SET body = x'7b7d'"
        connection.execute(damage)
    assert told(verify(path, processes=1)) != []


def test_altered_segment_is_not_removed(path: Path, written: list[Entry]) -> None:
    """It is evidence of what was done to it."""
    file = path.parent / segments(path)[0].file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(LedgerUnavailable, match=r"cut short.*it is not removed"):
        remove(path, 0)
    assert file.exists()


STEPS = {
    "before the commit": "gateway.ledger.file._append",
    "committed, the file still there": "gateway.ledger.retention._unlink",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("persisted", [False, True])
def test_crash_at_each_step_leaves_a_ledger_that_verifies(
    path: Path, written: list[Entry], monkeypatch: pytest.MonkeyPatch, step: str, *, persisted: bool
) -> None:
    """Failed, and failed but persisted; the next run brings it to its end."""
    module, _, name = STEPS[step].rpartition(".")
    owner = __import__(module, fromlist=[name])
    whole: Callable[..., object] = getattr(owner, name)

    def crash(*arguments: object) -> None:
        if persisted:
            whole(*arguments)
        raise Stopped(step)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(owner, name, crash)
        remove(path, 0)
    assert told(verify(path, processes=1)) == []
    if segments(path)[0].removed:
        left = retention.sweep(path)
        assert len(left) == (0 if persisted else 1)
    else:
        remove(path, 0)
    report = verify(path, processes=1)
    assert (told(report), len(report.notes)) == ([], 1)
    assert not (path.parent / segments(path)[0].file).exists()


def test_file_that_a_crash_left_is_noted(path: Path, written: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entries count as removed, and are there for whoever has the file."""
    monkeypatch.setattr(retention, "_unlink", lambda _paths: None)
    remove(path, 0)
    assert any("their file is there still" in note.what for note in verify(path, processes=1).notes)


def test_removing_twice_is_refused(path: Path, written: list[Entry]) -> None:
    """By two at once, say."""
    one = segments(path)[0]
    with LedgerWriter(path) as writer:
        with closing(connect(path, mode="ro")) as connection:
            kept = retention._what_stays(connection, one)
        retention.remove(path, writer, one, removed_entry(one))
        nothing = retention._Kept({}, {})
        with pytest.raises(LedgerUnavailable, match="already"):
            writer.append_with(removed_entry(one), lambda execute, by: retention._remove(one, nothing, execute, by))
    assert kept.entries


NEWEST_0_US = (NOW_S + 255) * SECOND_US


@pytest.mark.parametrize(
    ("fields", "covers"),
    [
        ({}, [True, True]),
        ({"customer": "acme"}, [True, True]),
        ({"customer": "nobody"}, [False, False]),
        ({"until_us": NEWEST_0_US - 10 * SECOND_US}, [True, False]),
        ({"since_us": (NOW_S + 300) * SECOND_US}, [False, True]),
        ({"customer": "acme", "since_us": LATER_US}, [False, False]),
    ],
)
def test_hold_covers_segments_that_have_such_an_entry(
    path: Path, written: list[Entry], fields: dict[str, str | int], covers: list[bool]
) -> None:
    """By customer and by time; no other."""
    found = due(path, hold(**fields))
    assert [bool(one.holds) for one in found] == covers


def test_hold_covers_the_completion_of_a_customers_decision(path: Path) -> None:
    """A completion names no customer; whose data it was its decision says, in the segment before."""
    others = [seal(decision(number, customer="globex")) for number in range(600)]
    permit = decision(255, effect="permit")
    built(path, [key_entry(FIRST), *others[1:255], seal(permit), seal(completion(permit)), *others[257:]])
    seal_all(path, before_us=(NOW_S + 300) * SECOND_US)
    seal_all(path)
    found = due(path, hold(customer="acme"))
    assert [one.holds for one in found] == [("case-1",), ("case-1",)]


OTHERS = 700
"""Entries of globex alone, in two segments and a rest, with room for one more at :data:`PLACE`."""
PLACE = 100


def act(subject: str, *, name: str = "test", **details: object) -> Entry:
    told = {"act": name, "subject": subject, "details": details}
    return seal(administrative(clock=FakeClock(NOW_S + PLACE), node="n", actor="dana", **told))  # type: ignore[arg-type]


def among_others(path: Path, *there: Entry) -> None:
    """These entries among those of another customer, in the first of two segments; the key alone names nobody."""
    found = [key_entry(FIRST), *(seal(decision(number, customer="globex")) for number in range(1, OTHERS))]
    found[PLACE : PLACE + len(there)] = there
    built(path, found)
    seal_all(path, before_us=(NOW_S + 300) * SECOND_US)
    seal_all(path)


MAY_CONCERN = {
    "of several customers": seal(decision(PLACE, customer="", store="crm")),
    "of a customer in other letters": seal(decision(PLACE, customer="ACME", rule="unknown-customer")),
    "of nobody who was known": seal(decision(PLACE, customer="", store="", path="/crm/acm%65/1")),
    "an act that names it": act("R-1", customer="acme"),
    "an act that names it among others": act("INC-7", customer="globex,acme"),
    "an act that is done to it": act("acme", customer="globex"),
    "an act that concerns everybody": act("INC-8", customer="*"),
    "an act that concerns everybody, too": act("INC-8", customer="globex,*"),
    "an act that names nobody": act("gateway-1", policy_version="1"),
    "an act that names it in its details": act("INC-9", customer="globex", customers=["globex", "acme"]),
    "a search for it": act("ledger", asked=["customer=acme"], customer="globex"),
    "a completion whose decision is gone": seal(completion(decision(PLACE))),
    "what cannot be read": Entry(b"{}", derive({})),
}


@pytest.mark.parametrize("what", MAY_CONCERN)
def test_hold_covers_whatever_may_concern_its_customer(path: Path, what: str) -> None:
    """Where nothing says that it concerns others only, it is kept; the segment beside it, where something does, is
    not."""
    among_others(path, MAY_CONCERN[what])
    assert [one.holds for one in due(path, hold(customer="acme"))] == [("case-1",), ()]


@pytest.mark.parametrize(
    "there",
    [
        (seal(decision(PLACE, customer="acmeless")),),
        (act("R-1", customer="globex"),),
        (act("R-1", customer="globex,initech"),),
        (act("ledger-segment", name="ledger.seal"),),
        (seal(asked := decision(PLACE, customer="globex", effect="permit")), seal(completion(asked))),
    ],
)
def test_hold_does_not_cover_what_concerns_others_only(path: Path, there: tuple[Entry, ...]) -> None:
    """Nor what is kept anyway."""
    among_others(path, *there)
    assert [one.holds for one in due(path, hold(customer="acme"))] == [(), ()]


def test_hold_covers_the_completion_of_a_decision_of_several_customers(path: Path) -> None:
    """In the next segment."""
    permit = decision(254, effect="permit", customer="", store="crm")
    others = [seal(decision(number, customer="globex")) for number in range(OTHERS)]
    built(path, [key_entry(FIRST), *others[1:255], seal(permit), seal(completion(permit)), *others[257:]])
    seal_all(path, before_us=(NOW_S + 300) * SECOND_US)
    seal_all(path)
    assert [one.holds for one in due(path, hold(customer="acme"))] == [("case-1",), ("case-1",)]


def test_hold_of_a_time_still_asks_for_the_time(path: Path) -> None:
    """What names nobody, too, is held only for its time; what has none is held."""
    among_others(path, MAY_CONCERN["of several customers"])
    later = hold(customer="acme", since_us=(NOW_S + PLACE + 1) * SECOND_US)
    assert [one.holds for one in due(path, later)] == [(), ()]
    then = hold(customer="acme", since_us=(NOW_S + PLACE) * SECOND_US, until_us=(NOW_S + PLACE + 1) * SECOND_US)
    assert [one.holds for one in due(path, then)] == [("case-1",), ()]


def test_hold_of_a_time_covers_what_has_none(path: Path) -> None:
    """It may be of that time."""
    among_others(path, MAY_CONCERN["what cannot be read"])
    later = hold(customer="acme", since_us=LATER_US)
    assert [one.holds for one in due(path, later)] == [("case-1",), ()]


def test_segment_that_cannot_be_read_is_held(path: Path) -> None:
    """Nobody can say what it holds."""
    among_others(path, act("R-1", customer="globex"))
    (path.parent / segments(path)[0].file).unlink()
    assert [one.holds for one in due(path, hold(customer="acme"))] == [("case-1",), ()]


def test_lists_for_searches_go_with_what_they_lead_to(path: Path) -> None:
    """No value that only removed entries held is left; what stays is found by lists that were made anew."""
    long(path, 9_300, mallory_until=8_000)
    seal_all(path, before_us=(NOW_S + 8_192) * SECOND_US)
    seal_all(path, before_us=(NOW_S + 8_992) * SECOND_US)
    assert [(one.first, one.after) for one in segments(path)] == [(0, 8_192), (8_192, 8_960)]
    assert values(path, "subject") == {"gateway", "mallory", "priya"}
    remove(path, 0)
    assert values(path, "subject") == {"gateway"}
    assert values(path, "ticket") == set()
    with LedgerReader(path) as reader:
        assert [at for at, _ in reader.find(Query(subject="mallory"))] == []
        assert [at for at, _ in reader.find(Query(subject="priya"))] == list(range(8_192, 9_300))
        assert [at for at, _ in reader.find(Query(object=ORIGIN))] == [0, ROTATION]
        assert [at for at, _ in reader.find(Query(ticket="T-9", newest_first=True, limit=2))] == [9_299, 9_298]
    assert told(verify(path, processes=1)) == []
    write(path, *(decision(number, subject="sam") for number in range(9_300, 13_000)))
    with LedgerWriter(path):
        pass
    with LedgerReader(path) as reader:
        assert len(list(reader.find(Query(subject="sam")))) == 3_700
    with closing(connect(path, mode="ro")) as connection:
        assert connection.execute("SELECT max(segment) FROM posting").fetchone() == (2,)
    for file in path.parent.iterdir():
        assert not file.is_file() or b"mallory" not in file.read_bytes()


def test_lists_that_an_earlier_version_left_go_when_the_ledger_is_opened(path: Path) -> None:
    """It removed the rows, and not the lists."""
    long(path, 5_000, mallory_until=5_000)
    seal_all(path)
    with closing(connect(path, mode="ro")) as connection:
        lists = connection.execute("SELECT * FROM posting").fetchall()
    remove(path, 0)
    with tampering(path) as connection:
        connection.execute("DELETE FROM posting")
        connection.executemany("INSERT INTO posting VALUES (?, ?, ?, ?)", lists)
        connection.executescript("PRAGMA user_version = 5")
    assert values(path, "subject") == {"gateway", "mallory"}
    with LedgerWriter(path):
        pass
    assert values(path, "subject") == {"gateway"}
    with LedgerReader(path) as reader:
        assert [at for at, _ in reader.find(Query(object=ORIGIN))] == [0, ROTATION]


def test_lists_of_what_was_not_removed_cannot_be_deleted(path: Path) -> None:
    """The ledger itself refuses."""
    long(path, 9_000)
    seal_all(path, before_us=(NOW_S + 4_096) * SECOND_US)
    remove(path, 0)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("DELETE FROM posting WHERE segment = 1")


def values(path: Path, name: str) -> set[str]:
    """What the lists of searches hold."""
    with closing(connect(path, mode="ro")) as connection:
        return {value for [value] in connection.execute("SELECT value FROM posting WHERE name = ?", (name,))}


def long(path: Path, count: int, *, mallory_until: int = 0) -> None:
    """A signed ledger of so many decisions, those before a sequence by mallory."""
    found = [key_entry(FIRST)]
    for number in range(1, count):
        subject = "mallory" if number < mallory_until else "priya"
        found.append(seal(decision(number, subject=subject, ticket=f"T-{number // 1_000}")))
    found[ROTATION] = key_entry(SECOND, FIRST)
    built(path, found)
    signed_now(path)


def test_young_segments_are_not_due(path: Path, written: list[Entry]) -> None:
    """A segment is as young as its newest entry."""
    before_us = segments(path)[0].newest_us
    assert retention.over(path, before_us=before_us) == []
    assert [one.first for one in retention.over(path, before_us=before_us + 1)] == [0]


def test_old_entries_in_no_segment_are_counted(path: Path, written: list[Entry]) -> None:
    """What is behind the last segment."""
    assert retention.unsealed(path, before_us=LATER_US) == 600 - 512


VERIFIER = Path(__file__).parents[2] / "verifier" / "verify.py"


def verified_alone(path: Path, directory: Path) -> tuple[int, str]:
    """What the verifier that shares no code says of a bundle."""
    with LedgerReader(path) as reader:
        export_bundle(reader, directory, lambda _done, _of: None)
    command = [sys.executable, str(VERIFIER), str(directory), "--key", str(SECOND.verifier)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_bundle_is_written_without_what_was_removed(path: Path, written: list[Entry], tmp_path: Path) -> None:
    """The upper hashes are whole."""
    remove(path, 0)
    write(path, decision(700))
    with LedgerReader(path) as reader:
        done = export_bundle(reader, tmp_path / "bundle", lambda _done, _of: None)
    assert done.entries == SIZES[-1]
    assert len((tmp_path / "bundle/tile/1/000.p/2").read_bytes()) == 64


def signed_now(path: Path) -> None:
    """A checkpoint over all that there is."""
    with LedgerWriter(path) as writer:
        size, root = writer.head()
        writer.keep_checkpoint(size, Checkpoint(SECOND.name, size, root).signed(SECOND))


def test_verifier_of_an_outsider_notes_what_was_removed(path: Path, tmp_path: Path) -> None:
    """Also where no hash of a single entry is left; before the entry that tells of it is signed, they are missing."""
    built(path, [*entries(), *(seal(decision(number)) for number in range(600, 1_100))])
    signed_now(path)
    seal_all(path)
    signed_now(path)
    assert verified_alone(path, tmp_path / "before")[0] == 0
    remove(path, 0)
    status, said = verified_alone(path, tmp_path / "unsigned")
    assert (status, "entry 7: it is missing" in said) == (1, True)
    signed_now(path)
    status, said = verified_alone(path, tmp_path / "signed")
    assert status == 0, said
    assert "entry 0: note: to 1023: removed on " in said


def test_verifier_of_an_outsider_finds_what_was_done_to_the_rest(path: Path, tmp_path: Path) -> None:
    """A removed entry's hashes are told, and still bound by what was signed."""
    built(path, [*entries(), *(seal(decision(number)) for number in range(600, 1_100))])
    signed_now(path)
    seal_all(path)
    remove(path, 0)
    signed_now(path)
    with tampering(path) as connection:
        connection.execute("UPDATE node SET hash = CAST(printf('%032d', 1) AS BLOB) WHERE level = 1 AND number = 3")
    status, said = verified_alone(path, tmp_path / "bundle")
    assert (status, "is not the one that was signed" in said) == (1, True)


def test_file_that_cannot_be_removed_is_said(path: Path, written: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; the entry stands, so the next run goes on."""

    def refuse(*_arguments: object, **_named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch, pytest.raises(LedgerUnavailable, match="run ledger retain --delete again"):
        patch.setattr(Path, "unlink", refuse)
        remove(path, 0)
    assert len(retention.sweep(path)) == 1
