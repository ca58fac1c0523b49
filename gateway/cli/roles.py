"""The roles that a command is told of: one that the policy lacks gives nothing, and whoever typed it is told so."""

from __future__ import annotations

import difflib

import click

from gateway.letters import shown
from gateway.policy.roles import SERVICE, RoleTable


def held_roles(text: str, table: RoleTable) -> tuple[str, ...]:
    """The roles in a list such as ``support,engineer``."""
    held = tuple(dict.fromkeys(role.strip() for role in text.split(",") if role.strip()))
    known = {*table.roles, SERVICE}
    for role in held:
        if role not in known:
            close = difflib.get_close_matches(role, known, n=1)
            mend = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(known))}"
            click.echo(f"the policy's roles.toml has no role {shown(role)}, so it gives no data; {mend}", err=True)
    return held
