"""Customers, their conditions, and their plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.acts import Office
from gateway.acts.customers import (
    add_customer,
    change_seats,
    enable_plan,
    end_plan,
    order_plan,
    overdue,
    set_conditions,
)
from gateway.catalog.customers import Customer
from gateway.console import asked, shown, views
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation
from gateway.console.views import Snapshot


def _list(call: Call) -> Answer:
    query: asked.CustomersQuery = call.query
    now_us = call.now_us

    def is_asked_for(customer: Customer) -> bool:
        is_overdue = bool(overdue([customer], now_us))
        return call.sight.customer(customer) and query.overdue in (None, is_overdue)

    with call.snapshot() as snapshot:
        after = call.after(snapshot, Customer, call.sight.customer)
        own = call.actor.customer
        customers = iter(_behind(snapshot.find(Customer, own), after)) if own else snapshot.customers(after=after)
        found = filter(is_asked_for, customers)
        return call.page(shown.Customers, found, lambda customer: views.customer(customer, now_us))


def _behind(own: Customer | None, after: str) -> list[Customer]:
    return [own] if own and own.id > after else []


def _show(call: Call) -> Answer:
    with call.snapshot() as snapshot:
        customer = call.seen(snapshot, Customer, call.id, call.sight.customer)
        return Answer.of(views.customer(customer, call.now_us), etag=call.version(customer))


def _add(call: Call) -> Answer:
    body: asked.NewCustomer = call.body
    return call.act(
        lambda office: add_customer(
            office,
            call.actor,
            id=body.id,
            name=body.name,
            plan=body.plan or "",
            seats=body.seats,
            is_new=body.new,
            home=body.home,
        ),
        _view,
    )


def _set_conditions(call: Call) -> Answer:
    body: asked.Conditions = call.body
    given = body.model_dump(include=body.model_fields_set)
    return _change(
        call,
        lambda office, key, expected: set_conditions(office, call.actor, key, **given, expected=expected),
    )


def _order(call: Call) -> Answer:
    body: asked.PlanOrder = call.body
    return _change(
        call,
        lambda office, key, expected: order_plan(
            office,
            call.actor,
            key,
            seats=body.seats,
            plan=body.plan,
            home=body.home,
            ordered_us=int(body.ordered_at or 0),
            expected=expected,
        ),
    )


def _enable(call: Call) -> Answer:
    return _change(call, lambda office, key, expected: enable_plan(office, call.actor, key, expected=expected))


def _seats(call: Call) -> Answer:
    body: asked.PlanSeats = call.body
    return _change(
        call, lambda office, key, expected: change_seats(office, call.actor, key, seats=body.seats, expected=expected)
    )


def _end(call: Call) -> Answer:
    body: asked.PlanEnd = call.body
    at_us = int(body.at or 0)
    return _change(
        call, lambda office, key, expected: end_plan(office, call.actor, key, at_us=at_us, expected=expected)
    )


def _quote(call: Call) -> Answer:
    query: asked.QuoteQuery = call.query
    return Answer.of(views.quote(query.seats))


def _change(call: Call, run: Callable[[Office, str, str], object]) -> Answer:
    with call.snapshot() as snapshot:
        customer = call.seen(snapshot, Customer, call.id, call.sight.customer)
    return call.act(lambda office: run(office, customer.id, call.expected(customer)), _view)


def _view(_snapshot: Snapshot, customer: Customer, now_us: int) -> tuple[Any, shown.Shown]:
    return customer, views.customer(customer, now_us)


OPERATIONS = (
    Operation(
        "customers.list", "GET", "/customers", "Customers and their plans", "customer.read", _list, shown.Customers,
        query=asked.CustomersQuery,
    ),
    Operation(
        "customers.add", "POST", "/customers", "Add a customer, with the plan it ordered", "customer.add", _add,
        shown.Customer, body=asked.NewCustomer, status=201,
    ),
    Operation("customers.show", "GET", "/customers/{customer}", "A customer", "customer.read", _show, shown.Customer),
    Operation(
        "customers.conditions", "PATCH", "/customers/{customer}",
        "Say what access to its data needs: one or two approvers, its own consent or not", "customer.change",
        _set_conditions, shown.Customer, body=asked.Conditions,
    ),
    Operation(
        "plans.order", "POST", "/customers/{customer}/plans", "Order a plan; it is due two business days later",
        "plan.order", _order, shown.Customer, body=asked.PlanOrder,
    ),
    Operation(
        "plans.enable", "POST", "/customers/{customer}/plans/enable", "Put the ordered plan in effect now",
        "plan.enable", _enable, shown.Customer, body=asked.Nothing,
    ),
    Operation(
        "plans.seats", "POST", "/customers/{customer}/plans/seats", "Change the seats of the plan; protection goes on",
        "plan.seats", _seats, shown.Customer, body=asked.PlanSeats,
    ),
    Operation(
        "plans.end", "POST", "/customers/{customer}/plans/end", "End the plan, now or then; its history stays",
        "plan.end", _end, shown.Customer, body=asked.PlanEnd,
    ),
    Operation(
        "quote", "GET", "/quote", "The monthly price of a number of seats", "plan.quote", _quote, shown.Quote,
        query=asked.QuoteQuery,
    ),
)  # fmt: skip
