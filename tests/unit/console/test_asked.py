"""What a body or a query may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.console import asked
from gateway.console.asked import Asked

TICKET = {"id": "BUG-1", "kind": "bug", "customers": ["acme"], "title": "Odd"}
GIVEN = {"customer": "acme", "given_by": "Ada", "received": "letter", "data_classes": ["case"]}


def read(model: type[Asked], **values: Any) -> Any:
    return model.model_validate_json(json.dumps(values))


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (asked.NewTicket, {**TICKET, "severity": 5}),
        (asked.NewTicket, {**TICKET, "severity": "3"}),
        (asked.NewTicket, {**TICKET, "severity": True}),
        (asked.NewTicket, {**TICKET, "id": "a\nb"}),
        (asked.NewTicket, {**TICKET, "id": "a\x9b"}),
        (asked.NewTicket, {**TICKET, "id": "a\u2028"}),
        (asked.NewTicket, {**TICKET, "title": "a\u202eb"}),
        (asked.NewTicket, {**TICKET, "title": "a\tb"}),
        (asked.NewTicket, {**TICKET, "holder": "sam\u200f"}),
        (asked.Reason, {"why": "a\x1b[2K"}),
        (asked.Reason, {"why": "a\x85"}),
        (asked.Reason, {"why": "a\u2066"}),
        (asked.Reason, {"why": "a\r\n"}),
        (asked.NewTicket, {**TICKET, "id": "x" * 65}),
        (asked.NewTicket, {**TICKET, "id": "INC 10"}),
        (asked.NewTicket, {**TICKET, "id": "INC/11"}),
        (asked.NewTicket, {**TICKET, "id": "-1"}),
        (asked.NewTicket, {**TICKET, "customers": []}),
        (asked.NewTicket, {**TICKET, "customers": "acme"}),
        (asked.NewTicket, {**TICKET, "customers": ["acme"] * 101}),
        (asked.NewTicket, {**TICKET, "customers": ["Acme"]}),
        (asked.NewTicket, {**TICKET, "holder_country": "us"}),
        (asked.NewTicket, {**TICKET, "closed_us": 1}),
        (asked.Severity, {"severity": 0, "why": "odd"}),
        (asked.Severity, {"severity": 5, "why": "odd"}),
        (asked.Severity, {"severity": "1", "why": "odd"}),
        (asked.Severity, {"severity": 1, "why": ""}),
        (asked.Severity, {"severity": 1}),
        (asked.NewCustomer, {"id": "acme\n", "name": "A"}),
        (asked.NewCustomer, {"id": "acme", "name": "A", "seats": 0}),
        (asked.NewCustomer, {"id": "acme", "name": "A", "plan": "eu-only"}),
        (asked.Conditions, {"approvers": 3}),
        (asked.Conditions, {"consent": None}),
        (asked.Nothing, {"why": ""}),
        (asked.Reason, {}),
        (asked.Reason, {"why": ""}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": "2026-03-01"}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": "2026-03-01T09:00:00"}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": "1700000000"}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": 1_700_000_000}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": "2026-02-30T09:00:00Z"}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": "1969-12-31T09:00:00Z"}),
        (asked.NewAuthorization, {**GIVEN, "ends_at": "9999-12-31T09:00:00Z"}),
        (asked.NewAuthorization, {**GIVEN, "document_sha256": "A" * 64}),
        (asked.NewAuthorization, {**GIVEN, "actions": []}),
        (asked.PageQuery, {"limit": "01"}),
        (asked.PageQuery, {"limit": " 1"}),
        (asked.PageQuery, {"limit": "1_0"}),
        (asked.PageQuery, {"limit": "1e1"}),
        (asked.PageQuery, {"limit": ""}),
        (asked.PageQuery, {"after": ""}),
        (asked.CustomersQuery, {"overdue": "1"}),
        (asked.QuoteQuery, {}),
    ],
)
def test_what_is_not_of_the_one_form_is_refused(model: type[Asked], values: dict[str, Any]) -> None:
    """Nothing is converted, cut or left out in silence."""
    with pytest.raises(ValidationError):
        read(model, **values)


def test_instants_are_read_to_the_microsecond_whatever_their_offset() -> None:
    """RFC 3339 with an offset."""
    given = read(asked.NewAuthorization, **GIVEN, starts_at="2026-03-01T09:00:00.5+01:00", ends_at=None)
    assert (given.starts_at, given.ends_at) == (1_772_352_000_500_000, None)


def test_a_query_is_read_from_texts() -> None:
    """Numbers and truths as they stand in an address."""
    query = read(asked.CustomersQuery, limit="200", overdue="true")
    assert (query.limit, query.overdue, query.after) == (200, True, None)
    assert read(asked.ReportQuery, after="9007199254740991").after == 2**53 - 1


def test_what_is_left_out_of_conditions_is_told_from_what_is_given() -> None:
    """So that it stays as it is."""
    assert read(asked.Conditions, approvers=2).model_fields_set == {"approvers"}


def test_free_text_has_lines_and_tabs() -> None:
    """As people write it."""
    assert read(asked.Reason, why="one\n\ttwo – प्रि").why == "one\n\ttwo – प्रि"
