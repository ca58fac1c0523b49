"""What in an entry tells of a person: every field has its place, and what is swapped comes back."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway
from gateway.identity.claims import RESERVED, RESERVED_PREFIXES
from gateway.ledger.entry import administrative
from gateway.ledger.personal import (
    ADDRESSES,
    ASKED,
    NAMES,
    PROGRAM_PREFIXES,
    PROGRAMS,
    TEXTS,
    Swaps,
    in_act,
    in_decision,
)
from tests.unit.ledger.entries import completion, decision
from tests.world.clock import FakeClock

IMPERSONAL = frozenset(
    """
    actions actor_customer actor_issuer actor_kind added any_severity approvers asked by bytes channel consent
    count country customer customers data_classes denial document_sha256 due_us duration_s ended ends_us
    entries event file first grant home in_clear issued_until_us issuer kept_until key keys kind last length
    lost max_bytes max_requests missing name newest next ordered_us outcome plan policy_version problem
    received request requests revocation seats sent_s sessions severity sha256 since starts_us state status ticket
    ticket_kind told undone until via
    """.split()  # noqa: SIM905  one to read
)
"""Details that tell of no person, or (``asked``, ``via``, ``revocation``) only in a part that is swapped by itself."""

CALLS = frozenset({"note", "entry", "write_ticket", "write_history", "record", "_record"})
NO_DETAIL = frozenset({"actor", "act", "subject", "clock", "node", "details", "sees", "expected"})


def _marked(kind: str) -> Any:
    return lambda text: f"{kind}({text})"


SWAPS = Swaps(*map(_marked, ("name", "asked", "address", "text")))


def act(name: str, subject: str = "R-1", actor: str = "dana", **details: Any) -> dict[str, Any]:
    return administrative(clock=FakeClock(), node="n", actor=actor, act=name, subject=subject, details=details)


def written_details() -> set[str]:
    """The names of details that the code gives in calls that end in an administrative entry."""
    found: set[str] = set()
    for path in Path(gateway.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
                called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if called in CALLS:
                    found |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return found - NO_DETAIL


def test_every_detail_that_is_written_has_its_place() -> None:
    """A new one is a name, an address, a text, or tells of nobody: somebody decides, and docs/ledger.md says so."""
    assert written_details() - NAMES - ASKED - ADDRESSES - TEXTS - IMPERSONAL == set()
    assert not IMPERSONAL & (NAMES | ASKED | ADDRESSES | TEXTS)
    assert {"reason", "why", "grantee", "requester", "holder", "given_by", "approved_by"} <= written_details()


def test_what_is_the_gateways_own_is_nobodys_name() -> None:
    """What no token may be named is no person to the record."""
    assert {*RESERVED} <= PROGRAMS
    assert set(RESERVED_PREFIXES) <= set(PROGRAM_PREFIXES)


def test_a_decision_tells_of_a_person_in_four_fields() -> None:
    """All others stay; what is absent stays absent."""
    fields = decision(0, subject="ana", acting_for="ana", client_address="49.36.0.1", reason="so", actor="helpdesk")
    found = in_decision(fields, SWAPS)
    changed = {name: found[name] for name in fields if found[name] != fields[name]}
    assert changed == {
        "subject": "name(ana)", "acting_for": "name(ana)", "client_address": "address(49.36.0.1)", "reason": "text(so)"
    }  # fmt: skip
    assert in_decision({"kind": "decision", "subject": ""}, SWAPS) == {"kind": "decision", "subject": ""}


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (act("access.request", reason="so", customer="acme"), {"reason": "text(so)", "customer": "acme"}),
    (
        act("access.approve", grantee="ana", approved_by="dana, erin"),
        {"grantee": "name(ana)", "approved_by": "name(dana), name(erin)"},
    ),
    (
        act("ticket.assign", holder="ana", previous="us-queue", country_by="dana"),
        {"holder": "name(ana)", "previous": "name(us-queue)", "country_by": "name(dana)"},
    ),
    (act("ticket.severity", previous=3, why="so"), {"previous": 3, "why": "text(so)"}),
    (
        act("ledger.search", asked=["subject=ana", "rule=x", "subject="]),
        {"asked": ["subject=asked(ana)", "rule=x", "subject="]},
    ),
    (act("api.grants.list", client_address="::1"), {"client_address": "address(::1)"}),
    (act("x", via="cli:ana@node-1", actor_kind="operator"), {"via": "cli:name(ana)@node-1", "actor_kind": "operator"}),
    (act("x", via="helpdesk"), {"via": "helpdesk"}),
    (act("ledger.key", previous="origin+1+k"), {"previous": "origin+1+k"}),
]


@pytest.mark.parametrize(("fields", "expected"), CASES)
def test_an_act_tells_of_people_in_its_details(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """By name, address or text; all else stays."""
    found = in_act(fields, SWAPS)
    assert found["details"] == expected
    assert found["actor"] == "name(dana)"
    rest = {"actor", "details"}
    assert {key: found[key] for key in found if key not in rest} == {k: fields[k] for k in fields if k not in rest}


def test_a_revocation_is_of_a_person_or_of_a_token() -> None:
    """Its object, and the id that names the person within it."""
    ended = act("access.end-revocation", "ana", revocation="subject:ana:https://login.example.com/:0")
    found = in_act(ended, SWAPS)
    assert found["object"] == "name(ana)"
    assert found["details"]["revocation"] == "subject:name(ana):https://login.example.com/:0"
    assert in_act(act("access.revoke-subject", "ana"), SWAPS)["object"] == "name(ana)"
    assert in_act(act("access.revoke-subject.undone", "ana"), SWAPS)["object"] == "name(ana)"
    token = act("access.end-revocation", "jti-1", revocation="token:jti-1::0")
    assert in_act(token, SWAPS)["object"] == "jti-1"
    assert in_act(act("api.x", "subject:ana::12"), SWAPS)["object"] == "subject:name(ana)::12"


@pytest.mark.parametrize("actor", ["gateway", "tracker:jira", ""])
def test_a_program_is_no_person(actor: str) -> None:
    """It acts under its own name; whom it names is one all the same."""
    found = in_act(act("grant.expire", actor=actor, grantee="ana"), SWAPS)
    assert (found["actor"], found["details"]["grantee"]) == (actor, "name(ana)")
    assert in_act(act("x", actor="robot", actor_kind="service"), SWAPS)["actor"] == "robot"


@given(st.sampled_from([*(fields for fields, _ in CASES), decision(0, client_address="::1"), completion(decision())]))
def test_what_is_swapped_comes_back(fields: dict[str, Any]) -> None:
    """Showing is recording, the other way round."""
    there = Swaps(*[lambda text: f"~{text}"] * 4)
    back = Swaps(*[lambda text: text.removeprefix("~")] * 4)
    turn = in_decision if fields["kind"] == "decision" else in_act
    assert turn(turn(fields, there), back) == fields
