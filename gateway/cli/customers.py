"""``customers``: who they are, and their plans."""

from __future__ import annotations

import dataclasses

import click
import uuid_utils

from gateway.catalog.customers import CUSTOMER_ID, Customer, CustomerPlan
from gateway.cli.context import Operation, acting, as_json
from gateway.cli.output import show_many, show_one
from gateway.errors import UsageError
from gateway.support import due_us, quote

PLANS = ("us-only",)
COLUMNS = ("id", "name", "plan", "state", "since", "seats")


@click.group()
def customers() -> None:
    """Customers and their plans."""


@customers.command()
@click.argument("customer")
@click.option("--name", required=True, help="The customer's name.")
@click.option("--plan", type=click.Choice(PLANS), help="The plan it ordered; none unless given.")
@click.option("--seats", type=click.IntRange(min=1), default=1, help="Seats of the plan.")
@click.option("--new", "is_new", is_flag=True, help="A new customer, being onboarded: the plan is in effect at once.")
@acting
@as_json
@click.pass_obj
def add(
    operation: Operation,
    customer: str,
    name: str,
    plan: str | None,
    seats: int,
    is_new: bool,
    actor: str,
    as_json: bool,
) -> None:
    """Add a customer, with the plan it ordered.

    An existing customer's plan is due two business days after the order, and begins by itself then at the latest.
    """
    if not CUSTOMER_ID.fullmatch(customer):
        raise UsageError(
            f"got {customer!r}; expected a customer id of small letters, digits, '.', '_' and '-', at most 63 long"
        )
    if operation.state.find(Customer, customer):
        raise UsageError(f"there is a customer {customer} already; to order a plan for it: customers order {customer}")
    plans = (_ordered(operation, plan, seats=seats, is_new=is_new),) if plan else ()
    operation.record("customer.add", customer, actor=actor, name=name, plan=plan or "", seats=seats if plan else 0)
    operation.state.put(Customer(id=customer, name=name, plans=plans))
    _show(operation, operation.state.get(Customer, customer), as_json=as_json)


@customers.command()
@click.argument("customer")
@click.option("--plan", type=click.Choice(PLANS), default=PLANS[0], show_default=True, help="The plan.")
@click.option("--seats", type=click.IntRange(min=1), required=True, help="Seats of the plan.")
@acting
@as_json
@click.pass_obj
def order(operation: Operation, customer: str, plan: str, seats: int, actor: str, as_json: bool) -> None:
    """Order a plan for an existing customer; it is due two business days later."""
    known = operation.state.get(Customer, customer)
    if _running(operation, known):
        raise UsageError(f"{customer} has a plan already; end it first: customers end {customer}")
    ordered = _ordered(operation, plan, seats=seats, is_new=False)
    operation.record("plan.order", customer, actor=actor, plan=plan, seats=seats)
    operation.state.put(Customer(id=known.id, name=known.name, plans=(*known.plans, ordered)))
    _show(operation, operation.state.get(Customer, customer), as_json=as_json)


@customers.command()
@click.argument("customer")
@acting
@as_json
@click.pass_obj
def enable(operation: Operation, customer: str, actor: str, as_json: bool) -> None:
    """Put an ordered plan in effect now."""
    known = operation.state.get(Customer, customer)
    plan = _running(operation, known)
    if plan is None:
        raise UsageError(f"{customer} has no plan to enable; order one first: customers order {customer} --seats N")
    if not plan.enabled_us:
        operation.record("plan.enable", customer, actor=actor, plan=plan.id)
        _replace(operation, known, plan, enabled_us=operation.clock.now_us())
    _show(operation, operation.state.get(Customer, customer), as_json=as_json)


@customers.command()
@click.argument("customer")
@acting
@as_json
@click.pass_obj
def end(operation: Operation, customer: str, actor: str, as_json: bool) -> None:
    """End a customer's plan now; its history stays."""
    known = operation.state.get(Customer, customer)
    plan = _running(operation, known)
    if plan is None:
        raise UsageError(f"{customer} has no plan to end")
    operation.record("plan.end", customer, actor=actor, plan=plan.id)
    _replace(operation, known, plan, ends_us=operation.clock.now_us())
    _show(operation, operation.state.get(Customer, customer), as_json=as_json)


@customers.command(name="list")
@as_json
@click.pass_obj
def list_(operation: Operation, as_json: bool) -> None:
    """All customers, with the plan each has now."""
    rows = (_row(operation, customer) for customer in operation.state.all(Customer))
    show_many(rows, COLUMNS, as_json=as_json, empty="no customers yet; add one: customers add ID --name NAME")


@customers.command()
@click.argument("customer")
@as_json
@click.pass_obj
def show(operation: Operation, customer: str, as_json: bool) -> None:
    """One customer, and every plan it ever had."""
    _show(operation, operation.state.get(Customer, customer), as_json=as_json)


@customers.command(name="quote")
@click.option("--seats", type=click.IntRange(min=1), required=True, help="How many seats.")
@as_json
def quote_(seats: int, as_json: bool) -> None:
    """Price the US-only plan for a number of seats."""
    show_one(quote(seats), as_json=as_json)


def _ordered(operation: Operation, plan: str, *, seats: int, is_new: bool) -> CustomerPlan:
    now_us = operation.clock.now_us()
    return CustomerPlan(
        id=f"P-{uuid_utils.uuid7()}",
        name=plan,
        home=operation.settings.policy.home,
        seats=seats,
        ordered_us=now_us,
        due_us=now_us if is_new else due_us(now_us),
        enabled_us=now_us if is_new else 0,
        ends_us=0,
        new=is_new,
    )


def _running(operation: Operation, customer: Customer) -> CustomerPlan | None:
    now_us = operation.clock.now_us()
    return next((plan for plan in customer.plans if not plan.ends_us or plan.ends_us > now_us), None)


def _replace(operation: Operation, customer: Customer, plan: CustomerPlan, **changed: int) -> None:
    plans = tuple(dataclasses.replace(old, **changed) if old.id == plan.id else old for old in customer.plans)  # type: ignore[arg-type]  # instants only
    operation.state.put(Customer(id=customer.id, name=customer.name, plans=plans))


def _row(operation: Operation, customer: Customer) -> dict[str, object]:
    now_us = operation.clock.now_us()
    plan = customer.plan_at(now_us) or _running(operation, customer)
    if plan is None:
        return {"id": customer.id, "name": customer.name, "plan": "", "state": "no plan", "since_us": 0, "seats": 0}
    in_effect = customer.plan_at(now_us) is not None
    return {
        "id": customer.id,
        "name": customer.name,
        "plan": plan.name,
        "state": _state(plan, now_us),
        "since_us": (plan.enabled_us or plan.due_us) if in_effect else 0,
        "due_us": plan.due_us,
        "seats": plan.seats,
    }


def _show(operation: Operation, customer: Customer, *, as_json: bool) -> None:
    plans = [dataclasses.asdict(plan) for plan in customer.plans]
    show_one(_row(operation, customer) | {"plans": plans}, as_json=as_json)


def _state(plan: CustomerPlan, now_us: int) -> str:
    if not plan.is_in_effect(now_us):
        return "ordered"
    overdue = not plan.enabled_us and plan.due_us <= now_us
    return "in effect (overdue: enable it)" if overdue else "in effect"
