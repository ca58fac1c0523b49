"""Faults between the transfer doors and the rest of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_ROUTE = re.compile(r"(?P<prefix>(?:/[^/{}]+)*)/\{customer\}/\{[a-z_][a-z0-9_]*\.\.\.\}")
_FTP = {"ftp": "explicit", "ftps": "implicit"}  # what ``tls`` is unless set
_SITES = ("ftp://", "ftps://", "ftpes://", "sftp://", "s3://", "s3+http://", "file:///")


def door_contradictions(
    name: str, door: Mapping[str, Any], stores: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Each fault of one door: the key in its table, and what is wrong."""
    store = door.get("store")
    urls = {each.get("name"): each.get("url") for each in stores}
    if isinstance(store, str):
        yield from (("store", what) for what in _store(store, urls, routes))
    if name in _FTP and not door.get("tls_certificate"):
        if door.get("tls", _FTP[name]) == "implicit":
            yield "tls_certificate", "is missing; expected the door's certificate, for tls is implicit"
        elif door.get("unsafe_plaintext") is not True:
            yield "tls_certificate", "is missing; expected the door's certificate (without TLS, everybody reads along)"


def listening_twice(listening: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    """Each key whose address an earlier one has, and what is wrong."""
    taken: dict[object, str] = {}
    for key, address in listening:
        if not isinstance(address, str) or address.endswith(":0"):  # any free port
            continue
        if address in taken:
            yield key, f"got {address!r}, the same as {taken[address]}; expected an address of its own"
        taken.setdefault(address, key)


def _store(store: str, urls: Mapping[Any, Any], routes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    url = urls.get(store)
    if store not in urls:
        yield f"got {store!r}; expected the name of a [[store]]"
    elif isinstance(url, str) and not url.startswith(_SITES):
        yield f"got {store!r}, which is no site of files; expected a store whose url begins with {', '.join(_SITES)}"
    else:
        yield from _routes(store, routes)


def _routes(store: str, routes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    leading = [route for route in routes if route.get("store") == store]
    expected = 'one route to it, such as path = "/uploads/{customer}/{rest...}", for every host'
    if len(leading) != 1:
        yield f"got {store!r}, to which {len(leading)} routes lead; expected {expected}"
        return
    [route] = leading
    match = _ROUTE.fullmatch(str(route.get("path")))
    if match is None or route.get("host") or str(route.get("strip", "")).rstrip("/") not in ("", match["prefix"]):
        yield f"got {store!r}, whose route names the customer or the file in another way; expected {expected}"
