"""The notary: signs what is there, with the key that the ledger names, and never against what it signed before."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.errors import ConfigurationError, LedgerContradicted, LedgerUnavailable, UsageError
from gateway.files import locked
from gateway.ledger import signing
from gateway.ledger.evidence import evidence
from gateway.ledger.keys import private_pem
from gateway.ledger.notary import size_of
from gateway.ledger.note import opened
from gateway.ledger.reader import LedgerReader
from gateway.ledger.signing import SigningKey, new_signer
from gateway.settings import LedgerSettings, Secret
from tests.unit.ledger.entries import tampering
from tests.world.signed import ORIGIN, Signed, copy_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Signed:
    return Signed(tmp_path / "ledger.db")


def keys(ledger: Signed) -> list[str]:
    with evidence(ledger.path, ORIGIN) as found:
        assert found.key_problems == []
        return [str(one.verifier) for one in found.keys]


def test_first_time_writes_the_key_down(ledger: Signed, tmp_path: Path) -> None:
    """Once; the key is its owner's only."""
    for _ in range(2):
        with ledger.open() as notary:
            key = notary.establish("gateway")
    with LedgerReader(ledger.path) as reader:
        [entry] = reader.tail(10)
    assert (entry["act"], entry["actor"], entry["details"]["key"]) == ("ledger.key", "gateway", str(key))
    assert stat.S_IMODE((tmp_path / "ledger.db.key").stat().st_mode) == 0o600
    assert keys(ledger) == [str(key)]


def test_checkpoint_is_over_all_and_kept(ledger: Signed) -> None:
    """The same where nothing was added; another one after that."""
    ledger.checkpoint()
    ledger.add(4)
    note = ledger.checkpoint()
    assert size_of(note) == 5
    assert ledger.checkpoint() == note
    with evidence(ledger.path, ORIGIN) as found:
        assert found.latest() == note
    ledger.add(1)
    assert size_of(ledger.checkpoint()) == 6


def test_ledger_without_a_key_is_not_signed(ledger: Signed) -> None:
    """Nobody could tell whose signature it is."""
    ledger.add(1)
    with ledger.open() as notary, pytest.raises(LedgerUnavailable, match="name no key"):
        notary.checkpoint()


def test_another_key_is_refused_with_the_way_to_rotate(ledger: Signed, tmp_path: Path) -> None:
    """And nothing is written."""
    ledger.checkpoint()
    (tmp_path / "ledger.db.key").write_text(private_pem(new_signer(ORIGIN).key))
    with ledger.open() as notary, pytest.raises(ConfigurationError, match=r"ledger names .*ledger rotate-key"):
        notary.establish("gateway")
    with ledger.open() as notary, pytest.raises(ConfigurationError, match="rotate-key"):
        notary.require_key()
    assert len(keys(ledger)) == 1


def test_key_that_is_gone_is_not_made_anew(ledger: Signed, tmp_path: Path) -> None:
    """The ledger names one."""
    ledger.checkpoint()
    (tmp_path / "ledger.db.key").unlink()
    with ledger.open() as notary, pytest.raises(ConfigurationError, match="is not there, and the ledger names"):
        notary.establish("gateway")
    assert not (tmp_path / "ledger.db.key").exists()


def test_another_origin_is_refused(ledger: Signed) -> None:
    """The name is for ever."""
    ledger.checkpoint()
    ledger.key = SigningKey(ledger.path, "other/ledger")
    with ledger.open() as notary, pytest.raises(ConfigurationError, match=r"ledger.origin: got 'other/ledger'"):
        notary.establish("gateway")


def test_ledger_that_was_put_back_and_went_on_is_not_signed(ledger: Signed, tmp_path: Path) -> None:
    """Its own checkpoints say so, where the copy has some of them."""
    ledger.checkpoint()
    ledger.add(3)
    ledger.checkpoint()
    with tampering(ledger.path) as connection:
        connection.execute("UPDATE entry SET leaf_hash = ? WHERE sequence = 2", (bytes(32),))
    ledger.add(1)
    with ledger.open() as notary, pytest.raises(LedgerContradicted, match="changed or forked"):
        notary.checkpoint()


