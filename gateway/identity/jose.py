"""Reading JSON Web Signatures strictly: one spelling for each token, one meaning for each document.

Invariants: a segment has exactly one accepted spelling (base64url without padding, no stray bits: RFC 7515 §2); an
object that names a member twice, or holds a number JSON does not know, is no object at all (RFC 7515 §4, RFC 8259 §4).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Compact:
    """A token taken apart; nothing in it is verified yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def read_compact(token: str) -> Compact:
    """Take a token in JWS compact serialisation (RFC 7515 §3.1) apart.

    Raises:
        ValueError: it is not three canonical segments, or header or payload is not one strict JSON object.
    """
    segments = token.split(".")
    if len(segments) != 3:
        raise ValueError(f"{len(segments)} segments came; expected three")
    header, claims, _signature = (decode_segment(segment) for segment in segments)
    return Compact(header=read_object(header), claims=read_object(claims))


def decode_segment(text: str) -> bytes:
    """The bytes that a base64url text without padding stands for (RFC 7515 §2).

    Raises:
        ValueError: empty, another alphabet, padding, or another spelling of the same bytes.
    """
    if not _SEGMENT.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("a part is not base64url without padding")
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != text:
        raise ValueError("a part is not in its canonical spelling")
    return decoded


def read_object(document: bytes) -> dict[str, Any]:
    """The JSON object in ``document``.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, nested too deep, a member named twice, NaN or Infinity.
    """
    try:
        value = json.loads(document.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("JSON that is not an object")  # noqa: TRY004 - what somebody sent is a value, not a type
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a JSON member named twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
