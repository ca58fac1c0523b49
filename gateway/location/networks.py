"""Which addresses say where somebody is, and which cannot.

Only an address that is globally routed and belongs to one place in the network is worth looking up. Everything else is
*unknown*: private and special-purpose ranges, and the transition ranges, whose addresses embed somebody else's (a
database that aliases them answers for the relay or the tunnel server, not for the person).

The tables are our own and not :mod:`ipaddress`'s ``is_global``, whose meaning differs between Python versions.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE = "private address"
TRANSITION = "transition address"

# IANA special-purpose address registry (RFC 6890), multicast (RFC 5771) and the reserved block (RFC 1112).
_V4_PRIVATE = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
_V4_TRANSITION = (IPv4Network("192.88.99.0/24"),)  # 6to4 relay anycast (RFC 7526)

_V6_GLOBAL = IPv6Network("2000::/3")  # RFC 4291 §2.4: the only block that is globally routed unicast
_V6_PRIVATE = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_V6_TRANSITION = tuple(
    IPv6Network(text)
    for text in (
        "2002::/16",  # 6to4 (RFC 3056)
        "2001::/32",  # Teredo (RFC 4380)
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291): an IPv4 client, to be unmapped before it gets here
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64, local use (RFC 8215)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
    )
)
_V4_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 §2.5.5.1
_UNSPECIFIED_AND_LOOPBACK = IPv6Network("::/127")
_ISATAP = 0x0000_5EFE  # RFC 5214 §6.1: interface identifier 0000:5efe, or 0200:5efe with the universal bit set
_UNIVERSAL_BIT = 0x0200_0000


def plain(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2); any other address as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def plain_network(network: Network) -> Network:
    """The IPv4 network that an IPv4-mapped IPv6 network stands for; any other network as it is."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None:
        return network  # a mapped network address has bits up to the 96th, so the prefix below is never shorter
    return IPv4Network((mapped, network.prefixlen - 96))


def unlocatable(address: Address) -> str:
    """Why ``address`` must not be looked up (:data:`PRIVATE`, :data:`TRANSITION`), or "" if it may be."""
    return _unlocatable_v4(address) if isinstance(address, IPv4Address) else _unlocatable_v6(address)


def parse_address(text: str) -> Address | None:
    """The address that ``text`` is, unmapped, or None.

    Only the full textual forms: four decimal numbers without leading zeros, or RFC 4291 §2.2. No zone id, which means
    something on one machine only, and no form that only some readers know (decimal, hexadecimal, short).
    """
    if len(text) > 45 or not text.isascii() or "%" in text:
        return None
    try:
        return plain(ipaddress.ip_address(text))
    except ValueError:
        return None


def _unlocatable_v4(address: IPv4Address) -> str:
    if any(address in network for network in _V4_TRANSITION):
        return TRANSITION
    return PRIVATE if any(address in network for network in _V4_PRIVATE) else ""


def _unlocatable_v6(address: IPv6Address) -> str:
    if _is_transition(address):
        return TRANSITION
    routed = address in _V6_GLOBAL and not any(address in network for network in _V6_PRIVATE)
    return "" if routed else PRIVATE


def _is_transition(address: IPv6Address) -> bool:
    if any(address in network for network in _V6_TRANSITION):
        return True
    if address in _V4_COMPATIBLE:
        return address not in _UNSPECIFIED_AND_LOOPBACK
    return (int(address) >> 32) & 0xFFFF_FFFF & ~_UNIVERSAL_BIT == _ISATAP
