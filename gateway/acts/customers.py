"""Acts on customers and their plans (contract reading, *The plan*): added, ordered, enabled, resized, ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import iso3166
import uuid_utils

from gateway.acts.actor import Actor
from gateway.acts.office import Change, Detail, Office
from gateway.acts.tickets import send_cases_home
from gateway.catalog.customers import CUSTOMER_ID, Customer, CustomerPlan
from gateway.clock import SECOND_US, rfc3339
from gateway.errors import Contradicted, Forbidden, UsageError
from gateway.support import due_us

PLANS = ("us-only",)
LONGEST_AGO_D = 31
"""An order is typed in no later than so many days after the customer made it."""


def add_customer(
    office: Office,
    actor: Actor,
    *,
    id: str,
    name: str,
    plan: str = "",
    seats: int = 1,
    is_new: bool = False,
    home: Sequence[str] = (),
) -> Customer:
    """Add a customer, with the plan it ordered.

    Args:
        is_new: being onboarded, so that the plan is in effect at once (``enable-new``).
        home: of the plan; see :func:`order_plan`.

    Raises:
        UsageError: the id is taken or none, or the name is none.
    """
    if home and not plan:
        raise UsageError(f"got the home {', '.join(home)} and no plan; a home is a plan's: name the plan, too")
    if not name.strip():
        raise UsageError("the customer has no name; say what it is called")
    if not CUSTOMER_ID.fullmatch(id):
        raise UsageError(
            f"got {id[:64]!r}; expected a customer id of small letters, digits, '.', '_' and '-', at most 63 long"
        )
    with office.change(actor, "customer.add") as change:
        if change.find(Customer, id):
            raise Contradicted(f"there is a customer {id} already; to order a plan for it: customers order {id}")
        plans = (_ordered(change, plan, seats=seats, is_new=is_new, home=home),) if plan else ()
        customer = Customer(id=id, name=name, plans=plans)
        change.put(customer)
        listed = list(plans[0].home) if plans else []
        change.note(id, customer=id, name=name, plan=plan, seats=seats if plan else 0, home=listed)
        if plans:
            _tell_ordered(change, customer, plans[0])
        change.result = customer
        return customer


def order_plan(
    office: Office,
    actor: Actor,
    id: str,
    *,
    seats: int,
    plan: str = PLANS[0],
    home: Sequence[str] = (),
    ordered_us: int = 0,
    expected: str = "",
) -> Customer:
    """Order a plan for an existing customer; it is due two business days later (``enable-existing``).

    Args:
        home: the countries that are home to this plan, as ISO 3166-1 alpha-2 codes; none named: the policy's.
        ordered_us: when the customer ordered it, if that was before now. It is due accordingly, and in effect from now
            on at the earliest.

    Raises:
        UsageError: it has one that has not ended, or could not have been ordered then.
    """
    with office.change(actor, "plan.order") as change:
        customer = change.get(Customer, id, expected=expected)
        if running := customer.running(change.now_us):
            until = f" until {rfc3339(running.ends_us)}" if running.ends_us else ""
            raise Contradicted(f"{id} has a plan already{until}; end it first: customers end {id}")
        ordered = _ordered(change, plan, seats=seats, is_new=False, home=home, ordered_us=ordered_us)
        plans = sorted((*customer.plans, ordered), key=lambda one: (one.ordered_us, one.id))
        changed = replace(customer, plans=tuple(plans))
        change.put(changed)
        change.note(
            id, customer=id, plan=ordered.id, name=plan, seats=seats, home=list(ordered.home),
            ordered_us=ordered.ordered_us, due_us=ordered.due_us,
        )  # fmt: skip
        _tell_ordered(change, changed, ordered)
        change.result = changed
        return changed


def enable_plan(office: Office, actor: Actor, id: str, *, expected: str = "") -> Customer:
    """Put an ordered plan in effect now; open cases go home. Enabling again changes nothing.

    Raises:
        UsageError: there is none.
    """
    with office.change(actor, "plan.enable") as change:
        customer, plan = _running(change, id, expected)
        change.result = customer
        if plan.enabled_us:
            return customer
        enabled = replace(plan, enabled_us=change.now_us)
        changed = _replaced(change, customer, enabled)
        _tell(change, customer, enabled, "plan.enabled", "was enabled")
        send_cases_home(change, id)
        return changed


def end_plan(office: Office, actor: Actor, id: str, *, at_us: int = 0, expected: str = "") -> Customer:
    """End a customer's plan now, or let it end by itself later; its history stays.

    Args:
        at_us: when; now unless given. One that was given before is replaced.

    Raises:
        UsageError: there is none, or the instant has passed.
    """
    with office.change(actor, "plan.end") as change:
        customer, plan = _running(change, id, expected)
        ends_us = at_us or change.now_us
        if ends_us < change.now_us:
            raise UsageError(f"got {rfc3339(at_us)}, which has passed; expected a later time, or none to end it now")
        change.result = customer
        if ends_us == plan.ends_us:
            return customer
        ended = replace(plan, ends_us=ends_us)
        changed = _replaced(change, customer, ended, ends_us=ends_us)
        how = f"will end at {rfc3339(ends_us)}" if ends_us > change.now_us else "ended"
        _tell(change, customer, ended, "plan.ended", how, ends_us=ends_us)
        return changed


def change_seats(office: Office, actor: Actor, id: str, *, seats: int, expected: str = "") -> Customer:
    """Say that a customer's plan has more or fewer seats from now on; protection goes on as it is.

    Raises:
        UsageError: there is no plan, or no such number.
    """
    _require_seats(seats)
    with office.change(actor, "plan.seats") as change:
        customer, plan = _running(change, id, expected)
        change.result = customer
        if plan.seats == seats:
            return customer
        past = (*plan.past_seats, (plan.seats, change.now_us))
        resized = replace(plan, seats=seats, past_seats=past)
        return _replaced(change, customer, resized, seats=seats, previous=plan.seats)


def set_conditions(
    office: Office,
    actor: Actor,
    id: str,
    *,
    approvers: int | None = None,
    consent: bool | None = None,
    expected: str = "",
) -> Customer:
    """Say what an access request for a customer's data needs: one or two approvers, and its own consent or not.

    Args:
        approvers, consent: None leaves it as it is. Less than there was takes the permission ``customer.weaken``, too.

    Raises:
        Forbidden: the actor may not, or not this customer's, or may not weaken them.
        UsageError: another number of approvers.
    """
    if approvers not in (None, 1, 2):
        raise UsageError(f"got {approvers} approvers; expected 1 or 2")
    with office.change(actor, "customer.change") as change:
        customer = change.get(Customer, id, expected=expected)
        if actor.customer not in ("", id):
            raise Forbidden(f"this is about another customer than {actor.customer}")
        changed = replace(
            customer,
            approvers=customer.approvers if approvers is None else approvers,
            consent=customer.consent if consent is None else consent,
        )
        if changed.approvers < customer.approvers or changed.consent < customer.consent:
            office.permissions.require(actor, "customer.weaken")
        change.result = changed
        if changed != customer:
            change.put(changed)
            change.note(id, customer=id, approvers=changed.approvers, consent=changed.consent)
        return changed


def overdue(customers: Iterable[Customer], now_us: int) -> list[Customer]:
    """Those whose plan was due, so that it is in effect, although nobody enabled it."""
    return [
        customer for customer in customers if (plan := customer.plan_at(now_us)) is not None and plan.is_overdue(now_us)
    ]


def _ordered(
    change: Change, plan: str, *, seats: int, is_new: bool, home: Sequence[str], ordered_us: int = 0
) -> CustomerPlan:
    if plan not in PLANS:
        raise UsageError(f"got the plan {plan!r}; expected {' or '.join(PLANS)}")
    _require_seats(seats)
    ordered_us = ordered_us or change.now_us
    _require_lately(ordered_us, change.now_us)
    return CustomerPlan(
        id=f"P-{uuid_utils.uuid7()}",
        name=plan,
        home=_countries(home),
        seats=seats,
        ordered_us=ordered_us,
        due_us=ordered_us if is_new else due_us(ordered_us),
        enabled_us=ordered_us if is_new else 0,
        new=is_new,
        recorded_us=change.now_us,
    )


def _require_seats(seats: int) -> None:
    if not 1 <= seats <= 10_000_000:
        raise UsageError(f"got {seats} seats; expected at least one, and no more than ten million")


def _require_lately(ordered_us: int, now_us: int) -> None:
    if not now_us - LONGEST_AGO_D * 86_400 * SECOND_US <= ordered_us <= now_us:
        raise UsageError(
            f"got an order of {rfc3339(ordered_us)}; expected one that was made, in the last {LONGEST_AGO_D} days"
        )


def _countries(listed: Sequence[str]) -> tuple[str, ...]:
    unknown = [code for code in listed if code not in iso3166.countries_by_alpha2]
    if unknown:
        raise UsageError(f"got the home {', '.join(unknown)}; expected ISO 3166-1 alpha-2 codes, such as US and PR")
    return tuple(sorted({*listed}))


def _tell_ordered(change: Change, customer: Customer, plan: CustomerPlan) -> None:
    news = f"{customer.name} ordered {plan.name} for {plan.seats} seats"
    change.tell("plan.ordered", customer.id, customer.id, news, due_us=plan.due_us, seats=plan.seats)


def _running(change: Change, key: str, expected: str) -> tuple[Customer, CustomerPlan]:
    customer = change.get(Customer, key, expected=expected)
    plan = customer.running(change.now_us)
    if plan is None:
        raise Contradicted(f"{key} has no plan; order one first: customers order {key} --seats N")
    return customer, plan


def _replaced(change: Change, customer: Customer, plan: CustomerPlan, **details: Detail) -> Customer:
    changed = replace(customer, plans=tuple(plan if old.id == plan.id else old for old in customer.plans))
    change.put(changed)
    about: dict[str, Detail] = {"customer": customer.id, "plan": plan.id} | details
    change.entries.append(change.entry(change.act, customer.id, about))
    change.result = changed
    return changed


def _tell(change: Change, customer: Customer, plan: CustomerPlan, news: str, how: str, **data: int) -> None:
    change.tell(news, customer.id, customer.id, f"the plan {plan.name} of {customer.name} {how}", **data)
