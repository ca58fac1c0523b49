"""The address of the person whom a tool acts for: only as the tool handed it over."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.location import ClientAddressResolver

PROXY, TOOL, PERSON = "10.0.0.1", "203.0.113.9", "49.36.0.1"


@pytest.mark.parametrize(
    ("peer", "line", "expected"),
    [
        (PROXY, f"{PERSON}, {TOOL}", PERSON),
        (PROXY, f"{PERSON}, {TOOL}, 10.0.0.2", PERSON),
        (PROXY, TOOL, None),
        (PROXY, f"garbage, {TOOL}", None),
        (PROXY, f"10.0.0.9, {TOOL}", None),
        (PROXY, f"{PERSON}, garbage", None),
        (PROXY, "", None),
        (TOOL, PERSON, PERSON),
        (TOOL, "", None),
    ],
)
def test_a_persons_address_is_the_hop_beyond_the_tools_own(peer: str, line: str, expected: str | None) -> None:
    """Through trusted proxies or from the tool itself; the tool's own address is never lent."""
    resolver = ClientAddressResolver([ip_network("10.0.0.0/8")])
    found = resolver.resolve_person(peer, [], [line] if line else [])
    assert found == (ip_address(expected) if expected else None)


def test_without_forwarding_headers_there_is_no_person_to_locate() -> None:
    """``none``: no header is read, so a tool can hand nothing over."""
    assert ClientAddressResolver([], "none").resolve_person(TOOL, [], [PERSON]) is None
