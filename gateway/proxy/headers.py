"""Which headers cross the door, both ways.

The rule is an allow-list: nothing from a client survives unless it is named here or in the store's configuration, so
identity headers, forwarding headers, overrides and their aliases (``X_Auth_User``, ``X.Auth.User``) have no way in
(RFC 9110 §7.6; CVE-2022-31813, CVE-2025-64484, CVE-2026-30851). Ours are added last, after anything that a
``Connection`` header could name is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from multidict import CIMultiDict, CIMultiDictProxy

TICKET = "Access-Ticket"
REASON = "Access-Reason"
ON_BEHALF_OF = "On-Behalf-Of"
DECISION = "Residency-Decision"
SERVER = "residency-gateway"
SUBJECT = "Residency-Subject"
RULE = "Residency-Rule"

TO_STORE = frozenset(
    """accept accept-charset accept-encoding accept-language cache-control content-disposition content-encoding
    content-language content-length content-md5 content-range content-type date digest idempotency-key if-match
    if-modified-since if-none-match if-range if-unmodified-since origin pragma prefer range referer traceparent
    tracestate user-agent""".split()  # noqa: SIM905  sixty quotation marks less
)

NEVER_TO_CLIENT = frozenset(
    """connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade alt-svc server
    x-accel-redirect x-accel-buffering x-accel-expires x-sendfile x-lighttpd-send-file""".split()  # noqa: SIM905
)

CACHING = frozenset(("cache-control", "expires", "age", "pragma", "surrogate-control", "edge-control"))

_FRAMING_ALIASES = frozenset(("content-length", "transfer-encoding", "host", "connection"))
_PLAIN = re.compile(r"[!-$&-~]*")
_NO_NAMES: frozenset[str] = frozenset()
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{0,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")  # empty: HTTP/1.0 has none
MAX_RANGES = 16
_DASHES = str.maketrans("_.", "--")
_DASH_LIKE = ("-", "_", ".")
MAX_HEAD_BYTES = 64 * 1024
_WITHOUT_BODY = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))


def unasked_body(method: str, headers: CIMultiDictProxy[str]) -> str:
    """Why a body may not come with this method, or "". Some stores leave it unread and take it for the next request."""
    if method in _WITHOUT_BODY and ("Transfer-Encoding" in headers or headers.get("Content-Length", "0").strip("0")):
        return f"a body came with {method}, where it has no meaning that every store shares; send none"
    return ""


def ambiguity(headers: CIMultiDictProxy[str], *, upgrading: bool = False) -> str:
    """What makes a request readable in two ways, or "": an aliased framing header, an upgrade, a bomb of ranges."""
    names = "\n".join(headers)
    if len(names) + sum(map(len, headers.values())) > MAX_HEAD_BYTES:
        return f"the headers are longer than {MAX_HEAD_BYTES} bytes"
    if ("_" in names or "." in names) and _has_framing_alias(headers):
        return "a framing header came in another spelling; expected its standard name"
    if _HOST.fullmatch(headers.get("Host", "")) is None:
        return "the Host header is not a name or address with or without a port; send one"
    if any(value.strip().lower() != "chunked" for value in headers.getall("Transfer-Encoding", ())):
        return "a transfer encoding other than chunked came; send the body chunked or with its length"
    if "Upgrade" in headers and not upgrading:
        return "an Upgrade came to something else than a WebSocket; this door speaks HTTP/1.1 and WebSocket"
    if ",".join(headers.getall("Range", ())).count(",") >= MAX_RANGES:
        return f"too many ranges came; expected at most {MAX_RANGES}"
    return ""


def _has_framing_alias(names: Iterable[str]) -> bool:
    plain = (name.lower().translate(_DASHES).strip("-") for name in names if "_" in name or "." in name)
    return not _FRAMING_ALIASES.isdisjoint(plain)


def to_store(
    headers: CIMultiDictProxy[str], *, allowed: frozenset[str], subject: str, rule: str, decision: str
) -> CIMultiDict[str]:
    """The headers that a store receives: the named ones, then ours.

    Args:
        headers: as the client sent them.
        allowed: :data:`TO_STORE` and what the configuration adds, in small letters.
        subject, rule, decision: who is let through, by which rule, under which decision.
    """
    listed = _listed(headers.getall("Connection", ()))
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower in allowed and (lower not in listed or lower == "content-length"):
            kept.add(name, value)
    kept[SUBJECT] = quoted(subject)
    kept[RULE] = rule
    kept[DECISION] = decision
    return kept


def to_client(headers: CIMultiDictProxy[str], *, decision: str, no_store: bool) -> CIMultiDict[str]:
    """The headers that a client receives; with ``no_store``, none that would let an answer be kept."""
    listed = _listed(headers.getall("Connection", ()))
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower in NEVER_TO_CLIENT or lower in listed or _is_ours(lower):
            continue
        if no_store and (lower in CACHING or lower.endswith("-cache-control")):  # each CDN has one of its own
            continue
        kept.add(name, value)
    if no_store:
        kept["Cache-Control"] = "no-store, private"
    kept[DECISION] = decision
    kept["Server"] = SERVER  # else the server library would name itself and its version
    return kept


def _is_ours(lower: str) -> bool:
    """Whether a header's name, in any spelling, is one of those that only the gateway sets."""
    return lower.startswith("residency") and lower[9:10] in _DASH_LIKE


def quoted(text: str) -> str:
    """Text that may stand in a header: all but visible ASCII percent-encoded, and % too, so that no two become one."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(chr(octet) if 0x20 < octet < 0x7F and octet != 0x25 else f"%{octet:02X}" for octet in text.encode())


def _listed(values: Sequence[str]) -> frozenset[str]:
    if not values:
        return _NO_NAMES
    return frozenset(part.strip().lower() for value in values for part in value.split(","))
