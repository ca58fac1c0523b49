"""What a tracker's words mean: what the configuration names, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.justification import Answer, FieldMapping, Ticket, TicketKind
from gateway.justification.mapping import instant_us, words_at
from gateway.settings import TrackerSettings
from tests.world.trackers import issue, status

NOW_US = 1_800_000_000_000_000
JIRA: dict[str, Any] = {
    "name": "jira",
    "kind": "jira",
    "pattern": "SEC-[0-9]+",
    "fields": {"customers": "customfield_10050"},
    "kinds": {"Security Incident": "security", "Bug": "bug", "Case": "support"},
    "severities": {"Highest": 1, "High": 2},
}
NOT_TOLD = "SEC-7 cannot be used: its {} (field {}) holds nothing that the configuration maps"


def mapped(fields: dict[str, Any], **settings: Any) -> Answer:
    mapping = FieldMapping.of(TrackerSettings(**JIRA | settings))
    return mapping.answer("SEC-7", partial(words_at, issue("SEC-7", **fields)["fields"]), now_us=NOW_US)


def ticket(fields: dict[str, Any], **settings: Any) -> Ticket:
    found = mapped(fields, **settings).ticket
    assert found is not None
    return found


def test_issue_becomes_a_ticket() -> None:
    """Kind, customers, title, opening; a severity only where it is a support ticket."""
    opened_us = instant_us("2027-01-14T08:12:33.235+00:00")
    assert ticket({}) == Ticket("SEC-7", TicketKind.SECURITY, ("acme",), "Odd sign-ins", opened_us)
    case = ticket({"issuetype": {"name": "Case"}, "assignee": {"accountId": "5b10", "displayName": "Sam"}})
    assert (case.kind, case.severity, case.holder) == (TicketKind.SUPPORT, 2, "5b10")


@pytest.mark.parametrize(
    ("value", "customers"),
    [
        ("acme", ("acme",)),
        (["acme", "borealis", "acme"], ("acme", "borealis")),
        ({"self": "…", "value": "acme", "id": "1"}, ("acme",)),
        ([{"value": "acme"}, {"value": "borealis"}], ("acme", "borealis")),
        ({"name": "acme"}, ("acme",)),
        ([{"workspaceId": "w", "id": "w:88", "objectId": "88"}], ("88",)),
        (7, ("7",)),
        (None, ()),
        ("", ()),
        ([], ()),
        ([None], ()),
        (["acme", {"id": "1"}], ()),
        (["acme", 1.5], ()),
        (["acme", "Borealis Bank"], ()),
        ({"value": "acme", "child": {"value": "EU"}}, ()),
        ({"value": {"value": "acme"}}, ()),
        ("*", ()),
        ("acme,borealis", ()),
        ("../acme", ()),
    ],
)
def test_customers_are_all_told_or_the_ticket_is_of_no_use(value: object, customers: tuple[str, ...]) -> None:
    """Texts, options, several of them, objects of Assets by their id; one that cannot be told spoils the others."""
    answer = mapped({"customfield_10050": value})
    assert (answer.ticket.customers if answer.ticket else ()) == customers
    assert answer.problem == ("" if customers else NOT_TOLD.format("customers", "customfield_10050"))


def test_customers_by_their_names_there() -> None:
    """With a table only its words count, and it alone can say that a security ticket is about all."""
    table = {"Acme Health": "acme", "Everybody": "*"}
    assert ticket({"customfield_10050": "Acme Health"}, customers=table).customers == ("acme",)
    assert mapped({"customfield_10050": "acme"}, customers=table).ticket is None
    assert ticket({"customfield_10050": "Everybody"}, customers=table).customers == ("*",)
    bug = {"customfield_10050": "Everybody", "issuetype": {"name": "Bug"}}
    assert mapped(bug, customers=table).ticket is None


@pytest.mark.parametrize(
    ("fields", "what", "where"),
    [
        ({"issuetype": {"name": "Task"}}, "kind", "issuetype.name"),
        ({"issuetype": {"name": "security incident"}}, "kind", "issuetype.name"),
        ({"issuetype": None}, "kind", "issuetype.name"),
        ({"issuetype": {"name": ["Bug", "Bug"]}}, "kind", "issuetype.name"),
        ({"issuetype": {"name": "Case"}, "priority": {"name": "Lowest"}}, "severity", "priority.name"),
        ({"issuetype": {"name": "Case"}, "priority": None}, "severity", "priority.name"),
        ({"status": None}, "status", "status.statusCategory.key"),
    ],
)
def test_words_that_are_not_mapped_justify_nothing(fields: dict[str, Any], what: str, where: str) -> None:
    """The problem names the field, and nothing that it holds."""
    answer = mapped(fields)
    assert answer.ticket is None
    assert answer.problem == NOT_TOLD.format(what, where)
    assert answer.said["customers"] == ("acme",), "the operator sees what came"


@pytest.mark.parametrize(("category", "is_open"), [("new", True), ("indeterminate", True), ("done", False)])
def test_a_status_is_open_only_where_it_is_listed(category: str, *, is_open: bool) -> None:
    """Jira's categories; what the configuration lists takes their place."""
    assert ticket({"status": status(category)}).is_open is is_open
    assert not ticket({"status": status(category)}, open=("reviewing",)).is_open
    assert not ticket({"status": {"statusCategory": {"key": "undefined"}}}).is_open


def test_closed_ticket_says_since_when() -> None:
    """Or since it was noticed."""
    closed = ticket({"status": status("done"), "resolutiondate": "2027-01-15T00:00:00.000+0000"})
    assert closed.closed_us == instant_us("2027-01-15")
    assert ticket({"status": status("done")}).closed_us == NOW_US


def test_ticket_with_the_analysts_at_home_is_handed_off() -> None:
    """By itself it lets nobody abroad in any more."""
    fields = {"assignee": {"accountId": "us-desk"}}
    assert ticket(fields, home_queues=("us-desk",)).handed_off_us
    assert not ticket(fields).handed_off_us


def test_title_is_one_bounded_line() -> None:
    """It is shown to people."""
    title = ticket({"summary": "a\x1b[31m\r\nb" + "x" * 1_000}).title
    assert title.isprintable()
    assert len(title) == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:01.5+0100", 1_500_000),
        ("1970-01-01 00:00:01", 1_000_000),
        ("1969-01-01", 0),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_instants(text: str, expected: int) -> None:
    """As Jira and ServiceNow write them, the latter in UTC; what is none is not known."""
    assert instant_us(text) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "name", "key", "x"]), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries(dict.fromkeys(["issuetype", "status", "priority", "customfield_10050", "created"], JSON)))
def test_whatever_a_tracker_says_is_a_ticket_or_a_problem(fields: dict[str, Any]) -> None:
    """Never an error."""
    answer = mapped(fields)
    assert (answer.ticket is None) == bool(answer.problem)
