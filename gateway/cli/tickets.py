"""``tickets``: the embedded ticket desk."""

from __future__ import annotations

from dataclasses import replace

import click

from gateway.catalog.customers import Customer
from gateway.cli.context import Operation, acting, as_json
from gateway.cli.output import show_many, show_one
from gateway.errors import UsageError
from gateway.justification import EVERY_CUSTOMER, Grant, Ticket, TicketKind
from gateway.justification.handoff import hand_off

COLUMNS = ("id", "kind", "severity", "customers", "title", "holder", "opened", "closed")


@click.group()
def tickets() -> None:
    """Support cases, security incidents and bugs."""


@tickets.command()
@click.argument("ticket")
@click.option("--kind", type=click.Choice([kind.value for kind in TicketKind]), required=True, help="What it is about.")
@click.option("--customer", "named", multiple=True, help="A customer that it names; several may be given.")
@click.option("--all-customers", is_flag=True, help="A security ticket that concerns every customer.")
@click.option("--severity", type=click.IntRange(1, 4), help="Of a support ticket: 1 (critical) to 4.")
@click.option("--title", required=True, help="In one line.")
@click.option("--holder", default="", help="Who works on it.")
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
    title: str,
    holder: str,
    actor: str,
    as_json: bool,
) -> None:
    """Open a ticket."""
    if operation.state.find(Ticket, ticket):
        raise UsageError(f"there is a ticket {ticket} already; expected an id that is not taken")
    if all_customers and kind != TicketKind.SECURITY:
        raise UsageError(
            f"--all-customers came with a {kind} ticket; only a security ticket may concern every customer"
        )
    if (severity is None) == (kind == TicketKind.SUPPORT):
        raise UsageError("a support ticket needs --severity 1 to 4, and no other kind has one")
    if not named and not all_customers:
        raise UsageError("name the customer with --customer ID")
    for customer in named:
        operation.state.get(Customer, customer)
    noun = Ticket(
        id=ticket,
        kind=TicketKind(kind),
        customers=(EVERY_CUSTOMER,) if all_customers else named,
        title=title,
        opened_us=operation.clock.now_us(),
        severity=severity or 0,
        holder=holder,
    )
    operation.record("ticket.open", ticket, actor=actor, ticket_kind=kind, customers=list(noun.customers))
    operation.state.put(noun)
    show_one(noun, as_json=as_json)


@tickets.command(name="list")
@click.option("--all", "closed_too", is_flag=True, help="Closed ones too.")
@as_json
@click.pass_obj
def list_(operation: Operation, closed_too: bool, as_json: bool) -> None:
    """Open tickets."""
    found = (ticket for ticket in operation.state.all(Ticket) if ticket.is_open or closed_too)
    show_many(found, COLUMNS, as_json=as_json, empty="no open tickets")


@tickets.command()
@click.argument("ticket")
@as_json
@click.pass_obj
def show(operation: Operation, ticket: str, as_json: bool) -> None:
    """One ticket."""
    show_one(operation.state.get(Ticket, ticket), as_json=as_json)


@tickets.command()
@click.argument("ticket")
@acting
@as_json
@click.pass_obj
def close(operation: Operation, ticket: str, actor: str, as_json: bool) -> None:
    """Close a ticket; whatever it justified ends with it."""
    noun = operation.state.get(Ticket, ticket)
    if noun.is_open:
        operation.record("ticket.close", ticket, actor=actor)
        noun = replace(noun, closed_us=operation.clock.now_us())
        operation.state.put(noun)
    show_one(noun, as_json=as_json)


@tickets.command()
@click.argument("ticket")
@click.option("--to", "holder", required=True, help="Who works on it from now on.")
@acting
@as_json
@click.pass_obj
def assign(operation: Operation, ticket: str, holder: str, actor: str, as_json: bool) -> None:
    """Say who works on a ticket."""
    noun = operation.state.get(Ticket, ticket)
    if not noun.is_open:
        raise UsageError(f"{ticket} is closed; expected an open ticket")
    operation.record("ticket.assign", ticket, actor=actor, holder=holder, previous=noun.holder)
    noun = replace(noun, holder=holder)
    operation.state.put(noun)
    show_one(noun, as_json=as_json)


@tickets.command()
@click.argument("ticket")
@acting
@as_json
@click.pass_obj
def handoff(operation: Operation, ticket: str, actor: str, as_json: bool) -> None:
    """Send to US Analyst: move a ticket to the queue at home, and end what it gave anybody outside."""
    noun = operation.state.get(Ticket, ticket)
    moved, ended = hand_off(noun, operation.state.all(Grant), now_us=operation.clock.now_us())
    if moved is not noun or ended:
        operation.record(
            "ticket.handoff", ticket, actor=actor, previous=noun.holder, ended=[grant.id for grant in ended]
        )
        operation.state.put(moved, *ended)
    show_one(moved, as_json=as_json)
