"""Judging a checkpoint from outside: only one of the ledger's own past is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import LedgerContradicted, LedgerUnavailable
from gateway.ledger.evidence import evidence
from gateway.ledger.note import Checkpoint, Signer, opened, split
from gateway.ledger.signing import new_signer
from tests.unit.ledger.entries import tampering
from tests.world.signed import ORIGIN, Signed


@pytest.fixture
def ledger(tmp_path: Path) -> Signed:
    found = Signed(tmp_path / "ledger.db")
    found.checkpoint()
    found.add(6)
    return found


def signer(ledger: Signed) -> Signer:
    found = ledger.key.signer()
    assert found is not None
    return found


def changed(note: str, by: Signer, **values: object) -> str:
    fields = {"origin": ORIGIN, "size": 7, "root": Checkpoint.parse(split(note)[0]).root} | values
    return Checkpoint(**fields).signed(by)  # type: ignore[arg-type]


def test_checkpoint_of_the_past_is_believed(ledger: Signed) -> None:
    """Whatever was added since."""
    note = ledger.checkpoint()
    ledger.add(300)
    with evidence(ledger.path, ORIGIN) as found:
        assert found.judge(note).size == 7
        assert found.size == 307


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda note, _: "", "no checkpoint"),
        (lambda note, _: "<html>sign in</html>", "no checkpoint"),
        (lambda note, _: split(note)[0], "no checkpoint"),
        (lambda note, by: changed(note, by, size=8), "it is over 8 entries, and the ledger has 7"),
        (lambda note, by: changed(note, by, root=bytes(32)), "another root"),
        (lambda note, by: changed(note, by, size=6), "another root"),
        (lambda note, by: changed(note, by, size=0), "not signed by this ledger's key"),
        (lambda note, by: changed(note, by, origin="other/ledger"), "it is of 'other/ledger'"),
        (lambda note, _: changed(note, new_signer(ORIGIN)), "not signed by this ledger's key"),
        (lambda note, _: note.replace("\n7\n", "\n6\n"), "not signed by this ledger's key"),
    ],
)
def test_anything_else_contradicts(ledger: Signed, make: Callable[[str, Signer], str], says: str) -> None:
    """Each says what it is."""
    note = make(ledger.checkpoint(), signer(ledger))
    with evidence(ledger.path, ORIGIN) as found, pytest.raises(LedgerContradicted, match=says):
        found.judge(note)


def test_key_counts_from_its_entry_on(ledger: Signed) -> None:
    """The old one signs nothing that holds the entry of the new one, and the new one nothing before it."""
    first = ledger.checkpoint()
    old = signer(ledger)
    with ledger.open() as notary:
        _, new = notary.rotate("dana")
    second = ledger.checkpoint()
    assert opened(second, [new.verifier])
    with evidence(ledger.path, ORIGIN) as found:
        assert [found.judge(note).size for note in (first, second)] == [7, 8]
        for note in (changed(first, new), changed(second, old, size=8)):
            with pytest.raises(LedgerContradicted, match="not signed"):
                found.judge(note)


def test_entry_that_was_changed_shows(ledger: Signed) -> None:
    """The root is worked out from the leaf hashes, not believed."""
    note = ledger.checkpoint()
    with tampering(ledger.path) as connection:
        connection.execute("UPDATE entry SET leaf_hash = ? WHERE sequence = 3", (bytes(32),))
    with evidence(ledger.path, ORIGIN) as found, pytest.raises(LedgerContradicted, match="changed or forked"):
        found.judge(note)


def test_entry_that_is_gone_is_told(ledger: Signed) -> None:
    """As what cannot be read."""
    with tampering(ledger.path) as connection:
        connection.execute("DELETE FROM entry WHERE sequence = 3")
    with pytest.raises(LedgerUnavailable, match="are missing"), evidence(ledger.path, ORIGIN) as found:
        found.root_at(5)


def test_ledger_that_is_not_there_is_told(tmp_path: Path) -> None:
    """It is not made."""
    with pytest.raises(LedgerUnavailable, match="there is none"), evidence(tmp_path / "none.db", ORIGIN):
        pass
    assert list(tmp_path.iterdir()) == []


def test_entry_that_cannot_be_read_names_no_key(ledger: Signed) -> None:
    """It is passed over here; verifying names it."""
    with tampering(ledger.path) as connection:
        connection.execute("UPDATE entry SET body = x'ff' WHERE sequence = 0")
    with evidence(ledger.path, ORIGIN) as found:
        assert (found.keys, found.key) == ([], None)
