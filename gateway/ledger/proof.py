"""Proofs: that an entry is in a tree, and that one tree is the beginning of another (RFC 6962 §2.1.1 and §2.1.2).

The hashes that a proof is made of are read in *tiles* (C2SP ``tlog-tiles``): level 0 holds the leaf hashes, and each
hash of level ``l`` covers 256 of level ``l - 1``. Every subtree that a proof needs is then at most 128 hashes of one
level, so a proof costs O(log n) reads, each of them short.

Checking needs the proof alone (RFC 9162 §2.1.3.2 and §2.1.4.2), not the tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from gateway.ledger.merkle import EMPTY_ROOT, TILE_HEIGHT, Frontier, node_hash

TILE_WIDTH = 1 << TILE_HEIGHT


class Nodes(Protocol):
    """Where the hashes of a tree are read."""

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """So many hashes of a level of tiles, from one on: each covers ``256 ** level`` leaves, all of which exist.

        Raises:
            LedgerUnavailable: they cannot be read.
        """
        ...


class LeavesInMemory:
    """The nodes of a tree whose leaf hashes are at hand.

    Args:
        leaves: the hashes; b"" for one that is not known.
        told: hashes of level 1 by number, where they cannot be worked out.
    """

    def __init__(self, leaves: Sequence[bytes], told: Mapping[int, bytes] = MappingProxyType({})) -> None:
        self._levels = [list(leaves)]
        self._told = told

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """See :class:`Nodes`.

        Raises:
            LookupError: one of them is not known.
        """
        while len(self._levels) <= level:
            self._levels.append(self._above(len(self._levels)))
        found = self._levels[level][start : start + count]
        if b"" in found:
            raise LookupError(f"not every hash of level {level} from {start} on is known")
        return found

    def _above(self, level: int) -> list[bytes]:
        below = self._levels[-1]
        told = self._told if level == 1 else {}
        whole = range(0, len(below) - TILE_WIDTH + 1, TILE_WIDTH)
        return [told.get(at // TILE_WIDTH) or perfect_root(below[at : at + TILE_WIDTH]) for at in whole]


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over as many hashes as a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def root(nodes: Nodes, size: int) -> bytes:
    """The root of the tree over the first so many leaves."""
    return _root(nodes, 0, size) if size else EMPTY_ROOT


def frontier(nodes: Nodes, size: int) -> Frontier:
    """The tree over the first so many leaves, to be appended to."""
    return Frontier(size, _perfect_roots(nodes, 0, size))


def inclusion(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """The audit path of a leaf, from its sibling up (RFC 6962 §2.1.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"got leaf {index} of {size}; expected one that is in the tree")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_root(nodes, middle, end))
            end = middle
        else:
            path.append(_root(nodes, start, middle))
            start = middle
    return path[::-1]


def consistency(nodes: Nodes, first: int, second: int) -> list[bytes]:
    """That the tree of ``first`` leaves is the beginning of the one of ``second`` (RFC 6962 §2.1.2).

    Raises:
        ValueError: it cannot be.
    """
    if not 0 <= first <= second:
        raise ValueError(f"got trees of {first} and {second} leaves; expected the smaller one first")
    if first in (0, second):
        return []
    proof: list[bytes] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            proof.append(_root(nodes, middle, end))
            end = middle
        else:
            proof.append(_root(nodes, start, middle))
            start, whole = middle, False
    if not whole:
        proof.append(_root(nodes, start, end))
    return proof[::-1]


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an audit path leads to from a leaf hash; None where the path is none of that leaf."""
    if not 0 <= index < size:
        return None
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def _split(count: int) -> int:
    """The largest power of two below a count (RFC 6962 §2.1: k)."""
    return 1 << (count - 1).bit_length() - 1


def _root(nodes: Nodes, start: int, end: int) -> bytes:
    """The root over leaves; ``start`` is a multiple of the largest power of two that is not above their number."""
    *larger, last = _perfect_roots(nodes, start, end)
    for left in reversed(larger):
        last = node_hash(left, last)
    return last


def _perfect_roots(nodes: Nodes, start: int, end: int) -> list[bytes]:
    roots = []
    while start < end:
        height = (end - start).bit_length() - 1
        roots.append(_perfect(nodes, start, height))
        start += 1 << height
    return roots


def _perfect(nodes: Nodes, start: int, height: int) -> bytes:
    level, within = divmod(height, TILE_HEIGHT)
    return perfect_root(nodes.hashes(level, start >> TILE_HEIGHT * level, 1 << within))
