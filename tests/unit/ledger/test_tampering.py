"""Whatever somebody who can write the ledger's file does to it is found and named: by ``ledger verify``, and by the
one-file verifier on a bundle that was made of the tampered ledger.

Each case says what it takes to see it: nothing but the ledger, one of its keys had from elsewhere, or a checkpoint kept
elsewhere. That less does not do is tested, too.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from gateway.ledger.attestation import Trust
from gateway.ledger.bundle import export_bundle
from gateway.ledger.entry import Entry, seal
from gateway.ledger.merkle import leaf_hash
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import Report, verify
from tests.unit.ledger.entries import completion, decision, tampering
from tests.unit.ledger.signed import (
    FIRST,
    KNOWN_WITNESS,
    ROTATION,
    SECOND,
    SIZES,
    STRANGER,
    TRUSTED,
    bodies,
    build,
    checkpoint,
    entries,
    key_entry,
    mend,
    sign,
    signer,
)

VERIFIER = Path(__file__).parents[2] / "verifier" / "verify.py"
Connection = sqlite3.Connection
NOTHING_IN_THE_BUNDLE = ""
"""What was changed is beside the evidence (an index, the head), and a bundle holds none of it."""


@dataclass(frozen=True)
class Case:
    """One kind of tampering.

    Attributes:
        name: what is done.
        do: does it.
        ledger, bundle: words of the line that names it.
        needs: what has to be known besides the ledger: "", "key" or "checkpoint".
    """

    name: str
    do: Callable[[Connection], object]
    ledger: str
    bundle: str
    needs: str = ""


def sql(script: str) -> Callable[[Connection], object]:
    return lambda connection: connection.executescript(script)


def flipped(content: bytes, at: int = 40) -> bytes:
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def swapped(table: str, column: str, first: int, second: int) -> Callable[[Connection], object]:
    steps = ((-9, first), (first, second), (second, -9))
    return sql("".join(f"UPDATE {table} SET {column} = {to} WHERE {column} = {of};" for to, of in steps))


def flip(column: str, table: str, where: str, at: int = 5) -> Callable[[Connection], object]:
    def do(connection: Connection) -> None:
        [held] = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        changed: Any = flipped(held.encode(), at).decode() if isinstance(held, str) else flipped(held, at)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed,))

    return do


def rewritten(change: Callable[[list[bytes]], object]) -> Callable[[Connection], object]:
    """Other bytes, and everything that needs no key made to fit; the checkpoints stay."""

    def do(connection: Connection) -> None:
        written = bodies(connection)
        change(written)
        mend(connection, written)

    return do


def signed(change: Callable[[list[bytes]], object]) -> Callable[[Connection], object]:
    """Other bytes, signed by the log's own keys: what a faulty gateway, or one in strange hands, would leave."""

    def do(connection: Connection) -> None:
        rewritten(change)(connection)
        sign(connection, sizes=(200, 400, len(bodies(connection))))

    return do


def reload(place: int, /, **changes: Any) -> Callable[[list[bytes]], object]:
    def change(written: list[bytes]) -> None:
        fields = json.loads(written[place]) | changes
        written[place] = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    return change


def swap(first: int) -> Callable[[list[bytes]], object]:
    def change(written: list[bytes]) -> None:
        written[first], written[first + 1] = written[first + 1], written[first]

    return change


def appended(make: Callable[[list[bytes]], bytes]) -> Callable[[list[bytes]], object]:
    return lambda written: written.append(make(written))


def set_body(sequence: int, body: Callable[[bytes], bytes]) -> Callable[[list[bytes]], object]:
    def change(written: list[bytes]) -> None:
        written[sequence] = body(written[sequence])

    return change


def mended_hash(connection: Connection) -> None:
    """The bytes, the hash beside them and the index; not the tree."""
    [body] = connection.execute("SELECT body FROM entry WHERE sequence = 5").fetchone()
    forged = body.replace(b"acme", b"ecma")
    connection.execute("UPDATE entry SET body = ?, leaf_hash = ? WHERE sequence = 5", (forged, leaf_hash(forged)))
    connection.execute("UPDATE lookup SET customer = 'ecma' WHERE sequence = 5")


