"""The plan: bought at onboarding or later, paid for by the seat, and ended."""

from __future__ import annotations

from gateway.acts.customers import add_customer, enable_plan, end_plan, order_plan
from gateway.clock import rfc3339
from gateway.demo.world import RAJ, SAM
from gateway.support.price import quote
from tests.story.conftest import Story, new_york


async def test_a_new_customer_is_protected_from_onboarding(story: Story) -> None:
    """ "The US only support service will be enabled during the onboarding of new customers"."""
    added = await story.does(
        add_customer, id="edison", name="Edison Clinics (sample)", plan="us-only", seats=500, is_new=True
    )
    entry, status = await story.recorded(RAJ, "/conversations/edison/7")
    assert (status, entry["rule"], entry["plan"]) == (403, "outside-home", added.plans[0].id)


async def test_an_existing_customer_is_protected_two_business_days_later_by_itself(story: Story) -> None:
    """ "… or it will be enabled within two business days for existing customers": over a weekend and a holiday."""
    await story.it_is("2027-01-15 16:00")  # Friday; Monday is the birthday of Martin Luther King, Jr.
    ordered = await story.does(order_plan, "delta", seats=400)
    assert rfc3339(ordered.plans[0].due_us) == rfc3339(new_york("2027-01-20 16:00"))  # Tuesday, Wednesday
    assert await story.asks(RAJ, "/conversations/delta/7") == (200, "no-plan")

    await story.it_is("2027-01-20 16:00", off_by_us=-1)
    assert await story.asks(RAJ, "/conversations/delta/7") == (200, "no-plan")
    await story.it_is("2027-01-20 16:00")
    entry, status = await story.recorded(RAJ, "/conversations/delta/7")
    assert (status, entry["rule"], entry["plan"]) == (403, "outside-home", ordered.plans[0].id)
    assert await story.asks(SAM, "/conversations/delta/7") == (200, "home-personnel")


async def test_an_existing_customer_is_protected_earlier_when_somebody_enables_it(story: Story) -> None:
    """ "within two business days": the very moment in which it is enabled."""
    await story.does(order_plan, "delta", seats=400)
    assert await story.asks(RAJ, "/conversations/delta/7") == (200, "no-plan")
    await story.does(enable_plan, "delta")
    assert await story.asks(RAJ, "/conversations/delta/7") == (403, "outside-home")


async def test_a_plan_that_ended_protects_no_longer_and_its_history_stays(story: Story) -> None:
    """What was decided while it was in effect was decided by it; one ordered anew has to begin anew."""
    denied, status = await story.recorded(RAJ, "/conversations/acme/7")
    assert (status, denied["plan"]) == (403, "P-1")
    ended = await story.does(end_plan, "acme")
    assert ended.plans[0].ends_us == story.clock.now_us()
    permitted, status = await story.recorded(RAJ, "/conversations/acme/7")
    assert (status, permitted["rule"], permitted["plan"]) == (200, "no-plan", "none")
    assert story.site.entry(str(denied["id"]))["plan"] == "P-1"

    again = await story.does(order_plan, "acme", seats=10)
    assert [plan.id for plan in again.plans][:1] == ["P-1"]
    assert await story.asks(RAJ, "/conversations/acme/7") == (200, "no-plan")
    await story.does(enable_plan, "acme")
    assert await story.asks(RAJ, "/conversations/acme/7") == (403, "outside-home")


def test_a_seat_costs_fifteen_dollars_and_the_month_five_thousand_at_least() -> None:
    """ "$15 per seat with a minimum commitment of $5000/month, or 333 seats"."""
    bills = {seats: quote(seats).monthly_charge for seats in (1, 333, 334, 1_000)}
    assert bills == {1: "$5,000.00", 333: "$5,000.00", 334: "$5,010.00", 1_000: "$15,000.00"}
    assert quote(333).minimum_applies
    assert not quote(334).minimum_applies
