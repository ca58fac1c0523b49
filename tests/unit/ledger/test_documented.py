"""The page on the ledger: its steps by hand are run as they stand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gateway.ledger.bundle import export_bundle
from gateway.ledger.reader import LedgerReader
from gateway.ledger.receipt import prove
from tests.unit.ledger.signed import SECOND, build, entries

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "ledger.md").read_text("utf-8")
BUNDLE_README = (ROOT / "gateway" / "ledger" / "bundle.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and a proof of an entry beside it."""
    directory = tmp_path_factory.mktemp("documented")
    build(directory / "ledger.db", entries())
    with LedgerReader(directory / "ledger.db") as reader:
        export_bundle(reader, directory / "bundle", lambda _done, _of: None)
        receipt = prove(reader, "555")
    (directory / "entry.tlog-proof").write_text(receipt.text)
    (directory / "entry.tlog-proof.json").write_bytes(receipt.body)
    return directory


def run(directory: Path, script: str) -> list[str]:
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=directory,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "KEY": str(SECOND.verifier), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_steps_by_hand_work_as_they_stand(directory: Path) -> None:
    """An entry against its tile, an entry up to the root, a signature."""
    by_hand = PAGE.partition("## By hand")[2].partition("## Handing")[0]
    tile, proof, signature = re.findall(r"```sh\n(.*?)```", by_hand, re.DOTALL)
    worked_out, told = run(directory, tile)
    assert (len(worked_out), worked_out) == (64, told)
    *_, worked_out, told = run(directory, proof)
    assert worked_out == told
    assert run(directory, signature) == ["Signature Verified Successfully"]


def test_steps_in_the_bundle_work_as_they_stand(directory: Path) -> None:
    """Those that its README shows, with the length that the first of them told."""
    steps = re.findall(r"  ((?:od -|tail -|\(printf).*)$", BUNDLE_README, re.MULTILINE)
    length, entry, leaf, stored = (step.replace("(or 000.p/W)", "") for step in steps[:4])
    high, low = map(int, " ".join(run(directory / "bundle", length)).split())
    told = {"LENGTH": str(high * 256 + low)}
    assert run(directory / "bundle", entry.replace("LENGTH", told["LENGTH"]))[0].startswith("{")
    [hashed] = run(directory / "bundle", leaf.replace("LENGTH", told["LENGTH"]))
    assert hashed.split()[0] == "".join(run(directory / "bundle", stored)).replace(" ", "")
    assert len(run(directory / "bundle", steps[4])[0].split()[0]) == 64
