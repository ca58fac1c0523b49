"""The support promise: when support is open, which days count, and what the plan costs.

A :class:`SupportWindow` tells whether severity 2 to 4 is supported at an instant and when it opens next;
:func:`due_us` when an existing customer's plan is due; :func:`quote` prices it.

Promised: pure functions of an instant or a number; the wall clock of New York through every daylight-saving change.
"""

from gateway.support.calendar import SupportWindow, due_us, is_business_day
from gateway.support.price import Quote, monthly_charge_cents, quote

__all__ = ["Quote", "SupportWindow", "due_us", "is_business_day", "monthly_charge_cents", "quote"]
