"""What is wrong with the fields of a call, in words: what came, what was expected; each fault once.

What came is told by its kind and size: a text that was refused is never shown again.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_SHOULD = re.compile(r"^\w+ should (?:be |have |match )?")


def faults(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The place of each fault, and what is wrong there."""
    details = error.errors(include_url=False)
    for detail in details:
        if not _follows(detail, details):
            yield ".".join(str(part) for part in detail["loc"]), _told(detail, model)


def _follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether a list is called too short only because its items were refused, each with a fault of its own."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details
    )


def _told(detail: ErrorDetails, model: type[BaseModel]) -> str:
    match detail["type"]:
        case "missing":
            return "nothing came; expected a value"
        case "extra_forbidden":
            return f"unknown; {_known(str(detail['loc'][-1]), list(model.model_fields))}"
        case "value_error":
            return f"got {_came(detail['input'])}; {detail['ctx']['error']}"
        case "too_short" | "string_too_short":
            return f"got {_came(detail['input'])}; expected at least {detail['ctx']['min_length']} in it"
        case "too_long" | "string_too_long":
            return f"got {_came(detail['input'])}; expected at most {detail['ctx']['max_length']} in it"
        case "string_pattern_mismatch":
            return f"got {_came(detail['input'])}; expected one of the form {detail['ctx']['pattern']}"
        case _:
            return f"got {_came(detail['input'])}; expected {_SHOULD.sub('', detail['msg'])}"


def _known(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"expected {', '.join(names) or 'no field at all'}"


def _came(value: Any) -> str:
    """What came, without a letter of it."""
    if isinstance(value, str):
        return f"a text of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value) if isinstance(value, (int, float)) else "a value"
