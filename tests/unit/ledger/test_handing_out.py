"""``ledger verify``, ``prove`` and ``export --bundle`` as commands: options, exit status, files, what is recorded."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable, NotFound, UsageError
from gateway.ledger.entry import Entry
from gateway.ledger.reader import LedgerReader
from gateway.ledger.receipt import prove
from tests.unit.ledger.entries import tampering
from tests.unit.ledger.signed import FIRST, KNOWN_WITNESS, STRANGER, checkpoint
from tests.unit.ledger.signed import signed as signed
from tests.unit.ledger.signed import whole as whole
from tests.unit.ledger.signed import written as written
from tests.unit.ledger.test_ledger_command import Operation, last, run, size
from tests.world.clock import FakeClock


@pytest.fixture
def operation(signed: Path) -> Operation:
    return Operation(signed, FakeClock())


def test_verify_holds_the_ledger_against_what_was_kept(
    operation: Operation, written: list[Entry], tmp_path: Path
) -> None:
    """A key, a witness and a checkpoint, each from elsewhere; how far signatures go is told."""
    kept = tmp_path / "kept"
    kept.write_text(checkpoint([entry.body for entry in written[:400]]))
    known = ("--key", str(FIRST.verifier), "--witness", str(KNOWN_WITNESS), "--from-checkpoint", str(kept))
    result = run(operation, "verify", *known)
    assert (result.return_value, result.stdout.splitlines()[1]) == (
        0,
        "signed: the first 600 entries, by 3 checkpoints",
    )
    told = json.loads(run(operation, "verify", *known, "--json").stdout)
    assert (told["verified"], told["checkpoints"], told["signed"]) == (True, 3, 600)
    result = run(operation, "verify", "--key", str(STRANGER.verifier))
    assert result.return_value == 1
    assert "the ledger: none of its keys is the one that is trusted" in result.stdout


def test_verify_leaves_nothing_of_its_progress(operation: Operation, tmp_path: Path) -> None:
    """Once it is through."""
    assert run(operation, "verify", "--resume", str(tmp_path / "resume")).return_value == 0
    assert not (tmp_path / "resume").exists()


@pytest.mark.parametrize("content", [None, b"\xff", b"text"])
def test_verify_refuses_what_is_no_checkpoint(operation: Operation, tmp_path: Path, content: bytes | None) -> None:
    """Wrong use, and not a ledger that does not verify."""
    if content:
        (tmp_path / "kept").write_bytes(content)
    result = run(operation, "verify", "--from-checkpoint", str(tmp_path / "kept"))
    assert isinstance(result.exception, UsageError)
    assert isinstance(run(operation, "verify", "--key", "x").exception, UsageError)


def test_prove_writes_the_proof_and_the_entry_beside_it(operation: Operation, signed: Path, tmp_path: Path) -> None:
    """For their owner; never over a file that is there; each is recorded."""
    with LedgerReader(signed) as reader:
        expected = prove(reader, "7")
    output = tmp_path / "p.tlog-proof"
    result = run(operation, "prove", "7", "-o", str(output))
    assert result.stdout == f"{output}: entry 7 under the checkpoint over 600 entries\n"
    assert output.read_text() == expected.text
    assert output.with_name("p.tlog-proof.json").read_bytes() == expected.body
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    record = last(signed)
    assert (record["act"], record["details"]) == ("ledger.prove", {"asked": ["checkpoint=600", "entry=7"]})
    assert isinstance(run(operation, "prove", "7", "-o", str(output)).exception, UsageError)
    nowhere = str(tmp_path / "nowhere" / "p")
    assert isinstance(run(operation, "prove", "7", "-o", nowhere).exception, LedgerUnavailable)


def test_prove_shows_the_proof_to_whoever_names_no_file(operation: Operation, signed: Path) -> None:
    """Or as JSON, with the entry's exact bytes as text."""
    with LedgerReader(signed) as reader:
        expected = prove(reader, "7")
    assert run(operation, "prove", "7").stdout == expected.text
    told = json.loads(run(operation, "prove", "7", "--json").stdout)
    assert (told["sequence"], told["size"], told["proof"]) == (7, 600, expected.text)
    assert told["entry"].encode() == expected.body


def test_prove_of_what_cannot_be_proved_hands_nothing_out(operation: Operation, signed: Path, tmp_path: Path) -> None:
    """There is no such entry, no checkpoint over it yet, or it was tampered with."""
    assert isinstance(run(operation, "prove", "9999").exception, NotFound)
    run(operation, "prove", "7")
    assert isinstance(run(operation, "prove", "600").exception, NotFound)
    with tampering(signed) as connection:
        connection.execute("UPDATE entry SET body = x'7b7d' WHERE sequence = 7")
    assert isinstance(run(operation, "prove", "7", "-o", str(tmp_path / "p")).exception, LedgerUnavailable)
    assert not (tmp_path / "p").exists()
    assert size(signed) == 601


def test_bundle_is_exported_and_recorded(operation: Operation, signed: Path, tmp_path: Path) -> None:
    """Everything up to the newest checkpoint; again is no harm."""
    bundle = tmp_path / "b"
    assert run(operation, "export", "--bundle", str(bundle)).stdout == f"{bundle}: 600 entries, 3 checkpoints\n"
    record = last(signed)
    assert (record["act"], record["details"]) == ("ledger.export", {"asked": ["format=bundle"]})
    told = json.loads(run(operation, "export", "--bundle", str(bundle), "--json").stdout)
    assert told == {"entries": 600, "checkpoints": 3, "bundle": str(bundle)}


def test_bundle_takes_no_filters(operation: Operation, signed: Path, tmp_path: Path) -> None:
    """What is left out of a bundle would look like what was removed."""
    for more in (("--customer", "acme"), ("-o", str(tmp_path / "o"))):
        result = run(operation, "export", "--bundle", str(tmp_path / "b"), *more)
        assert isinstance(result.exception, UsageError)
    assert size(signed) == 600
