"""``authorizations``: what a customer itself authorised ("unless otherwise authorized by Customer")."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import click

from gateway.acts.authorizations import record_authorization, withdraw_authorization
from gateway.catalog.customers import Customer
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json, later_us
from gateway.cli.output import chosen, show_many, show_one, tell
from gateway.cli.scope import scope_options
from gateway.cli.values import LINE
from gateway.errors import UsageError
from gateway.justification import Authorization, Ticket

COLUMNS = (
    "id", "customer", "given_by", "received", "ticket", "any_severity", "data_classes", "actions", "state", "ends",
)  # fmt: skip

STATES = ("active", "to come", "expired", "withdrawn")

_authorization = click.argument("authorization", shell_complete=ids(Authorization))


@click.group()
def authorizations() -> None:
    """What customers themselves authorised."""


@authorizations.command()
@click.option("--customer", required=True, help="Which customer.", shell_complete=ids(Customer))
@click.option("--given-by", type=LINE, required=True, help="Who in the customer gave it.")
@click.option("--received", type=LINE, required=True, help="How it came, such as letter, e-mail or signed order.")
@click.option(
    "--document",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What came, in a file: its SHA-256 is kept, never the file.",
)
@click.option("--ticket", default="", help="The case that it covers.", shell_complete=ids(Ticket))
@click.option("--until", default="", metavar="WHEN", help="Until when: 30d, or 2026-03-01T09:00:00Z.")
@scope_options
@click.option("--any-severity", is_flag=True, help="It says that it goes further than severity 1.")
@acting
@as_json
@click.pass_obj
def record(
    operation: Operation,
    customer: str,
    given_by: str,
    received: str,
    document: Path | None,
    ticket: str,
    until: str,
    data_classes: tuple[str, ...],
    actions: tuple[str, ...],
    any_severity: bool,
    actor: str,
    as_json: bool,
) -> None:
    """Record what a customer authorised: for one case, or standing, with an end.

    It counts for severity 1, unless it says that it goes further, and never for whoever records it.
    """
    given = record_authorization(
        operation.office,
        operation.actor(actor),
        customer=customer,
        given_by=given_by,
        received=received,
        data_classes=data_classes,
        actions=actions,
        ticket=ticket,
        ends_us=later_us(until, operation.clock.now_us()) if until else 0,
        document_sha256=_sha256(document) if document else "",
        any_severity=any_severity,
    )
    reach = "of any severity" if any_severity else "while they are of severity 1"
    tell(f"{given.id} counts for cases {reach}", as_json=as_json)
    show_one(_row(operation, given), as_json=as_json)


@authorizations.command()
@_authorization
@click.option("--by", type=LINE, default="", help="Who in the customer asked for it.")
@acting
@as_json
@click.pass_obj
def withdraw(operation: Operation, authorization: str, by: str, actor: str, as_json: bool) -> None:
    """Withdraw an authorization, at once."""
    ended = withdraw_authorization(operation.office, operation.actor(actor), authorization, by=by)
    how = "has ended" if operation.written else "had ended already; nothing changed"
    tell(f"{ended.id} of {ended.customer} {how}", as_json=as_json)
    show_one(_row(operation, ended), as_json=as_json)


@authorizations.command(name="list")
@click.option("--customer", help="Only of this customer.", shell_complete=ids(Customer))
@click.option("--mine", is_flag=True, help="Only those that the one for whom you act (--as) recorded.")
@click.option("--ticket", help="Only of this case.", shell_complete=ids(Ticket))
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest, at most so many.")
@click.option("--all", "ended_too", is_flag=True, help="Ended and withdrawn ones too.")
@acting
@as_json
@click.pass_obj
def list_(
    operation: Operation,
    customer: str | None,
    mine: bool,
    ticket: str | None,
    state: str | None,
    limit: int | None,
    ended_too: bool,
    actor: str,
    as_json: bool,
) -> None:
    """Authorizations that hold."""
    only = {"recorded_by": actor if mine else None, "ticket": ticket, "customer": customer}
    wanted = (state,) if state else STATES if ended_too else ("active",)
    begun = sorted(operation.state.all(Authorization), key=lambda given: given.starts_us)
    found = chosen((_row(operation, given) for given in begun), only, wanted, limit)
    show_many(found, COLUMNS, as_json=as_json, empty="no authorization holds")


@authorizations.command()
@_authorization
@as_json
@click.pass_obj
def show(operation: Operation, authorization: str, as_json: bool) -> None:
    """One authorization."""
    show_one(_row(operation, operation.state.get(Authorization, authorization)), as_json=as_json)


def _row(operation: Operation, given: Authorization) -> dict[str, object]:
    return dataclasses.asdict(given) | {"state": _state(given, operation.clock.now_us())}


def _state(given: Authorization, now_us: int) -> str:
    if given.withdrawn_us:
        return "withdrawn"
    if given.is_active(now_us):
        return "active"
    return "to come" if now_us < given.starts_us else "expired"


def _sha256(document: Path) -> str:
    """
    Raises:
        UsageError: it is no file, or cannot be read.
    """
    if not document.is_file():
        raise UsageError(f"{document} is no ordinary file; expected the document that came")
    try:
        with document.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{document} cannot be read: {error.strerror}; expected the document that came") from error
