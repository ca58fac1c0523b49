"""Faults between keys, each of which is sound by itself."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from gateway.settings.door_contradictions import door_contradictions, listening_twice
from gateway.settings.feed_contradictions import feed_contradictions
from gateway.settings.holder_contradictions import holder_contradictions
from gateway.settings.ledger_contradictions import keys_in_a_backup
from gateway.settings.ssh_contradictions import ssh_contradictions
from gateway.settings.tracker_contradictions import tracker_contradictions

_SCHEMES = ("http", "https", "ftp", "ftps", "ftpes", "sftp", "s3", "s3+http")


def contradictions(document: Any, unresolved: set[str]) -> Iterator[tuple[str, str]]:
    """Faults between keys, looked for in the raw document so that a fault elsewhere does not hide them."""
    yield from _repeated(document, "store", "name")
    yield from _repeated(document, "notification", "name")
    yield from _repeated(document.get("identity"), "issuer", "issuer", prefix="identity.")
    yield from _vouched_twice(document.get("identity"))
    yield from _unbound(document.get("identity"))
    stores = {item["name"] for item in _tables(document, "store") if isinstance(item.get("name"), str)}
    for index, route in enumerate(_tables(document, "route")):
        name = route.get("store")
        if isinstance(name, str) and name not in stores:
            yield (
                f"route[{index}].store",
                f"got {name!r}; expected the name of a [[store]]: {', '.join(sorted(map(repr, stores))) or 'none'}",
            )
        yield from ((f"route[{index}]", what) for what in _customer_sources(route))
        yield from ((f"route[{index}].allow", what) for what in _needless_at_sites(route, document))
    for index, store in enumerate(_tables(document, "store")):
        url = store.get("url")
        unread = f"store[{index}].url" in unresolved
        if not unread and isinstance(url, str) and not _is_store_url(url):
            yield (
                f"store[{index}].url",
                f"got a value without a usable scheme; expected {', '.join(_SCHEMES)} with a host, or file:///…",
            )
        yield from ((f"store[{index}].{key}", what) for key, what in _store_contradictions(store, known=not unread))
    door = document.get("gateway")
    own = [(f"gateway.{key}", door.get(key)) for key in ("listen", "control")] if isinstance(door, dict) else []
    transfer_doors = sorted(_named_tables(document.get("doors")))
    yield from listening_twice(own + [(f"doors.{name}.listen", each.get("listen")) for name, each in transfer_doors])
    if isinstance(door, dict):
        yield from _tls_contradictions(door.get("tls"))
    if isinstance(door, dict) and door.get("proxy_protocol") is True and not door.get("trusted_proxies"):
        yield "gateway.proxy_protocol", "is on, but gateway.trusted_proxies names no proxy; expected those that send it"
    yield from _external_contradictions(document.get("external"), door if isinstance(door, dict) else {})
    for name, transfer in transfer_doors:
        for key, what in door_contradictions(name, transfer, _tables(document, "store"), _tables(document, "route")):
            yield f"doors.{name}.{key}", what
    yield from _repeated(document, "tracker", "name")
    yield from _repeated(document, "tracker", "pattern")
    for index, tracker in enumerate(_tables(document, "tracker")):
        unread = f"tracker[{index}].url" in unresolved
        for key, what in tracker_contradictions(tracker, url_known=not unread):
            yield f"tracker[{index}].{key}", what
    yield from _repeated(document, "feed", "name")
    yield from _repeated(document, "feed", "path")
    for index, feed in enumerate(_tables(document, "feed")):
        unresolved_here = {key for key in ("url", "secret") if f"feed[{index}].{key}" in unresolved}
        for key, what in feed_contradictions(feed, unread=unresolved_here):
            yield f"feed[{index}].{key}", what
    yield from _repeated(document.get("ledger"), "holder", "name", prefix="ledger.")
    for index, holder in enumerate(_tables(document.get("ledger"), "holder")):
        unread = f"ledger.holder[{index}].url" in unresolved
        for key, what in holder_contradictions(holder, url_known=not unread):
            yield f"ledger.holder[{index}].{key}", what
    yield from keys_in_a_backup(document.get("ledger"), document.get("state"))
    state = document.get("state")
    url = state.get("url") if isinstance(state, dict) else None
    if isinstance(url, str) and not url.startswith("sqlite:///"):
        yield "state.url", "got another database; expected sqlite:///path (PostgreSQL is not supported by this version)"


def _vouched_twice(identity: Any) -> Iterator[tuple[str, str]]:
    """Grants, the workforce and trusted actors name people and services by subject alone, so one issuer says who is."""
    said: dict[str, int] = {}
    for index, issuer in enumerate(_tables(identity, "issuer")):
        listed = issuer.get("vouches_for", ["personnel", "service", "customer"])
        for kind in listed if isinstance(listed, list) else []:
            if kind in ("personnel", "service") and said.setdefault(kind, index) != index:
                expected = f"identity.issuer[{said[kind]}] alone, since grants and others name them by subject"
                yield f"identity.issuer[{index}].vouches_for", f"got {kind!r}; expected those of {expected}"


def _unbound(identity: Any) -> Iterator[tuple[str, str]]:
    """A customer's own issuer that is bound to no customer could make its users those of any other."""
    for index, issuer in enumerate(_tables(identity, "issuer")):
        listed, key = issuer.get("vouches_for"), f"identity.issuer[{index}].customers"
        if not isinstance(listed, list):
            continue
        if set(map(str, listed)) == {"customer"} and "customers" not in issuer:
            yield key, 'is missing; expected whose users it may name, such as ["acme"], or ["*"] for all customers'
        if "customer" not in listed and "customers" in issuer:
            yield key, 'is set for an issuer that vouches for no customer; expected "customer" in vouches_for beside it'


