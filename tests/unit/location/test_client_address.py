"""Whose address it is."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.location.client_address import ClientAddressResolver, Header

DATA = json.loads((Path(__file__).parents[2] / "data" / "client_address.json").read_text("utf-8"))
TRUSTED = [ipaddress.ip_network(cidr) for cidr in DATA["trusted_cidrs"]]
MODES: dict[str, Header] = {"xff": "x-forwarded-for", "fwd": "forwarded", "none": "none"}
PROXY = "10.0.0.1"


def resolver(header: Header = "auto", max_hops: int = 20) -> ClientAddressResolver:
    return ClientAddressResolver(TRUSTED, header, max_hops)


def text_of(address: object) -> str:
    return "reject" if address is None else str(address)


@pytest.mark.parametrize("vector", DATA["vectors"], ids=lambda vector: vector["id"])
@pytest.mark.parametrize("automatic", [False, True])
def test_published_vector_resolves_as_expected(vector: dict[str, Any], automatic: bool) -> None:
    """Every vector holds, with the header named and with the header that is present."""
    mode = MODES[vector["mode"]]
    if automatic and mode == "none":
        pytest.skip("no header is read")
    lines = vector["header_lines"]
    forwarded, x_forwarded_for = (lines, []) if mode == "forwarded" else ([], lines)
    answer = resolver("auto" if automatic else mode).resolve(vector["peer"], forwarded, x_forwarded_for)
    assert text_of(answer) == vector["expected_client"]


@pytest.mark.parametrize(
    ("header", "forwarded", "x_forwarded_for", "expected"),
    [
        ("auto", ["for=8.8.8.8"], ["9.9.9.9"], "reject"),
        ("auto", ["for=8.8.8.8"], [], "8.8.8.8"),
        ("auto", [], ["9.9.9.9"], "9.9.9.9"),
        ("auto", [], [], "reject"),
        ("forwarded", ["for=8.8.8.8"], ["9.9.9.9"], "8.8.8.8"),
        ("forwarded", [], ["9.9.9.9"], "reject"),
        ("x-forwarded-for", ["for=8.8.8.8"], ["9.9.9.9"], "9.9.9.9"),
        ("x-forwarded-for", ["for=8.8.8.8"], [], "reject"),
        ("none", ["for=8.8.8.8"], ["9.9.9.9"], PROXY),
    ],
)
def test_configured_header_is_the_only_one_read(
    header: Header, forwarded: list[str], x_forwarded_for: list[str], expected: str
) -> None:
    """Only the configured header counts, and ``auto`` reads neither when both are present."""
    assert text_of(resolver(header).resolve(PROXY, forwarded, x_forwarded_for)) == expected


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("203.0.113.9:65535", "203.0.113.9"),
        ("203.0.113.9:123456", "reject"),
        ("203.0.113.9:x", "reject"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]443", "reject"),
        ("[203.0.113.9]", "reject"),
        ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("fe80::1%eth0", "reject"),
        ("[fe80::1%eth0]", "reject"),
        ("8.8.8", "reject"),
        ("0x08080808", "reject"),
        ("8.8.8.8/32", "reject"),
        ("8.8.8.08", "reject"),
        ("٨.8.8.8", "reject"),
        ("", "reject"),
        ("1" * 5000, "reject"),
    ],
)
def test_x_forwarded_for_element_is_read_strictly(element: str, expected: str) -> None:
    """Only full textual addresses, with an optional port, are understood."""
    assert text_of(resolver("x-forwarded-for").resolve(PROXY, [], [element])) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for="[2001:db8::1]:_port"', "2001:db8::1"),
        ('FOR="203.0.113.9:80";By=10.0.0.1', "203.0.113.9"),
        ('for="203.0.113\\.9"', "203.0.113.9"),
        ('for=203.0.113.9;host="a,b;for=8.8.8.8"', "203.0.113.9"),
        ('for=203.0.113.9;host="a, for=8.8.8.8, b"', "203.0.113.9"),
        ('for=203.0.113.9;host="\\", for=8.8.8.8"', "203.0.113.9"),
        ('x="y, for=203.0.113.9', "203.0.113.9"),
        ('for=8.8.8.8;x=", for=203.0.113.9', "203.0.113.9"),
        (";for=203.0.113.9;", "203.0.113.9"),
        ('for="[::ffff:203.0.113.9]"', "203.0.113.9"),
        ('for="[203.0.113.9]"', "reject"),
        ('for="2001:db8::1"', "reject"),
        ("for=[2001:db8::1]", "reject"),
        ("for=unknown", "reject"),
        ("for=", "reject"),
        ('for=""', "reject"),
        ("proto=https", "reject"),
        ("203.0.113.9", "reject"),
        ("for=203.0.113.9;FOR=203.0.113.9", "reject"),
        ("for=203.0.113.9;proto=http;proto=https", "reject"),
        ("for=203.0.113.9; proto=https", "reject"),
        ('for=203.0.113.9;host="a, b', "reject"),
        ('for=203.0.113.9;host=a"', "reject"),
        ("for=203.0.113.9,", "reject"),
        ("", "reject"),
        ('for="203.0.113.9\x0b"', "reject"),
        ('for="203.0.113.9é"', "reject"),
    ],
)
def test_forwarded_line_is_read_by_its_grammar(line: str, expected: str) -> None:
    """RFC 7239, strictly; a quoted string is one value wherever its commas and semicolons are."""
    assert text_of(resolver("forwarded").resolve(PROXY, [line], [])) == expected


@pytest.mark.parametrize(("trusted_hops", "expected"), [(19, "203.0.113.9"), (20, "reject"), (200, "reject")])
def test_more_hops_than_allowed_give_no_address(trusted_hops: int, expected: str) -> None:
    """The client must be among the last ``max_hops`` elements."""
    line = ", ".join(["203.0.113.9", *["10.0.0.2"] * trusted_hops])
    assert text_of(resolver().resolve(PROXY, [], [line])) == expected


def test_only_trusted_hops_give_no_address() -> None:
    """A chain in which everybody is a proxy has no client."""
    assert resolver().resolve(PROXY, [], ["10.0.0.3, 10.0.0.2"]) is None


@pytest.mark.parametrize("peer", ["", "unix:", "fe80::1%eth0", "010.0.0.1", "134744072", "x" * 400])
def test_unreadable_peer_gives_no_address(peer: str) -> None:
    """A peer that is not an address is nobody, whatever the headers say."""
    assert resolver().resolve(peer, [], ["8.8.8.8"]) is None


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    """Nobody is believed by default."""
    assert text_of(ClientAddressResolver([]).resolve("::ffff:8.8.8.8", ["for=9.9.9.9"], [])) == "8.8.8.8"


def test_mapped_trusted_network_is_that_of_ipv4() -> None:
    """A proxy listed in the IPv4-mapped form is trusted in both forms."""
    mapped = ClientAddressResolver([ipaddress.ip_network("::ffff:10.0.0.0/104")])
    for peer in ("10.0.0.1", "::ffff:10.0.0.1"):
        assert text_of(mapped.resolve(peer, [], ["8.8.8.8"])) == "8.8.8.8"


PIECES = st.sampled_from(
    ["10.0.0.1", "203.0.113.9", "2001:db8:aaaa::1", "[2001:db8::1]", ":80", "for=", '"', "\\", ",", ";", "=", " ", "%"]
)
NOISE = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map("".join))
LINES = st.lists(NOISE, max_size=4)
HEADERS = st.sampled_from(["auto", "x-forwarded-for", "forwarded"])


@settings(max_examples=300)
@given(header=HEADERS, peer=st.one_of(st.just(PROXY), NOISE), forwarded=LINES, x_forwarded_for=LINES)
def test_any_input_gives_an_untrusted_address_or_none(
    header: Header, peer: str, forwarded: list[str], x_forwarded_for: list[str]
) -> None:
    """It never raises, and a trusted hop is never the client."""
    answer = resolver(header).resolve(peer, forwarded, x_forwarded_for)
    assert answer is None or not any(answer in network for network in TRUSTED)


@settings(max_examples=300)
@given(noise=LINES, same_line=st.booleans(), hops=st.integers(0, 3))
def test_whatever_stands_left_of_the_answer_changes_nothing(noise: list[str], same_line: bool, hops: int) -> None:
    """Anybody can write what is left of the last untrusted hop."""
    cases: list[tuple[Header, str, str]] = [
        ("x-forwarded-for", "203.0.113.9", "10.0.0.2"),
        ("forwarded", "for=203.0.113.9", "for=10.0.0.2"),
    ]
    for header, client, hop in cases:
        tail = ", ".join([client, *[hop] * hops])
        lines = [",".join([*noise, tail])] if same_line else [*noise, tail]
        forwarded, x_forwarded_for = (lines, []) if header == "forwarded" else ([], lines)
        assert text_of(resolver(header).resolve(PROXY, forwarded, x_forwarded_for)) == "203.0.113.9"
