"""What was signed, against the entries: the chain of keys, the checkpoints, what witnesses signed of them.

Steps, each of which names what is wrong:

1. the entries that name keys follow each other, and the key that is trusted is one of them;
2. each stored checkpoint is signed by the key that counts at its size, and its root is that of the tree;
3. each line of a witness that is known is its signature of that checkpoint;
4. a checkpoint that somebody outside kept is one of this log, and the log still begins with it.

Invariant: nothing here reads or writes; roots come from whoever read the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.ledger.keys import KeyEntry, chain, key_of
from gateway.ledger.note import Checkpoint, NoteRefused, Verifier, opened, split

Finding = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier knows that the ledger did not tell.

    Attributes:
        key: one of the log's keys, had from elsewhere; without it the ledger's first key is taken at its word.
        witnesses: the keys of witnesses.
        outside: a checkpoint that somebody else kept, as a signed note.
    """

    key: Verifier | None = None
    witnesses: tuple[Verifier, ...] = ()
    outside: str = ""


NOTHING = Trust()
"""For who knows nothing but the ledger."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What is stored of checkpoints.

    Attributes:
        notes: by size.
        cosignatures: size, the witness's name, its line.
    """

    notes: Mapping[int, str]
    cosignatures: Sequence[tuple[int, str, str]] = ()


class Attestation:
    """What signatures say of a tree.

    Args:
        keys: the entries that name keys, by sequence.
        signed: what is stored.
        size: how many entries there are.
        root_at: the root over the first so many; None where entries are missing.
        trust: what is known besides.

    Attributes:
        sound: the sizes of stored checkpoints that hold.
    """

    def __init__(
        self,
        keys: Sequence[tuple[int, Mapping[str, object]]],
        signed: Signed,
        size: int,
        root_at: Callable[[int], bytes | None],
        trust: Trust,
    ) -> None:
        self._keys, self._broken = chain(keys)
        self._signed = signed
        self._size = size
        self._root_at = root_at
        self._trust = trust
        self.sound: list[int] = []

    def problems(self) -> Iterator[Finding]:
        """What is wrong, at a sequence, or -1 where it is the whole that is."""
        yield from self._broken
        yield from self._wrong_key()
        for size, note in sorted(self._signed.notes.items()):
            wrong = self._wrong_checkpoint(size, note)
            if wrong:
                yield -1, f"the checkpoint over {size} entries: {wrong}"
            else:
                self.sound.append(size)
        for size, name, line in self._signed.cosignatures:
            if wrong := self._wrong_cosignature(size, name, line):
                yield -1, f"the cosignature of {name} over {size} entries: {wrong}"
        if self._trust.outside:
            yield from self._wrong_outside(self._trust.outside)

    def _wrong_key(self) -> Iterator[Finding]:
        trusted = self._trust.key
        if trusted is None:
            return
        if trusted not in [key.verifier for key in self._keys]:
            yield -1, f"none of its keys is the one that is trusted ({_named(trusted)}); they are {_all(self._keys)}"
        elif not self._signed.notes:
            yield -1, f"nothing is signed by the key that is trusted ({_named(trusted)}): there is no checkpoint"

    def _wrong_checkpoint(self, size: int, note: str) -> str:
        verifier = key_of(self._keys, size)
        if verifier is None:
            return "no key counts at its size; the entry of its key is missing, or comes later"
        try:
            checkpoint = Checkpoint.parse(opened(note, [verifier])[0])
        except NoteRefused as error:
            return str(error)
        if checkpoint.origin != verifier.name:
            return f"it is of another log, {checkpoint.origin}; expected {verifier.name}"
        if checkpoint.size != size:
            return f"it says {checkpoint.size} entries; expected {size}, under which it is kept"
        if size > self._size:
            return f"the ledger has {self._size} entries; the {size - self._size} after them were cut off"
        if checkpoint.root != self._root_at(size):
            after = f" after entry {self.sound[-1] - 1}" if self.sound else ""
            return f"it has another root than the tree; something{after} before entry {size} is not what was signed"
        return ""

    def _wrong_cosignature(self, size: int, name: str, line: str) -> str:
        note = self._signed.notes.get(size)
        if note is None:
            return "there is no such checkpoint"
        known = [witness for witness in self._trust.witnesses if witness.name == name]
        try:
            text, _ = split(note)
            [(signer, key_id, signature)] = split(f"{text}\n{line}")[1]
        except (NoteRefused, ValueError):
            return "it is not one signature line"
        if signer != name:
            return f"it is a line of {signer}"
        wrong = any(witness.id == key_id and not witness.verifies(text, signature) for witness in known)
        return "it is not of this checkpoint, or not by that key" if wrong else ""

    def _wrong_outside(self, note: str) -> Iterator[Finding]:
        trusted = [self._trust.key] if self._trust.key else []
        try:
            checkpoint = Checkpoint.parse(opened(note, [*trusted, *(key.verifier for key in self._keys)])[0])
        except NoteRefused as error:
            yield -1, f"the checkpoint kept outside: {error}"
            return
        origins = {key.verifier.name for key in self._keys} or {checkpoint.origin}
        size = checkpoint.size
        if checkpoint.origin not in origins:
            yield -1, f"the checkpoint kept outside is of another log, {checkpoint.origin}"
        elif size > self._size:
            yield self._size, f"rolled back to {self._size} entries: the checkpoint kept outside has {size}"
        elif (root := self._root_at(size)) is None and any(there >= size for there in self.sound):
            yield -1, f"the checkpoint kept outside, over {size} entries, cannot be compared: some of them were removed"
        elif checkpoint.root != root:
            yield -1, self._what_was_done(size)

    def _what_was_done(self, size: int) -> str:
        if any(there >= size for there in self.sound):
            return f"forked: the log's own key signed this tree and the checkpoint kept outside, before entry {size}"
        return f"rewritten before entry {size}: the checkpoint kept outside, over {size} entries, has another root"


def outside_size(trust: Trust) -> int:
    """How many entries a checkpoint kept outside has; 0 without one.

    Raises:
        NoteRefused: it is no checkpoint.
    """
    return Checkpoint.parse(split(trust.outside)[0]).size if trust.outside else 0


def _named(key: Verifier) -> str:
    return f"{key.name} {key.id.hex()}"


def _all(keys: Sequence[KeyEntry]) -> str:
    return ", ".join(_named(key.verifier) for key in keys) or "none"
