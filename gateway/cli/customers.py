"""``customers``: who they are, and their plans."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable

import click

from gateway.acts import version_of
from gateway.acts.customers import (
    PLANS,
    add_customer,
    change_seats,
    enable_plan,
    end_plan,
    order_plan,
    set_conditions,
)
from gateway.acts.customers import overdue as overdue_of
from gateway.catalog.customers import Customer, CustomerPlan
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json, instant_us, later_us
from gateway.cli.output import counted, show_many, show_one, tell
from gateway.cli.uploads import uploads
from gateway.cli.values import LINE
from gateway.clock import rfc3339
from gateway.errors import UsageError
from gateway.letters import shown
from gateway.support import quote

COLUMNS = ("id", "name", "plan", "state", "since", "due", "ends", "seats", "monthly_charge")
NOBODY_OVERDUE = "no plan is overdue"
OPENED = (
    "its data is no longer protected: whoever's role allows it reaches it from any country and without a grant, and "
    "stores abroad may hold it"
)

_customer = click.argument("customer", shell_complete=ids(Customer))
_home = click.option(
    "--home", default="", metavar="US,PR", help="The countries that are home to the plan; the policy's unless given."
)


@click.group()
def customers() -> None:
    """Customers and their plans."""


customers.add_command(uploads)


@customers.command()
@click.argument("customer")
@click.option("--name", type=LINE, required=True, help="The customer's name.")
@click.option("--plan", type=click.Choice(PLANS), help="The plan it ordered; none unless given.")
@click.option("--seats", type=click.IntRange(min=1), help="Seats of the plan; 1 unless given.")
@click.option("--new", "is_new", is_flag=True, help="A new customer, being onboarded: the plan is in effect at once.")
@_home
@acting
@as_json
@click.pass_obj
def add(
    operation: Operation,
    customer: str,
    name: str,
    plan: str | None,
    seats: int | None,
    is_new: bool,
    home: str,
    actor: str,
    as_json: bool,
) -> None:
    """Add a customer, with the plan it ordered.

    An existing customer's plan is due two business days after the order, and begins by itself then at the latest.
    """
    who = operation.actor(actor)
    if not plan:
        _require_none({"--seats": seats, "--new": is_new, "--home": home})
    operation.begin()
    added = add_customer(
        operation.office,
        who,
        id=customer,
        name=name,
        plan=plan or "",
        seats=seats or 1,
        is_new=is_new,
        home=_codes(home),
    )
    tell(f"{customer} is added; {_standing(operation, added)}", as_json=as_json)
    _show(operation, added, as_json=as_json)


@customers.command()
@_customer
@click.option("--plan", type=click.Choice(PLANS), default=PLANS[0], show_default=True, help="The plan.")
@click.option("--seats", type=click.IntRange(min=1), required=True, help="Seats of the plan.")
@click.option("--ordered", default="", metavar="TIME", help="When the customer ordered it, if before now.")
@_home
@acting
@as_json
@click.pass_obj
def order(
    operation: Operation, customer: str, plan: str, seats: int, ordered: str, home: str, actor: str, as_json: bool
) -> None:
    """Order a plan for an existing customer; it is due two business days later."""
    changed = order_plan(
        operation.office,
        operation.actor(actor),
        customer,
        seats=seats,
        plan=plan,
        home=_codes(home),
        ordered_us=instant_us(ordered) if ordered else 0,
    )
    tell(_standing(operation, changed), as_json=as_json)
    _show(operation, changed, as_json=as_json)


@customers.command()
@_customer
@acting
@as_json
@click.pass_obj
def enable(operation: Operation, customer: str, actor: str, as_json: bool) -> None:
    """Put an ordered plan in effect now."""
    enabled = enable_plan(operation.office, operation.actor(actor), customer)
    _tell_changed(operation, _standing(operation, enabled), as_json=as_json)
    _show(operation, enabled, as_json=as_json)


@customers.command()
@_customer
@click.argument("seats", type=click.IntRange(min=1))
@acting
@as_json
@click.pass_obj
def seats(operation: Operation, customer: str, seats: int, actor: str, as_json: bool) -> None:
    """Change how many seats a customer's plan has, from now on."""
    resized = change_seats(operation.office, operation.actor(actor), customer, seats=seats)
    _tell_changed(operation, f"the plan of {customer} has {counted(seats, 'seat', 'seats')}", as_json=as_json)
    _show(operation, resized, as_json=as_json)


