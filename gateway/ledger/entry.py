"""An entry: one JSON object in canonical form, and what is derived from it.

The bytes are the RFC 8785 (JCS) form of an object of texts, integers of at most 53 bits, booleans, lists and objects,
with ASCII names. Within these limits sorted names and the shortest escapes *are* the canonical form; floats and null
have no place. What is absent is an empty text. These bytes are hashed, stored and verified; nothing else is evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

import orjson
import uuid_utils

from gateway.clock import Clock, rfc3339
from gateway.errors import UsageError
from gateway.ledger.merkle import leaf_hash

MAX_BYTES = 65_535
MAX_DEPTH = 8
VERSION = 1
KINDS = frozenset({"decision", "completion", "administrative"})

COLUMNS = (
    "time_us",
    "kind",
    "id",
    "decision",
    "customer",
    "subject",
    "country",
    "rule",
    "effect",
    "store",
    "ticket",
    "grant_id",
    "object",
)
"""What the index holds of an entry, in the order of :func:`derive`."""

_FIELDS = {"grant_id": "grant", "country": ""}
"""Columns that are not named as the field at the top of an entry that they hold."""

_SCALARS = frozenset({str, int, bool})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER

Columns = tuple[int, str, str, str, str, str, str, str, str, str, str, str, str]


class Entry(NamedTuple):
    """An entry, encoded once.

    Attributes:
        body: the canonical bytes.
        columns: what the index holds of it; see :data:`COLUMNS`.
    """

    body: bytes
    columns: Columns

    @property
    def id(self) -> str:
        return self.columns[2]

    @property
    def leaf_hash(self) -> bytes:
        """Of the body, hashed whenever it is asked for: by whoever writes, and not by whoever waits for that."""
        return leaf_hash(self.body)


def seal(fields: Mapping[str, object]) -> Entry:
    """The entry of these fields.

    Raises:
        UsageError: they cannot be put in canonical form, are too long, or lack what every entry has.
    """
    body = encode(fields)
    require_head(fields)
    return Entry(body, derive(fields))


class Template:
    """Decisions or completions that differ in a few values: what they share is put in canonical form once.

    Invariant: ``Template(fields, varying).fill(values)`` is ``seal(fields | dict(zip(varying, values)))``, to the byte.
    """

    __slots__ = ("_body", "_columns", "_constant", "_head", "_types")

    def __init__(self, fields: Mapping[str, object], varying: Sequence[str]) -> None:
        """Args:
            fields: those of one such entry.
            varying: names of texts and integers at its top whose values differ, ``id``, ``time`` and ``time_us`` among
                them, in the order of their names.

        Raises:
            UsageError: as for :func:`seal`.
            ValueError: another order, or another kind of value.
        """
        self._types = tuple(type(fields[name]) for name in varying)
        if list(varying) != sorted({*varying, "id", "time", "time_us"} - {"kind", "version"}):
            raise ValueError("what varies is id, time, time_us and others, in the order of their names")
        if not {str, int}.issuperset(self._types) or fields.get("kind") == "administrative":
            raise ValueError("what varies are texts and integers at the top of a decision or a completion")
        self._constant = seal(fields).columns
        self._body = b"{%b}" % b",".join(_literal(name, fields[name], name in varying) for name in sorted(fields))
        self._head = itemgetter(varying.index("id"), varying.index("time"))
        places = {name: len(COLUMNS) + place for place, name in enumerate(varying)}
        self._columns = itemgetter(*(places.get(_FIELDS.get(name, name), at) for at, name in enumerate(COLUMNS)))

    def fill(self, values: tuple[str | int, ...]) -> Entry:
        """The entry with these values, in the order of what varies.

        Raises:
            UsageError: as for :func:`seal`.
        """
        if tuple(map(type, values)) != self._types or not all(self._head(values)):
            raise UsageError("an entry's values are not of the kind that its template has, or its id or time is empty")
        try:
            body = self._body % tuple([orjson.dumps(value, None, _OPTIONS) for value in values])
        except TypeError as error:
            raise _not_canonical(error) from error
        return Entry(_within_bounds(body), self._columns(self._constant + values))


def _literal(name: str, value: object, varies: bool) -> bytes:
    """A member of the object, as a format: with a place for its value if that varies."""
    if varies:
        return orjson.dumps(name).replace(b"%", b"%%") + b":%b"
    return orjson.dumps({name: value}, option=_OPTIONS)[1:-1].replace(b"%", b"%%")


def encode(fields: Mapping[str, object]) -> bytes:
    """The canonical bytes (RFC 8785) of an object.

    Raises:
        UsageError: it holds a float, a null, a name that is not ASCII, an integer of more than 53 bits, text that is
            not Unicode, anything that is not JSON, or nests too deep; or the bytes are more than :data:`MAX_BYTES`.
    """
    _require_ascii_names(fields)
    _require_plain(fields.values(), depth=1)
    try:
        body = orjson.dumps(fields, option=_OPTIONS)
    except TypeError as error:
        raise _not_canonical(error) from error
    return _within_bounds(body)


def _not_canonical(error: TypeError) -> UsageError:
    """In orjson's words, which name types and ranges, never a value."""
    return UsageError(f"an entry cannot be put in canonical form: {error}")