def set_note(size: int, note: Callable[[list[bytes]], str]) -> Callable[[Connection], object]:
    def do(connection: Connection) -> None:
        connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note(bodies(connection)), size))

    return do


def of_another_log(written: list[bytes]) -> str:
    """Its text, under a true signature of this log's key."""
    other = checkpoint(written[:400], signer(2, "elsewhere.test/log")).partition("\n\n")[0] + "\n"
    return f"{other}\n{SECOND.line(other)}"


def of_another_root(written: list[bytes]) -> str:
    """The root of a smaller tree, under the signature of this one."""
    note = checkpoint(written[:400])
    return note.replace(note.split("\n")[2], checkpoint(written[:399]).split("\n")[2])


def cut(size: int, *, checkpoints: bool) -> Callable[[Connection], object]:
    """The tail cut off, the head mended; the checkpoints over it too, or not."""

    def do(connection: Connection) -> None:
        mend(connection, bodies(connection)[:size])
        if checkpoints:
            connection.execute("DELETE FROM checkpoint WHERE size > ?", (size,))
            connection.execute("DELETE FROM cosignature WHERE size > ?", (size,))

    return do


def forge_rotation(written: list[bytes]) -> None:
    """The next key is a stranger's, who has not the first one."""
    written[ROTATION] = key_entry(STRANGER, signer(9)).body
    details = json.loads(written[ROTATION])["details"] | {"previous": str(FIRST.verifier)}
    reload(ROTATION, details=details)(written)


def rewritten_with_another_key(connection: Connection) -> None:
    """All of it, by somebody without the key, in the log's name."""
    written = bodies(connection)
    written[0] = key_entry(STRANGER).body
    written[ROTATION] = seal(decision(ROTATION)).body
    reload(5, customer="ecma")(written)
    mend(connection, written)
    sign(connection, STRANGER)


def stripped(connection: Connection) -> None:
    """All of it, without keys and with a checkpoint that nobody can check."""
    written = bodies(connection)
    written[0], written[ROTATION] = seal(decision(0)).body, seal(decision(ROTATION)).body
    mend(connection, written)
    sign(connection, STRANGER, sizes=(600,))


def unsigned(connection: Connection) -> None:
    """Rewritten, and every checkpoint gone."""
    rewritten(reload(5, customer="ecma"))(connection)
    sign(connection, sizes=())


def forked(connection: Connection) -> None:
    """Another end, signed by the log's own key."""
    rewritten(reload(450, customer="ecma"))(connection)
    sign(connection)


def rewritten_after_a_checkpoint(connection: Connection) -> None:
    """What was not under the one checkpoint that is left."""
    rewritten(reload(451, status=500))(connection)
    sign(connection, sizes=(200, 400))


LATE = decision(9)
ROTATED = json.loads(key_entry(SECOND, FIRST).body)["details"]
ANOTHER_LINE = "SELECT line FROM cosignature WHERE size = 400"
ROOT = "it has another root than the tree"
UNSIGNED = "not the one that was signed"

