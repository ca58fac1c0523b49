"""Faults between the keys of a ``[[ledger.holder]]``, each of which is sound by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.settings.urls import url_faults

_KEYS = {
    "file": ("path",),
    "http": ("url", "credential", "tls_ca", "unsafe_plain_http"),
    "witness": ("url", "credential", "tls_ca", "unsafe_plain_http", "key"),
}
_NEEDED = {
    "path": "is missing; expected a file on another disk or machine, such as /mnt/audit/ledger.checkpoint",
    "key": "is missing; expected the witness's verifier key, name+hash+base64, as it publishes it",
}


def holder_contradictions(holder: Mapping[str, Any], *, url_known: bool) -> Iterator[tuple[str, str]]:
    """The keys at fault, and what is wrong with each.

    Args:
        holder: the table as it came.
        url_known: whether its url could be read.
    """
    kind = holder.get("kind")
    if kind not in _KEYS:
        return
    for key in sorted({key for keys in _KEYS.values() for key in keys} - set(_KEYS[kind])):
        if key in holder:
            kinds = " and ".join(name for name, keys in _KEYS.items() if key in keys)
            yield key, f"is set for a holder of kind {kind}; expected it only for {kinds}"
    yield from ((key, what) for key, what in _NEEDED.items() if key in _KEYS[kind] and not holder.get(key))
    if "url" in _KEYS[kind] and url_known:
        yield from (("url", what) for what in _url_faults(holder))


def _url_faults(holder: Mapping[str, Any]) -> Iterator[str]:
    url = holder.get("url")
    yield from url_faults(url, whose="it", example="https://audit.example.com/ledger", within="the address")
    if isinstance(url, str) and url.startswith("http:") and holder.get("unsafe_plain_http") is not True:
        yield "got http://; expected https:// (http only with unsafe_plain_http = true)"
