"""What is wrong with single values, in words: the key, what came, what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.settings import sections
from gateway.settings.values import COUNTRY_PATTERN


def lines(error: ValidationError, document: Any, unread: set[str]) -> Iterator[str]:
    """One line for each fault, but for those of keys that could not be read."""
    details = error.errors(include_url=False)
    for detail in details:
        key = _key(detail["loc"])
        if key in unread or _follows(detail, details):
            continue
        yield f"{key}: {_explain(detail, _came(document, detail['loc']))}"


def _follows(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether a list is called too short only because its items were refused, each in a line of its own."""
    depth = len(detail["loc"])
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == detail["loc"] for other in details
    )


def _key(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".")


def _came(document: Any, location: tuple[int | str, ...]) -> str:
    node = document
    for part in location:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    if isinstance(node, dict | list):  # not what it holds: a [store] for a [[store]] would show its url
        return "a table" if isinstance(node, dict) else "an array"
    if "credential" in location[-2:] and location[-1] != "header":
        return "a value"
    if location[0] in ("notification", "feed") and location[-1] in ("url", "secret"):
        return "a value"
    text = repr(node)
    return text if len(text) <= 80 else text[:77] + "…"


def _explain(detail: ErrorDetails, came: str) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key{_suggest(detail['loc'])}"
        case "missing":
            return "is missing; it has no default"
        case "value_error":
            return f"got {came}; {detail['ctx']['error']}"
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == COUNTRY_PATTERN:
            return f'got {came}; expected a country as two capital letters (ISO 3166-1), such as "US"'
        case "string_pattern_mismatch":
            return f"got {came}; expected a name of small letters, digits, '.', '_' and '-', at most 63 long"
        case _:
            text = detail["msg"][0].lower() + detail["msg"][1:]
            return f"got {came}; expected: {text.removeprefix('input should be ')}"


def _suggest(location: tuple[int | str, ...]) -> str:
    model: Any = sections.Settings
    for part in location[:-1]:
        if isinstance(part, str):
            model = _section_of(model, part)
    names = list(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(names)}"


def _section_of(model: Any, name: str) -> Any:
    found = re.findall(r"\w+(?:Settings)\b", str(model.model_fields[name].annotation)) if model else []
    return getattr(sections, found[-1], None) if found else None