CASES = (
    Case("a bit of a body", flip("body", "entry", "sequence = 5", 40), "entry 5: its bytes do not", "hash of entry 5"),
    Case(
        "a bit of a leaf hash",
        flip("leaf_hash", "entry", "sequence = 5"),
        "entry 5: its bytes do not",
        "hash of entry 5",
    ),
    Case(
        "a bit of the id beside",
        flip("id", "entry", "sequence = 5", 0),
        "entry 5: the id beside it",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a row of the index",
        sql("UPDATE lookup SET customer = 'x' WHERE sequence = 5"),
        "entry 5: the index says otherwise",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a row of the index gone",
        sql("DELETE FROM lookup WHERE sequence = 5"),
        "entry 5: the index has no row",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a bit of a stored hash",
        flip("hash", "node", "number = 1"),
        "entry 256: the stored hash over the entries 256 to 511",
        "tile/1/000: the hash of the entries 256 to 511",
    ),
    Case(
        "a stored hash gone",
        sql("DELETE FROM node WHERE number = 0"),
        "stored hashes of level 1 are missing",
        "tile/1/000: ",
    ),
    Case(
        "a stored hash too many",
        sql("INSERT INTO node SELECT 1, 2, hash FROM node WHERE number = 1"),
        "over entries that are not there",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case("the head's root", flip("root", "head", "one = 1"), "another root than the head", NOTHING_IN_THE_BUNDLE),
    Case("the head's frontier", flip("frontier", "head", "one = 1"), "the head's frontier", NOTHING_IN_THE_BUNDLE),
    Case("the head's size", sql("UPDATE head SET size = 599"), "entry 599: the head counts 599", NOTHING_IN_THE_BUNDLE),
    Case("the head gone", sql("DELETE FROM head"), "the head is missing", NOTHING_IN_THE_BUNDLE),
    Case(
        "a body and its hash",
        mended_hash,
        "another root than the head",
        f"checkpoints/200: an entry before entry 200 is {UNSIGNED}",
    ),
    Case(
        "a body and all that needs no key",
        rewritten(reload(5, customer="ecma")),
        f"checkpoint over 200 entries: {ROOT}",
        f"checkpoints/200: an entry before entry 200 is {UNSIGNED}",
    ),
    Case(
        "a body between two checkpoints",
        rewritten(reload(251, status=500)),
        "something after entry 199 before entry 400",
        f"checkpoints/400: an entry after entry 199 and before entry 400 is {UNSIGNED}",
    ),
    Case(
        "the first entry gone",
        sql("DELETE FROM entry WHERE sequence = 0"),
        "entry 0: the entry is missing",
        "entry 0: it is missing",
    ),
    Case(
        "one in the middle gone",
        sql("DELETE FROM entry WHERE sequence = 77"),
        "entry 77: the entry is missing",
        "entry 77: it is missing",
    ),
    Case(
        "several gone",
        sql("DELETE FROM entry WHERE sequence BETWEEN 77 AND 79"),
        "entry 77: the entries 77 to 79 are missing",
        "entry 78: it is missing",
    ),
    Case(
        "the last one gone",
        sql("DELETE FROM entry WHERE sequence = 599"),
        "entry 599: the entry is missing",
        "checkpoints/600: it is over 600 entries; those from 599",
    ),
    Case(
        "one gone, and all mended",
        rewritten(lambda written: written.pop(77)),
        f"checkpoint over 200 entries: {ROOT}",
        "checkpoints/200: an entry before entry 200",
    ),
    Case(
        "the tail cut off, and the head mended",
        cut(500, checkpoints=False),
        "the 100 after them were cut off",
        "those from 500 on are missing: they were cut off",
    ),
    Case(
        "neighbours swapped",
        swapped("entry", "sequence", 5, 6),
        "entry 5: the index says otherwise",
        f"checkpoints/200: an entry before entry 200 is {UNSIGNED}",
    ),
    Case(
        "neighbours swapped, and all mended",
        rewritten(swap(4)),
        f"checkpoint over 200 entries: {ROOT}",
        "checkpoints/200: an entry before entry 200",
    ),
    Case(
        "an entry inserted",
        rewritten(lambda written: written.insert(50, seal(decision(50)).body)),
        f"checkpoint over 200 entries: {ROOT}",
        "checkpoints/200: an entry before entry 200",
    ),
    Case(
        "an entry before the first",
        sql("INSERT INTO entry SELECT -1, 'x', leaf_hash, body FROM entry WHERE sequence = 5"),
        "an entry before the first one",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "an entry behind the last",
        sql("INSERT INTO entry SELECT 600, 'x', leaf_hash, body FROM entry WHERE sequence = 5"),
        "the head counts 600",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a checkpoint's root",
        set_note(400, of_another_root),
        "checkpoint over 400 entries: the signature",
        "checkpoints/400: its signature",
    ),
    Case(
        "a bit of a checkpoint's signature",
        flip("note", "checkpoint", "size = 400", -20),
        "checkpoint over 400 entries: ",
        "checkpoints/400: ",
    ),
    Case(
        "a checkpoint that is none",
        sql("UPDATE checkpoint SET note = 'nonsense' WHERE size = 400"),
        "checkpoint over 400 entries: it is no signed note",
        "checkpoints/400: it is no checkpoint",
    ),
    Case(
        "a checkpoint by a stranger",
        set_note(400, lambda written: checkpoint(written[:400], STRANGER)),
        "checkpoint over 400 entries: it is signed by",
        "checkpoints/400: it is not signed by the key",
    ),
    Case(
        "a checkpoint by a key that no longer counts",
        set_note(400, lambda written: checkpoint(written[:400], FIRST)),
        "checkpoint over 400 entries: it is signed by",
        "checkpoints/400: it is not signed by the key",
    ),
    Case(
        "a checkpoint over another tree",
        set_note(400, lambda written: checkpoint([*written[:399], b"{}"])),
        f"checkpoint over 400 entries: {ROOT}",
        f"checkpoints/400: an entry after entry 199 and before entry 400 is {UNSIGNED}",
    ),
    Case(
        "a checkpoint of another log",
        set_note(400, lambda written: checkpoint(written[:400], signer(5, "elsewhere.test/log"))),
        "checkpoint over 400 entries: it is signed by elsewhere.test/log",
        "checkpoints/400: it is of another log",
    ),
    Case(
        "a checkpoint of another log, by this key",
        set_note(400, of_another_log),
        "it is of another log, elsewhere.test/log",
        "checkpoints/400: it is of another log",
    ),
    Case(
        "checkpoints in another order",
        swapped("checkpoint", "size", 400, 600),
        "checkpoint over 400 entries: it says 600 entries",
        "checkpoints/400: it is over 600 entries, and its name says otherwise",
    ),
    Case(
        "a checkpoint under another size",
        sql("UPDATE checkpoint SET size = 150 WHERE size = 200"),
        "checkpoint over 150 entries: it says 200",
        "checkpoints/150: it is over 200 entries",
    ),
    Case(
        "a witness's line",
        sql(
            "UPDATE cosignature SET line = substr(line, 1, 60) || iif(substr(line, 61, 1) = 'A', 'B', 'A') || "
            "substr(line, 62) WHERE size = 400"
        ),
        "the cosignature of witness.test over 400 entries",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a witness's line moved",
        sql(f"UPDATE cosignature SET line = ({ANOTHER_LINE}) WHERE size = 200"),
        "the cosignature of witness.test over 200 entries",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a witness's line in another's name",
        sql("UPDATE cosignature SET name = 'x' WHERE size = 400"),
        "the cosignature of x over 400 entries: it is a line of witness.test",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "a witness's line without a checkpoint",
        sql("UPDATE cosignature SET size = 150 WHERE size = 200"),
        "over 150 entries: there is no such checkpoint",
        NOTHING_IN_THE_BUNDLE,
    ),
    Case(
        "the entry of a key gone",
        sql(f"DELETE FROM entry WHERE sequence = {ROTATION}"),
        f"entry {ROTATION}: the entry is missing",
        f"entry {ROTATION}: it is missing",
    ),
    Case(
        "the entry of a key gone, and all mended",
        rewritten(lambda written: written.pop(ROTATION)),
        "checkpoint over 400 entries: it is signed by",
        "checkpoints/400: it is not signed by the key",
    ),
    Case(
        "a key's signature",
        rewritten(reload(ROTATION, details=ROTATED | {"signature": "AAAA"})),
        f"entry {ROTATION}: its signature is not of",
        f"entry {ROTATION}: the key in it does not follow",
    ),
    Case(
        "a rotation forged",
        rewritten(forge_rotation),
        f"entry {ROTATION}: its signature is not of",
        f"entry {ROTATION}: the key in it does not follow",
    ),
    Case(
        "a rotation that names no key before",
        rewritten(set_body(ROTATION, lambda _body: key_entry(STRANGER).body)),
        f"entry {ROTATION}: it does not name the key before it",
        "it does not name the key before it",
    ),
    Case(
        "a second entry with an id",
        signed(appended(lambda written: seal(decision(601, id=json.loads(written[5])["id"])).body)),
        "entry 600: its id stands in an earlier entry too",
        "entry 600: its id",
    ),
    Case(
        "a completion without its decision",
        signed(appended(lambda _written: seal(completion(LATE)).body)),
        "entry 600: it completes a decision that no earlier",
        "entry 600: it completes a decision that no entry before",
    ),
    Case(
        "a completion before its decision",
        signed(swap(1)),
        "entry 1: it completes a decision that no earlier",
        "entry 1: it completes a decision that no entry before",
    ),
    Case(
        "a decision completed twice",
        signed(appended(lambda written: seal(completion(json.loads(written[1]))).body)),
        "entry 600: it completes a decision that is completed already",
        "entry 600: it completes a decision that entry 2 completed",
    ),
    Case(
        "bytes that are not canonical, hashed and signed",
        signed(set_body(5, lambda body: body.replace(b",", b", ", 1))),
        "entry 5: its bytes are not in canonical form",
        "entry 5: it is not written in the one canonical form",
    ),
    Case(
        "a name twice",
        signed(set_body(5, lambda body: b'{"customer":"x",' + body[1:])),
        "entry 5: its bytes are not in canonical form",
        "entry 5: it is not written in the one canonical form",
    ),
    Case("a fraction", signed(reload(5, bytes=1.5)), "entry 5: it is no entry", "entry 5: it holds something other"),
    Case("a null", signed(reload(5, bytes=None)), "entry 5: it is no entry", "entry 5: it holds something other"),
    Case("a sequence of its own", signed(reload(5, sequence=5)), "entry 5: it is no entry", "entry 5: it is no entry"),
    Case(
        "what is not JSON",
        signed(set_body(5, lambda _body: b"\xff\x00")),
        "entry 5: it is no entry",
        "entry 5: it is not JSON",
    ),
    Case(
        "all of it rewritten, with another key",
        rewritten_with_another_key,
        "none of its keys is the one that is trusted",
        "keys: the key that you trust",
        "key",
    ),
    Case(
        "all of it rewritten, and no checkpoint left",
        unsigned,
        "nothing is signed by the key that is trusted",
        "",
        "key",
    ),
    Case("keys and checkpoints stripped", stripped, "no key counts at its size", "keys: the key that you trust"),
    Case(
        "rolled back",
        cut(400, checkpoints=True),
        "entry 400: rolled back to 400 entries",
        "the bundle has 400: the ledger was rolled back",
        "checkpoint",
    ),
    Case("forked", forked, "forked: the log's own key signed", "the ledger was forked", "checkpoint"),
    Case(
        "rewritten behind the last checkpoint that is left",
        rewritten_after_a_checkpoint,
        "rewritten before entry 600",
        "the bundle has 400: the ledger was rolled back",
        "checkpoint",
    ),
)


@pytest.fixture(scope="module")
def written() -> list[Entry]:
    return entries()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, written: list[Entry]) -> Path:
    path = tmp_path_factory.mktemp("sound") / "ledger.db"
    build(path, written)
    return path


