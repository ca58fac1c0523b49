"""Signed notes and checkpoints, against the published example and against what is nearly one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.note import COSIGNATURE, Checkpoint, NoteRefused, Signer, Verifier, opened, split

# The example of Go's sumdb/note, which other implementations are tested with.
PETER = Verifier.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
SAID = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
TEXT = "gateway.test/ledger\n3\n" + "A" * 43 + "=\n"


def signer(name: str = "gateway.test/ledger", seed: int = 1) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def test_published_note_is_opened() -> None:
    """Whose text it is, and that its key prints as published."""
    text, by = opened(SAID, [PETER])
    assert text.startswith("If you think")
    assert by == [PETER]
    assert str(PETER) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_signed_checkpoint_comes_back() -> None:
    """With a witness's line behind the log's own."""
    log, witness = signer(), signer("witness.test/w", 2)
    checkpoint = Checkpoint("gateway.test/ledger", 3, bytes(32))
    note = checkpoint.signed(log) + witness.cosignature(checkpoint.text, 1_800_000_000)
    trusted = Verifier(witness.name, witness.verifier.public, COSIGNATURE)
    text, by = opened(note, [log.verifier, trusted])
    assert Checkpoint.parse(text) == checkpoint
    assert by == [log.verifier, trusted]
    assert Verifier.parse(str(trusted)) == trusted


def test_line_of_a_stranger_is_passed_over_and_alone_is_not_enough() -> None:
    """Also one who has the name of somebody known, and another key."""
    known, stranger = signer(), signer(seed=9)
    note = f"{TEXT}\n{stranger.line(TEXT)}"
    with pytest.raises(NoteRefused, match=r"it is signed by gateway\.test/ledger .*; expected gateway\.test/ledger"):
        opened(note, [known.verifier])
    assert opened(note + known.line(TEXT), [known.verifier])[1] == [known.verifier]


def test_wrong_line_in_a_known_name_spoils_the_note() -> None:
    """Though another known signature is right."""
    one, other = signer(), signer("other.test/log", 2)
    note = f"{TEXT}\n{one.line(TEXT)}{other.line('another text' + chr(10))}"
    with pytest.raises(NoteRefused, match=r"the signature of other\.test/log is not of this text"):
        opened(note, [one.verifier, other.verifier])


def test_cosignature_holds_for_its_time_alone() -> None:
    """The time is signed too."""
    witness = signer("witness.test/w", 2)
    trusted = Verifier(witness.name, witness.verifier.public, COSIGNATURE)
    note = f"{TEXT}\n{witness.cosignature(TEXT, 7)}"
    [(_, _, signature)] = split(note)[1]
    assert trusted.verifies(TEXT, signature)
    assert not trusted.verifies(TEXT, (8).to_bytes(8) + signature[8:])
    assert not trusted.verifies(TEXT, signature[8:])


@given(st.data())
def test_changed_note_is_refused_or_says_the_same(data: st.DataObject) -> None:
    """One character anywhere."""
    log = signer()
    note = Checkpoint("gateway.test/ledger", 3, bytes(32)).signed(log)
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != note[at]))
    try:
        text, _ = opened(note[:at] + other + note[at + 1 :], [log.verifier])
    except NoteRefused:
        return
    assert text == split(note)[0]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        f"{TEXT}\nno signature line\n",
        f"{TEXT}\n\u2014 name !!!!\n",
        f"{TEXT}\n\u2014 na+me AAAAAAAA\n",
        f"{TEXT}\n\u2014 name AAAA\n",
        f"{TEXT}\n\u2014 name AAAAAAAA",
        f"\x00{TEXT}\n\u2014 name AAAAAAAA\n",
        f"{TEXT}\n" + "\u2014 name AAAAAAAA\n" * 65,
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    """Never an exception of another kind."""
    with pytest.raises(NoteRefused):
        split(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n3\n",
        "\n3\n" + "A" * 43 + "=\n",
        "origin\n03\n" + "A" * 43 + "=\n",
        "origin\n-3\n" + "A" * 43 + "=\n",
        "origin\n3\n" + "A" * 42 + "B=\n",
        "origin\n3\nAAAA\n",
        "origin\n3\n" + "A" * 43 + "=",
        "origin\n3\n" + "A" * 43 + "=\nmore\n",
        "origin\n٣\n" + "A" * 43 + "=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Extension lines too: nobody would check them."""
    with pytest.raises(NoteRefused):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "key", ["", "a+b", "a b+c74f20a3+ARpc", "PeterNeumann+00000000+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    """A typing error in a key is seen."""
    with pytest.raises(NoteRefused):
        Verifier.parse(key)
