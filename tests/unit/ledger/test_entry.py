"""Canonical form against an independent RFC 8785 implementation, and what is derived from an entry."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.ledger.entry import COLUMNS, MAX_BYTES, MAX_DEPTH, Template, administrative, decode, derive, encode, seal
from gateway.ledger.merkle import leaf_hash
from tests.unit.ledger.entries import completion, decision
from tests.world.clock import FakeClock

LIMIT = 2**53 - 1
names = st.text(st.characters(max_codepoint=127), max_size=8)
scalars = st.one_of(st.text(max_size=20), st.booleans(), st.integers(-LIMIT, LIMIT))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=10
)
objects = st.dictionaries(names, values, max_size=6)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(depth_of, inner), default=0) + isinstance(value, (dict, list))


class Colour(StrEnum):
    RED = "red"


@settings(max_examples=300)
@given(objects.filter(lambda fields: depth_of(fields) <= MAX_DEPTH))
def test_what_is_encoded_is_the_canonical_form(fields: dict[str, Any]) -> None:
    """The bytes are those of RFC 8785."""
    body = encode(fields)
    assert body == rfc8785.dumps(fields)
    assert encode(decode(body)) == body


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        0.5,
        float("nan"),
        None,
        2**53,
        -(2**53),
        b"x",
        {1: "x"},
        {"é": 1},
        {"a": [None]},
        [{"a": 1.5}],
        pytest.param(object(), id="object"),
        "\ud800",
    ],
    ids=repr,
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    """Floats, null, wide integers, names that are not ASCII, and what is not JSON have no place."""
    with pytest.raises(UsageError):
        encode({"a": value})


def test_a_name_of_the_entry_that_is_not_text_is_refused() -> None:
    """Names are text."""
    with pytest.raises(UsageError):
        encode({1: "x"})  # type: ignore[dict-item]


def test_an_error_does_not_repeat_the_value() -> None:
    """What is refused may be a secret."""
    with pytest.raises(UsageError) as refused:
        encode({"a": [b"hunter2"]})
    assert "hunter2" not in str(refused.value)


def test_enumerations_and_tuples_are_written_as_text_and_lists() -> None:
    """What a noun holds need not be copied first."""
    assert encode({"a": Colour.RED, "b": ("x", "y")}) == b'{"a":"red","b":["x","y"]}'


@pytest.mark.parametrize(("depth", "accepted"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (100_000, False)])
def test_nesting_is_bounded(depth: int, accepted: bool) -> None:
    """An entry is nearly flat."""
    value: Any = "x"
    for _ in range(depth - 1):
        value = [value]
    if accepted:
        encode({"a": value})
    else:
        with pytest.raises(UsageError, match="deep"):
            encode({"a": value})


@pytest.mark.parametrize(("excess", "accepted"), [(0, True), (1, False)])
def test_an_entry_that_is_too_long_is_refused(excess: int, accepted: bool) -> None:
    """65,535 bytes are kept; one more is refused, and nothing is cut."""
    fields = {"a": "x" * (MAX_BYTES - len(b'{"a":""}') + excess)}
    if accepted:
        assert len(encode(fields)) == MAX_BYTES
    else:
        with pytest.raises(UsageError, match="65536"):
            encode(fields)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"kind": ""},
        {"version": 2},
        {"id": ""},
        {"id": 7},
        {"time": ""},
        {"time_us": "now"},
        {"time_us": True},
        {"sequence": 4},
    ],
    ids=str,
)
def test_an_entry_that_does_not_say_what_it_is_is_refused(change: dict[str, Any]) -> None:
    """Kind, version, id and time are what every entry has; a sequence is what none has."""
    with pytest.raises(UsageError):
        seal(decision() | change)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"\xff", b"null"])
def test_bytes_that_are_no_object_are_refused(body: bytes) -> None:
    """An entry is one JSON object."""
    with pytest.raises(UsageError):
        decode(body)


def test_sealing_hashes_the_very_bytes() -> None:
    """The leaf hash is over the body."""
    entry = seal(decision(id="d-1"))
    assert entry.leaf_hash == leaf_hash(entry.body)
    assert entry.id == "d-1"


def test_a_decision_is_found_by_what_it_says() -> None:
    """The index of a decision."""
    fields = decision(id="d-1", grant="G-1")
    held = dict(zip(COLUMNS, derive(fields), strict=True))
    assert held == {
        "time_us": fields["time_us"],
        "kind": "decision",
        "id": "d-1",
        "decision": "",
        "customer": "acme",
        "subject": "priya",
        "country": "IN",
        "rule": "outside-home",
        "effect": "deny",
        "store": "crm",
        "ticket": "BUG-9",
        "grant_id": "G-1",
        "object": "",
    }


def test_a_completion_is_found_by_its_decision() -> None:
    """The index of a completion names what it completes."""
    held = dict(zip(COLUMNS, derive(completion(decision(id="d-1"))), strict=True))
    assert (held["decision"], held["customer"], held["country"]) == ("d-1", "", "")


def test_an_administrative_act_is_found_by_actor_object_and_details() -> None:
    """Who did it, to what, and for which customer and ticket."""
    fields = administrative(
        clock=FakeClock(),
        node="n",
        actor="dana",
        act="access.approve",
        subject="G-1",
        details={"customer": "acme", "ticket": "BUG-9", "actions": ("read",), "hours": 4},
    )
    held = dict(zip(COLUMNS, derive(fields), strict=True))
    assert (held["subject"], held["object"], held["customer"], held["ticket"]) == ("dana", "G-1", "acme", "BUG-9")
    assert fields["details"] == {"customer": "acme", "ticket": "BUG-9", "actions": ["read"], "hours": 4}
    assert fields["time"] == "2027-01-15T08:00:00.000000Z"
    assert len(str(fields["id"])) == 36
    seal(fields)


@pytest.mark.parametrize("kind", ["decision", "administrative"])
def test_parts_of_another_shape_are_indexed_as_absent(kind: str) -> None:
    """Deriving never fails: verifying derives from whatever is there."""
    held = derive({"kind": kind, "location": "IN", "details": 7, "id": 5, "time_us": "x", "customer": 7})
    assert held == (0, kind, *[""] * (len(COLUMNS) - 2))


VARYING = {
    "decision": ("id", "path", "reason", "time", "time_us"),
    "completion": ("bytes", "decision", "id", "time", "time_us"),
}


@settings(max_examples=200)
@given(st.sampled_from(["decision", "completion"]), st.text(), st.data())
def test_a_filled_template_is_what_is_sealed(kind: str, constant: str, data: st.DataObject) -> None:
    """Whatever the shared and the varying values hold, body, hash and columns are those of ``seal``."""
    fields = (decision() if kind == "decision" else completion(decision())) | {"subject": constant, "node": "50%s %%"}
    varying = VARYING[kind]
    numbers, texts = st.integers(-LIMIT, LIMIT), st.text(min_size=1)
    values = tuple(data.draw(numbers if type(fields[name]) is int else texts) for name in varying)
    assert Template(fields, varying).fill(values) == seal(fields | dict(zip(varying, values, strict=True)))


@pytest.mark.parametrize(
    "values",
    [
        ("", "/", "t", 1),
        ("i", "/", "", 1),
        ("i", "/", "t", 1.0),
        ("i", "/", "t", True),
        ("i", None, "t", 1),
        ("i", "/", "t", 2**53),
        ("i", "\ud800", "t", 1),
        ("i", "/" * MAX_BYTES, "t", 1),
        ("i", "/", "t"),
        ("i", "/", "t", 1, 1),
    ],
)
def test_a_template_refuses_what_seal_refuses(values: tuple[Any, ...]) -> None:
    """An empty head, another kind of value, a large integer, what is not Unicode, or too many bytes."""
    template = Template(decision(), ("id", "path", "time", "time_us"))
    with pytest.raises(UsageError):
        template.fill(values)


@pytest.mark.parametrize(
    ("fields", "varying"),
    [
        (decision(), ("path", "id", "time", "time_us")),
        (decision(), ("path", "time", "time_us")),
        (decision(), ("id", "kind", "time", "time_us")),
        (decision(), ("id", "rules", "time", "time_us")),
        (
            administrative(clock=FakeClock(), node="n", actor="a", act="b", subject="c", details={}),
            ("id", "time", "time_us"),
        ),
    ],
)
def test_a_template_of_something_else_is_refused(fields: dict[str, Any], varying: tuple[str, ...]) -> None:
    """Another order, a missing name, a fixed field, a list, an administrative act."""
    with pytest.raises(ValueError, match="what varies"):
        Template(fields, varying)
