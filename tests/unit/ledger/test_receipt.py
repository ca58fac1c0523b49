"""A proof of one entry: in the published form, checked before it is handed out, and by the one-file verifier after."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable, NotFound
from gateway.ledger.entry import Entry
from gateway.ledger.reader import LedgerReader
from gateway.ledger.receipt import Receipt, prove
from tests.unit.ledger.entries import decision, tampering, write
from tests.unit.ledger.signed import FIRST, SECOND, STRANGER, checkpoint
from tests.unit.ledger.signed import whole as whole
from tests.unit.ledger.signed import written as written

VERIFIER = Path(__file__).parents[2] / "verifier" / "verify.py"


def proved(path: Path, key: str) -> Receipt:
    with LedgerReader(path) as reader:
        return prove(reader, key)


def check(*arguments: object) -> tuple[int, str]:
    """Exit status and output of the one-file verifier, as an auditor runs it: nothing of this project is at hand."""
    command = [sys.executable, "-I", str(VERIFIER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    return done.returncode, done.stdout + done.stderr


def test_proof_is_written_as_the_specification_says(whole: Path, written: list[Entry]) -> None:
    """A head, the index, hashes, an empty line, the newest checkpoint with its cosignatures."""
    receipt = proved(whole, "301")
    first, index, *rest = receipt.text.split("\n")
    assert (first, index, receipt.body) == ("c2sp.org/tlog-proof@v1", "index 301", written[301].body)
    at = rest.index("")
    assert (at, {len(line) for line in rest[:at]}) == (10, {44})
    assert "\n".join(rest[at + 1 :]).startswith(checkpoint([entry.body for entry in written]))


def test_entry_is_named_by_its_id_too(whole: Path, written: list[Entry]) -> None:
    """As a denial names it."""
    assert proved(whole, written[7].id) == proved(whole, "7")


@pytest.mark.parametrize("sequence", [0, 1, 255, 256, 511, 512, 599])
def test_proof_holds_without_the_ledger(whole: Path, tmp_path: Path, sequence: int) -> None:
    """Under the key that counts, for this entry and no other."""
    receipt = proved(whole, str(sequence))
    (tmp_path / "p").write_text(receipt.text)
    (tmp_path / "e").write_bytes(receipt.body)
    asked = ("--proof", tmp_path / "p", "--entry", tmp_path / "e")
    assert check("--key", SECOND.verifier, *asked) == (0, "verified: one proof; 0 wrong\n")
    status, said = check("--key", STRANGER.verifier, *asked)
    assert (status, "is not signed by the key" in said) == (1, True)
    (tmp_path / "e").write_bytes(receipt.body + b" ")
    status, said = check("--key", SECOND.verifier, *asked)
    assert (status, f"it does not lead from this entry, at {sequence}" in said) == (1, True)


@pytest.mark.parametrize("change", ["index 8", "index 600", "drop", "double", "other"])
def test_damaged_proof_is_named(whole: Path, tmp_path: Path, change: str) -> None:
    """By the one-file verifier."""
    lines = proved(whole, "7").text.split("\n")
    match change:
        case "drop":
            del lines[4]
        case "double":
            lines.insert(4, lines[4])
        case "other":
            lines[0] = "c2sp.org/tlog-proof@v2"
        case index:
            lines[1] = index
    (tmp_path / "p").write_text("\n".join(lines))
    (tmp_path / "e").write_bytes(proved(whole, "7").body)
    status, said = check("--key", SECOND.verifier, "--proof", tmp_path / "p", "--entry", tmp_path / "e")
    assert (status, said.startswith(f"{tmp_path / 'p'}: it ")) == (1, True), said


def test_entry_that_no_checkpoint_holds_yet_is_told(whole: Path, tmp_path: Path) -> None:
    """With what to do; one that is not there is told, too."""
    path = Path(shutil.copy(whole, tmp_path / "ledger.db"))
    write(path, decision())
    with pytest.raises(
        NotFound, match="no checkpoint is over entry 600 yet, the newest has 600; run ledger checkpoint"
    ):
        proved(path, "600")
    for key in ("601", "x"):
        with pytest.raises(NotFound, match="has no entry"):
            proved(path, key)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("UPDATE entry SET body = x'7b7d' WHERE sequence = 7", "is not what the checkpoint"),
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE sequence = 8", "is not what the checkpoint"),
        ("UPDATE node SET hash = zeroblob(32) WHERE number = 1", "is not what the checkpoint"),
        ("UPDATE checkpoint SET note = 'x' WHERE size = 600", "no signed note"),
        ("UPDATE checkpoint SET note = replace(note, '600', '601') WHERE size = 600", "the signature of"),
        ("DELETE FROM entry WHERE sequence = 300", "is signed by"),
        ("UPDATE entry SET body = x'7b7d' WHERE sequence IN (0, 300)", "expected nobody"),
        ("DELETE FROM entry WHERE sequence = 6", "missing"),
    ],
)
def test_proof_that_does_not_hold_is_not_handed_out(whole: Path, tmp_path: Path, script: str, says: str) -> None:
    """The ledger is damaged, and that is told."""
    path = Path(shutil.copy(whole, tmp_path / "ledger.db"))
    with tampering(path) as connection:
        connection.executescript(script)
    with pytest.raises(LedgerUnavailable, match=says):
        proved(path, "7")


def test_damaged_entry_that_looks_like_a_key_is_no_key(whole: Path, tmp_path: Path) -> None:
    """And keeps nobody from reading the others."""
    path = Path(shutil.copy(whole, tmp_path / "ledger.db"))
    with tampering(path) as connection:
        connection.execute("""UPDATE entry SET body = CAST('"act":"ledger.key"' AS BLOB) WHERE sequence = 300""")
    with LedgerReader(path) as reader:
        assert [key.verifier for key in reader.signing_keys()] == [FIRST.verifier]


def test_one_file_verifier_says_when_it_cannot_check(whole: Path, tmp_path: Path) -> None:
    """Exit status 2: a directory that is no bundle, a key that is none, half of a proof."""
    assert check(tmp_path, "--key", FIRST.verifier)[0] == 2
    assert check(tmp_path, "--key", "x")[0] == 2
    assert check("--key", FIRST.verifier, "--proof", tmp_path / "p")[0] == 2
    assert check("--key", FIRST.verifier)[0] == 2


def test_one_file_verifier_imports_nothing_of_the_gateway() -> None:
    """Standard library and cryptography."""
    text = VERIFIER.read_text()
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= {"cryptography"} | sys.stdlib_module_names
    assert len(text.splitlines()) < 780


def test_proof_costs_no_pass_over_all_entries(whole: Path) -> None:
    """The keys are found among administrative acts by an index of their own."""
    asked: list[str] = []
    with LedgerReader(whole) as reader:
        reader._connection.set_trace_callback(asked.append)
        prove(reader, "7")
        reader._connection.set_trace_callback(None)
        plans = [
            (statement, str(step[3]))
            for statement in asked
            if statement.startswith(("SELECT", "WITH"))
            for step in reader._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert any("lookup_administrative" in step for _, step in plans)
    assert [
        (statement, step)
        for statement, step in plans
        if ("lookup" in step and "lookup_administrative" not in step and "max(sequence)" not in statement)
        or "SCAN entry" in step
    ] == []
