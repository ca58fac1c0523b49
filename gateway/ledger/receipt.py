"""A proof that an entry stands in the ledger, to be checked without it (C2SP ``tlog-proof``).

It holds the entry's index, the hashes from its sibling up, and the checkpoint that they lead to; the entry's exact
bytes go beside it. Invariant: none is handed out that does not hold.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from gateway.errors import LedgerUnavailable, NotFound
from gateway.ledger.keys import key_of
from gateway.ledger.merkle import leaf_hash
from gateway.ledger.note import Checkpoint, NoteRefused, opened
from gateway.ledger.proof import inclusion, root_of_inclusion
from gateway.ledger.reader import LedgerReader

_HEAD = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A proof of one entry.

    Attributes:
        index: the entry's sequence.
        body: its exact bytes.
        hashes: from the leaf's sibling up.
        checkpoint: the signed note.
        size: how many entries that is over.
    """

    index: int
    body: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str
    size: int

    @property
    def text(self) -> str:
        """As a file."""
        lines = [_HEAD, f"index {self.index}", *(base64.b64encode(node).decode() for node in self.hashes)]
        return "\n".join([*lines, "", self.checkpoint])


def prove(reader: LedgerReader, key: str) -> Receipt:
    """A proof of an entry under the newest checkpoint.

    Args:
        reader: of the ledger.
        key: the entry's id or sequence.

    Raises:
        NotFound: there is no such entry, or no checkpoint over it yet.
        LedgerUnavailable: the proof does not hold: the ledger is damaged.
    """
    index, body = reader.named(key)
    checkpoints = reader.checkpoints()
    size = max(checkpoints, default=0)
    if size <= index:
        raise NotFound(f"no checkpoint is over entry {index} yet, the newest has {size}; run ledger checkpoint")
    hashes = tuple(inclusion(reader, index, size))
    _require_sound(reader, Receipt(index, body, hashes, checkpoints[size], size))
    return Receipt(index, body, hashes, checkpoints[size], size)


def _require_sound(reader: LedgerReader, receipt: Receipt) -> None:
    key = key_of(reader.signing_keys(), receipt.size)
    try:
        checkpoint = Checkpoint.parse(opened(receipt.checkpoint, [key] if key else [])[0])
    except NoteRefused as error:
        told = f"the checkpoint over {receipt.size} entries: {error}; run ledger verify"
        raise LedgerUnavailable(told) from error
    found = root_of_inclusion(leaf_hash(receipt.body), receipt.index, receipt.size, receipt.hashes)
    if found != checkpoint.root or checkpoint.size != receipt.size:
        told = f"entry {receipt.index} is not what the checkpoint over {receipt.size} entries was signed for"
        raise LedgerUnavailable(f"{told}; run ledger verify")
