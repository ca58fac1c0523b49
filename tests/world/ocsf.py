"""What is wrong with an OCSF event, by the extract of the schema in ``tests/data/ocsf-1.9.0.json``."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = json.loads((Path(__file__).parents[1] / "data" / "ocsf-1.9.0.json").read_text())
_BY_UID = {found["uid"]: found for found in SCHEMA["classes"].values()}
_INTEGERS = {"integer_t": 31, "long_t": 63, "timestamp_t": 63, "port_t": 16}


def faults(event: dict[str, Any]) -> list[str]:
    """Each fault in words; none for an event that the schema allows."""
    found = _BY_UID.get(event.get("class_uid"))
    if found is None:
        return [f"class {event.get('class_uid')} is unknown"]
    return [*_of_event(event, found), *_of_object(event, found, "event")]


def _of_event(event: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    if event.get("category_uid") != found["category_uid"]:
        yield "another category"
    if event.get("type_uid") != event["class_uid"] * 100 + event.get("activity_id", -1):
        yield "type_uid is not class and activity"
    metadata = event.get("metadata", {})
    if metadata.get("version") != SCHEMA["version"]:
        yield "another version"
    if strange := set(metadata.get("profiles", [])) - set(found["profiles"]):
        yield f"profiles that the class has not: {strange}"


def _of_object(value: dict[str, Any], found: dict[str, Any], where: str) -> Iterator[str]:
    for name, attribute in found["attributes"].items():
        if attribute.get("required") and name not in value:
            yield f"{where} lacks {name}"
    if (any_of := found["constraints"].get("at_least_one")) and not set(any_of) & set(value):
        yield f"{where} has none of {', '.join(any_of)}"
    for name, each in value.items():
        attribute = found["attributes"].get(name)
        if attribute is None:
            yield f"{where} has {name}, which the schema has not"
        elif attribute.get("array"):
            items = each if isinstance(each, list) else [None]
            yield from (fault for item in items for fault in _of_value(item, attribute, f"{where}.{name}[]"))
        else:
            yield from _of_value(each, attribute, f"{where}.{name}")


def _of_value(value: Any, attribute: dict[str, Any], where: str) -> Iterator[str]:
    kind = attribute["type"]
    if value in ("", None, [], {}):
        yield f"{where} is empty"
    elif kind in ("object:object", "json_t"):
        return
    elif kind.startswith("object:"):
        if not isinstance(value, dict):
            yield f"{where} is no object"
            return
        yield from _of_object(value, SCHEMA["objects"][kind.removeprefix("object:")], where)
    elif kind in _INTEGERS:
        if type(value) is not int or value.bit_length() > _INTEGERS[kind]:
            yield f"{where} is no {kind}"
    elif not isinstance(value, str):
        yield f"{where} is no text"
    elif kind == "ip_t":
        ipaddress.ip_address(value)
    if attribute.get("enum") and str(value) not in attribute["enum"]:
        yield f"{where} is {value}, which is none of its values"
