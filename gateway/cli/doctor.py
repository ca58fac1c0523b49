"""``doctor``: what is wrong with this installation, in plain words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from gateway.cli.context import Operation, as_json
from gateway.errors import GatewayError
from gateway.proxy import require_c_parser
from gateway.proxy.listener_tls import ListenerTls
from gateway.rooms import open_rooms, require_key_files, require_stores_at_home


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``problem`` is "" where it is well."""

    subject: str
    problem: str


@click.command()
@as_json
@click.pass_obj
def doctor(operation: Operation, as_json: bool) -> int:
    """Look at configuration, policy, databases, state, stores and ledger, and say what is wrong with each."""
    findings = list(_examine(operation))
    for finding in findings:
        if as_json:
            click.echo(json.dumps({"subject": finding.subject, "problem": finding.problem}))
        else:
            mark = click.style("✗", fg="red") if finding.problem else click.style("✓", fg="green")
            click.echo(f"{mark} {finding.subject}" + (f": {finding.problem}" if finding.problem else ""))
    return 1 if any(finding.problem for finding in findings) else 0


def _examine(operation: Operation) -> Iterator[Finding]:
    configuration = _finding("configuration", lambda: operation.settings)
    yield configuration
    yield _finding("HTTP parser", require_c_parser)
    if configuration.problem:
        return
    yield _finding("policy, routes, location databases, state, key files", lambda: _rooms(operation))
    yield _finding("certificates", lambda: ListenerTls.of(operation.settings.gateway.tls))
    yield _finding("ledger", lambda: operation.ledger)


def _rooms(operation: Operation) -> None:
    rooms = open_rooms(operation.settings, clock=operation.clock)
    try:
        require_stores_at_home(rooms)
        require_key_files(rooms)
    finally:
        rooms.state.close()


def _finding(subject: str, look: Callable[[], object]) -> Finding:
    try:
        look()
    except GatewayError as error:
        return Finding(subject, "; ".join(str(error).splitlines()))
    return Finding(subject, "")
