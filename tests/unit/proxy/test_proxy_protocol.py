"""The PROXY header: any bytes are a header that names an address, or are refused."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import Malformed
from gateway.proxy.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES, Origin, read, wanted

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR, SIX = IPv4Address("203.0.113.7"), IPv6Address("2001:db8::7")
V4 = FOUR.packed + IPv4Address("192.0.2.1").packed + struct.pack("!HH", 40_000, 443)
V6 = SIX.packed + IPv6Address("2001:db8::1").packed + struct.pack("!HH", 40_000, 443)


def v2(block: bytes, *, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(block) if length is None else length) + block


def take(stream: bytes) -> tuple[Origin, bytes]:
    """Read a stream as a listener does: what is asked for and no more; the origin, and what was left."""
    header = b""
    while more := wanted(header):
        assert more > 0
        if len(stream) < len(header) + more:
            raise EOFError
        header = stream[: len(header) + more]
    return read(header), stream[len(header) :]


@pytest.mark.parametrize(
    ("header", "origin"),
    [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n", Origin(FOUR)),
        (b"PROXY TCP4 203.0.113.7 0.0.0.0 0 65535\r\n", Origin(FOUR)),
        (b"PROXY TCP6 2001:db8::7 2001:DB8::1 40000 443\r\n", Origin(SIX)),
        (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", Origin(IPv6Address("::ffff:203.0.113.7"))),
        (b"PROXY UNKNOWN\r\n", Origin(None)),
        (b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 40000 443\r\n", Origin(None)),
        (b"PROXY UNKNOWN " + b"f" * (MAX_V1_BYTES - 16) + b"\r\n", Origin(None)),
        (v2(V4), Origin(FOUR)),
        (v2(V6, family=0x21), Origin(SIX)),
        (v2(V4 + b"\x04\x00\x02ab"), Origin(FOUR)),
        (v2(V4 + bytes(MAX_V2_BYTES - 28)), Origin(FOUR)),
        (v2(bytes(216), family=0x31), Origin(None)),
        (v2(b"", family=0x00), Origin(None)),
        (v2(V4, family=0x00), Origin(None)),
        (v2(b"", command=0x20, family=0x00), Origin(None, local=True)),
        (v2(V4, command=0x20), Origin(None, local=True)),
    ],
)
def test_header_names_its_origin_and_leaves_what_follows(header: bytes, origin: Origin) -> None:
    """Every form of the specification, with a request right behind it."""
    assert take(header + b"GET / HTTP/1.1\r\n") == (origin, b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\n" + b" " * 80,
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r \n" + b" " * 80,
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000\r\n",
        b"PROXY TCP4 203.0.113.7  192.0.2.1 40000 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443 \r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 65536\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 040 443\r\n",
        b"PROXY TCP4 203.0.113.07 192.0.2.1 40000 443\r\n",
        b"PROXY TCP4 203.0.113 192.0.2.1 40000 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 443\r\n",
        b"PROXY TCP6 203.0.113.7 192.0.2.1 40000 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 40000 443\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 40000 443\r\n",
        b"PROXY tcp4 203.0.113.7 192.0.2.1 40000 443\r\n",
        b"PROXY UNKNOWNS 203.0.113.7\r\n",
        b"proxy UNKNOWN\r\n",
        b"PROXY UNKNOWN " + b"f" * (MAX_V1_BYTES - 15) + b"\r\n",
        b"PROXY UNKNOWN " + b"f" * (MAX_V1_BYTES - 14) + b"\r\n",
        SIGNATURE[:11] + b"\r" + bytes(40),
        v2(V4, command=0x11),
        v2(V4, command=0x22),
        v2(V4, family=0x12),
        v2(V4, family=0x10),
        v2(V4, family=0x01),
        v2(V4, family=0x41),
        v2(V4[:-1]),
        v2(V4, family=0x21),
        v2(V4, family=0x31),
        v2(V4 + bytes(MAX_V2_BYTES), length=MAX_V2_BYTES - 15),
        v2(V4 + bytes(65_523)),
    ],
)
def test_anything_else_is_refused(stream: bytes) -> None:
    """What is no header, or nearly one."""
    with pytest.raises(Malformed):
        take(stream)


ANYTHING = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=120).map(lambda rest: b"PROXY " + rest + b"\r\n"),
    st.binary(max_size=300).map(lambda rest: SIGNATURE + rest),
    st.builds(v2, st.binary(max_size=300), command=st.sampled_from((0x20, 0x21, 0x1F)), family=st.integers(0, 0x33)),
    st.from_regex(rb"PROXY (TCP[46]|UNKNOWN)( [0-9a-f.:]{0,15}){2}( [0-9]{0,6}){2}\r\n", fullmatch=True),
)


@given(ANYTHING)
@settings(max_examples=400)
@example(b"")
def test_any_bytes_name_an_address_that_stands_in_them_or_are_refused(stream: bytes) -> None:
    """Never a crash, never an address but the one named, never a byte beyond the header."""
    try:
        origin, rest = take(stream)
    except (Malformed, EOFError):
        return
    header = stream[: len(stream) - len(rest)]
    assert len(header) <= MAX_V2_BYTES
    if origin.address is not None:
        named = header[16 : 16 + len(origin.address.packed)]
        assert named == origin.address.packed or ip_address(header.split(b" ")[2].decode()) == origin.address
        assert not origin.local


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=50))
@settings(max_examples=150)
def test_named_address_is_read_back(
    source: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address, port: int, rest: bytes
) -> None:
    """Both versions, every address, whatever follows."""
    destination = source if other.version != source.version else other
    family = 0x11 if source.version == 4 else 0x21
    text = f"PROXY TCP{source.version} {source} {destination} {port} {port}\r\n".encode()
    block = v2(source.packed + destination.packed + struct.pack("!HH", port, port), family=family)
    for header in (text, block):
        assert take(header + rest) == (Origin(source), rest)


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n", v2(V4)])
def test_header_cut_anywhere_wants_more(header: bytes) -> None:
    """However it is split, what is wanted never reaches beyond it."""
    for cut in range(len(header)):
        assert 0 < wanted(header[:cut]) <= len(header) - cut