def test_head_that_the_entries_do_not_bear_out_is_not_signed(ledger: Signed) -> None:
    """Before there is any checkpoint, too."""
    with ledger.open() as notary:
        notary.establish("gateway")
    ledger.add(3)
    with tampering(ledger.path) as connection:
        connection.execute("UPDATE entry SET leaf_hash = ? WHERE sequence = 2", (bytes(32),))
    with ledger.open() as notary, pytest.raises(LedgerContradicted, match="another root than its head"):
        notary.checkpoint()


def test_rotation_is_signed_by_both_and_keeps_the_old_key(ledger: Signed, tmp_path: Path) -> None:
    """The new one signs from then on; both files are their owner's only."""
    ledger.checkpoint()
    with ledger.open() as notary:
        old, new = notary.rotate("dana")
    assert keys(ledger) == [str(old), str(new.verifier)]
    assert opened(ledger.checkpoint(), [new.verifier])
    beside = ledger.key.former(old)
    assert opened_by(beside) == old
    assert {stat.S_IMODE(path.stat().st_mode) for path in (beside, tmp_path / "ledger.db.key")} == {0o600}
    assert not (tmp_path / "ledger.db.key.next").exists()


def opened_by(path: Path) -> object:
    found = SigningKey(path, ORIGIN, file=path).signer()
    assert found is not None
    return found.verifier


def test_key_that_is_given_follows(ledger: Signed) -> None:
    """Unless it is the present one."""
    new = new_signer(ORIGIN)
    with ledger.open() as notary:
        notary.establish("dana")
        assert notary.rotate("dana", new)[1] == new
        with pytest.raises(UsageError, match="is the present one"):
            notary.rotate("dana", new)
    assert keys(ledger)[-1] == str(new.verifier)


@pytest.mark.parametrize("step", ["stage", "_write_down", "written", "settle"])
def test_rotation_cut_short_is_finished_or_undone(ledger: Signed, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """At each step: signing goes on, by whichever key the ledger names, and another rotation works."""
    ledger.checkpoint()
    with ledger.open() as notary:
        target = notary if step in ("_write_down", "written") else notary.key
        name = "_write_down" if step == "written" else step
        real = getattr(target, name)
        calls = []

        def cut(*arguments: object) -> None:
            calls.append(arguments)
            if step == "settle" and len(calls) < 3:
                real(*arguments)
                return
            if step == "written":
                real(*arguments)
            raise OSError("cut")

        monkeypatch.setattr(target, name, cut)
        with pytest.raises(OSError, match="cut"):
            notary.rotate("dana")
        monkeypatch.undo()
    entries = 2 if step in ("written", "settle") else 1
    assert len(keys(ledger)) == entries
    ledger.add(1)
    with ledger.open() as notary:
        assert size_of(notary.checkpoint()) == entries + 1  # as a running gateway would, before anybody starts anew
        assert str(notary.establish("gateway")) == keys(ledger)[-1]
        present = ledger.key.signer()
        assert present is not None
        assert str(present.verifier) == keys(ledger)[-1]
        notary.rotate("dana")
    assert len(keys(ledger)) == entries + 1


def test_key_in_no_file_needs_the_next_one_given(ledger: Signed) -> None:
    """It is for the operator to put it in place; until then nothing is signed."""
    first, second = new_signer(ORIGIN), new_signer(ORIGIN)
    ledger.key = SigningKey(ledger.path, ORIGIN, value=private_pem(first.key))
    ledger.checkpoint()
    with ledger.open() as notary:
        with pytest.raises(UsageError, match="--new-key"):
            notary.rotate("dana")
        notary.rotate("dana", second)
        with pytest.raises(ConfigurationError, match=r"ledger.signing_key: has the key"):
            notary.checkpoint()
    ledger.key = SigningKey(ledger.path, ORIGIN, value=private_pem(second.key))
    assert opened(ledger.checkpoint(), [second.verifier])


def test_starts_at_once_write_one_key(ledger: Signed) -> None:
    """Whoever is second finds it there."""
    ledger.add(1)
    together = threading.Barrier(4)

    def start() -> None:
        together.wait(10)
        with ledger.open() as notary:
            notary.establish("gateway")

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys(ledger)) == 1