def _within_bounds(body: bytes) -> bytes:
    if len(body) > MAX_BYTES:
        raise UsageError(f"an entry of {len(body)} bytes is refused; at most {MAX_BYTES} are kept, and none is cut")
    return body


def decode(body: bytes) -> dict[str, object]:
    """The object that a body holds.

    Raises:
        UsageError: it is not a JSON object.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"an entry is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UsageError(f"an entry is a JSON {type(fields).__name__}; expected an object")
    return fields


def derive(fields: Mapping[str, object]) -> Columns:
    """What the index holds of an entry. Of an administrative act: the actor as subject, and what its details name."""
    named = fields
    country: object = ""
    subject = fields.get("subject", "")
    match fields.get("kind"):
        case "decision":
            location = fields.get("location")
            country = location.get("country", "") if isinstance(location, Mapping) else ""
        case "administrative":
            details = fields.get("details")
            named = details if isinstance(details, Mapping) else {}
            subject = fields.get("actor", "")
    time_us = fields.get("time_us")
    return (
        time_us if type(time_us) is int else 0,
        _text(fields.get("kind")),
        _text(fields.get("id")),
        _text(named.get("decision")),
        _text(named.get("customer")),
        _text(subject),
        _text(country),
        _text(named.get("rule")),
        _text(named.get("effect")),
        _text(named.get("store")),
        _text(named.get("ticket")),
        _text(named.get("grant")),
        _text(fields.get("object")),
    )


def administrative(
    *,
    clock: Clock,
    node: str,
    actor: str,
    act: str,
    subject: str,
    details: Mapping[str, str | int | bool | Sequence[str]],
) -> dict[str, object]:
    """The fields of an administrative act.

    Args:
        clock: for the time of the act.
        node: where it was done.
        actor: who did it.
        act: what was done, such as ``access.approve``.
        subject: what it was done to, by id; recorded as ``object``.
        details: what else evidence needs; no secret and no more about a person than needed.
    """
    now_us = clock.now_us()
    return {
        "kind": "administrative",
        "version": VERSION,
        "id": str(uuid_utils.uuid7()),
        "time": rfc3339(now_us),
        "time_us": now_us,
        "node": node,
        "actor": actor,
        "act": act,
        "object": subject,
        "details": {name: list(value) if isinstance(value, tuple) else value for name, value in details.items()},
    }


def _text(value: object) -> str:
    """The plain text of a value, an enumeration's among them; "" of what is none."""
    return str(value) if isinstance(value, str) else ""


def require_head(fields: Mapping[str, object]) -> None:
    """Every entry says what it is, which one, and when.

    Raises:
        UsageError: it does not.
    """
    if fields.get("kind") not in KINDS:
        raise UsageError(f"an entry's kind is one of {', '.join(sorted(KINDS))}; set it")
    if fields.get("version") != VERSION:
        raise UsageError(f"an entry's version is {VERSION}; set it")
    if not _text(fields.get("id")) or not _text(fields.get("time")) or type(fields.get("time_us")) is not int:
        raise UsageError("an entry has an id and a time, both text, and time_us, an integer; set them")
    if "sequence" in fields:
        raise UsageError(
            "an entry does not hold its sequence, for its place in the ledger is its sequence; leave it out"
        )


def _require_plain(values: Iterable[object], depth: int) -> None:
    """Refuse what orjson would write and RFC 8785 would not, or otherwise. Every request passes here: keep it quick."""
    for value in values:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if depth >= MAX_DEPTH:
            raise UsageError(f"an entry nests more than {MAX_DEPTH} deep; flatten it")
        if isinstance(value, dict):
            _require_ascii_names(value)
            _require_plain(value.values(), depth + 1)
        elif kind is list or kind is tuple:
            _require_plain(value, depth + 1)  # type: ignore[arg-type]  # it is one of the two
        elif not isinstance(value, StrEnum):
            expected = "expected text, an integer, a boolean, a list or an object"
            raise UsageError(f"an entry holds {kind.__name__}; {expected}")


def _require_ascii_names(node: Mapping[str, object]) -> None:
    try:
        ascii_only = "".join(node).isascii()
    except TypeError:
        ascii_only = False
    if not ascii_only:
        raise UsageError("an entry has a name that is not ASCII text; expected plain English names")
