"""``tickets``: the embedded ticket desk."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from functools import partial

import click

from gateway.acts.decisions import hand_over_decision
from gateway.acts.history import who_did
from gateway.acts.tickets import (
    assign_ticket,
    change_severity,
    close_ticket,
    hand_off_ticket,
    open_ticket,
    widen_incident,
)
from gateway.catalog.customers import Customer
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json
from gateway.cli.output import counted, plain, show_many, show_one, tell
from gateway.cli.values import LINE, TICKET
from gateway.clock import rfc3339
from gateway.errors import NotFound, UsageError
from gateway.justification import EVERY_CUSTOMER, QUEUE_AT_HOME, Nature, Ticket, TicketEvent, TicketKind
from gateway.ledger.accesses import accesses
from gateway.ledger.reader import LedgerReader, Projection

COLUMNS = ("id", "kind", "severity", "customers", "title", "state", "holder", "opened", "queued_until", "closed")
REPORT = (
    "time", "subject", "country", "customer", "data_class", "action", "path", "bytes", "outcome", "rule", "decision"
)  # fmt: skip
STATES = ("open", "queued", "assigned", "closed")

_ticket = click.argument("ticket", shell_complete=ids(Ticket))
_customers = click.option(
    "--customer",
    "named",
    multiple=True,
    help="A customer that it names; several may be given.",
    shell_complete=ids(Customer),
)


@click.group()
def tickets() -> None:
    """Support cases, security incidents and bugs."""


@tickets.command()
@click.argument("ticket", type=TICKET)
@click.option("--kind", type=click.Choice([kind.value for kind in TicketKind]), required=True, help="What it is about.")
@_customers
@click.option("--all-customers", is_flag=True, help="A security ticket that concerns every customer.")
@click.option("--severity", type=click.IntRange(1, 4), help="Of a support ticket: 1 (critical) to 4.")
@click.option(
    "--nature",
    type=click.Choice([nature.value for nature in Nature]),
    help="Of a security ticket; an incident unless given.",
)
@click.option("--title", type=LINE, required=True, help="In one line.")
@click.option("--holder", type=LINE, default="", help="Who works on it.")
@click.option("--holder-country", metavar="XX", default="", help="From which country, if no directory says it.")
@acting
@as_json
@click.pass_obj
def add(
    operation: Operation,
    ticket: str,
    kind: str,
    named: tuple[str, ...],
    all_customers: bool,
    severity: int | None,
    nature: str | None,
    title: str,
    holder: str,
    holder_country: str,
    actor: str,
    as_json: bool,
) -> None:
    """Open a ticket. A protected customer's case goes to the queue of US analysts."""
    if holder_country and not holder:
        raise UsageError("--holder-country came without --holder; say who works on it")
    opened = open_ticket(
        operation.office,
        operation.actor(actor),
        id=ticket,
        kind=TicketKind(kind),
        customers=_named(named, all_customers),
        title=title,
        severity=severity or 0,
        nature=nature or "",
        holder=holder,
        holder_country=holder_country.upper(),
    )
    tell(_standing(operation, opened), as_json=as_json)
    _show(operation, opened, as_json=as_json)


@tickets.command(name="list")
@click.option("--all", "closed_too", is_flag=True, help="Closed ones too.")
@click.option("--kind", type=click.Choice([kind.value for kind in TicketKind]), help="Only of this kind.")
@click.option("--customer", help="Only those that name this customer.", shell_complete=ids(Customer))
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--holder", help="Only of this holder; us-queue holds what waits for an analyst at home.")
@as_json
@click.pass_obj
def list_(
    operation: Operation,
    closed_too: bool,
    kind: str | None,
    customer: str | None,
    state: str | None,
    holder: str | None,
    as_json: bool,
) -> None:
    """Tickets that are not closed."""
    rows = (
        _row(operation, ticket)
        for ticket in operation.state.all(Ticket)
        if kind in (None, ticket.kind)
        and (customer is None or ticket.covers(customer))
        and holder in (None, ticket.holder)
    )
    wanted = {state} if state else set(STATES) if closed_too else set(STATES) - {"closed"}
    found = (row for row in rows if row["state"] in wanted)
    show_many(found, COLUMNS, as_json=as_json, empty="no such ticket" if state or closed_too else "no open tickets")


