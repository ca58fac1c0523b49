"""A request target in its one canonical form: what is judged is what is recorded and what the store receives.

The form (RFC 3986 §6.2.2, and stricter): unreserved characters decoded, other percent-encodings in capitals, dot
segments resolved after decoding, empty segments merged, no slash at the end. Nothing else is equal: letters keep their
case, and no Unicode normalisation is applied, so ``/Private`` and a full-width slash are other names.

A route may opt in to what separates in some stores and not in others: ``;``, ``%2F``, ``%25`` and their like. Even then
no reading of a segment, by however many decodings, may climb out of it, or hold what the route did not opt in to.

At a route to a site of files it is known how the store reads a path: decoded once, each segment is a name, in plain
text. There :func:`named` gives that text its one encoding, so that a name has one path, and a path one name.

Invariants: whatever could be read in two ways raises :class:`Malformed`; ``canonical(canonical(x)) == canonical(x)``;
the form does not depend on what was opted in to, only whether there is one; ``named(x)`` decodes to what ``x`` does,
and is the same for all ``x`` that decode to one text; the work is linear in the length.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes

from gateway.errors import Malformed

MAX_SEGMENTS = 512
MAX_DECODINGS = 4

_ALREADY = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@\[\]-]+)+")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@\[\]/%-]*")
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@\[\]/?^`{|}-]|%[0-9A-Fa-f]{2})*")
_AUTHORITY = re.compile(r"//+[^/]*(?:[.:@]|%3A|%40)")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_REFUSED = {octet: f"%{octet:02X}" for octet in (*range(0x20), 0x7F, *b"/\\;%?#")}
_SPECIAL = re.compile(r";|%(?:2F|5C|3B|25|3F|23)")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
_DOTS = re.compile(rb"(?:\A|[/\\;?#])\.{1,2}(?:[/\\;?#]|\Z)")
_CLIMBS = re.compile(rb"(?:\A|[/\\;?#])(?:\.{1,2}\Z|\.{0,2}[/\\;?#])")

_IN_NAMES = "!$&'()*+,=:@[]"  # with what is unreserved: what stands in a name's path as it is
NAMES = frozenset((";", "%3B", "%25", "%3F", "%23"))
"""What a route to a site opts in to: characters that mean nothing in a name."""


class Target(NamedTuple):
    """A canonical path, and the query as it came (without the question mark)."""

    path: str
    query: str = ""


def canonical(raw: str, *, max_bytes: int, allow: frozenset[str] = frozenset()) -> Target:
    """The target that a raw request target names.

    Args:
        raw: as it stood in the request line.
        max_bytes: longer ones are refused.
        allow: what a route opts in to of ``;`` and the encodings ``%2F``, ``%5C``, ``%3B``, ``%25``, ``%3F``, ``%23``.

    Raises:
        Malformed: it is not an origin-form target (RFC 9112 §3.2.1) that every parser reads alike.
    """
    normal, query = _normal(raw, max_bytes, allow)
    if allow:
        _require_confined(normal, allow)
    return Target(_bounded(_resolve(normal)), query)


def named(raw: str, *, max_bytes: int) -> Target:
    """The target at a route to a site, where each segment is a name; see the module.

    Raises:
        Malformed: as :func:`canonical`; or a name, decoded again, would separate or climb.
    """
    normal, query = _normal(raw, max_bytes, NAMES)
    for segment in normal.split("/"):
        require_plain(unquote(segment))
    return Target(quoted(unquote(_bounded(_resolve(normal)))), query)


def quoted(name: str) -> str:
    """A name in a path, encoded in its one way; slashes stay."""
    return quote(name, safe="/" + _IN_NAMES)


def require_plain(name: str) -> None:
    """That whoever decodes a name, which no site does, would still have one name.

    Raises:
        Malformed: it holds an encoded separator, control character or dot segment.
    """
    if "%" in name and _DOTS.search(_decoded(name.encode(), NAMES, is_text=False)):
        raise Malformed("the name holds a percent-encoded dot segment")


def unconfined(raw: str, *, max_bytes: int, allow: frozenset[str]) -> Target:
    """As :func:`canonical`, and only good to find out which route it would take: what is opted in to may climb."""
    normal, query = _normal(raw, max_bytes, allow)
    return Target(_bounded(_resolve(normal)), query)


def _normal(raw: str, max_bytes: int, allow: frozenset[str]) -> tuple[str, str]:
    """The path in its form but for the segments that :func:`_resolve` removes, and the query."""
    if len(raw) > max_bytes:
        raise Malformed(f"the request target is longer than {max_bytes} bytes")
    path, _, query = raw.partition("?")
    if not _QUERY.fullmatch(query):
        raise Malformed("the query holds a character that has to be percent-encoded, or a damaged encoding")
    if _ALREADY.fullmatch(path):
        return path, query
    if not path.startswith("/"):
        raise Malformed("the request target is not a path; expected one that begins with /")
    if not _PATH.fullmatch(path):
        raise Malformed("the path holds a character that may not stand in a path unencoded")
    if ";" in path and ";" not in allow:
        raise Malformed("the path holds a ';', which stores read in different ways")
    normal = _normalise(path, allow)
    if _AUTHORITY.match(normal):
        raise Malformed("the path begins with // and an authority; expected a path that begins with one slash")
    return normal, query


def _normalise(path: str, allow: frozenset[str]) -> str:
    """Decode what is unreserved, put the rest in capitals, refuse what separates or cannot be text."""
    if "%" not in path:
        return path

    def decode(match: re.Match[str]) -> str:
        if match[1] is None:
            raise Malformed("the path holds a damaged percent-encoding")
        octet = int(match[1], 16)
        if octet in _REFUSED and _REFUSED[octet] not in allow:
            raise Malformed(f"the path holds {_REFUSED[octet]}, which stores read in different ways")
        return chr(octet) if octet in _UNRESERVED else f"%{octet:02X}"

    normal = _PERCENT.sub(decode, path)
    for segment in normal.split("/"):
        _require_text(segment)
    return normal


def _require_text(segment: str | bytes) -> None:
    """Percent-encoded octets are UTF-8, in its shortest form (RFC 3629 §3)."""
    try:
        unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the path holds percent-encoded octets that are not UTF-8") from None


def _require_confined(path: str, allow: frozenset[str]) -> None:
    """What was opted in to stays inside its segment, for stores that decode it or cut it there, even repeatedly."""
    for segment in path.split("/"):
        if _SPECIAL.search(segment) and _CLIMBS.search(_decoded(segment.encode(), allow)):
            raise Malformed("a segment of the path holds a dot segment or an empty one behind what a store may decode")


def _decoded(octets: bytes, allow: frozenset[str], *, is_text: bool = True) -> bytes:
    """Decoded until nothing is left to decode; what comes to light on the way has to be opted in to as well."""
    for _ in range(MAX_DECODINGS):
        for digits in _ENCODED.findall(octets):
            form = _REFUSED.get(int(digits, 16))
            if form is not None and form not in allow:
                raise Malformed(f"the path holds {form}, encoded again, which stores read in different ways")
        before, octets = octets, unquote_to_bytes(octets)
        if octets == before:
            return octets
        if is_text:
            _require_text(octets)
    raise Malformed(f"the path is encoded {MAX_DECODINGS} times over; expected it encoded once")


def _resolve(path: str) -> str:
    """Remove empty and dot segments (RFC 3986 §5.2.4)."""
    if "//" not in path and "/." not in path and not path.endswith("/"):
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)


def _bounded(path: str) -> str:
    if path.count("/") > MAX_SEGMENTS:
        raise Malformed(f"the path has more than {MAX_SEGMENTS} segments")
    return path
