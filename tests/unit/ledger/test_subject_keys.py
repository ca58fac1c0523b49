"""Keys of people: made once, kept whole, and gone without a trace when they are destroyed."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LedgerUnavailable
from gateway.ledger import subject_keys
from gateway.ledger.subject_keys import ADDRESS, NAME, TEXT, SubjectKeys, pseudonym
from gateway.letters import is_pseudonym

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)
a_key = st.binary(min_size=32, max_size=32)
kinds = st.sampled_from([NAME, ADDRESS, TEXT])


@pytest.fixture
def keys(tmp_path: Path) -> SubjectKeys:
    found = SubjectKeys(tmp_path / "keys" / "k.db")
    found.begin()
    return found


def on_disk(keys: SubjectKeys) -> bytes:
    return b"".join(path.read_bytes() for path in keys.path.parent.iterdir())


@given(a_key, kinds, names, a_key, kinds, names)
def test_pseudonyms_are_the_same_exactly_for_the_same(
    key: bytes, kind: str, text: str, other_key: bytes, other_kind: str, other: str
) -> None:
    """Of one key, kind and text; each has the form that no name may have, and does not hold the text."""
    found = pseudonym(key, kind, text)
    assert is_pseudonym(found)
    same = (key, kind, text) == (other_key, other_kind, other)
    assert (found == pseudonym(other_key, other_kind, other)) == same
    assert found == pseudonym(key, kind, text)


def test_a_file_is_its_owners_only_and_is_made_once(keys: SubjectKeys) -> None:
    """Beginning again leaves what is there."""
    state = keys.state()
    keys.begin()
    assert keys.state() == state
    assert state.destroyed == 0
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert [path.name for path in keys.path.parent.iterdir() if path.stat().st_size] == ["k.db"]


def test_a_person_has_one_key_and_their_words_are_turned_back(keys: SubjectKeys) -> None:
    """Another person has another, and a word of both has two pseudonyms."""
    ana, ben = keys.key("ana", [(TEXT, "so")]), keys.key("ben", [(TEXT, "so")])
    assert keys.key("ana") == keys.find("ana") == ana != ben
    assert len(ana) == 32
    tokens = {pseudonym(ana, NAME, "ana"): "ana", pseudonym(ana, TEXT, "so"): "so", pseudonym(ben, TEXT, "so"): "so"}
    assert keys.words([*tokens, "~unknown"]) == tokens
    assert keys.find("eve") is None
    assert keys.names() == ["ana", "ben"]


@pytest.mark.parametrize("others", [0, 300])
def test_destroying_leaves_no_trace_on_the_disk(keys: SubjectKeys, others: int) -> None:
    """Neither key nor words, in whichever of the files, however many others there are; those stay as they were."""
    kept = {f"person-{number}": keys.key(f"person-{number}", [(TEXT, "x" * 300)]) for number in range(others)}
    words = [(ADDRESS, "49.36.0.1"), *((TEXT, f"canary reason {number}" + "y" * number) for number in range(200))]
    key = keys.key("ana-canary", words)
    assert b"ana-canary" in on_disk(keys)
    assert key in on_disk(keys)
    assert keys.destroy("ana-canary")
    for trace in (b"canary", b"49.36.0.1", key, key[:12], pseudonym(key, NAME, "ana-canary").encode()):
        assert trace not in on_disk(keys)
    assert {name: keys.find(name) for name in kept} == kept
    assert keys.state().destroyed == 1


def test_destroying_again_changes_nothing_and_a_new_key_is_another(keys: SubjectKeys) -> None:
    """Whoever comes again is somebody new."""
    first = keys.key("ana")
    assert keys.destroy("ana")
    assert not keys.destroy("ana")
    assert not keys.destroy("nobody")
    assert keys.state().destroyed == 1
    assert keys.key("ana") != first


def test_destroying_sets_the_files_time_itself(keys: SubjectKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the nanosecond, since a file system's own times may be too coarse for other processes to see a difference."""
    keys.key("ana")
    monkeypatch.setattr(subject_keys.time, "time_ns", lambda: 1_234_567_890_123_456_789)
    keys.destroy("ana")
    assert keys.path.stat().st_mtime_ns == 1_234_567_890_123_456_789


