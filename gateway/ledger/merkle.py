"""The Merkle tree of RFC 6962 §2.1 (the same in RFC 9162 §2.1.1), as far as appending needs it.

A tree of ``n`` leaves is kept as its *frontier*: the roots of the perfect subtrees that ``n`` splits into, the largest
first, one for each 1 in the binary form of ``n``. Appending a leaf merges equal neighbours like a carry; the root folds
the frontier from the right. Both cost O(log n), and the frontier is all that has to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

HASH_BYTES = 32
TILE_HEIGHT = 8
"""A tile is as high as this (C2SP ``tlog-tiles``)."""
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves (RFC 6962 §2.1)."""


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 ‖ body)."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that can be appended to.

    Attributes:
        size: how many leaves it has.
        tiles: the roots of the subtrees of 256, 65,536, … leaves that were completed by appending to this very object,
            by height in tiles and number.
    """

    __slots__ = ("_roots", "size", "tiles")

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)
        self.tiles: dict[tuple[int, int], bytes] = {}
        if len(self._roots) != size.bit_count():
            raise ValueError(f"got {len(self._roots)} hashes; the frontier of {size} leaves has {size.bit_count()}")

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """The tree that has these leaves too, by their leaf hashes; this one stays as it is."""
        tree = Frontier(self.size, self._roots)
        for leaf in leaves:
            tree.append(leaf)
        return tree

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its leaf hash."""
        rest, node, height = self.size, leaf, 0
        while rest & 1:
            node = node_hash(self._roots.pop(), node)
            rest >>= 1
            height += 1
            if not height % TILE_HEIGHT:
                self.tiles[height // TILE_HEIGHT, rest] = node
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The Merkle tree hash over every leaf."""
        if not self._roots:
            return EMPTY_ROOT
        *larger, root = self._roots
        for left in reversed(larger):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """The hashes one after the other; with the size, all that :meth:`from_bytes` needs."""
        return b"".join(self._roots)

    @classmethod
    def from_bytes(cls, size: int, hashes: bytes) -> Frontier:
        """The frontier that :meth:`to_bytes` wrote.

        Raises:
            ValueError: the hashes cannot belong to a tree of that size.
        """
        if size < 0 or len(hashes) % HASH_BYTES:
            raise ValueError(f"got {len(hashes)} bytes for {size} leaves; expected whole hashes of {HASH_BYTES} bytes")
        return cls(size, (hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)))
