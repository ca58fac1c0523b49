"""What is home to every plan: for answers that cover several customers, and for stores that hold them."""

from __future__ import annotations

import pytest

from gateway.catalog import Customer, CustomerPlan, Customers


@pytest.mark.parametrize(
    ("homes", "expected"),
    [
        ([], {"US", "IE"}),
        ([("US",)], {"US"}),
        ([("US", "CA"), ("US", "IE")], {"US"}),
        ([("US",), ("IE",)], set()),
        ([()], {"US", "IE"}),
        ([("US", "PR")], {"US", "PR"}),
        ([("US", "PR"), ()], {"US"}),
    ],
)
def test_common_home_is_what_every_plan_shares(homes: list[tuple[str, ...]], expected: set[str]) -> None:
    """The intersection; what a plan lists is its home, and one that names none takes the configured one."""
    customers = Customers()
    assert customers.common_home(frozenset({"US", "IE"})) == {"US", "IE"}
    for number, home in enumerate(homes):
        plan = CustomerPlan(f"P-{number}", "us-only", home, seats=1, ordered_us=1, due_us=1)
        customers.put(Customer(f"c{number}", "C", (plan,)))
    assert customers.common_home(frozenset({"US", "IE"})) == expected
