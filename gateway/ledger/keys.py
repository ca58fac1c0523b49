"""The keys that sign checkpoints: where the present one is, and how one follows another.

Each key is an administrative entry ``ledger.key``, which the key itself has signed and, after the first, the one before
it too: whoever trusts one key of the chain can follow it to every other. A key counts for checkpoints that hold its
entry, until the next one's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.errors import ConfigurationError
from gateway.files import replace_file
from gateway.ledger.note import NoteRefused, Signer, Verifier

ACT = "ledger.key"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key of the chain, and the sequence of its entry."""

    sequence: int
    verifier: Verifier


def parse_private(pem: str, origin: str, where: str) -> Signer:
    """The signer of a key in PEM (PKCS #8, not encrypted).

    Raises:
        ConfigurationError: it is none; ``where`` says which.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):  # its words may quote the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        made = "openssl genpkey -algorithm ed25519"
        raise ConfigurationError([f"{where}: expected an Ed25519 private key in PEM; make one with: {made}"])
    return Signer(origin, key)


def private_pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signer_in(path: Path, origin: str) -> Signer:
    """The signer of a key file, which is made where there is none, for its owner only, whole and durably: an entry will
    name it. Whoever asks holds the lock of the ledger's keys, so that no two make one.

    Raises:
        ConfigurationError: it cannot be read or made, or is no key.
    """
    try:
        if not path.exists():
            replace_file(path, private_pem(Ed25519PrivateKey.generate()))
    except OSError as error:
        raise ConfigurationError([f"{path}: the ledger's key cannot be made ({error.strerror})"]) from error
    try:
        return parse_private(path.read_text("ascii"), origin, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: the ledger's key cannot be read ({type(error).__name__})"]) from error


def statement(previous: Verifier | None, key: Verifier) -> str:
    """What both keys sign: that one follows the other."""
    return f"{ACT}\n{previous or ''}\n{key}\n"


def details(signer: Signer, previous: Signer | None = None) -> dict[str, str]:
    """What the entry of a key says, beside what every administrative entry does."""
    before = previous.verifier if previous else None
    said = statement(before, signer.verifier)
    return {
        "key": str(signer.verifier),
        "previous": str(before or ""),
        "signature": _signed(signer, said),
        "previous_signature": _signed(previous, said) if previous else "",
    }


def chain(entries: Iterable[tuple[int, Mapping[str, object]]]) -> tuple[list[KeyEntry], list[tuple[int, str]]]:
    """The keys that entries ``ledger.key`` name, in their order, and what is wrong with any of them.

    Args:
        entries: sequence and fields; others are passed over.
    """
    keys: list[KeyEntry] = []
    problems: list[tuple[int, str]] = []
    for sequence, fields in entries:
        if fields.get("kind") != "administrative" or fields.get("act") != ACT:
            continue
        try:
            keys.append(KeyEntry(sequence, _follows(keys, fields.get("details"))))
        except NoteRefused as error:
            problems.append((sequence, str(error)))
    return keys, problems


def key_of(keys: Sequence[KeyEntry], size: int) -> Verifier | None:
    """The key that counts for a checkpoint of this size."""
    return next((key.verifier for key in reversed(keys) if key.sequence < size), None)


def _follows(keys: Sequence[KeyEntry], said: object) -> Verifier:
    told = said if isinstance(said, Mapping) else {}
    key = Verifier.parse(str(told.get("key", "")))
    before = keys[-1].verifier if keys else None
    if str(told.get("previous", "")) != str(before or ""):
        raise NoteRefused("it does not name the key before it; somebody left one out, or put one in")
    text = statement(before, key)
    for verifier, name in ((key, "signature"), (before, "previous_signature")):
        if verifier and not verifier.verifies(text, _decoded(told.get(name))):
            raise NoteRefused(f"its {name.replace('_', ' ')} is not of {verifier.name} ({verifier.id.hex()})")
    return key


def _signed(signer: Signer, text: str) -> str:
    return base64.b64encode(signer.key.sign(text.encode())).decode()


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return b""
