"""Which role may make which call: every operation by every role, held against ``policies/control.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest

from gateway.console import OPERATIONS
from gateway.demo.world import Person
from tests.integration.console.callers import ASKED, BY_ROLE, ETL, NIL, Api

EXAMPLES: dict[str, tuple[str, str, str, Any]] = {
    "me": ("", "GET", "/me", None),
    "customers.list": ("customer.read", "GET", "/customers", None),
    "customers.add": ("customer.add", "POST", "/customers", {"id": "new", "name": "New"}),
    "customers.show": ("customer.read", "GET", "/customers/acme", None),
    "customers.conditions": ("customer.change", "PATCH", "/customers/acme", {"approvers": 1}),
    "plans.order": ("plan.order", "POST", "/customers/delta/plans", {"seats": 5}),
    "plans.enable": ("plan.enable", "POST", "/customers/acme/plans/enable", {}),
    "plans.seats": ("plan.seats", "POST", "/customers/acme/plans/seats", {"seats": 5}),
    "plans.end": ("plan.end", "POST", "/customers/cascade/plans/end", {}),
    "quote": ("plan.quote", "GET", "/quote?seats=10", None),
    "tickets.list": ("ticket.read", "GET", "/tickets", None),
    "tickets.open": (
        "ticket.open",
        "POST",
        "/tickets",
        {"id": "BUG-70", "kind": "bug", "customers": ["acme"], "title": "Odd"},
    ),
    "tickets.show": ("ticket.read", "GET", "/tickets/CASE-5", None),
    "tickets.assign": ("ticket.assign", "POST", "/tickets/BUG-9/assign", {"holder": "priya"}),
    "tickets.handoff": ("ticket.handoff", "POST", "/tickets/CASE-5/handoff", {}),
    "decisions.handoff": ("ticket.handoff", "POST", "/decisions/none/handoff", {}),
    "tickets.severity": (
        "ticket.severity",
        "POST",
        "/tickets/CASE-5/severity",
        {"severity": 1, "why": "all lines down"},
    ),
    "tickets.widen": ("ticket.widen", "POST", "/tickets/INC-7/widen", {"customers": ["borealis"]}),
    "tickets.close": ("ticket.close", "POST", "/tickets/CASE-1/close", {}),
    "tickets.report": ("ticket.report", "GET", "/tickets/INC-7/report", None),
    "access.list": ("access.read", "GET", "/access-requests", None),
    "access.request": ("access.request", "POST", "/access-requests", ASKED),
    "access.show": ("access.read", "GET", "/access-requests/R-none", None),
    "access.approve": ("access.approve", "POST", "/access-requests/R-none/approve", {}),
    "access.deny": ("access.deny", "POST", "/access-requests/R-none/deny", {"why": "no need"}),
    "access.withdraw": ("access.withdraw", "POST", "/access-requests/R-none/withdraw", {}),
    "access.consent": ("access.consent", "POST", "/access-requests/R-none/consent", {}),
    "grants.list": ("access.read", "GET", "/grants", None),
    "grants.show": ("access.read", "GET", "/grants/G-1", None),
    "grants.revoke": ("access.revoke", "POST", "/grants/G-1/revoke", {"why": "found it"}),
    "authorizations.list": ("authorization.read", "GET", "/authorizations", None),
    "authorizations.record": (
        "authorization.record",
        "POST",
        "/authorizations",
        {"customer": "acme", "given_by": "Ada", "received": "letter", "data_classes": ["case"], "ticket": "CASE-5"},
    ),
    "authorizations.show": ("authorization.read", "GET", "/authorizations/A-1", None),
    "authorizations.withdraw": ("authorization.withdraw", "POST", "/authorizations/A-1/withdraw", {}),
    "uploads.list": ("customer.read", "GET", "/customers/acme/uploads", None),
    "uploads.add": ("customer.change", "POST", "/customers/acme/uploads", {"name": "nightly"}),
    "uploads.show": ("customer.read", "GET", "/customers/acme/uploads/none", None),
    "uploads.password": ("customer.change", "POST", "/customers/acme/uploads/none/password", {}),
    "uploads.add-key": ("customer.change", "POST", "/customers/acme/uploads/none/keys", {"public_key": "ssh"}),
    "uploads.remove-key": (
        "customer.change",
        "POST",
        "/customers/acme/uploads/none/keys/remove",
        {"public_key": "ssh"},
    ),
    "uploads.close": ("customer.change", "POST", "/customers/acme/uploads/none/close", {}),
    "uploads.reopen": ("customer.change", "POST", "/customers/acme/uploads/none/reopen", {}),
    "passes.list": ("transfer.pass-read", "GET", "/passes", None),
    "passes.mint": ("transfer.pass-mint", "POST", "/passes", {"customer": "acme"}),
    "passes.show": ("transfer.pass-read", "GET", "/passes/pass-none", None),
    "passes.revoke": ("transfer.pass-revoke", "POST", "/passes/pass-none/revoke", {}),
}
"""By operation: the act that it takes, and a call of it that somebody who may could make."""
RECORDED = {"uploads.add": "customer.upload-add"}
"""The name of an act in the record, where it is another than that of the permission."""


def _allowed(api: Api, act: str) -> set[str]:
    """The roles that the file allows an act; read here without the code that reads it there."""
    path = api.site.world.settings.policy.directory / "control.toml"
    return set(BY_ROLE) if act == "" else set(tomllib.loads(path.read_text("utf-8"))["act"][act])


def test_every_operation_has_an_example() -> None:
    """None is left out of the matrix."""
    assert {operation.name for operation in OPERATIONS} == set(EXAMPLES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_an_operation_is_for_the_roles_that_the_permissions_name(api: Api, operation: Any) -> None:
    """Whoever holds none of them gets a 403; either is on record with who called, from where, and what came of it."""
    act, method, path, body = EXAMPLES[operation.name]
    allowed = _allowed(api, act)
    for role, person in BY_ROLE.items():
        before = len(api.entries())
        answered = await api(person, method, path, body)
        refused = answered.status == 403
        assert refused == (role not in allowed), (role, answered.status, answered.text)
        assert answered.status in (200, 201, 403, 404, 409), answered.text
        entries = api.entries(before)
        assert {(entry["actor"], entry["details"]["client_address"]) for entry in entries} == {
            (person.name, person.address)
        }
        *before_it, last = entries
        assert last["act"].removeprefix("api.") in (operation.name, RECORDED.get(operation.name, act)), "one of it"
        assert [entry["object"] for entry in before_it] == last["details"].get("ended", []), "and one of each ending"
        if refused:
            [entry] = entries
            assert entry["act"] == f"api.{operation.name}"
            assert (entry["details"]["outcome"], entry["details"]["status"]) == ("forbidden", 403)
            assert answered.body["type"].endswith("/problems/forbidden")


async def test_a_service_may_what_a_role_of_its_own_may(api: Api) -> None:
    """Its being a service gives it nothing and takes nothing away."""
    watcher = replace(ETL, roles=("service", "auditor"))
    await api.done(watcher, "GET", "/tickets")
    assert (await api(watcher, "POST", "/tickets/CASE-5/close", {})).status == 403


async def test_a_role_named_customer_makes_nobody_a_customers_own_user(api: Api) -> None:
    """That is for the customer claim to say."""
    assert (await api(replace(NIL, roles=("customer",)), "GET", "/customers")).status == 403


@pytest.mark.parametrize("person", BY_ROLE.values(), ids=BY_ROLE)
async def test_me_says_what_one_may(api: Api, person: Person) -> None:
    """The same that the permissions say: what the console shows buttons for."""
    me = (await api.done(person, "GET", "/me")).body
    role = "customer" if person.customer else next(iter(person.roles), "")
    acts = {act for act, *_ in EXAMPLES.values() if act}
    assert acts & set(me["may"]) == {act for act in acts if role in _allowed(api, act)}
    assert (me["subject"], me["customer"]) == (person.name, person.customer)
