"""A MaxMind DB file, read through before it is believed.

Some damaged files open cleanly and fail at look-up. So a file is read into memory (one replaced or cut short in place
cannot hurt), its whole search tree is walked, and every record the tree points to is decoded once, before anything is
asked of it. The work is bounded by the file's size: each node is looked at once, each record decoded once, and the
decoder bounds each record.

Format: MaxMind DB File Format Specification 2.0. Text is never given to the reader, only :mod:`ipaddress` objects.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import maxminddb
from maxminddb.reader import Metadata, Reader

from gateway.location.networks import Address

_SEPARATOR_BYTES = 16
_EARLIEST_S = 1_262_304_000  # 2010: before the format existed, so the date is damaged (cut short, it is of 1970)
_LATEST_S = 253_402_300_800  # the year 10000, which no calendar here can show


class DamagedError(Exception):
    """The bytes are not a sound MaxMind DB; the text says why."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """The search tree's shape, from the metadata."""

    nodes: int
    record_bits: int
    address_bits: int


class Mmdb:
    """A sound database in memory.

    Attributes:
        type: the ``database_type`` that the file states.
        built_s: when it was built, seconds since the epoch.
        networks: how many networks have a record.
        digest: SHA-256 of the file, hexadecimal.
        errors: how many look-ups failed.
    """

    def __init__(self, data: bytes) -> None:
        """Read ``data`` through.

        Raises:
            DamagedError: not a MaxMind DB, or one that cannot be read to its end.
        """
        self._reader = _open(data)
        metadata = self._reader.metadata()
        tree = _shape(metadata)
        self.type = str(metadata.database_type)
        self.built_s = int(metadata.build_epoch)
        self.digest = hashlib.sha256(data).hexdigest()
        self.errors = 0
        self.networks, self._samples = _walk(data, tree)
        self._address = IPv6Address if tree.address_bits == 128 else IPv4Address

    def records(self) -> Iterator[object]:
        """Every distinct record, decoded.

        Raises:
            DamagedError: one cannot be decoded.
        """
        for sample in self._samples:
            address = self._address(sample)
            try:
                yield self._reader.get(address)
            except Exception as error:  # a damaged file makes the decoder raise whatever it likes
                raise DamagedError(f"the record of {address} cannot be decoded ({_name(error)})") from error

    def record(self, address: Address) -> object:
        """The record of ``address``, or None.

        Raises:
            DamagedError: the look-up failed, as it does in an IPv4 database for an IPv6 address; it is counted.
        """
        try:
            return self._reader.get(address)
        except Exception as error:  # InvalidDatabaseError, UnicodeDecodeError and ValueError have been seen
            self.errors += 1
            raise DamagedError(f"the look-up failed ({_name(error)})") from error


def _open(data: bytes) -> Reader:
    try:
        return maxminddb.open_database(io.BytesIO(data), maxminddb.MODE_FD)
    except Exception as error:  # damaged metadata makes the reader raise whatever it likes
        raise DamagedError(f"it is not a MaxMind DB file, or its metadata is damaged ({_name(error)})") from error


def _shape(metadata: Metadata) -> _Tree:
    match metadata:
        case Metadata(
            binary_format_major_version=2,
            node_count=int(nodes),
            record_size=24 | 28 | 32 as record_bits,
            ip_version=4 | 6 as version,
            database_type=str(),
            build_epoch=int(built_s),
        ) if nodes > 0 and _EARLIEST_S < built_s < _LATEST_S:
            return _Tree(nodes, int(record_bits), 128 if version == 6 else 32)
        case _:
            raise DamagedError("its metadata is not that of format 2")


def _walk(data: bytes, tree: _Tree) -> tuple[int, list[int]]:
    """How many networks have a record, and one address for each distinct record.

    A node may be reached again, for IPv4 is aliased into IPv6 (``2002::/16``, ``::ffff:0:0/96``), but only by a way
    no longer than the first: a longer one is a loop, or runs past the last bit of an address.
    """
    depths = bytearray(tree.nodes)
    samples: dict[int, int] = {}
    networks = 0
    waiting = [(0, 0, 0)]  # node, bits so far, how many
    while waiting:
        node, prefix, depth = waiting.pop()
        if depths[node]:
            if depth + 1 > depths[node]:
                raise DamagedError(f"its search tree runs in a loop at node {node}")
            continue
        depths[node] = depth + 1
        left, right = _children(data, node, tree.record_bits)
        # The right one first, so that the left one is taken first: ::/96, where IPv4 lives, before its aliases.
        for bit, child in ((1, right), (0, left)):
            below = prefix << 1 | bit
            if child < tree.nodes:
                if depth + 1 >= tree.address_bits:
                    raise DamagedError(f"its search tree is deeper than an address at node {node}")
                waiting.append((child, below, depth + 1))
            elif child > tree.nodes:
                networks += 1
                if child < tree.nodes + _SEPARATOR_BYTES:
                    raise DamagedError(f"its search tree points between tree and data at node {node}")
                samples.setdefault(child, below << (tree.address_bits - depth - 1))
    return networks, list(samples.values())


def _children(data: bytes, node: int, record_bits: int) -> tuple[int, int]:
    width = record_bits // 4
    both = int.from_bytes(data[node * width : (node + 1) * width], "big")
    if record_bits == 28:  # the middle byte holds the highest four bits of either
        return (both >> 4) & 0xF00_0000 | both >> 32, both & 0xFFF_FFFF
    return both >> record_bits, both & ((1 << record_bits) - 1)


def _name(error: Exception) -> str:
    return error.__class__.__name__
