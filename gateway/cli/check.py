"""``check``: what a request would be answered, without making it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator

import click
from rich.text import Text

from gateway.attempt import Approach, Decision
from gateway.cli.context import Operation, as_json
from gateway.cli.output import as_cell, print_fields
from gateway.cli.roles import held_roles
from gateway.errors import UsageError
from gateway.identity import Kind, Principal, Workforce
from gateway.letters import shown
from gateway.location import parse_address
from gateway.rooms import Rooms, open_rooms, rehearsal
from gateway.trackers import tracked_tickets


@click.command()
@click.option("--subject", required=True, help="Who would ask.")
@click.option("--roles", default="", help="Their roles, separated by commas.")
@click.option("--customer", default="", help="For a customer's own user: whose.")
@click.option("--from", "address", required=True, help="The client's address.")
@click.option("--country", default="", help="The country that the token would claim.")
@click.option("--work-country", default="", help="In place of the workforce directory's.")
@click.option("--method", default="GET", show_default=True, help="The HTTP method.")
@click.option("--host", default="", help="The Host header, where routes look at it.")
@click.option("--path", required=True, help="The request target.")
@click.option("--ticket", default="", help="The ticket that would be cited.")
@click.option("--reason", default="", help="The reason that would be given.")
@as_json
@click.pass_obj
def check(
    operation: Operation,
    subject: str,
    roles: str,
    customer: str,
    address: str,
    country: str,
    work_country: str,
    method: str,
    host: str,
    path: str,
    ticket: str,
    reason: str,
    as_json: bool,
) -> int:
    """Explain one would-be request: the verdict, its rules, and every fact that it rests on.

    Nothing is sent and nothing recorded. Exit status 0 for a permit, 1 for a denial.
    """
    if parse_address(address) is None:
        raise UsageError(f"got {address!r}; expected an IP address such as 49.36.0.1")
    rooms = open_rooms(operation.settings_to_read, clock=operation.clock, strict=False)
    settings = operation.settings
    workforce = settings.identity.workforce
    if workforce and not work_country:
        work_country = Workforce(workforce).country(subject)
    held = frozenset(held_roles(roles, rooms.policy.roles))
    principal = _principal(subject, held, customer, country=country, work_country=work_country)
    approach = Approach(
        door="check", method=method.upper(), target=path, host=host, peer=address, ticket=ticket, reason=reason
    )
    if ticket and settings.tracker:
        asyncio.run(_ask_tracker(rooms, ticket))
    decision = rehearsal(rooms).rehearse(approach, principal)
    result = explanation_of(rooms, decision, method=approach.method)
    click.echo(json.dumps(result)) if as_json else _show(result)
    rooms.state.close()
    return 0 if decision.permitted else 1


async def _ask_tracker(rooms: Rooms, ticket: str) -> None:
    """Have the system that the ticket belongs to asked, if there is one."""
    rooms.desk.tracked = tracked_tickets(rooms.settings, rooms.clock)
    asking = rooms.desk.ask(ticket)
    if asking is not None:
        await asking
    await rooms.desk.tracked.close()


def explanation_of(rooms: Rooms, decision: Decision, *, method: str) -> dict[str, object]:
    """A decision with everything that led to it, as JSON would have it."""
    attempt, verdict = decision.attempt, decision.verdict
    location = attempt.location
    problem = None if decision.permitted else rooms.explainer.explain(decision)
    return {
        "effect": verdict.effect.value,
        "rule": verdict.rules[0],
        "rules": list(verdict.rules),
        "clause": verdict.clause,
        "obligations": list(verdict.obligations),
        "detail": problem.detail if problem else "",
        "next": list(problem.next_steps) if problem else [],
        "subject": attempt.principal.subject,
        "roles": sorted(attempt.principal.roles),
        "location": {
            "country": location.country(attempt.home),
            "assurance": location.assurance(attempt.home).value,
            "assured": location.assurance(attempt.home).value == "home",
            "signals": [dataclasses.asdict(signal) for signal in location.signals],
        },
        "client_address": location.address,
        "customer": attempt.resource.customer,
        "plan": attempt.plan_id or attempt.plan.value,
        "store": attempt.resource.store,
        "data_class": attempt.resource.data_class,
        "action": attempt.resource.action.value,
        "method": method,
        "path": attempt.target.path if attempt.target else "",
        "ticket": attempt.justification.cited,
        "grant": attempt.justification.grant.id if attempt.justification.grant else "",
        "facts": dataclasses.asdict(decision.facts) if decision.facts else {},
        "policy_version": decision.policy_version,
        "geo_version": location.version,
    }


def _principal(subject: str, held: frozenset[str], customer: str, *, country: str, work_country: str) -> Principal:
    kind = Kind.CUSTOMER if customer else Kind.SERVICE if "service" in held else Kind.PERSONNEL
    return Principal(
        subject=subject,
        issuer="",
        kind=kind,
        roles=frozenset({"customer"}) if customer else held,
        customer=customer,
        country=country.upper(),
        work_country=work_country.upper(),
    )


def _show(result: dict[str, object]) -> None:
    colour = "green" if result["effect"] == "permit" else "red"
    effect, rule = click.style(result["effect"], fg=colour, bold=True), click.style(result["rule"], bold=True)
    click.echo(f"{effect} by {rule}  {click.style(shown(str(result['clause'])), dim=True)}".rstrip())
    if result["detail"]:
        click.echo(shown(str(result["detail"])))
    print_fields(_fields(result))
    for name, rows in (("facts", _facts(result["facts"])), ("next", _next(result["next"]))):
        if rows:
            click.echo(click.style(f"{name}:", dim=True))
            print_fields(rows)


def _fields(result: dict[str, object]) -> Iterator[tuple[str, Text | str]]:
    for name in ("subject", "roles", "customer", "plan", "store", "data_class", "action", "path", "ticket", "grant"):
        yield name, as_cell(result[name])
    location = result["location"]
    assert isinstance(location, dict)  # noqa: S101 - built above
    yield "location", f"{location['country'] or 'unknown'} ({location['assurance']})"
    for signal in location["signals"]:
        said = signal["country"] or ("hidden" if signal["adverse"] else "unknown")
        yield "", f"{signal['source']}: {said} {signal['detail']}".rstrip()
    yield "obligations", as_cell(result["obligations"])


def _facts(facts: object) -> list[tuple[str, Text]]:
    return [(f"  {name}", as_cell(value)) for name, value in facts.items()] if isinstance(facts, dict) else []


def _next(steps: object) -> list[tuple[str, str]]:
    return [(f"  {step['rel']}", step["command"]) for step in steps] if isinstance(steps, list) else []
