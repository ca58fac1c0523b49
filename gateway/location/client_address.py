"""Whose address a request comes from, behind proxies that are trusted to say so.

Invariants:

1. A peer that is not trusted *is* the client; what it claims is not read.
2. Behind a trusted peer the header is walked from the right, over trusted hops only; the first hop that is not trusted
   is the client, and nothing to the left of it is looked at, for anybody could have written it.
3. Whatever is malformed, hidden, absent, endless or trusted all the way gives None: no client address, so no
   assured location.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from gateway.location.networks import Address, Network, parse_address, plain_network

Header = Literal["auto", "x-forwarded-for", "forwarded", "none"]

_OWS = " \t"  # RFC 9110 §5.6.3
_TCHARS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 §5.6.2
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'  # RFC 9110 §5.6.4, ASCII only
_PAIR = re.compile(rf"({_TCHARS})=({_TCHARS}|{_QUOTED})")
_ELEMENT = re.compile(rf"(?:{_PAIR.pattern})?(?:;(?:{_PAIR.pattern})?)*")  # RFC 7239 §4
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_HOST = r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))"  # an IPv6 address in brackets, or an IPv4 address
_PORT = r"[0-9]{1,5}"
_FORWARDED_NODE = re.compile(rf"{_HOST}(?::(?:{_PORT}|_[A-Za-z0-9._-]+))?")  # RFC 7239 §6
_X_FORWARDED_NODE = re.compile(rf"{_HOST}(?::{_PORT})?")
_REMEMBERED = 4_096


class ClientAddressResolver:
    """Establishes the client's address from the peer's and from the forwarding headers.

    Args:
        trusted: networks whose hosts are believed about whom they forward for.
        header: which header is read. ``auto`` reads the one that is there, and neither when both are, since a
            proxy that sets one may pass the other on as the client wrote it. ``none``: the peer is the client.
        max_hops: how many elements of the header are read at most, the client's own included.
    """

    def __init__(self, trusted: Sequence[Network], header: Header = "auto", max_hops: int = 20) -> None:
        self._trusted = tuple(plain_network(network) for network in trusted)
        self._header = header
        self._max_hops = max_hops
        self._known = lru_cache(_REMEMBERED)(self._read)

    def resolve(self, peer: str, forwarded: Sequence[str], x_forwarded_for: Sequence[str]) -> Address | None:
        """The client's address, or None when it cannot be established.

        Args:
            peer: the address at the other end of the connection, as text.
            forwarded: the lines of ``Forwarded`` (RFC 7239), in order.
            x_forwarded_for: the lines of ``X-Forwarded-For``, in order.
        """
        address, trusted = self._look_at(peer)
        if not trusted or self._header == "none":
            return address
        return self._walk(self._hops(forwarded, x_forwarded_for))

    def resolve_person(self, peer: str, forwarded: Sequence[str], x_forwarded_for: Sequence[str]) -> Address | None:
        """The address of the person whom the client, a tool, acts for: the one that the tool handed over.

        A tool does not lend its own location (contract reading, *Location*): without a hop beyond the tool's own
        address there is nothing to judge, and the answer is None. The arguments are those of :meth:`resolve`; the
        caller has made sure that the tool is trusted to say so.
        """
        if self._header == "none":
            return None
        hops = self._hops(forwarded, x_forwarded_for)
        _, trusted = self._look_at(peer)
        if trusted and self._walk(hops) is None:
            return None
        address, trusted = self._look_at(next(hops, ""))
        return None if trusted else address

    def _hops(self, forwarded: Sequence[str], x_forwarded_for: Sequence[str]) -> Iterator[str]:
        if self._header == "auto" and forwarded and x_forwarded_for:
            return iter(())
        if self._header != "x-forwarded-for" and forwarded:
            return _forwarded_nodes(forwarded, self._max_hops)
        if self._header != "forwarded" and x_forwarded_for:
            return _x_forwarded_nodes(x_forwarded_for, self._max_hops)
        return iter(())

    def _walk(self, hops: Iterator[str]) -> Address | None:
        for hop in hops:
            address, trusted = self._look_at(hop)
            if not trusted:
                return address
        return None

    def _look_at(self, text: str) -> tuple[Address | None, bool]:
        # The length is bounded before anything is remembered, so that the memory is bounded too.
        return self._known(text) if len(text) <= 45 else (None, False)

    def _read(self, text: str) -> tuple[Address | None, bool]:
        address = parse_address(text)
        return address, address is not None and any(address in network for network in self._trusted)


def _last_elements(lines: Sequence[str], count: int) -> Iterator[str]:
    """The last ``count`` elements of a list header (RFC 9110 §5.6.1), from the right; the rest is not split."""
    for element in reversed(",".join(lines).rsplit(",", count)[-count:]):
        yield element.strip(_OWS)


def _x_forwarded_nodes(lines: Sequence[str], count: int) -> Iterator[str]:
    for element in _last_elements(lines, count):
        match = _X_FORWARDED_NODE.fullmatch(element)
        yield _host(match) if match else element  # without brackets and port it is an address, or nothing at all


def _forwarded_nodes(lines: Sequence[str], count: int) -> Iterator[str]:
    rest = ""
    for element in _last_elements(lines, count):
        rest = f"{element},{rest}" if rest else element
        if _is_cut(rest):
            continue  # that comma stood inside a quoted string: the element begins further to the left
        yield _for(rest)
        rest = ""


def _is_cut(element: str) -> bool:
    return _ESCAPE.sub("", element).count('"') % 2 == 1


def _for(element: str) -> str:
    """The address text of an element's ``for`` (RFC 7239 §5.2), or "" if it has none or is not well formed."""
    if not _ELEMENT.fullmatch(element):
        return ""
    pairs = [(name.lower(), value) for name, value in _PAIR.findall(element)]
    values = dict(pairs)
    if len(values) < len(pairs):
        return ""  # RFC 7239 §4: each parameter must not occur more than once
    match = _FORWARDED_NODE.fullmatch(_unquoted(values.get("for", "")))
    return _host(match) if match else ""


def _unquoted(value: str) -> str:
    return _ESCAPE.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _host(match: re.Match[str]) -> str:
    """The address of a node, or "" where brackets hold something other than an IPv6 address."""
    bracketed, bare = match.groups()
    if bracketed is None:
        return str(bare)
    return bracketed if ":" in bracketed else ""