def _external_contradictions(external: Any, door: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A peer that is not believed about addresses would lend its own location to everybody who comes through it."""
    peers = _networks(external.get("trusted_peers") if isinstance(external, dict) else None)
    proxies = _networks(door.get("trusted_proxies"))
    for peer in peers:
        if not any(proxy.version == peer.version and peer.subnet_of(cast(Any, proxy)) for proxy in proxies):
            yield "external.trusted_peers", f"got {str(peer)!r}; expected a part of gateway.trusted_proxies, too"
    if peers and door.get("forwarding_header") == "none":
        yield "gateway.forwarding_header", "got 'none'; expected the header that external.trusted_peers send"


def _networks(items: Any) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Those of a list that are networks; the others are a fault of their own."""
    found = []
    for item in filter(lambda item: isinstance(item, str), items if isinstance(items, list) else []):
        with contextlib.suppress(ValueError):
            found.append(ipaddress.ip_network(item))
    return found


def _tls_contradictions(tls: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(tls, dict):
        return
    certificate, key, asked = tls.get("certificate"), tls.get("key"), tls.get("client_certificates", "none") != "none"
    if bool(certificate) != bool(key):
        yield "gateway.tls", "has only one of certificate and key; expected both, or neither"
    if asked and not (tls.get("client_ca") and certificate):
        yield "gateway.tls.client_certificates", "asks for certificates; expected client_ca and certificate beside it"
    for index, service in enumerate(_tables(tls, "service")):
        if bool(service.get("spiffe")) == bool(service.get("subject")):
            yield f"gateway.tls.service[{index}]", "names no certificate, or two; expected one of spiffe and subject"


def _store_contradictions(store: Mapping[str, Any], *, known: bool) -> Iterator[tuple[str, str]]:
    """What a store's other keys ask for and its url cannot give; ``known``: whether the url could be read."""
    if bool(store.get("tls_certificate")) != bool(store.get("tls_key")):
        yield "tls_certificate", "is there without tls_key, or the other way round; expected both, or neither"
    url = store.get("url")
    if not known or not isinstance(url, str) or not _is_store_url(url):
        return
    for key in ("tls_ca", "tls_certificate", "tls_key", "tls_server_name"):
        if store.get(key) and not url.startswith(("https:", "ftps:", "ftpes:", "s3:")):
            yield key, "is set for a store that is not spoken TLS to; expected an https:// url beside it"
    yield from ssh_contradictions(store, urlsplit(url))
    is_http = url.startswith(("http:", "https:"))
    if store.get("addresses") and not is_http and not url.startswith(("s3:", "s3+http:")):
        yield "addresses", "is set for a store that is not HTTP; expected an http://, https:// or s3:// url"
    if store.get("credential") and not is_http:
        yield "credential", "is set for a store that is not HTTP; expected an http:// or https:// url beside it"
    if store.get("credential") and "@" in urlsplit(url).netloc:
        yield "credential", "is set beside credentials in the url; expected only one of them"


def _is_store_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    is_text = value.isascii() and value.isprintable() and " " not in value
    if parts.scheme == "file":
        return is_text and not parts.netloc and len(parts.path) > 1
    return is_text and has_address and parts.scheme in _SCHEMES


def _needless_at_sites(route: Mapping[str, Any], document: Any) -> Iterator[str]:
    """A site's names have a form of their own, in which these stand anyway."""
    urls = {str(store.get("name")): str(store.get("url")) for store in _tables(document, "store")}
    allow = route.get("allow")
    encoded = [form for form in allow if str(form).startswith("%")] if isinstance(allow, list) else []
    if encoded and urls.get(str(route.get("store")), "").lower().startswith(("ftp", "sftp", "s3", "file")):
        yield f"got {', '.join(map(repr, encoded))} for a site of files, where names may hold it; expected none"


def _customer_sources(route: Mapping[str, Any]) -> Iterator[str]:
    named = [key for key in ("customer_header", "customer_host", "customer", "many_customers") if route.get(key)]
    if "{customer}" in str(route.get("path", "")):
        named.append("path")
    if len(named) != 1:
        what = f"names the customer by {' and '.join(named)}" if named else "does not say whose data it serves"
        expected = "exactly one of {customer} in path, customer_header, customer_host, customer, many_customers"
        yield f"{what}; expected {expected}"


def _named_tables(node: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(key, value) for key, value in node.items() if isinstance(value, dict)] if isinstance(node, dict) else []


def _tables(node: Any, name: str) -> list[dict[str, Any]]:
    items = node.get(name) if isinstance(node, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _repeated(node: Any, table: str, key: str, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    seen: set[Any] = set()
    for index, item in enumerate(_tables(node, table)):
        value = item.get(key)
        if isinstance(value, str) and value in seen:
            yield f"{prefix}{table}[{index}].{key}", f"got {value!r} a second time; expected each only once"
        if isinstance(value, str):
            seen.add(value)
