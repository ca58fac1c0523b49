"""The OpenAPI document of the control API, made from the table of operations and nothing else (OpenAPI 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.console import problems, reading, shown
from gateway.console.asked import Nothing
from gateway.console.operation import PREFIX, Operation
from gateway.console.values import MAX_KEY

DOCUMENT_PATH = "/openapi.json"
VERSION = "1"
_SCHEMAS = "#/components/schemas/"
_PROBLEM = "application/problem+json"
_TAG = {"type": "string", "pattern": r'^"[!#-~]*"$'}

_HEADERS: dict[str, Any] = {
    "ETag": {"description": "The version of what is shown, for `If-Match`.", "schema": _TAG},
    "Location": {"description": "Where what was made can be read.", "schema": {"type": "string"}},
    "Link": {"description": 'Where the list goes on, rel="next" (RFC 8288).', "schema": {"type": "string"}},
    reading.REPLAYED: {
        "description": "The call was made before with this key: this is what it was answered then.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Allow": {"description": "The methods that there are.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "WWW-Authenticate": {"description": "What is expected (RFC 6750).", "schema": {"type": "string"}},
    "Accept": {"description": "The media type that is read.", "schema": {"type": "string"}},
}
_PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    415: ("Accept",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_PARAMETERS: dict[str, Any] = {
    reading.KEY: {
        "name": reading.KEY,
        "in": "header",
        "required": False,
        "description": "Makes the call safe to make again: it acts once for each caller and key.",
        "schema": {"type": "string", "pattern": f"^{reading.KEY_PATTERN}$"},
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "Only if this still is the version, as `ETag` gave it; `*` for any.",
        "schema": {
            "anyOf": [{"type": "string", "const": "*"}, {"type": "string", "pattern": r'^"[!#-~]*"(, "[!#-~]*")*$'}]
        },
    },
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document that describes these operations."""
    asked = frozenset(model for operation in operations for model in (operation.body, operation.query) if model)
    answers = frozenset(operation.answer for operation in operations if operation.answer) | {shown.Problem}
    schemas = _schemas(asked, answers)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    queries = {operation.query.__name__ for operation in operations if operation.query}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Residency Gateway: the control API",
            "version": VERSION,
            "summary": "Customers and their plans, tickets, access requests, grants and authorizations.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in queries},
            "responses": {kind.name: _problem(kind) for kind in problems.KINDS.values()},
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of one of the issuers that the doors believe.",
                }
            },
        },
    }


@cache
def _schemas(asked: frozenset[type[BaseModel]], answers: frozenset[type[BaseModel]]) -> Mapping[str, Any]:
    """The schemas of all that is asked for and shown, by the names of their models, each of which is the only one."""
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in asked]
    models += [(model, "serialization") for model in answers]
    models.sort(key=lambda entry: entry[0].__name__)
    _, schemas = models_json_schema(models, ref_template=_SCHEMAS + "{model}")
    found: dict[str, Any] = schemas["$defs"]
    return found


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def statuses(operation: Operation) -> list[int]:
    """The problems that an operation may be answered with."""
    found = {400, 429, 503}
    found |= set() if operation.public else {401, 403}  # 403 without an act, too: a service that calls for somebody
    found |= {404} if "{" in operation.path or operation.acts else set()
    found |= {408, 409, 413, 415} if operation.acts else set()
    found |= {412} if operation.is_conditional else set()
    return sorted(found | {422})


def _described(operation: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.path.split("/")[1]],
        "summary": operation.summary,
        "parameters": list(_parameters(operation, schemas)),
        "responses": {
            str(operation.status): _success(operation),
            **{str(status): _reference("responses", problems.KINDS[status].name) for status in statuses(operation)},
        },
    }
    if operation.act:
        described["description"] = f"Takes `{operation.act}` of the permissions."
    if operation.public:
        described["security"] = []
    if operation.body:
        content = {reading.MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS + operation.body.__name__}}}
        described["requestBody"] = {"required": operation.body is not Nothing, "content": content}
    return described


def _parameters(operation: Operation, schemas: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_KEY}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query:
        asked = schemas[operation.query.__name__]
        for name, schema in asked["properties"].items():
            yield _query_parameter(name, schema, required=name in asked.get("required", ()))
    if operation.is_repeatable:
        yield _reference("parameters", reading.KEY)
    if operation.is_conditional:
        yield _reference("parameters", "If-Match")


def _query_parameter(name: str, schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    """A query has no null: what may be left out is left out."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "description", "anyOf", "default")}
    if "anyOf" in schema:
        [one] = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        kept |= {key: value for key, value in one.items() if key != "title"}
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    parameter: dict[str, Any] = {"name": name, "in": "query", "required": required, "schema": kept}
    if "description" in schema:
        parameter["description"] = schema["description"]
    return parameter


def _success(operation: Operation) -> dict[str, Any]:
    names = []
    if operation.is_single and operation.answer:
        names.append("ETag")
    if operation.status == 201:
        names.append("Location")
    if operation.is_repeatable:
        names.append(reading.REPLAYED)
    if operation.query and "after" in operation.query.model_fields:
        names.append("Link")
    schema: dict[str, Any] = {"type": "object"}
    if operation.answer:
        schema = {"$ref": _SCHEMAS + operation.answer.__name__}
    described: dict[str, Any] = {
        "description": operation.summary,
        "content": {reading.MEDIA_TYPE: {"schema": schema}},
    }
    if names:
        described["headers"] = {name: _reference("headers", name) for name in names}
    return described


def _problem(kind: problems.Kind) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": kind.title,
        "content": {_PROBLEM: {"schema": {"$ref": _SCHEMAS + shown.Problem.__name__}}},
    }
    if names := _PROBLEM_HEADERS.get(kind.status):
        described["headers"] = {name: _reference("headers", name) for name in names}
    return described
