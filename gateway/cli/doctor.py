"""``doctor``: what is wrong with this installation, in plain words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import click

from gateway.cli.context import Operation, as_json
from gateway.clock import rfc3339
from gateway.errors import GatewayError, Unavailable
from gateway.feeds import require_usable
from gateway.ledger.checkpoints import examine
from gateway.letters import shown
from gateway.proxy import require_c_parser
from gateway.proxy.listener_tls import ListenerTls
from gateway.rooms import open_rooms, require_key_files, require_stores_at_home
from gateway.settings import FeedSettings
from gateway.storage import FeedCursors, StateOutbox
from gateway.trackers import probe
from gateway.transfer.opening import require_doors


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``problem`` is "" where it is well."""

    subject: str
    problem: str


@click.command()
@as_json
@click.pass_obj
def doctor(operation: Operation, as_json: bool) -> int:
    """Look at all that a gateway needs, from its configuration to channels and feeds, and say what is wrong."""
    findings = list(_examine(operation))
    for finding in findings:
        if as_json:
            click.echo(json.dumps({"subject": finding.subject, "problem": finding.problem}))
        else:
            mark = click.style("✗", fg="red") if finding.problem else click.style("✓", fg="green")
            click.echo(f"{mark} {finding.subject}" + (f": {shown(finding.problem)}" if finding.problem else ""))
    return 1 if any(finding.problem for finding in findings) else 0


def _examine(operation: Operation) -> Iterator[Finding]:
    configuration = _finding("configuration", lambda: operation.settings)
    yield configuration
    yield _finding("HTTP parser", require_c_parser)
    if configuration.problem:
        return
    yield _finding("policy, routes, location databases, state, key files", lambda: _rooms(operation))
    yield _finding("certificates", lambda: ListenerTls.of(operation.settings.gateway.tls))
    yield _finding("transfer doors and sites", lambda: require_doors(operation.settings))
    for tracker in operation.settings.tracker:
        yield _finding(f"tracker {tracker.name}", partial(probe, tracker, operation.clock))
    if operation.settings.ledger.path.exists():  # else `serve` begins it
        yield _finding("ledger", lambda: operation.ledger)
        yield _finding("ledger's signing key", lambda: operation.notary.require_key())
        yield from _held(operation)
    for channel in operation.settings.notification:
        yield _finding(f"notification channel {channel.name}", partial(_trouble, operation, channel.name))
    for feed in operation.settings.feed:
        yield _finding(f"feed {feed.name}", partial(_require_fed, operation, feed))


def _rooms(operation: Operation) -> None:
    rooms = open_rooms(operation.settings_to_read, clock=operation.clock)
    try:
        require_stores_at_home(rooms)
        require_key_files(rooms)
    finally:
        rooms.state.close()


def _held(operation: Operation) -> Iterator[Finding]:
    """Each place where checkpoints are held: whether it answers, and holds what is of the ledger's past."""
    try:
        outcomes = asyncio.run(operation.ask_holders(examine))
    except GatewayError as error:
        yield Finding("checkpoints held outside", str(error))
        return
    for name, outcome in outcomes.items():
        yield Finding(f"checkpoints held by {name}", str(outcome or "").removeprefix(f"{name}: "))


def _trouble(operation: Operation, channel: str) -> None:
    problem = StateOutbox(operation.state).trouble(channel)
    if problem:
        raise Unavailable(problem)


def _require_fed(operation: Operation, feed: FeedSettings) -> None:
    require_usable(feed)
    cursor = FeedCursors(operation.state).find(feed.name)
    if cursor and cursor.problem:
        raise Unavailable(f"{cursor.problem} (since {rfc3339(cursor.failing_since_us)})")


def _finding(subject: str, look: Callable[[], object]) -> Finding:
    try:
        look()
    except GatewayError as error:
        return Finding(subject, "; ".join(str(error).splitlines()))
    return Finding(subject, "")