@customers.command()
@_customer
@click.option("--at", default="", metavar="WHEN", help="It ends by itself then: 30d, or 2026-03-01T09:00:00Z.")
@click.option("--yes", is_flag=True, help="Do not ask whether it may; only a terminal is asked.")
@acting
@as_json
@click.pass_obj
def end(operation: Operation, customer: str, at: str, yes: bool, actor: str, as_json: bool) -> None:
    """End a customer's plan, now unless told when; its history stays."""
    now_us, who = operation.clock.now_us(), operation.actor(actor)
    at_us = later_us(at, now_us) if at else 0
    if not yes and sys.stdin.isatty():
        _confirm_end(operation, customer, at_us)
    ended = end_plan(operation.office, who, customer, at_us=at_us)
    told = f"ends at {rfc3339(at_us)}: its data is protected until then" if at_us > now_us else f"has ended: {OPENED}"
    tell(
        f"the plan of {customer} {told}"
        if operation.written
        else f"the plan of {customer} ends so already; nothing changed",
        as_json=as_json,
    )
    _show(operation, ended, as_json=as_json)


def _confirm_end(operation: Operation, customer: str, at_us: int) -> None:
    """
    Raises:
        NotFound: there is no such customer.
        click.Abort: it may not.
    """
    name = operation.state.get(Customer, customer).name
    when = rfc3339(at_us) if at_us else "now"
    click.confirm(f"The plan of {customer} ({shown(name)}) ends {when}; then {OPENED}. Go on?", abort=True, err=True)


def _standing(operation: Operation, customer: Customer) -> str:
    """Where its plan stands."""
    now_us = operation.clock.now_us()
    plan = customer.plan_at(now_us) or customer.running(now_us)
    if plan is None:
        return "it has no plan"
    if plan.is_in_effect(now_us):
        return f"the plan of {customer.id} is in effect"
    return f"the plan of {customer.id} is ordered, and begins at {rfc3339(plan.due_us)} unless it is enabled before"


def _tell_changed(operation: Operation, what: str, *, as_json: bool) -> None:
    tell(what if operation.written else f"{what} already; nothing changed", as_json=as_json)


def _require_none(given: dict[str, object]) -> None:
    """
    Raises:
        UsageError: something of a plan came, and no plan.
    """
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} came without --plan; name the plan that it is about, or leave {option} out")


@customers.command()
@_customer
@click.option("--approvers", type=click.IntRange(1, 2), help="How many people have to approve a request.")
@click.option("--consent/--no-consent", default=None, help="Whether the customer has to say yes, too.")
@acting
@as_json
@click.pass_obj
def conditions(
    operation: Operation, customer: str, approvers: int | None, consent: bool | None, actor: str, as_json: bool
) -> None:
    """Say what an access request for a customer's data needs. What is not given stays as it is."""
    known = operation.state.get(Customer, customer)
    changed = set_conditions(
        operation.office,
        operation.actor(actor),
        customer,
        approvers=approvers or known.approvers,
        consent=known.consent if consent is None else consent,
        expected=version_of(known),
    )
    needed = f"{counted(changed.approvers, 'approver', 'approvers')}{' and its consent' if changed.consent else ''}"
    _tell_changed(operation, f"a request for data of {customer} needs {needed}", as_json=as_json)
    _show(operation, changed, as_json=as_json)


