"""``customers uploads``: a customer's accounts at the transfer doors."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from gateway.acts.transfers import (
    add_upload_account,
    add_upload_key,
    close_upload_account,
    remove_upload_key,
    reopen_upload_account,
    set_upload_password,
)
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json
from gateway.cli.output import show_many, show_one, tell
from gateway.cli.passes import passes
from gateway.errors import UsageError
from gateway.identity import UploadAccount

COLUMNS = ("id", "customer", "state", "keys", "made")
LONGEST_PASSWORD, SHORTEST_PASSWORD = 256, 12
LONGEST_KEY = 4_096

_account = click.argument("account", shell_complete=ids(UploadAccount))
_key = click.argument("key", type=click.File("r"))


@click.group()
def uploads() -> None:
    """A customer's accounts at the transfer doors."""


@uploads.command()
@click.argument("customer")
@click.argument("name")
@acting
@as_json
@click.pass_obj
def add(operation: Operation, customer: str, name: str, actor: str, as_json: bool) -> None:
    """Give a customer an account, CUSTOMER/NAME. Its password is shown this once."""
    added, password = add_upload_account(operation.office, operation.actor(actor), customer, name, hashed=_hashed)
    tell(f"{added.id} is added; its password is shown this once", as_json=as_json)
    show_one(_row(added) | {"password": password}, as_json=as_json)


@uploads.command(name="list")
@click.argument("customer", default="")
@as_json
@click.pass_obj
def list_(operation: Operation, customer: str, as_json: bool) -> None:
    """The accounts of a customer, or of all."""
    rows = (_row(one) for one in operation.state.all(UploadAccount) if customer in ("", one.customer))
    show_many(rows, COLUMNS, as_json=as_json, empty="no accounts yet; add one: customers uploads add CUSTOMER NAME")


@uploads.command()
@_account
@click.option("--stdin", "is_read", is_flag=True, help="Read it from standard input, one line; else one is made.")
@acting
@as_json
@click.pass_obj
def password(operation: Operation, account: str, is_read: bool, actor: str, as_json: bool) -> None:
    """Give an account another password. One that is made is shown this once."""
    given = _read_password() if is_read else ""
    changed, made = set_upload_password(
        operation.office, operation.actor(actor), account, hashed=_hashed, password=given
    )
    tell(f"{account} has another password", as_json=as_json)
    show_one(_row(changed) | ({} if is_read else {"password": made}), as_json=as_json)


@uploads.group()
def key() -> None:
    """SSH public keys of an account."""


@key.command(name="add")
@_account
@_key
@acting
@as_json
@click.pass_obj
def add_key(operation: Operation, account: str, key: TextIO, actor: str, as_json: bool) -> None:
    """Let an account sign in with the key in a .pub file; - is standard input."""
    changed = add_upload_key(operation.office, operation.actor(actor), account, key.read(LONGEST_KEY))
    show_one(_row(changed), as_json=as_json)


@key.command(name="remove")
@_account
@_key
@acting
@as_json
@click.pass_obj
def remove_key(operation: Operation, account: str, key: TextIO, actor: str, as_json: bool) -> None:
    """Take the key in a .pub file from an account."""
    changed = remove_upload_key(operation.office, operation.actor(actor), account, key.read(LONGEST_KEY))
    show_one(_row(changed), as_json=as_json)


@uploads.command()
@_account
@acting
@as_json
@click.pass_obj
def close(operation: Operation, account: str, actor: str, as_json: bool) -> None:
    """Close an account: nobody signs in with it, and what is under way is cut."""
    changed = close_upload_account(operation.office, operation.actor(actor), account)
    show_one(_row(changed), as_json=as_json)


@uploads.command()
@_account
@acting
@as_json
@click.pass_obj
def reopen(operation: Operation, account: str, actor: str, as_json: bool) -> None:
    """Open a closed account again, with the password and keys that it had."""
    changed = reopen_upload_account(operation.office, operation.actor(actor), account)
    show_one(_row(changed), as_json=as_json)


uploads.add_command(passes)


def _read_password() -> str:
    """
    Raises:
        UsageError: it is too short or too long.
    """
    given = sys.stdin.readline(LONGEST_PASSWORD + 2).rstrip("\r\n")
    if not SHORTEST_PASSWORD <= len(given) <= LONGEST_PASSWORD:
        raise UsageError(
            f"got a password of {len(given)} characters; expected one line of {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}"
        )
    return given


def _row(account: UploadAccount) -> dict[str, object]:
    """An account as it is shown: never its password's hash."""
    return {
        "id": account.id,
        "customer": account.customer,
        "state": "closed" if account.closed_us else "open",
        "keys": account.keys,
        "made_us": account.made_us,
        "closed_us": account.closed_us,
    }


def _hashed(password: str) -> str:
    from gateway.identity.passwords import hashed  # its import is slow, and other commands do without it

    return hashed(password)
