"""The tree, against a naive definition taken from the RFC and against the public test vectors."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash

# The leaves and roots that implementations of RFC 6962 are tested with.
LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def naive(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def grown(leaves: list[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


@pytest.mark.parametrize("size", range(9))
def test_public_vectors_give_their_roots(size: int) -> None:
    """The roots of 0 to 8 leaves are the published ones."""
    assert grown([bytes.fromhex(leaf) for leaf in LEAVES[:size]]).root().hex() == ROOTS[size]


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=4), max_size=70))
def test_any_leaves_give_the_root_of_the_definition(leaves: list[bytes]) -> None:
    """Appending one by one gives the root that the recursive definition gives."""
    assert grown(leaves).root() == naive(leaves)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=4), max_size=40), st.lists(st.binary(max_size=4), max_size=40))
def test_a_frontier_written_and_read_goes_on_as_if_it_had_not_been(first: list[bytes], more: list[bytes]) -> None:
    """A tree that was stored in between is the same tree."""
    tree = grown(first)
    tree = Frontier.from_bytes(tree.size, tree.to_bytes())
    for leaf in more:
        tree.append(leaf_hash(leaf))
    assert (tree.size, tree.root()) == (len(first) + len(more), naive(first + more))


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, b""), (0, bytes(32)), (3, bytes(32)), (1, bytes(31)), (-1, bytes(32))]
)
def test_hashes_that_do_not_fit_the_size_are_refused(size: int, hashes: bytes) -> None:
    """A frontier has one hash for each 1 of its size."""
    with pytest.raises(ValueError):
        Frontier.from_bytes(size, hashes)


@pytest.mark.parametrize("start", [0, 255, 256, 65_300])
def test_tiles_that_appending_completes_are_told(start: int) -> None:
    """Each with its height and number, and none twice."""
    leaves = [b"%d" % number for number in range(start + 300)]
    tree = grown(leaves[:start]).extended(map(leaf_hash, leaves[start:]))
    first, after = start // 256, len(leaves) // 256
    expected = {(1, number): grown(leaves[number * 256 : (number + 1) * 256]).root() for number in range(first, after)}
    if len(leaves) >= 65_536:
        expected[2, 0] = grown(leaves[:65_536]).root()
    assert tree.tiles == expected


def test_leaf_and_node_of_the_same_bytes_differ() -> None:
    """Leaves and nodes are told apart, or a node could be passed off as an entry."""
    assert leaf_hash(bytes(64)) != node_hash(bytes(32), bytes(32))
    assert Frontier().root() == EMPTY_ROOT
