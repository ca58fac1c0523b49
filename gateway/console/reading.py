"""Reading what a call asks for: each thing has one meaning, or none.

Invariants: a body is bounded in bytes and time; an object says a name once; what is refused is never shown again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from gateway.console import problems, shown
from gateway.console.asked import Asked, Nothing
from gateway.console.call import Asking
from gateway.console.faults import faults
from gateway.console.operation import Operation
from gateway.console.problems import Refused
from gateway.console.values import MAX_KEY
from gateway.errors import Malformed, NotFound
from gateway.masking import masked

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10.0
MEDIA_TYPE = "application/json"
KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY_PATTERN = r"[!-~]{1,255}"
MAX_FAULTS = 20
_TOLD_ONCE = f"{KEY} came, but what this call tells is told once and never kept; leave the header out"
_TAG = re.compile(r'\s*(?:(W/)?"([!#-~\x80-\xff]*)")\s*(?:,|$)')  # RFC 9110 §8.8.3


async def read(request: web.BaseRequest, operation: Operation, path: Mapping[str, str]) -> Asking:
    """What a call asks for.

    Raises:
        Refused: its body or query is not what the operation takes, or it has a key and its answer is never kept.
        Malformed: it can be read in more than one way, or not at all.
        NotFound: an id that nothing can have.
    """
    if any(not value or len(value) > MAX_KEY or value != _text(value) for value in path.values()):
        raise NotFound("there is nothing with this id here that you may see")
    query = _query(request, operation.query)
    tags = _tags(request.headers.getall("If-Match", ())) if operation.is_conditional else None
    keys = request.headers.getall(KEY, ())
    if operation.secret and keys:
        raise Refused(problems.INVALID, _TOLD_ONCE)
    key = _key(keys) if operation.is_repeatable else ""
    text = await _body(request, operation.body)
    body = _valid(operation.body, text) if operation.body else None
    fingerprint = orjson.dumps(
        [operation.name, dict(path), sorted(tags) if tags is not None else None, orjson.loads(text) if text else None],
        option=orjson.OPT_SORT_KEYS,
    )
    return Asking(path=path, body=body, query=query, tags=tags, key=key, fingerprint=fingerprint)


def _query(request: web.BaseRequest, model: type[Asked] | None) -> Asked | None:
    pairs = request.rel_url.query
    if len(pairs) != len(set(pairs)):
        raise Malformed("a parameter of the query came twice; expected each once")
    if model is not None:
        return _valid(model, orjson.dumps({name: _text(value) for name, value in pairs.items()}))
    if pairs:
        fault = shown.Fault(field=_told(next(iter(pairs))), problem="unknown; this call takes no query")
        raise _invalid([fault])
    return None


async def _body(request: web.BaseRequest, model: type[Asked] | None) -> bytes:
    """The bytes of a body that is one JSON object without a name twice; nothing where none is wanted. Where there is
    nothing to say, no body is an empty object: whoever follows a denial's link sends none."""
    length = request.headers.get("Content-Length")
    if model is Nothing and (length == "0" or not request.body_exists):
        return b"{}"
    if model is None:
        if request.body_exists and length != "0":
            raise Refused(problems.MALFORMED, "a body came, which this call does not take", closes=True)
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unsupported("a body with a Content-Encoding came; expected a plain one")
    if request.content_type.lower() != MEDIA_TYPE or "Content-Type" not in request.headers:
        raise _unsupported(f"expected Content-Type: {MEDIA_TYPE}")
    if request.charset not in (None, "utf-8", "UTF-8"):
        raise _unsupported("expected UTF-8")
    if length is not None and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    text = await _bounded(request)
    _require_object(text)
    return text


async def _bounded(request: web.BaseRequest) -> bytes:
    text = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                text += chunk
                if len(text) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise Refused(
            problems.TOO_SLOW, f"the body was not there after {BODY_TIMEOUT_S:g} s; send it at once", closes=True
        ) from None
    except (web.RequestPayloadError, OSError) as error:
        raise Refused(problems.MALFORMED, "the body broke off, or is not what was announced", closes=True) from error
    return bytes(text)


def _require_object(text: bytes) -> None:
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
        orjson.loads(text)  # what is read further reads as strictly as this, numbers and surrogates included
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON in UTF-8; expected one object") from None
    if not isinstance(found, dict):
        raise Malformed("the body is JSON, and no object; expected one object")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("an object in the body says a name twice; expected each once")
    return found


def _no_constant(_name: str) -> Any:
    raise ValueError("no JSON")


def _valid(model: type[Asked], text: bytes) -> Asked:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        found = islice(faults(error, model), MAX_FAULTS)
        raise _invalid([shown.Fault(field=_told(place), problem=what) for place, what in found]) from None


def _invalid(found: list[shown.Fault]) -> Refused:
    lines = "\n".join(f"{fault.field}: {fault.problem}" for fault in found)
    return Refused(problems.INVALID, lines, faults=found)


def _tags(lines: tuple[str, ...] | list[str]) -> frozenset[str] | None:
    """The strong tags of ``If-Match``; None where any version will do. A weak one never matches (RFC 9110 §13.1.1)."""
    said = ",".join(lines).strip()
    if not lines or said == "*":
        return None
    tags, position = set(), 0
    while position < len(said) or not said:
        found = _TAG.match(said, position)
        if found is None:
            raise Malformed('If-Match is no list of entity tags; expected one such as "8f3c…", or *')
        if not found[1]:
            tags.add(found[2])
        position = found.end()
    return frozenset(tags)


def _key(lines: tuple[str, ...] | list[str]) -> str:
    if not lines:
        return ""
    if len(lines) > 1 or not re.fullmatch(KEY_PATTERN, lines[0]):
        raise Malformed(f"{KEY} came twice or is none; expected one of 1 to 255 visible ASCII characters")
    return lines[0]


def _told(name: str) -> str:
    """A name as it may be shown again."""
    return _text(masked(name))[:MAX_KEY]


def _text(value: str) -> str:
    """Without what is no Unicode text."""
    return value.encode("utf-8", "replace").decode()


def _unsupported(detail: str) -> Refused:
    return Refused(problems.UNSUPPORTED, detail, headers={"Accept": MEDIA_TYPE}, closes=True)


def _too_large() -> Refused:
    return Refused(problems.TOO_LARGE, f"a body is at most {MAX_BODY_BYTES} bytes", closes=True)