def test_words_beyond_the_bound_are_not_kept(keys: SubjectKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have pseudonyms all the same; nobody fills the disk with reasons."""
    monkeypatch.setattr(subject_keys, "MAX_WORDS", 3)
    for number in range(5):
        key = keys.key("ana", [(TEXT, f"reason {number}")])
    tokens = [pseudonym(key, TEXT, f"reason {number}") for number in range(5)]
    assert sorted(keys.words(tokens).values()) == ["reason 0", "reason 1"]


def _learn(path: Path, start: object, found: object) -> None:
    keys = SubjectKeys(path)
    start.wait()  # type: ignore[attr-defined]
    found.put([keys.key(f"person-{number}") for number in range(20)])  # type: ignore[attr-defined]


def test_two_processes_at_once_make_one_key(keys: SubjectKeys) -> None:
    """Each person has the key of whichever was first."""
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_learn, args=(keys.path, start, found)) for _ in range(3)]
    for worker in workers:
        worker.start()
    made = [found.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert made[0] == made[1] == made[2]
    assert len(set(made[0])) == 20


def _missing(path: Path) -> None:
    path.unlink()


def _damaged(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1_000)


def _another(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_missing, _damaged, _another, _directory])
def test_a_file_that_cannot_be_used_is_said_to_be(keys: SubjectKeys, spoil: object) -> None:
    """In one line with its path; no other is made in its place."""
    keys.key("ana")
    spoil(keys.path)  # type: ignore[operator]
    for use in (keys.state, lambda: keys.key("ana"), lambda: keys.find("ana"), lambda: keys.destroy("ana")):
        with pytest.raises(LedgerUnavailable, match=r"the subject keys .*k\.db: ") as raised:
            use()
        assert "\n" not in str(raised.value)


@pytest.fixture
def full(keys: SubjectKeys, monkeypatch: pytest.MonkeyPatch) -> Iterator[SubjectKeys]:
    """A file that may not grow, as on a full disk."""
    keys.key("ana")
    plain = subject_keys.connect

    def bounded(path: Path, *, mode: str) -> sqlite3.Connection:
        connection = plain(path, mode=mode)
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(subject_keys, "connect", bounded)
    return keys


def test_a_full_disk_makes_no_key_and_leaves_those_that_are_there(full: SubjectKeys) -> None:
    """Nobody gets a key that is not on the disk."""
    key = full.find("ana")
    with pytest.raises(LedgerUnavailable, match="the disk is full"):
        for number in range(500):
            full.key(f"person-{number}", [(TEXT, "x" * 900)])
    lost = next(number for number in range(501) if full.find(f"person-{number}") is None)
    assert full.find(f"person-{lost + 1}") is None
    assert full.key("ana") == key


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_directory_that_cannot_be_written_makes_no_file(tmp_path: Path) -> None:
    """A gateway does not start on keys that it cannot keep."""
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerUnavailable):
        SubjectKeys(tmp_path / "keys" / "k.db").begin()
    tmp_path.chmod(0o700)


def test_a_crash_within_a_destruction_leaves_the_key_or_nothing(
    keys: SubjectKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit all of it is there; behind it, destroying again writes the file anew."""
    key = keys.key("ana-canary")
    plain = subject_keys.connect

    class Stopping(sqlite3.Connection):
        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            if statement == stop:
                raise KeyboardInterrupt
            return super().execute(statement, *values)  # type: ignore[arg-type]

    def stopping(path: Path, *, mode: str) -> sqlite3.Connection:
        plain(path, mode=mode).close()
        return sqlite3.connect(path, factory=Stopping, isolation_level=None)

    monkeypatch.setattr(subject_keys, "connect", stopping)
    for stop, left in (("COMMIT", key), ("VACUUM", None)):
        with pytest.raises(KeyboardInterrupt):
            keys.destroy("ana-canary")
        stop = ""
        assert keys.find("ana-canary") == left
    monkeypatch.undo()
    assert not keys.destroy("ana-canary")
    assert b"canary" not in on_disk(keys)
    assert keys.state().destroyed == 1