@pytest.fixture(scope="module")
def kept(sound: Path, written: list[Entry]) -> Path:
    """The newest checkpoint, kept by somebody outside."""
    path = sound.with_name("kept")
    path.write_text(checkpoint([entry.body for entry in written]))
    return path


@pytest.fixture
def tampered(sound: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = Path(shutil.copy(sound, tmp_path / "ledger.db"))
    with tampering(path) as connection:
        request.param.do(connection)
    return path


def load() -> Any:
    """The one-file verifier, as a module of its own."""
    spec = importlib.util.spec_from_file_location("one_file_verifier", VERIFIER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ONE_FILE = load()


def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit status and lines of the one-file verifier."""
    monkeypatch.setattr(sys, "argv", ["verify.py", *map(str, arguments)])
    status = ONE_FILE.main()
    return status, capsys.readouterr().out


def lines(report: Report) -> str:
    return "\n".join(
        f"entry {problem.sequence}: {problem.what}" if problem.sequence >= 0 else problem.what
        for problem in report.problems
    )


def bundle_of(path: Path) -> Path:
    with LedgerReader(path) as reader:
        export_bundle(reader, path.with_name("bundle"), lambda _done, _of: None)
    return path.with_name("bundle")


KNOWING: dict[str, Callable[[Path], Trust]] = {
    "": lambda _kept: Trust(witnesses=(KNOWN_WITNESS,)),
    "key": lambda _kept: Trust(TRUSTED, (KNOWN_WITNESS,)),
    "checkpoint": lambda kept: Trust(TRUSTED, (KNOWN_WITNESS,), kept.read_text()),
}
"""What is known besides the ledger, from least to most."""

every_case = pytest.mark.parametrize(
    ("tampered", "case"), [pytest.param(case, case, id=case.name) for case in CASES], indirect=["tampered"]
)


@every_case
def test_verifying_the_ledger_names_what_was_done(tampered: Path, case: Case, kept: Path) -> None:
    """With what it takes and not with less."""
    found = {needs: lines(verify(tampered, trust=trust(kept))) for needs, trust in KNOWING.items()}
    assert case.ledger in found[case.needs], found[case.needs]
    less = list(KNOWING)[: list(KNOWING).index(case.needs)]
    assert [found[needs] for needs in less] == [""] * len(less)


@every_case
def test_the_one_file_verifier_names_what_was_done(
    tampered: Path, case: Case, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a bundle of the tampered ledger, which it has to be told the key of."""
    if case.do is unsigned:
        pytest.skip("there is no bundle without a checkpoint")
    arguments = (bundle_of(tampered), "--key", TRUSTED)
    alone, _ = without = check(monkeypatch, capsys, *arguments)
    both, _ = with_kept = check(monkeypatch, capsys, *arguments, "--checkpoint", kept)
    status, said = with_kept if case.needs == "checkpoint" else without
    assert status == (1 if case.bundle else 0), said
    assert case.bundle in said
    assert case.needs != "checkpoint" or (alone, both) == (0, 1), without


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Two processes for every case, which would be slow to start for each."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@every_case
def test_several_processes_find_what_one_finds(
    tampered: Path, case: Case, kept: Path, pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines in the same order, over three stretches of which each is read by another."""
    trust = KNOWING[case.needs](kept)
    for module in ("rereading", "verification"):
        monkeypatch.setattr(f"gateway.ledger.{module}.STRETCH", 256)
    alone = verify(tampered, trust=trust, processes=1)
    read = Mock(wraps=pool.map)
    monkeypatch.setattr(
        "gateway.ledger.verification.ProcessPoolExecutor",
        lambda *_arguments, **_named: nullcontext(SimpleNamespace(map=read, shutdown=lambda **_named: None)),
    )
    assert verify(tampered, trust=trust, processes=2) == alone
    assert alone.problems
    assert read.called or alone.entries <= 2 * 256


def test_what_was_not_tampered_with_is_verified(
    sound: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By either, with all that may be known; whichever key of the chain is trusted."""
    path = Path(shutil.copy(sound, tmp_path / "ledger.db"))
    for key in (FIRST.verifier, SECOND.verifier):
        report = verify(path, trust=Trust(key, (KNOWN_WITNESS,), kept.read_text()))
        assert (report.problems, report.checkpoints, report.signed) == ([], 3, 600)
        status, said = check(monkeypatch, capsys, bundle_of(path), "--key", key, "--checkpoint", kept)
        assert (status, said.splitlines()) == (
            0,
            ["verified: 600 entries, 3 sound checkpoints; the checkpoint that you kept; 0 wrong"],
        )


def test_every_older_checkpoint_is_consistent(sound: Path) -> None:
    """Whichever of them was kept."""
    with LedgerReader(sound) as reader:
        notes = reader.checkpoints()
    assert [verify(sound, trust=Trust(outside=notes[size])).problems for size in SIZES] == [[], [], []]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (partial(checkpoint, by=STRANGER), "the checkpoint kept outside: it is signed by"),
        (partial(checkpoint, by=signer(1, "elsewhere.test/log")), "the checkpoint kept outside: it is signed by"),
        (of_another_log, "the checkpoint kept outside is of another log, elsewhere.test/log"),
    ],
)
def test_a_checkpoint_kept_outside_that_is_not_this_logs_is_named(
    sound: Path, written: list[Entry], make: Callable[[list[bytes]], str], says: str
) -> None:
    """It shows nothing, and that is told."""
    outside = make([entry.body for entry in written])
    assert says in lines(verify(sound, trust=Trust(outside=outside)))


def named(name: str, at: int) -> str:
    """How the line begins that names a file of a bundle in which this byte was changed."""
    kind, number = name.removeprefix("tile/").split(".")[0].partition("/")[::2]
    if kind == "entries":
        return f"tile/0/{number}: the hash of entry {int(number) * 256} is not what is there"
    if kind == "0":
        return f"tile/0/{number}: the hash of entry {int(number) * 256 + at // 32} is not what is there"
    return "tile/1/000: the hash of the entries 0 to 255 is not" if kind == "1" else f"{name}: "


MISSED = {
    "checkpoint": (2, ""),  # nothing can be checked
    "checkpoints/200": (0, "verified: 600 entries, 2 sound checkpoints"),  # one fewer says so
    "checkpoints/400": (0, "verified: 600 entries, 2 sound checkpoints"),
    "checkpoints/600": (1, "checkpoint: it is not the newest of those in checkpoints/"),
    "keys": (1, "keys: the file says otherwise than the entries"),
    "tile/0/000": (1, "tile/0/000: the file of 256 hashes is missing"),
    "tile/0/001": (1, "tile/0/001: the file of 256 hashes is missing"),
    "tile/0/002.p/88": (1, "tile/0/002: the file of 88 hashes is missing"),
    "tile/1/000.p/1": (0, "verified: 600 entries, 3 sound checkpoints"),  # the wider one has its hash
    "tile/1/000.p/2": (1, "tile/1/000: the file of 2 hashes is missing"),
    "tile/entries/000": (1, "tile/entries/000: the file is missing, and others behind it are there"),
    "tile/entries/001": (1, "tile/entries/001: the file is missing, and others behind it are there"),
    "tile/entries/002.p/88": (1, "checkpoints/600: it is over 600 entries; those from 512 on are missing"),
}
"""Exit status, and how the first line begins, when a file of a bundle is gone."""


@pytest.mark.parametrize("at", [3, 70])
def test_every_file_of_a_bundle_is_held_against_the_others(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: int
) -> None:
    """Whichever is changed or gone is named, and no other than what hangs on it; but for the README, and what is not
    the log's own in a checkpoint."""
    bundle = bundle_of(Path(shutil.copy(sound, tmp_path / "ledger.db")))
    paths = {str(path.relative_to(bundle)): path for path in bundle.rglob("*") if path.is_file()}
    paths.pop("README")
    assert set(paths) == set(MISSED)
    for name, path in sorted(paths.items()):
        content = path.read_bytes()
        where = at if len(content) > at else 3
        path.write_bytes(flipped(content, where))
        status, said = check(monkeypatch, capsys, bundle, "--key", TRUSTED)
        *wrong, total = said.splitlines()
        assert (status, total.startswith("NOT VERIFIED: ")) == (1, True), name
        assert [line for line in wrong if line.startswith(named(name, where))], (name, wrong)
        assert name.startswith("tile/entries/") or len(wrong) == 1 + (name == "checkpoints/600"), (name, wrong)
        path.unlink()
        status, said = check(monkeypatch, capsys, bundle, "--key", TRUSTED)
        assert (status, said.startswith(MISSED[name][1])) == (MISSED[name][0], True), (name, said)
        path.write_bytes(content)
    assert check(monkeypatch, capsys, bundle, "--key", TRUSTED)[0] == 0