@tickets.command()
@_ticket
@as_json
@click.pass_obj
def show(operation: Operation, ticket: str, as_json: bool) -> int:
    """One ticket with its history; one of another system as that says it is at this moment."""
    tracker = operation.owner(ticket)
    if tracker:
        return _show_tracked(operation, tracker, ticket, as_json=as_json)
    with operation.state.transaction() as reading:
        noun = reading.get(Ticket, ticket)
        events = reading.all(TicketEvent, ticket=ticket)
    history = [
        {"at_us": event.at_us, "actor": event.actor, "act": event.act, "detail": event.detail, "via": event.via}
        for event in events
    ]
    show_one(_row(operation, noun) | {"history": history}, as_json=as_json)
    return 0


def _show_tracked(operation: Operation, tracker: str, ticket: str, *, as_json: bool) -> int:
    answer = operation.said(tracker, ticket)
    said = {f"{tracker}.{name}": list(words) for name, words in answer.said.items()}
    show_one(plain(answer.ticket or {"id": ticket}) | {"problem": answer.problem} | said, as_json=as_json)
    return 0 if answer.ticket else 1


@tickets.command()
@_ticket
@acting
@as_json
@click.pass_obj
def close(operation: Operation, ticket: str, actor: str, as_json: bool) -> None:
    """Close a ticket; whatever it justified ends with it."""
    operation.own_ticket(ticket)
    closed = close_ticket(operation.office, operation.actor(actor), ticket)
    _tell_ended(operation, f"{ticket} is closed", as_json=as_json)
    _show(operation, closed, as_json=as_json)


@tickets.command()
@_ticket
@click.option("--to", "holder", type=LINE, required=True, help="Who works on it from now on.")
@click.option("--country", metavar="XX", default="", help="Where they work, if no directory says it.")
@acting
@as_json
@click.pass_obj
def assign(operation: Operation, ticket: str, holder: str, country: str, actor: str, as_json: bool) -> None:
    """Say who works on a ticket. A protected customer's case is assigned to analysts at home only."""
    who = operation.actor(actor)
    operation.own_ticket(ticket)
    assigned = assign_ticket(operation.office, who, ticket, holder=holder, country=country.upper())
    _tell_ended(operation, _standing(operation, assigned), as_json=as_json)
    _show(operation, assigned, as_json=as_json)


@tickets.command()
@_ticket
@click.option("--to", "level", type=click.IntRange(1, 4), required=True, help="From now on: 1 (critical) to 4.")
@click.option("--reason", required=True, help="Why, for the record.")
@acting
@as_json
@click.pass_obj
def severity(operation: Operation, ticket: str, level: int, reason: str, actor: str, as_json: bool) -> None:
    """Say how severe a case is. One of severity 1 is supported at any time, the others wait for the next opening."""
    operation.own_ticket(ticket)
    changed = change_severity(operation.office, operation.actor(actor), ticket, severity=level, why=reason)
    how = f"{ticket} has severity {level}"
    tell(how if operation.written else f"{how} already; nothing changed", as_json=as_json)
    _show(operation, changed, as_json=as_json)


@tickets.command()
@_ticket
@_customers
@click.option("--all-customers", is_flag=True, help="Every customer.")
@acting
@as_json
@click.pass_obj
def widen(
    operation: Operation, ticket: str, named: tuple[str, ...], all_customers: bool, actor: str, as_json: bool
) -> None:
    """Let a security ticket name more customers."""
    operation.own_ticket(ticket)
    customers = _named(named, all_customers)
    widened = widen_incident(operation.office, operation.actor(actor), ticket, customers=customers)
    concerns = f"{ticket} concerns {_spoken(widened.customers)}"
    tell(concerns if operation.written else f"{concerns} already; nothing changed", as_json=as_json)
    _show(operation, widened, as_json=as_json)


@tickets.command()
@click.argument("ticket", required=False, default="", shell_complete=ids(Ticket))
@click.option(
    "--decision", default="", metavar="ID", help="The denial that led here: its ticket, or a case that is opened."
)
@acting
@as_json
@click.pass_obj
def handoff(operation: Operation, ticket: str, decision: str, actor: str, as_json: bool) -> None:
    """Send to US Analyst: move a ticket to the queue at home, and end what it gave anybody outside."""
    if not ticket and not decision:
        raise UsageError("no ticket is named, and no denial; name the one to hand off, or --decision ID")
    denied = _denied(operation, decision) if decision else {}
    if ticket:
        moved = hand_off_ticket(operation.office, operation.actor(actor), ticket, decision=decision)
    else:
        earlier = partial(_earlier, operation)
        moved = hand_over_decision(operation.office, operation.actor(actor), denied, earlier=earlier)
    _tell_ended(operation, _where(moved), as_json=as_json)
    _show(operation, moved, as_json=as_json)


