"""Which addresses say where somebody is."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.location.networks import PRIVATE, TRANSITION, parse_address, plain_network, unlocatable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, "") for text in ("8.8.8.8", "1.1.1.1", "223.255.255.255", "2600:1700::1", "2a00::1", "2001:4860::1")),
        *((text, PRIVATE) for text in ("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.31.0.1")),
        *((text, PRIVATE) for text in ("192.168.1.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1")),
        *((text, PRIVATE) for text in ("255.255.255.255", "203.0.113.9", "198.51.100.1", "192.0.0.8")),
        *((text, PRIVATE) for text in ("::", "::1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "3fff::1")),
        *((text, PRIVATE) for text in ("2001:2::1", "4000::1", "100::1")),
        *((text, TRANSITION) for text in ("::2.125.160.216", "2001:0:27d:a0d8::", "2002:27d:a0d8::1", "192.88.99.1")),
        *((text, TRANSITION) for text in ("64:ff9b::808:808", "64:ff9b:1::808:808", "::ffff:0:808:808")),
        *(
            (text, TRANSITION)
            for text in ("2600:1700::5efe:8.8.8.8", "2600:1700::200:5efe:808:808", "fe80::5efe:1.2.3.4")
        ),
    ],
)
def test_address_range_decides_whether_it_is_looked_up(text: str, expected: str) -> None:
    """Only globally routed addresses that embed nobody else's are looked up."""
    assert unlocatable(ipaddress.ip_address(text)) == expected


def test_mapped_address_object_is_not_looked_up() -> None:
    """An IPv4-mapped address that nobody unmapped is unknown."""
    assert unlocatable(ipaddress.IPv6Address("::ffff:8.8.8.8")) == TRANSITION


@pytest.mark.parametrize(
    "text", ["02.125.160.216", "41787608", "2.125.41176", "0x8.8.8.8", "８.8.8.8", "fe80::1%1", "", " 8.8.8.8"]
)
def test_text_that_only_some_readers_know_is_no_address(text: str) -> None:
    """What the database's own reader would take as an address is refused."""
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_mapped_network_stands_for_its_ipv4_network(text: str, expected: str) -> None:
    """Only a network that lies within the mapped range is unmapped."""
    assert str(plain_network(ipaddress.ip_network(text))) == expected
