"""The table of operations, and the document that is made from it."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from gateway.acts.permissions import ACTS
from gateway.console import OPERATIONS, Operation, document, problems
from gateway.console.document import statuses
from gateway.console.operation import PREFIX

DOCUMENT = document(OPERATIONS)
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][PREFIX + operation.path][operation.method.lower()]
    return found


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to."""
    found: Any = DOCUMENT
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def test_each_operation_is_one_of_its_own() -> None:
    """No name and no method of a path twice."""
    assert max(Counter(operation.name for operation in OPERATIONS).values()) == 1
    assert max(Counter((operation.method, operation.path) for operation in OPERATIONS).values()) == 1


@EVERY_OPERATION
def test_what_an_operation_takes_is_an_act_that_there_is(operation: Operation) -> None:
    """Only who one is may be asked without; whatever changes something takes one and reads a body."""
    assert operation.act in ACTS or operation.name == "me"
    assert operation.acts == (operation.body is not None)
    assert not operation.public


@EVERY_OPERATION
def test_everything_about_an_operation_is_described(operation: Operation) -> None:
    """Parameters, headers, body, answers and problems."""
    found = described(operation)
    assert found["operationId"] == operation.name
    assert ("requestBody" in found) == operation.acts
    names = [parameter.get("name") or resolved(parameter)["name"] for parameter in found["parameters"]]
    assert re.findall(r"{(\w+)}", operation.path) == [name for name in names if f"{{{name}}}" in operation.path]
    assert ("Idempotency-Key" in names) == (operation.method == "POST" and not operation.secret)
    assert ("If-Match" in names) == (operation.acts and "{" in operation.path)
    success = found["responses"][str(operation.status)]
    assert ("ETag" in success.get("headers", {})) == operation.is_single
    assert ("Location" in success.get("headers", {})) == (operation.status == 201)
    assert {int(status) for status in found["responses"]} == {operation.status, *statuses(operation)}


@EVERY_OPERATION
def test_what_tells_a_secret_says_so_and_is_never_repeated(operation: Operation) -> None:
    """A password that is shown is told once: no key makes the call tell it again."""
    shown = operation.answer.model_fields if operation.answer else {}
    assert operation.secret == bool({"password", "secret", "token"} & set(shown))
    assert not (operation.secret and operation.is_repeatable)


def test_every_reference_leads_somewhere() -> None:
    """Nothing is named that the document lacks."""
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)))
    assert references
    for reference in references:
        assert resolved({"$ref": reference})


def test_objects_that_are_asked_for_are_closed_and_their_texts_bounded() -> None:
    """No field that is not known, and no text or list without an end."""
    schemas = DOCUMENT["components"]["schemas"]
    bodies = {operation.body.__name__ for operation in OPERATIONS if operation.body}
    for name in bodies:
        assert schemas[name]["additionalProperties"] is False, name
        for field, schema in schemas[name].get("properties", {}).items():
            for choice in [schema, *schema.get("anyOf", [])]:
                if choice.get("type") == "string" and "enum" not in choice and "const" not in choice:
                    assert "maxLength" in choice or choice["pattern"].endswith("$"), (name, field)
                if choice.get("type") == "array":
                    assert "maxItems" in choice, (name, field)


def test_problems_are_told_apart_by_status_and_name() -> None:
    """Each kind has both to itself, and a body of its own media type."""
    assert len({kind.name for kind in problems.KINDS.values()}) == len(problems.KINDS)
    for response in DOCUMENT["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]
