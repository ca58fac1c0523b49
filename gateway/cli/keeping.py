"""``ledger seal``, ``ledger retain`` and ``ledger hold``: how long the record is kept, and how it is made smaller.

Each is an entry of the record, and works beside a running gateway, which seals by itself where ``segment_after`` is
set. Nothing is removed by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping

import click

from gateway.acts.holds import all_holds, end_hold, holds_fixed, place_hold
from gateway.cli.context import Operation, acting, as_json, instant_us
from gateway.cli.output import show_many, show_one, tell
from gateway.cli.values import LINE
from gateway.clock import SECOND_US
from gateway.errors import UsageError
from gateway.ledger import retention, sealing
from gateway.ledger.moves import OBJECT, described, kept_until
from gateway.ledger.retention import Due
from gateway.ledger.sealed import RETAIN, SEAL, Segment
from gateway.ledger.sealing import Written
from gateway.settings import span_s

HOLD_COLUMNS = ("name", "customer", "since", "until", "reason", "placed_by", "ended_by")
PAUSE_S = 0.2
"""Between two removals, so that whoever waits to write the state comes first."""


@click.command()
@click.option("--older-than", default="", metavar="SPAN", help="In place of ledger.segment_after, such as 400d.")
@click.option("--dry-run", is_flag=True, help="Say what would be moved.")
@acting
@as_json
@click.pass_obj
def seal(operation: Operation, older_than: str, dry_run: bool, actor: str, as_json: bool) -> None:
    """Move old entries into sealed, compressed files.

    They are searched, shown, proved, exported and verified as before. Entries are moved 256 at a time, up to the newest
    checkpoint; each file is read back and held against the tree before anything leaves the ledger.
    """
    before_us = _before_us(operation, older_than)
    ledger = operation.settings.ledger
    if dry_run:
        found = [{"first": first, "last": after - 1} for first, after in sealing.ripe(ledger.path, before_us=before_us)]
        show_many(found, ("first", "last"), as_json=as_json, empty="nothing is old enough, and signed, to be moved")
        return
    name = operation.actor(actor).name
    directory = ledger.segments_directory or sealing.segments_directory(ledger.path)
    moved = 0
    for one in sealing.seal(
        ledger.path, directory, operation.ledger, before_us=before_us, told=lambda one: _sealed(operation, name, one)
    ):
        moved += 1
        line = f"{one.file}: the entries {one.first} to {one.last}, {one.length} bytes"
        click.echo(json.dumps(described(one)) if as_json else line)
    if not moved:
        tell("nothing is old enough, and signed, to be moved", as_json=as_json)


@click.command()
@click.option("--delete", is_flag=True, help="Remove it. What is removed cannot be brought back.")
@click.option("--dry-run", is_flag=True, help="Say what could be removed; so it does without --delete.")
@acting
@as_json
@click.pass_obj
def retain(operation: Operation, delete: bool, dry_run: bool, actor: str, as_json: bool) -> int:
    """Say which sealed files hold nothing that still has to be kept, and with --delete remove them, the newest first.

    What is older than ledger.keep and covered by no legal hold may go. The tree's hashes stay, so that everything else
    still verifies. Exit status 1 when a hold kept --delete from removing something.
    """
    ledger = operation.settings.ledger
    before_us = operation.clock.now_us() - ledger.keep_s * SECOND_US
    name = operation.actor(actor).name
    delete = delete and not dry_run
    held = False
    found = retention.over(ledger.path, before_us=before_us)
    for one in reversed(found):  # a completion is judged by its decision, which may stand in the segment before
        due = _remove(operation, name, one) if delete else _judge(operation, one)
        held = held or bool(due.holds)
        _show_due(due, removed=delete and not due.holds, as_json=as_json)
    for path in retention.sweep(ledger.path) if delete else ():
        tell(f"{path}: left by an earlier run, and removed", as_json=as_json)
    _tell_unsealed(operation, before_us, as_json=as_json)
    if not found:
        tell(f"no sealed file is older than {ledger.keep}", as_json=as_json)
    return 1 if delete and held else 0


def _judge(operation: Operation, one: Segment) -> Due:
    holds = [hold for hold in all_holds(operation.state) if hold.in_force]
    return retention.judge(operation.settings.ledger.path, one, holds)


def _remove(operation: Operation, actor: str, one: Segment) -> Due:
    """Remove a segment, unless a hold covers it; none is placed meanwhile.

    Raises:
        StateUnavailable: it cannot be told which holds there are.
    """
    ledger = operation.settings.ledger
    with holds_fixed(operation.office.state) as holds:
        due = retention.judge(ledger.path, one, holds)
        if not due.holds:
            retention.remove(ledger.path, operation.ledger, one, _removed(operation, actor, one, ledger.keep_s))
    time.sleep(PAUSE_S)
    return due


@click.group()
def hold() -> None:
    """Legal holds: what has to be kept although its time is over."""


@hold.command()
@click.option("--name", required=True, type=LINE, help="By which it is ended; one that no hold had before.")
@click.option("--customer", default="", help="Only what may concern this customer.")
@click.option("--since", default="", metavar="TIME", help="Only entries from then on, such as 2026-03-01T09:00:00Z.")
@click.option("--until", default="", metavar="TIME", help="Only entries before then.")
@click.option("--reason", required=True, type=LINE, help="Why.")
@acting
@as_json
@click.pass_obj
def add(
    operation: Operation, name: str, customer: str, since: str, until: str, reason: str, actor: str, as_json: bool
) -> None:
    """Keep entries until the hold is ended, whatever their age.

    A customer's hold covers all that may concern them: also what names several customers, all of them, or nobody.
    """
    since_us, until_us = (instant_us(text) if text else 0 for text in (since, until))
    placed = place_hold(
        operation.office,
        operation.actor(actor),
        name=name,
        customer=customer,
        since_us=since_us,
        until_us=until_us,
        reason=reason,
    )
    show_one(placed, as_json=as_json)


@hold.command("list")
@click.option("--all", "every", is_flag=True, help="Ended ones, too.")
@as_json
@click.pass_obj
def list_(operation: Operation, every: bool, as_json: bool) -> None:
    """The holds in force."""
    found = [hold for hold in all_holds(operation.state) if every or hold.in_force]
    show_many(found, HOLD_COLUMNS, as_json=as_json, empty="no hold is in force")


@hold.command()
@click.argument("name", type=LINE)
@click.option("--reason", required=True, type=LINE, help="Why.")
@acting
@as_json
@click.pass_obj
def end(operation: Operation, name: str, reason: str, actor: str, as_json: bool) -> None:
    """End a hold: what it covered goes by its age again."""
    show_one(end_hold(operation.office, operation.actor(actor), name, reason=reason), as_json=as_json)


def _before_us(operation: Operation, older_than: str) -> int:
    try:
        span = span_s(older_than) if older_than else operation.settings.ledger.segment_after_s
    except ValueError as error:
        raise UsageError(f"--older-than: got {older_than!r}; {error}") from None
    if span is None:
        raise UsageError("nothing says what is old; set ledger.segment_after, or give --older-than, such as 400d")
    return operation.clock.now_us() - span * SECOND_US


def _sealed(operation: Operation, actor: str, one: Written) -> Mapping[str, object]:
    return operation.entry(SEAL, OBJECT, actor=actor, **described(one))


def _removed(operation: Operation, actor: str, one: Segment, keep_s: int) -> Mapping[str, object]:
    return operation.entry(RETAIN, OBJECT, actor=actor, **described(one), **kept_until(one, keep_s))


def _show_due(one: Due, *, removed: bool, as_json: bool) -> None:
    segment = one.segment
    if as_json:
        told = {**described(segment), "removed": removed, "holds": list(one.holds)}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    what = f"{segment.file}: the entries {segment.first} to {segment.last}"
    click.echo(f"{what}: {_said(one.holds, removed=removed)}")


def _said(holds: Iterable[str], *, removed: bool) -> str:
    names = ", ".join(holds)
    return f"kept, for the hold {names} covers it" if names else ("removed" if removed else "can go")


def _tell_unsealed(operation: Operation, before_us: int, *, as_json: bool) -> None:
    count = retention.unsealed(operation.settings.ledger.path, before_us=before_us)
    if count:
        tell(f"{count} entries are as old, and not sealed; run ledger seal first", as_json=as_json)
