"""Signed notes (C2SP ``signed-note``) and the checkpoints written in them (C2SP ``tlog-checkpoint``).

A note is text, a blank line, and signature lines: an em dash, the signer's name, and base64 of four bytes that name the
key and the signature. A checkpoint's text is three lines: the log's origin, the size of its tree, its root in base64.

Invariants: text is believed only of a note that a known key has signed; a known key's line that is wrong spoils the
note; what is not written in exactly one way is no checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import UsageError

ED25519 = 0x01
COSIGNATURE = 0x04
MAX_NOTE_BYTES = 65_536
MAX_SIGNATURES = 64
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+\u0000-\u0020\u007f]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_COSIGNED = "cosignature/v1\ntime {}\n{}"


class NoteRefused(UsageError):
    """A note that is not to be believed, and why."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key that is trusted, by its name.

    Attributes:
        kind: :data:`ED25519`, or :data:`COSIGNATURE` for a witness.
        public: 32 bytes (RFC 8032).
    """

    name: str
    public: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        if not is_name(self.name) or len(self.public) != 32 or self.kind not in (ED25519, COSIGNATURE):
            raise NoteRefused(f"got the key name {self.name!r}; expected one without blanks or '+', and an Ed25519 key")

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """The key of a verifier string: name, ``+``, eight hexadecimal digits, ``+``, base64.

        Raises:
            NoteRefused: it is none.
        """
        name, _, rest = text.strip().partition("+")
        given, _, encoded = rest.partition("+")
        data = _decoded(encoded) or b"\0"
        if len(data) == 33 and is_name(name) and data[0] in (ED25519, COSIGNATURE):
            found = cls(name, data[1:], data[0])
            if found.id.hex() == given:
                return found
        raise NoteRefused(f"got {text.strip()[:80]!r}; expected a verifier key: name+hash+base64, as the log prints it")

    @property
    def id(self) -> bytes:
        """Four bytes that name the key; they prove nothing."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether it made this signature of the text."""
        if self.kind == COSIGNATURE:
            if len(signature) != 72:
                return False
            text = _COSIGNED.format(int.from_bytes(signature[:8]), text)
            signature = signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs under a name."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def line(self, text: str) -> str:
        """A signature line of a text."""
        return _line(self.verifier, self.key.sign(text.encode()))

    def cosignature(self, text: str, time_s: int) -> str:
        """The line of a witness that saw this checkpoint at a time (C2SP ``tlog-cosignature``)."""
        verifier = Verifier(self.name, self.verifier.public, COSIGNATURE)
        signature = self.key.sign(_COSIGNED.format(time_s, text).encode())
        return _line(verifier, time_s.to_bytes(8) + signature)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at an instant.

    Attributes:
        origin: whose log.
        size: how many entries.
        root: of the tree over them.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, *signers: Signer) -> str:
        """The note."""
        return f"{self.text}\n{''.join(signer.line(self.text) for signer in signers)}"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint that a text is.

        Raises:
            NoteRefused: it is none, or is written otherwise than a log would.
        """
        lines = text.split("\n")
        if len(lines) == 4 and lines[0] and _SIZE.fullmatch(lines[1]):
            found = cls(lines[0], int(lines[1]), _decoded(lines[2]) or b"")
            if len(found.root) == 32 and found.text == text:
                return found
        raise NoteRefused("it is no checkpoint; expected three lines: origin, size, root in base64")


def is_name(text: str) -> bool:
    """Whether a key may be called so."""
    return _NAME.fullmatch(text) is not None


def split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """A note's text and signatures, none of them verified: name, key id, signature.

    Raises:
        NoteRefused: it is no note.
    """
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.removesuffix("\n").split("\n")
    if not blank or not tail.endswith("\n") or len(note) > MAX_NOTE_BYTES or len(lines) > MAX_SIGNATURES:
        raise NoteRefused("it is no signed note; expected text, an empty line, and signature lines")
    if any((character < " " and character != "\n") or character == "\x7f" for character in note):
        raise NoteRefused("a signed note holds a control character")
    return text + "\n", [_parsed(line) for line in lines]


def opened(note: str, verifiers: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """A note's text, and who of those known signed it.

    Raises:
        NoteRefused: nobody known did, or a signature in the name of somebody known is wrong.
    """
    known = {(verifier.name, verifier.id): verifier for verifier in verifiers}
    text, signatures = split(note)
    signed: list[Verifier] = []
    for name, key_id, signature in signatures:
        verifier = known.get((name, key_id))
        if verifier is None or verifier in signed:
            continue
        if not verifier.verifies(text, signature):
            raise NoteRefused(f"the signature of {name} is not of this text, or not by its key {key_id.hex()}")
        signed.append(verifier)
    if not signed:
        names = ", ".join(sorted({f"{name} ({key_id.hex()})" for name, key_id, _ in signatures}))
        expected = ", ".join(sorted(f"{name} ({key_id.hex()})" for name, key_id in known)) or "nobody"
        raise NoteRefused(f"it is signed by {names}; expected {expected}")
    return text, signed


def _line(verifier: Verifier, signature: bytes) -> str:
    return f"{_DASH}{verifier.name} {base64.b64encode(verifier.id + signature).decode()}\n"


def _parsed(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = _decoded(encoded) or b""
    if not line.startswith(_DASH) or not is_name(name) or len(data) < 5:
        raise NoteRefused("a signature line cannot be read; expected a dash, a name, and base64")
    return name, data[:4], data[4:]


def _decoded(text: str) -> bytes | None:
    """What base64 holds, if it is written in the one way."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
