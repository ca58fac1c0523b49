"""What a call is told about its fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.console import asked
from gateway.console.asked import Asked
from gateway.console.faults import faults

ASKED: dict[str, Any] = {
    "ticket": "BUG-9", "customer": "acme", "data_classes": ["case"], "actions": ["read"], "reason": "x",
    "duration_s": 60,
}  # fmt: skip
SECRET = "eyJhbGciOiJub25lIn0.canary.canary"


def told(model: type[Asked], values: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as raised:
        model.model_validate_json(json.dumps(values))
    return list(faults(raised.value, model))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"data_classes": []}, ("data_classes", "got a list of 0; expected at least 1 in it")),
        ({"duration_s": 5}, ("duration_s", "got 5; expected greater than or equal to 60")),
        ({"duration_s": True}, ("duration_s", "got true; expected a valid integer")),
        ({"duration_s": None}, ("duration_s", "got null; expected a valid integer")),
        ({"reason": ""}, ("reason", "got a text of 0; expected at least 1 in it")),
        ({"reason": "x" * 2_001}, ("reason", "got a text of 2001; expected at most 2000 in it")),
        ({"actions": ["look"]}, ("actions.0", "got a text of 4; expected 'read', 'write', 'delete' or 'export'")),
        ({"duration": 60}, ("duration", "unknown; did you mean duration_s?")),
        ({"ticket": {}}, ("ticket", "got an object; expected a valid string")),
    ],
)
def test_a_fault_says_what_came_and_what_was_expected(changed: dict[str, Any], expected: tuple[str, str]) -> None:
    """Once, and at its place."""
    assert told(asked.NewAccessRequest, ASKED | changed) == [expected]


def test_what_is_missing_and_what_no_field_is_like_are_told() -> None:
    """With the fields that there are."""
    assert told(asked.Reason, {"zzz": 1}) == [
        ("why", "nothing came; expected a value"),
        ("zzz", "unknown; expected why"),
    ]
    assert told(asked.Nothing, {"why": 1}) == [("why", "unknown; expected no field at all")]


def test_what_was_refused_is_not_shown_again() -> None:
    """It may have been a credential that stood in the wrong place."""
    values = dict.fromkeys(ASKED, SECRET * 100) | {"actions": [SECRET]}
    assert "canary" not in str(told(asked.NewAccessRequest, values))
