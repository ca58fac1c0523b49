"""Faults between the keys of a ``[[feed]]``, each of which is sound by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.settings.urls import url_faults
from gateway.settings.values import signing_key

_TLS = ("tls_ca", "tls_certificate", "tls_key")
_BROKER = ("addresses", "credential", "unsafe_plaintext", *_TLS)
_KEYS = {
    "syslog": ("addresses", "facility", "enterprise", "tls_server_name", *_TLS),
    "http": ("url", "secret", "gzip", "credential", "unsafe_plaintext", "tls_server_name", *_TLS),
    "file": ("path", "rotate_bytes", "rotate_daily"),
    "nats": ("subject", "tls_server_name", *_BROKER),
    "kafka": ("topic", *_BROKER),
}
_NEEDED = {
    "addresses": 'is missing; expected where the receiver listens, such as ["logs.example.com:6514"]',
    "path": "is missing; expected a file, such as /var/log/residency/ledger.jsonl",
    "secret": "is missing; expected one, since receivers tell by the signature who sent a batch",
}


def feed_contradictions(feed: Mapping[str, Any], *, unread: Collection[str]) -> Iterator[tuple[str, str]]:
    """The keys at fault, and what is wrong with each.

    Args:
        feed: the table as it came.
        unread: keys whose value stands elsewhere and could not be read.
    """
    kind = feed.get("kind")
    if kind not in _KEYS:
        return
    for key in sorted({key for keys in _KEYS.values() for key in keys} - set(_KEYS[kind])):
        if key in feed:
            kinds = " and ".join(name for name, keys in _KEYS.items() if key in keys)
            yield key, f"is set for a feed of kind {kind}; expected it only for {kinds}"
    for key, what in _NEEDED.items():
        if key in _KEYS[kind] and not feed.get(key) and key not in unread:
            yield key, what
    if bool(feed.get("tls_certificate")) != bool(feed.get("tls_key")):
        yield "tls_certificate", "is there without tls_key, or the other way round; expected both, or neither"
    if kind == "http":
        yield from _http_faults(feed, unread)
    yield from _credential_faults(kind, feed)


def _http_faults(feed: Mapping[str, Any], unread: Collection[str]) -> Iterator[tuple[str, str]]:
    url, secret = feed.get("url"), feed.get("secret")
    if "url" not in unread:
        faults = url_faults(url, whose="the receiver", example="https://siem.example.com/in", within="the address")
        yield from (("url", what) for what in faults)
        if isinstance(url, str) and url.startswith("http:") and feed.get("unsafe_plaintext") is not True:
            yield "url", "got http://; expected https:// (http only with unsafe_plaintext = true)"
    if isinstance(secret, str) and secret and "secret" not in unread:
        try:
            signing_key(secret)
        except ValueError as error:
            yield "secret", f"cannot be used; {error}"


def _credential_faults(kind: str, feed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    credential = feed.get("credential")
    if not isinstance(credential, dict):
        return
    if kind == "kafka" and "basic" not in credential:
        yield "credential", "is no user:password; expected basic for kafka (SASL PLAIN)"
    if kind == "nats" and "header" in credential:
        yield "credential", "is a header; expected basic (user:password) or bearer (a token) for nats"
    if kind in ("kafka", "nats") and feed.get("unsafe_plaintext") is True:
        yield "credential", "would go over the line in the clear; expected it only without unsafe_plaintext"
