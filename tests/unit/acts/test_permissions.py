"""Who may do what: every role against every act, as shipped; and what happens when they may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.acts import Actor, Permissions
from gateway.acts.access import (
    approve_access,
    consent_to_access,
    deny_access,
    revoke_grant,
    withdraw_access,
)
from gateway.acts.authorizations import record_authorization, withdraw_authorization
from gateway.acts.customers import add_customer, change_seats, enable_plan, end_plan, order_plan, set_conditions
from gateway.acts.passes import Wish, mint_pass, revoke_pass
from gateway.acts.permissions import ACTS
from gateway.acts.tickets import (
    assign_ticket,
    change_severity,
    close_ticket,
    hand_off_ticket,
    open_ticket,
    widen_incident,
)
from gateway.catalog import Customer
from gateway.errors import Forbidden, GatewayError, PolicyError
from gateway.justification import TicketKind
from gateway.policy import default_directory
from tests.world.office import ADA, ADMIN, BO, EVERYBODY, INFOSEC, MANAGER, OPERATOR, Bureau

ROLES = ("engineer", "approver", "support", "infosec", "account_manager", "auditor", "admin", "customer")

# Worked out from the issue: engineers ask, approvers answer, support and account managers look after tickets, plans and
# authorizations, infosec after incidents, auditors read; customers say what is their own to say.
#                          E  A  S  I  M  O  R  C   (engineer approver support infosec manager auditor root customer)
TABLE = {
    "ticket.open":            "x . x x x . x .",
    "ticket.open-security":   ". . . x . . x .",
    "ticket.close":           "x . x x . . x .",
    "ticket.assign":          "x . x x . . x .",
    "ticket.handoff":         "x x x x x . x .",
    "ticket.widen":           ". . . x . . x .",
    "ticket.severity":        ". . x . . . x .",
    "access.request":         "x . . . . . . .",
    "access.withdraw":        "x . . . . . . .",
    "access.approve":         ". x . . . . . .",
    "access.deny":            ". x . . . . . .",
    "access.consent":         ". . . . . . . x",
    "access.revoke":          ". x . x . . x .",
    "authorization.record":   ". . . . x . x .",
    "authorization.withdraw": ". . . . x . x x",
    "customer.add":           ". . . . x . x .",
    "customer.change":        ". . . . x . x x",
    "customer.weaken":        ". . . . . . x x",
    "plan.order":             ". . . . x . x .",
    "plan.enable":            ". . . . x . x .",
    "plan.seats":             ". . . . x . x .",
    "plan.end":               ". . . . . . x .",
    "transfer.pass-mint":     "x . x x x . x .",
    "transfer.pass-revoke":   "x x x x x . x .",
}  # fmt: skip

BESIDE = {"customer.weaken": "customer.change"}
"""What an act takes beside, and is asked for first."""

DO: dict[str, Callable[[Bureau, Actor], object]] = {
    "ticket.open": lambda b, a: open_ticket(b.office, a, id="T", kind=TicketKind.BUG, customers=["acme"], title="t"),
    "ticket.open-security": lambda b, a: open_ticket(
        b.office, a, id="T", kind=TicketKind.SECURITY, customers=["acme"], title="t"
    ),
    "ticket.close": lambda b, a: close_ticket(b.office, a, "none"),
    "ticket.assign": lambda b, a: assign_ticket(b.office, a, "none", holder="sam"),
    "ticket.handoff": lambda b, a: hand_off_ticket(b.office, a, "none"),
    "ticket.widen": lambda b, a: widen_incident(b.office, a, "none", customers=["acme"]),
    "ticket.severity": lambda b, a: change_severity(b.office, a, "none", severity=1, why="all lines down"),
    "access.request": lambda b, a: b.ask(a, ticket="none"),
    "access.withdraw": lambda b, a: withdraw_access(b.office, a, "none"),
    "access.approve": lambda b, a: approve_access(b.office, a, "none"),
    "access.deny": lambda b, a: deny_access(b.office, a, "none", why="no need"),
    "access.consent": lambda b, a: consent_to_access(b.office, a, "none"),
    "access.revoke": lambda b, a: revoke_grant(b.office, a, "none", why="found it"),
    "authorization.record": lambda b, a: record_authorization(
        b.office, a, customer="none", given_by="Ada", received="letter", data_classes=["case"]
    ),
    "authorization.withdraw": lambda b, a: withdraw_authorization(b.office, a, "none"),
    "customer.add": lambda b, a: add_customer(b.office, a, id="new", name="New"),
    "customer.change": lambda b, a: set_conditions(b.office, a, "none", approvers=1, consent=False),
    "customer.weaken": lambda b, a: set_conditions(b.office, a, "acme", approvers=1, consent=False),
    "plan.order": lambda b, a: order_plan(b.office, a, "none", seats=1),
    "plan.enable": lambda b, a: enable_plan(b.office, a, "none"),
    "plan.seats": lambda b, a: change_seats(b.office, a, "none", seats=1),
    "plan.end": lambda b, a: end_plan(b.office, a, "none"),
    "transfer.pass-mint": lambda b, a: mint_pass(b.office, a, Wish("none")),
    "transfer.pass-revoke": lambda b, a: revoke_pass(b.office, a, "none"),
}


def attempt(bureau: Bureau, act: str, actor: Actor) -> str:
    """Why the permissions refuse the act, or ""; the rules of the act itself do not matter here."""
    try:
        DO[act](bureau, actor)
    except Forbidden as error:
        return str(error)
    except GatewayError:
        pass
    return ""


@pytest.mark.parametrize("act", TABLE)
def test_every_role_may_do_what_the_table_says_and_nothing_else(bureau: Bureau, act: str) -> None:
    """Whoever may not is told which roles may, and nothing is written; whoever may meets the rules of the act."""
    expected = {role for role, mark in zip(ROLES, TABLE[act].split(), strict=True) if mark == "x"}
    may = set()
    for actor, role in zip(sorted(EVERYBODY, key=lambda one: ROLES.index(min(one.roles))), ROLES, strict=True):
        if act == "customer.weaken":
            set_conditions(bureau.office, OPERATOR, "acme", approvers=2, consent=True)
        before, written = bureau.snapshot(), len(bureau.entries)
        refused = attempt(bureau, act, actor)
        if not refused:
            may.add(role)
            continue
        assert f"may not {act}" in refused or f"may not {BESIDE.get(act)}" in refused
        assert (bureau.snapshot(), len(bureau.entries)) == (before, written)
    assert may == expected


def test_every_act_that_changes_something_is_in_the_tables() -> None:
    """Beside them there is only reading."""
    reading = {act for act in ACTS if act.endswith((".quote", ".report")) or "read" in act}
    assert set(TABLE) == set(DO) == ACTS - reading


@pytest.mark.parametrize("act", DO)
def test_operator_at_the_keyboard_may_do_everything(bureau: Bureau, act: str) -> None:
    """What it meets are the rules of the act."""
    assert not attempt(bureau, act, OPERATOR)


def test_a_customers_user_has_the_role_customer_alone_whatever_the_token_says() -> None:
    """And nobody else has it."""
    permissions = Permissions.load(default_directory())
    everything = frozenset(ROLES)
    theirs = {act for act in ACTS if permissions.allows(Actor("ada", everything, customer="acme"), act)}
    assert theirs == {act for act in ACTS if "customer" in permissions.roles[act]}
    assert not any(permissions.allows(Actor("eve", frozenset({"customer"})), act) for act in ACTS)


def test_what_no_line_allows_nobody_may(tmp_path: Path) -> None:
    """A missing line denies, and the message says that nobody may."""
    (tmp_path / "control.toml").write_text('[act]\n"access.approve" = []\n', "utf-8")
    permissions = Permissions.load(tmp_path)
    for act in ("access.approve", "ticket.open"):
        with pytest.raises(Forbidden, match="it takes one of these roles: nobody"):
            permissions.require(Actor("dana", frozenset(ROLES)), act)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("[act", "not a TOML file"),
        ("", "expected one table"),
        ("[act]\n[more]\n", "expected one table"),
        ('[act]\n"ticket.burn" = ["admin"]\n', "act.ticket.burn: unknown"),
        ('[act]\n"ticket.open" = "admin"\n', "act.ticket.open: expected a list of roles"),
        ('[act]\n"ticket.open" = [1]\n', "act.ticket.open: expected a list of roles"),
        ('[act]\n"ticket.open" = [""]\n', "act.ticket.open: expected a list of roles"),
    ],
)
def test_permissions_that_cannot_be_read_are_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """With a line for every fault."""
    if text is not None:
        (tmp_path / "control.toml").write_text(text, "utf-8")
    with pytest.raises(PolicyError, match=said):
        Permissions.load(tmp_path)


def test_request_access_is_for_oneself(bureau: Bureau) -> None:
    """Who asks is who gets it; the record names the tool that asked for them."""
    bureau.bug()
    bureau.entries.clear()
    asked = bureau.ask(Actor("priya", frozenset({"engineer"}), via="helpdesk"))
    assert (asked.subject, bureau.entries[0]["actor"], bureau.entries[0]["details"]["via"]) == (
        "priya",
        "priya",
        "helpdesk",
    )


@pytest.mark.parametrize("changes", [{"approvers": 1}, {"consent": False}, {"approvers": 1, "consent": True}])
def test_who_looks_after_a_customer_strengthens_its_conditions_and_does_not_weaken_them(
    bureau: Bureau, changes: dict[str, Any]
) -> None:
    """Less takes the customer's own user, of that customer, or an admin; the same again is no less."""
    strong = set_conditions(bureau.office, MANAGER, "acme", approvers=2, consent=True)
    assert set_conditions(bureau.office, MANAGER, "acme", approvers=2) == strong
    with pytest.raises(Forbidden, match=r"maria may not customer\.weaken; .*: admin, customer"):
        set_conditions(bureau.office, MANAGER, "acme", **changes)
    with pytest.raises(Forbidden, match="about another customer than globex"):
        set_conditions(bureau.office, BO, "acme", **changes)
    assert bureau.state.get(Customer, "acme") == strong
    assert set_conditions(bureau.office, ADA, "acme", **changes) != strong


def test_security_ticket_about_every_customer_takes_what_widening_takes(bureau: Bureau) -> None:
    """Else whoever opens one would name more customers than they may add to it."""
    roles = {**bureau.office.permissions.roles, "ticket.widen": frozenset({"admin"})}
    office = replace(bureau.office, permissions=Permissions(roles))
    with pytest.raises(Forbidden, match=r"liam may not ticket\.widen"):
        open_ticket(office, INFOSEC, id="INC-1", kind=TicketKind.SECURITY, customers=["*"], title="Leaked key")
    open_ticket(office, INFOSEC, id="INC-1", kind=TicketKind.SECURITY, customers=["acme"], title="Leaked key")
    open_ticket(office, ADMIN, id="INC-2", kind=TicketKind.SECURITY, customers=["*"], title="Leaked key")