@tickets.command()
@_ticket
@acting
@as_json
@click.pass_obj
def report(operation: Operation, ticket: str, actor: str, as_json: bool) -> None:
    """Who read what under a ticket, from the record: every permitted access that cited it.

    Asking is itself recorded.
    """
    noun = operation.ticket(ticket)
    with LedgerReader(operation.settings.ledger.path, operation.pseudonyms) as reader:
        operation.record("ticket.report", ticket, actor=operation.actor(actor).name, ticket=ticket)
        found = list(accesses(reader, ticket))
    if noun.is_open:
        tell(f"{ticket} is still open: this is what was read until now", as_json=as_json)
    show_many(found, REPORT, as_json=as_json, empty=f"nobody read anything under {ticket}")
    with operation.state.transaction() as reading:
        events = reading.all(TicketEvent, ticket=ticket)
    for what in ("open", "widen"):
        if by := who_did(f"ticket.{what}", events):
            tell(f"{ticket} was {what}ed by {', '.join(by)}", as_json=as_json)
    people, size = {access.subject for access in found}, sum(access.bytes for access in found)
    who = counted(len(people), "person or service", "people or services")
    tell(f"{counted(len(found), 'access', 'accesses')} by {who}, {counted(size, 'byte', 'bytes')}", as_json=as_json)


def _named(named: tuple[str, ...], all_customers: bool) -> tuple[str, ...]:
    return (EVERY_CUSTOMER,) if all_customers else named


def _denied(operation: Operation, decision: str) -> Projection:
    """A denial, as recorded.

    Raises:
        NotFound: no such decision.
        UsageError: it is a permit.
    """
    with LedgerReader(operation.settings.ledger.path, operation.pseudonyms) as reader:
        found = next((entry for entry in reader.show(decision) if entry["kind"] == "decision"), None)
    if found is None:
        raise NotFound(f"the ledger has no decision {decision!r}")
    if found["effect"] != "deny":
        raise UsageError(f"{decision} is a permit; expected the denial that led here")
    return found


def _earlier(operation: Operation, decision: str) -> Projection | None:
    with suppress(NotFound, UsageError):
        return _denied(operation, decision)
    return None


def _where(ticket: Ticket) -> str:
    if not ticket.is_open:
        return f"{ticket.id} is closed"
    queue = ticket.holder == QUEUE_AT_HOME
    return f"{ticket.id} is in the queue of US analysts" if queue else f"{ticket.id} is with {ticket.holder}, at home"


def _standing(operation: Operation, ticket: Ticket) -> str:
    """Where a ticket stands, and from when on it is worked on."""
    now_us = operation.clock.now_us()
    how = {"queued": "is in the queue of US analysts", "assigned": f"is with {ticket.holder}", "open": "is open"}
    when = f"; work may begin at {rfc3339(ticket.queued_until_us)}" if ticket.queued_until_us > now_us else ""
    return f"{ticket.id} {how.get(ticket.state(now_us), 'is closed')}{when}"


def _spoken(customers: tuple[str, ...]) -> str:
    return "every customer" if EVERY_CUSTOMER in customers else ", ".join(customers)


def _tell_ended(operation: Operation, what: str, *, as_json: bool) -> None:
    """What an act ended, as it was written down."""
    ended = [key for entry in operation.written for key in entry["details"].get("ended", ())]
    how = f"ended with it: {', '.join(ended)}" if ended else "nothing else ended"
    tell(f"{what}; {how}" if operation.written else f"{what} already; nothing changed", as_json=as_json)


def _row(operation: Operation, ticket: Ticket) -> dict[str, object]:
    return dataclasses.asdict(ticket) | {"state": ticket.state(operation.clock.now_us())}


def _show(operation: Operation, ticket: Ticket, *, as_json: bool) -> None:
    show_one(_row(operation, ticket), as_json=as_json)
