"""Proofs, against naive definitions taken word for word from the RFC, and against trees that were tampered with."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.merkle import leaf_hash
from gateway.ledger.proof import (
    LeavesInMemory,
    consistency,
    frontier,
    inclusion,
    root,
    root_of_inclusion,
)
from tests.world.consistency import is_consistent

SIZE = 1_000
BODIES = [b"entry %d" % number for number in range(SIZE)]
LEAVES = [leaf_hash(body) for body in BODIES]
NODES = LeavesInMemory(LEAVES)


def naive_root(bodies: list[bytes]) -> bytes:
    """MTH (RFC 6962 §2.1)."""
    if not bodies:
        return sha256(b"").digest()
    if len(bodies) == 1:
        return sha256(b"\x00" + bodies[0]).digest()
    k = split(len(bodies))
    return sha256(b"\x01" + naive_root(bodies[:k]) + naive_root(bodies[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m: int, bodies: list[bytes]) -> list[bytes]:
    """PATH (RFC 6962 §2.1.1)."""
    if len(bodies) == 1:
        return []
    k = split(len(bodies))
    if m < k:
        return [*naive_path(m, bodies[:k]), naive_root(bodies[k:])]
    return [*naive_path(m - k, bodies[k:]), naive_root(bodies[:k])]


def naive_subproof(m: int, bodies: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF (RFC 6962 §2.1.2)."""
    n = len(bodies)
    if m == n:
        return [] if whole else [naive_root(bodies)]
    k = split(n)
    if m <= k:
        return [*naive_subproof(m, bodies[:k], whole), naive_root(bodies[k:])]
    return [*naive_subproof(m - k, bodies[k:], False), naive_root(bodies[:k])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257, 511, 512, 513, 999, 1_000])
def test_proofs_are_those_of_the_definition(size: int) -> None:
    """Some leaves of trees around the sizes at which tiles end."""
    assert root(NODES, size) == naive_root(BODIES[:size])
    for index in {0, 1, size // 2, 255, 256, size - 2, size - 1} & set(range(size)):
        assert inclusion(NODES, index, size) == naive_path(index, BODIES[:size])
    for first in {1, 2, 3, size // 2, 255, 256, 257, size - 1, size} & set(range(1, size + 1)):
        assert consistency(NODES, first, size) == naive_subproof(first, BODIES[:size], True)


def test_every_inclusion_up_to_a_thousand_leaves_is_shown() -> None:
    """Each leaf of each tenth size, and each leaf of the largest."""
    for size in (*range(1, SIZE, 37), SIZE):
        top = root(NODES, size)
        for index in range(size):
            assert root_of_inclusion(LEAVES[index], index, size, inclusion(NODES, index, size)) == top


def test_every_consistency_up_to_a_thousand_leaves_is_shown() -> None:
    """Each beginning of the largest, and of some others."""
    for second in (*range(1, SIZE, 91), SIZE):
        new = root(NODES, second)
        for first in range(second + 1):
            assert is_consistent(first, root(NODES, first), second, new, consistency(NODES, first, second))


@settings(max_examples=300)
@given(st.data())
def test_nothing_else_is_shown(data: st.DataObject) -> None:
    """Another leaf, place, size or root, or a proof with a hash changed, dropped or added."""
    size = data.draw(st.integers(2, SIZE))
    index = data.draw(st.integers(0, size - 1))
    path, top = inclusion(NODES, index, size), root(NODES, size)
    other = data.draw(st.integers(0, size - 1).filter(lambda place: place != index))
    assert root_of_inclusion(LEAVES[other], index, size, path) != top
    assert root_of_inclusion(LEAVES[index], other, size, path) != top
    for wrong in tampered(data, path):
        assert root_of_inclusion(LEAVES[index], index, size, wrong) != top
    first = data.draw(st.integers(1, size - 1))
    old, proof = root(NODES, first), consistency(NODES, first, size)
    assert not is_consistent(first, top, size, top, proof)
    assert not is_consistent(first, old, size, old, proof)
    for wrong in tampered(data, proof):
        assert not is_consistent(first, old, size, top, wrong)


def tampered(data: st.DataObject, proof: list[bytes]) -> list[list[bytes]]:
    at = data.draw(st.integers(0, len(proof) - 1)) if proof else 0
    found = [[*proof, bytes(32)], [bytes(32), *proof]]
    if proof:
        found += [proof[:at] + proof[at + 1 :], [*proof[:at], bytes(32), *proof[at + 1 :]]]
    return found


@given(st.integers(0, SIZE))
def test_tree_goes_on_from_its_nodes(size: int) -> None:
    """The frontier that nodes give is the one that appending gives."""
    assert frontier(NODES, size).extended(LEAVES[size:]).root() == root(NODES, SIZE)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 5), (5, 5), (6, 5)])
def test_leaf_that_is_not_there_has_no_path(index: int, size: int) -> None:
    """Neither is one made, nor believed."""
    with pytest.raises(ValueError, match="expected one that is in the tree"):
        inclusion(NODES, index, size)
    assert root_of_inclusion(LEAVES[0], index, size, []) is None


def test_smaller_tree_comes_first() -> None:
    """Nothing shrinks."""
    with pytest.raises(ValueError, match="the smaller one first"):
        consistency(NODES, 6, 5)
    assert not is_consistent(6, root(NODES, 6), 5, root(NODES, 5), [])
    assert not is_consistent(-1, b"", 5, root(NODES, 5), [])
    assert not is_consistent(5, root(NODES, 5), 6, root(NODES, 6), [])
    assert is_consistent(0, sha256(b"").digest(), 5, root(NODES, 5), [])
    assert not is_consistent(0, bytes(32), 5, root(NODES, 5), [])
