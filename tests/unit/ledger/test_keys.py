"""Keys: one follows another with both signatures, and a file is its owner's only."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import ConfigurationError
from gateway.ledger.keys import ACT, chain, details, key_of, parse_private, private_pem, signer_in
from gateway.ledger.note import Signer

ORIGIN = "gateway.test/ledger"


def signer(seed: int) -> Signer:
    return Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def entry(said: dict[str, str]) -> dict[str, object]:
    return {"kind": "administrative", "act": ACT, "details": said}


def test_keys_follow_each_other() -> None:
    """Each counts from its entry on."""
    one, two = signer(1), signer(2)
    keys, problems = chain([(0, entry(details(one))), (3, {"kind": "decision"}), (9, entry(details(two, one)))])
    assert problems == []
    assert [key_of(keys, size) for size in (0, 1, 9, 10)] == [None, one.verifier, one.verifier, two.verifier]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"previous_signature": ""}, "previous signature"),
        ({"signature": ""}, "its signature"),
        ({"previous": ""}, "does not name the key before it"),
        ({"key": "nonsense"}, "expected a verifier key"),
    ],
)
def test_key_that_does_not_follow_is_named(changes: dict[str, str], says: str) -> None:
    """And does not count."""
    one, two = signer(1), signer(2)
    keys, problems = chain([(0, entry(details(one))), (9, entry(details(two, one) | changes))])
    assert key_of(keys, 10) == one.verifier
    [(sequence, problem)] = problems
    assert (sequence, says in problem) == (9, True), problem


def test_key_left_out_is_seen() -> None:
    """The third does not follow the first."""
    one, two, three = signer(1), signer(2), signer(3)
    keys, problems = chain([(0, entry(details(one))), (9, entry(details(three, two)))])
    assert (len(keys), [sequence for sequence, _ in problems]) == (1, [9])


def test_key_file_is_made_once_for_its_owner(tmp_path: Path) -> None:
    """And read from then on."""
    path = tmp_path / "ledger.key"
    made = signer_in(path, ORIGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert signer_in(path, ORIGIN).verifier == made.verifier


@pytest.mark.parametrize("text", ["", "no key", private_pem(signer(1).key)[:40]])
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    """It may be half of one."""
    path = tmp_path / "ledger.key"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="expected an Ed25519 private key") as raised:
        signer_in(path, ORIGIN)
    assert not text or text not in str(raised.value)
    assert parse_private(private_pem(signer(1).key), ORIGIN, "here").verifier == signer(1).verifier


def test_key_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(ConfigurationError, match="cannot be made"):
        signer_in(tmp_path / "nowhere" / "ledger.key", ORIGIN)
