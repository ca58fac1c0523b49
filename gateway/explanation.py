"""What a denial says: which rule, which signal, and what to do next (RFC 9457 problem details).

One place turns a decision into words, for every door, the command line and the console. Nothing of another customer
and no credential is ever in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import iso3166

from gateway.attempt import Attempt, Decision
from gateway.catalog import Scope
from gateway.clock import rfc3339
from gateway.identity import Kind
from gateway.justification import Desk, shortfall
from gateway.location import Source

TYPE_BASE = "https://residency-gateway.dev/problems/"
NOTHING_CITED = "no ticket was cited; the header Access-Ticket names one."
_CONSENTED = frozenset({"outside-home", "location-unassured", "role"})
"""The rules that a grant, an incident or an authorization could have kept from applying."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A denial or failure as it is answered.

    ``next_steps`` are the ways on: ``rel``, and a ``command`` or ``href`` to follow; ``retry_after_s``: when to try
    again, where that is known; ``allowed``: the methods that could have come, where the status is 405.
    """

    status: int
    rule: str
    title: str
    detail: str
    decision: str = ""
    customer: str = ""
    next_steps: tuple[dict[str, str], ...] = ()
    retry_after_s: int = 0
    allowed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {
            "type": TYPE_BASE + self.rule,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "rule": self.rule,
            "decision": self.decision,
            "customer": self.customer,
            "next": list(self.next_steps),
        }
        return {name: value for name, value in body.items() if value or name == "next"}


class Explainer:
    """Puts denials into words.

    Args:
        next_opening_us: when the support window opens next after an instant.
        control_url: where the control interface is reached; "" leaves its links out.
        desk: knows what the caller was granted and asked for; without one nothing is said of that.
    """

    def __init__(
        self, next_opening_us: Callable[[int], int], control_url: str = "", *, desk: Desk | None = None
    ) -> None:
        self._next_opening_us = next_opening_us
        self._control_url = control_url.rstrip("/")
        self._desk = desk

    def explain(self, decision: Decision) -> Problem:
        """The problem that a denial answers with."""
        attempt, rule = decision.attempt, decision.verdict.rules[0]
        status, title = _TITLES.get(rule, (403, "Denied")) if decision.allowed is None else (405, "Not for this method")
        customer = (
            attempt.resource.customer if decision.facts is not None and attempt.resource.scope is Scope.ONE else ""
        )
        return Problem(
            status=status,
            rule=rule,
            title=title.format(home=_spoken_home(attempt.home)),
            detail=decision.problem or self._said(rule, attempt),
            decision=decision.id,
            customer=customer,
            next_steps=tuple(self._linked(step) for step in _next_steps(decision)),
            allowed=decision.allowed or (),
        )

    def _linked(self, step: dict[str, str]) -> dict[str, str]:
        """A way on, with its link into the control interface."""
        path = step.pop("path")
        link = {"method": "POST", "href": f"{self._control_url}/api/v1{path}"} if self._control_url else {}
        return {"rel": step.pop("rel"), **link, **step}

    def _said(self, rule: str, attempt: Attempt) -> str:
        """The rule and the signal; then what the caller could have cited, and why that does not help."""
        unknown = attempt.justification.problem
        said = [self._detail(rule, attempt), f"{unknown}." if unknown else ""]
        if rule in _CONSENTED and attempt.principal.kind is Kind.PERSONNEL and attempt.resource.scope is Scope.ONE:
            lacking = self._shortfall(attempt)
            said += [f"{lack}." for lack in lacking]
            if not attempt.justification.cited and not lacking:
                said.append(NOTHING_CITED)
        return " ".join(filter(None, said))

    def _shortfall(self, attempt: Attempt) -> tuple[str, ...]:
        if self._desk is None:
            return ()
        return shortfall(
            self._desk,
            subject=attempt.principal.subject,
            resource=attempt.resource,
            cited=attempt.justification.cited,
            now_us=attempt.time_us,
        )

    def _detail(self, rule: str, attempt: Attempt) -> str:
        principal, resource = attempt.principal, attempt.resource
        match rule:
            case "outside-home":
                no_consent = f"no consent applies to this {resource.action}"
                return f"{_protection(attempt)}; you are in {spoken_location(attempt)}, and {no_consent}."
            case "location-unassured":
                return f"{_protection(attempt)}; your location is not assured: {spoken_location(attempt)}."
            case "role":
                held = ", ".join(sorted(principal.roles)) or "no role"
                what = f"{resource.action} {resource.data_class or 'this data'}"
                return f"{held} may not {what} without a grant that names it."
            case "other-customer":
                return f"a user of {principal.customer or 'a customer'} reaches only that customer's own data."
            case "unclassified":
                return _unclassified(attempt)
            case "storage-home":
                return f"{_protection(attempt)}; the store {resource.store} is not in {_codes(attempt.home)}."
            case "support-hours":
                opening = rfc3339(self._next_opening_us(attempt.time_us))
                cited = attempt.justification.cited
                return f"{cited} is not severity 1, and the support window is closed; it opens at {opening}."
            case _:
                return f"{resource.customer or 'this data'}: the rule {rule} denies this."


def spoken_location(attempt: Attempt) -> str:
    """``India (network)``, ``unknown (network: no record)`` or ``United States (network), hidden (anonymity: vpn)``."""
    said = []
    for signal in attempt.location.heard:
        hidden = "hidden" if signal.source is Source.ANONYMITY else "unknown"
        what = country_name(signal.country) if signal.country else hidden
        said.append(f"{what} ({signal.source}{': ' + signal.detail if signal.detail else ''})")
    return ", ".join(said) or "unknown"


def country_name(code: str) -> str:
    """The English name of an ISO 3166-1 alpha-2 code, or the code itself."""
    found = iso3166.countries_by_alpha2.get(code)
    return str(found.apolitical_name).split(",")[0] if found else code


def _spoken_home(home: frozenset[str]) -> str:
    return " or ".join(
        country_name(code).replace("United States of America", "the United States") for code in sorted(home)
    )


def _codes(home: frozenset[str]) -> str:
    return ", ".join(sorted(home))


def _protection(attempt: Attempt) -> str:
    who = attempt.resource.customer or "this data"
    if attempt.resource.scope is Scope.MANY:
        who = "the answer covers several customers, and at least one of them"
    return f"{who} is on the {_codes(attempt.home)}-only plan"


def _unclassified(attempt: Attempt) -> str:
    if attempt.resource.scope is Scope.UNROUTED:
        return "no route is configured for this path, so it cannot be told whose data it is."
    customer = attempt.resource.customer or "the customer"
    return f"{customer!r} is not a customer that this gateway knows, and you are not in {_codes(attempt.home)}."


def _next_steps(decision: Decision) -> list[dict[str, str]]:
    rules, attempt = decision.verdict.rules, decision.attempt
    abroad = not {"outside-home", "location-unassured"}.isdisjoint(rules)
    if attempt.principal.kind is not Kind.PERSONNEL or not (abroad or "role" in rules):
        return []
    ticket = attempt.justification.cited or "TICKET"
    denial = f"--decision {decision.id}" if decision.is_recorded else ticket  # whosever the ticket is, if there is one
    steps = []
    if abroad and attempt.resource.scope is Scope.ONE:
        steps.append(
            {
                "rel": "send-to-us-analyst",
                "path": f"/decisions/{decision.id}/handoff",
                "command": f"residency-gateway tickets handoff {denial}",
            }
        )
    if "engineer" in attempt.principal.roles and attempt.resource.scope is Scope.ONE:
        steps.append(
            {
                "rel": "request-access",
                "path": "/access-requests",
                "command": f"residency-gateway access request --ticket {ticket} --customer {attempt.resource.customer} "
                f"--data-class {attempt.resource.data_class} --action {attempt.resource.action} --for 4h --reason WHY",
            }
        )
    return steps


_TITLES = {
    "unauthenticated": (401, "Not authenticated"),
    "malformed": (400, "Not one meaning"),
    "unavailable": (503, "Cannot decide now"),
    "too-many-requests": (429, "Too many requests"),
    "outside-home": (403, "Outside {home}"),
    "location-unassured": (403, "Location not assured"),
    "role": (403, "Not for this role"),
    "other-customer": (403, "Another customer's data"),
    "unclassified": (403, "Not classified"),
    "storage-home": (403, "Storage outside {home}"),
    "support-hours": (403, "Outside support hours"),
}
