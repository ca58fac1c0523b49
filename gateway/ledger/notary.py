"""Signing what the ledger is: a checkpoint over all that is durable, by the key that the ledger itself names.

Invariants: nothing is signed that the entries do not bear out, or that contradicts what was signed before; a checkpoint
is kept in the ledger before anybody outside is told of it; the first entry that names a key is written when there is
none, and each further one is signed by the key before it. What a crash leaves:

==========================  ============================================  ======================================
crash                       leaves                                        next time
==========================  ============================================  ======================================
signed, not kept            nothing                                       the next checkpoint is over more
kept, nobody told           a checkpoint that only the ledger has         it is told of with the next
told some                   holders at different sizes                    each goes on from what it has
==========================  ============================================  ======================================

Everything here blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import ConfigurationError, LedgerContradicted, LedgerUnavailable, UsageError
from gateway.ledger.entry import administrative
from gateway.ledger.evidence import KEY_OBJECT, Evidence, evidence
from gateway.ledger.keys import ACT, details, key_of
from gateway.ledger.merkle import EMPTY_ROOT
from gateway.ledger.note import Checkpoint, Signer, Verifier, split
from gateway.ledger.signing import SigningKey, new_signer

NOTHING: Mapping[str, str] = {}
ROTATE = "residency-gateway ledger rotate-key --new-key FILE"


class Book(Protocol):
    """What signing needs of whoever writes the ledger; each raises LedgerUnavailable."""

    def append(self, entry: Mapping[str, object]) -> int:
        """Write an entry; its sequence."""
        ...

    def head(self) -> tuple[int, bytes]:
        """Size and root of the tree over all that is durable."""
        ...

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a checkpoint in the ledger."""
        ...


class Notary:
    """Signs for one ledger.

    Args:
        path: the ledger, to be read.
        book: the same, to be written.
        key: the private key.
        node: where acts are done, for the record.
        said: what the record tells of whoever acts, beside their name.
    """

    def __init__(
        self, path: Path, book: Book, key: SigningKey, *, clock: Clock, node: str, said: Mapping[str, str] = NOTHING
    ) -> None:
        self.book = book
        self.key = key
        self._path = path
        self._clock = clock
        self._node = node
        self._said = said

    def evidence(self) -> contextlib.AbstractContextManager[Evidence]:
        """What the ledger says of itself now; see :func:`gateway.ledger.evidence.evidence`."""
        return evidence(self._path, self.key.origin)

    def establish(self, actor: str) -> Verifier:
        """See to it that the ledger names the key at hand; the first time, by an entry.

        Raises:
            ConfigurationError: the ledger names another key, or the key cannot be had.
            LedgerUnavailable: the ledger cannot be read or written.
        """
        with self.key.held():
            with self.evidence() as found:
                named = found.key
            if named is None:
                signer = self.key.made()
                self._write_down(actor, signer, None)
                return signer.verifier
            self._signer_of(named.verifier)
            self.key.settle(named.verifier)
            return named.verifier

    def checkpoint(self) -> str:
        """Sign what the ledger is now, keep it, and return the note; where nothing was added, the same as before.

        Raises:
            ConfigurationError: the key that the ledger names cannot be had.
            LedgerContradicted: the ledger is not what was signed before, or its tree is not that of its entries.
            LedgerUnavailable: the ledger cannot be read, or does not keep it.
        """
        size, root = self.book.head()
        with self.evidence() as found:
            before = found.latest()
            if before and found.judge(before).size >= size:
                return before
            if found.root_at(size) != root:
                raise LedgerContradicted(
                    f"the tree over {size} entries has another root than its head; run ledger verify"
                )
            key = key_of(found.keys, size)
        if key is None:
            raise LedgerUnavailable(f"the first {size} entries name no key to sign with; start the gateway")
        note = Checkpoint(self.key.origin, size, root).signed(self._signer_of(key))
        self.book.keep_checkpoint(size, note)
        return note

    def blank(self) -> str | None:
        """A checkpoint over nothing, which is every ledger's beginning: enough to ask a witness how far it is."""
        signer = self.key.signer()
        return Checkpoint(self.key.origin, 0, EMPTY_ROOT).signed(signer) if signer else None

    def require_key(self) -> None:
        """Make sure that the key at hand is the one that the ledger names, if it names one; nothing is written.

        Raises:
            ConfigurationError: it is not, or an entry names a key that does not follow the one before it.
            LedgerUnavailable: the ledger cannot be read.
        """
        with self.evidence() as found:
            named, problems = found.key, found.key_problems
        if named:
            self._signer_of(named.verifier)
        if problems:
            raise ConfigurationError([f"entry {sequence} names a key: {what}" for sequence, what in problems])

    def rotate(self, actor: str, new: Signer | None = None) -> tuple[Verifier, Signer]:
        """Let another key follow the present one, from the next checkpoint on.

        Args:
            actor: who does it.
            new: the next key; a new one unless given.

        Returns:
            The key that was, and whoever signs from now on.

        Raises:
            UsageError: it is the present key, or has to be given.
            ConfigurationError: the present key cannot be had, or the next one not be put in its place.
            LedgerUnavailable: the ledger cannot be read or written.
        """
        self.establish(actor)
        with self.key.held():
            with self.evidence() as found:
                [*_, named] = found.keys
            old = self._signer_of(named.verifier)
            self.key.settle(named.verifier)
            new = new or self._another()
            if new.verifier == old.verifier:
                raise UsageError("the key given is the present one; expected another")
            if self.key.file:
                self.key.stage(new)
            self._write_down(actor, new, old)
            if self.key.file:
                self.key.settle(new.verifier)
        return old.verifier, new

    def _another(self) -> Signer:
        if self.key.file is None:
            raise UsageError("the signing key is in no file, so the next one has to be given; name it with --new-key")
        return new_signer(self.key.origin)

    def _write_down(self, actor: str, signer: Signer, before: Signer | None) -> None:
        said = {**details(signer, before), **self._said}
        entry = administrative(
            clock=self._clock, node=self._node, actor=actor, act=ACT, subject=KEY_OBJECT, details=said
        )
        self.book.append(entry)

    def _signer_of(self, named: Verifier) -> Signer:
        """Whoever signs with the key that the ledger names.

        Raises:
            ConfigurationError: it is not at hand.
        """
        if named.name != self.key.origin:
            told = f"the ledger calls itself {named.name!r}; put this back, or begin another ledger"
            raise ConfigurationError([f"ledger.origin: got {self.key.origin!r}, and {told}"])
        signer = self.key.signer_of(named)
        if signer is None:
            at_hand = self.key.signer()
            told = f"has the key {at_hand.verifier.id.hex()}" if at_hand else "is not there"
            mend = f"put that key back; a new one follows it by {ROTATE}, with the old one in place"
            raise ConfigurationError(
                [f"{self.key.file or 'ledger.signing_key'}: {told}, and the ledger names {named.id.hex()}; {mend}"]
            )
        return signer


def size_of(note: str) -> int:
    """How many entries a checkpoint of our own is over."""
    return Checkpoint.parse(split(note)[0]).size