@customers.command(name="list")
@click.option("--overdue", "only_overdue", is_flag=True, help="Only those whose plan was due and nobody enabled.")
@as_json
@click.pass_obj
def list_(operation: Operation, only_overdue: bool, as_json: bool) -> None:
    """All customers, with the plan each has now."""
    everyone = operation.state.all(Customer)
    if only_overdue:
        _show_overdue(operation, everyone, as_json=as_json)
        return
    rows = (_row(operation, customer) for customer in everyone)
    show_many(rows, COLUMNS, as_json=as_json, empty="no customers yet; add one: customers add ID --name NAME")


@customers.command()
@as_json
@click.pass_obj
def overdue(operation: Operation, as_json: bool) -> None:
    """Customers whose plan was due, so that it is in effect, although nobody enabled it."""
    _show_overdue(operation, operation.state.all(Customer), as_json=as_json)


@customers.command()
@_customer
@as_json
@click.pass_obj
def show(operation: Operation, customer: str, as_json: bool) -> None:
    """One customer, what it pays a month, and every plan it ever had."""
    _show(operation, operation.state.get(Customer, customer), as_json=as_json)


@customers.command(name="quote")
@click.option("--seats", type=click.IntRange(min=1), required=True, help="How many seats.")
@as_json
def quote_(seats: int, as_json: bool) -> None:
    """Price the US-only plan for a number of seats."""
    show_one(quote(seats), as_json=as_json)


def _show_overdue(operation: Operation, everyone: Iterable[Customer], *, as_json: bool) -> None:
    late = overdue_of(everyone, operation.clock.now_us())
    show_many((_row(operation, customer) for customer in late), COLUMNS, as_json=as_json, empty=NOBODY_OVERDUE)


def _show(operation: Operation, customer: Customer, *, as_json: bool) -> None:
    now_us = operation.clock.now_us()
    needs = {"approvers": customer.approvers, "consent": customer.consent}
    plans = [_plan_row(plan, now_us) for plan in customer.plans]
    show_one(_row(operation, customer) | needs | {"plans": plans}, as_json=as_json)


def _row(operation: Operation, customer: Customer) -> dict[str, object]:
    now_us = operation.clock.now_us()
    plan = customer.plan_at(now_us) or customer.running(now_us)
    since_us = plan.starts_us if plan and plan.is_in_effect(now_us) else 0
    return {
        "id": customer.id,
        "name": customer.name,
        "plan": plan.name if plan else "",
        "state": _state(plan, now_us) if plan else "no plan",
        "since_us": since_us,
        "due_us": plan.due_us if plan else 0,
        "ends_us": plan.ends_us if plan else 0,
        "home": plan.home if plan else (),
        "seats": plan.seats if plan else None,
        **_charge(plan),
    }


def _plan_row(plan: CustomerPlan, now_us: int) -> dict[str, object]:
    past = [f"{seats} until {rfc3339(until_us)}" for seats, until_us in plan.past_seats]
    return dataclasses.asdict(plan) | {"past_seats": past, "state": _state(plan, now_us)} | _charge(plan)


def _codes(home: str) -> tuple[str, ...]:
    """The countries in a list such as ``US,PR``."""
    return tuple(filter(None, (code.strip().upper() for code in home.split(","))))


def _charge(plan: CustomerPlan | None) -> dict[str, object]:
    """What a plan costs a month."""
    price = quote(plan.seats) if plan else None
    return {
        "monthly_charge_cents": price.monthly_charge_cents if price else None,
        "monthly_charge": price.monthly_charge if price else "",
    }


def _state(plan: CustomerPlan, now_us: int) -> str:
    if plan.ends_us and plan.ends_us <= now_us:
        return "ended"
    if not plan.is_in_effect(now_us):
        return "ordered"
    return "in effect (overdue: enable it)" if plan.is_overdue(now_us) else "in effect"