def test_lock_that_somebody_holds_is_told(ledger: Signed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In bounded time."""
    monkeypatch.setattr(signing, "LOCK_TIMEOUT_S", 0.05)
    with (
        locked(tmp_path / "ledger.db.key.lock"),
        ledger.open() as notary,
        pytest.raises(ConfigurationError, match="another process holds its lock"),
    ):
        notary.establish("gateway")


def test_files_that_cannot_be_read_or_written_are_told(ledger: Signed, tmp_path: Path) -> None:
    """Each by its path."""
    ledger.checkpoint()
    file = tmp_path / "ledger.db.key"
    pem = file.read_text()
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ledger.key.signer()
    file.write_text(pem)
    (tmp_path / ".ledger.db.key.next.new").mkdir()
    with ledger.open() as notary, pytest.raises(ConfigurationError, match="cannot be replaced"):
        notary.rotate("dana")
    assert len(keys(ledger)) == 1


def test_older_copy_put_back_signs_what_it_has(ledger: Signed, tmp_path: Path) -> None:
    """From inside nothing shows: that is what the places outside are for."""
    ledger.checkpoint()
    backup = tmp_path / "backup"
    backup.mkdir()
    ledger.copy_to(backup)
    ledger.add(3)
    later = ledger.checkpoint()
    copy_ledger(backup / "ledger.db", ledger.path)
    assert size_of(ledger.checkpoint()) == 1
    with evidence(ledger.path, ORIGIN) as found, pytest.raises(LedgerContradicted, match="rolled back"):
        found.judge(later)


def test_key_of_a_configuration_is_where_it_says(tmp_path: Path) -> None:
    """Beside the ledger, in a file, or in a value that is in none."""
    pem = private_pem(new_signer(ORIGIN).key)
    path, file = tmp_path / "ledger.db", tmp_path / "own.key"
    file.write_text(pem)
    texts = (None, Secret(SecretStr(pem), file), Secret(SecretStr(pem)))
    beside, in_file, value = (SigningKey.of(LedgerSettings(path=path, signing_key=text), ORIGIN) for text in texts)
    assert (beside.file, in_file.file, value.file) == (tmp_path / "ledger.db.key", file, None)
    assert in_file.made().verifier == value.made().verifier
    with pytest.raises(ConfigurationError, match="is in no file"):
        value.stage(new_signer(ORIGIN))


def test_file_of_the_operators_is_never_made(tmp_path: Path) -> None:
    """It is theirs."""
    key = SigningKey(tmp_path / "ledger.db", ORIGIN, file=tmp_path / "own.key")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        key.made()


def test_key_that_does_not_follow_is_named(ledger: Signed) -> None:
    """By the one who looks; it counts for nothing."""
    ledger.checkpoint()
    with ledger.open() as notary:
        notary.require_key()
        notary._write_down("mallory", new_signer(ORIGIN), new_signer(ORIGIN))
        with pytest.raises(ConfigurationError, match="entry 1 names a key: it does not name the key before it"):
            notary.require_key()
        assert size_of(notary.checkpoint()) == 2


def test_rotation_whose_old_key_is_gone_already_is_finished(ledger: Signed) -> None:
    """What was set aside is put in place all the same."""
    ledger.checkpoint()
    with ledger.open() as notary:
        new = new_signer(ORIGIN)
        old = ledger.key.made()
        ledger.key.stage(new)
        notary._write_down("dana", new, old)
        assert ledger.key.file
        ledger.key.file.unlink()
        assert notary.establish("gateway") == new.verifier
    assert ledger.key.made().verifier == new.verifier


def test_blank_checkpoint_needs_a_key_at_hand(ledger: Signed) -> None:
    """And is signed by it."""
    with ledger.open() as notary:
        assert notary.blank() is None
        verifier = notary.establish("gateway")
        blank = notary.blank()
        assert blank is not None
        assert opened(blank, [verifier])
        assert size_of(blank) == 0
