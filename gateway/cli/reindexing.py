"""``ledger reindex``: what searches read, made anew from the entries where it is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from gateway.cli.context import Operation, acting, as_json
from gateway.cli.ledger_choices import progress
from gateway.cli.output import tell
from gateway.ledger import reindexing
from gateway.ledger.entry import administrative
from gateway.ledger.reindexing import Wrong


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what is wrong; exit status 1 when something is.")
@acting
@as_json
@click.pass_obj
def reindex(operation: Operation, dry_run: bool, actor: str, as_json: bool) -> int:
    """Make the index anew where it does not say what the entries say.

    Every entry is read. What searches use is derived from entries, so no evidence changes; what is mended is recorded.
    A gateway may be running.
    """
    path = operation.settings.ledger.path
    name = operation.actor(actor).name
    wrong = 0
    with progress() as bar:
        task = bar.add_task("reading", total=None)

        def shown(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        found = (
            reindexing.compare(path, shown)
            if dry_run
            else reindexing.reindex(
                path, operation.ledger, told=lambda one: _entry(operation, name, one), progress=shown
            )
        )
        for one in found:
            wrong += 1
            _show(one, mended=not dry_run, as_json=as_json)
    if not wrong:
        tell("the index says what the entries say", as_json=as_json)
    return 1 if wrong and dry_run else 0


def _entry(operation: Operation, actor: str, one: Wrong) -> Mapping[str, object]:
    node = operation.settings.gateway.node
    return administrative(
        clock=operation.clock,
        node=node,
        actor=actor,
        act=reindexing.ACT,
        subject="ledger-index",
        details=_described(one),
    )


def _described(one: Wrong) -> dict[str, int]:
    return {"first": one.first, "last": one.last, "rows": len(one.rows), "lists": len(one.segments)}


def _show(one: Wrong, *, mended: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**_described(one), "mended": mended}))
        return
    what = f"{len(one.rows)} rows, and the lists of {len(one.segments)} segments"
    where = f"the entries {one.first} to {one.last}" if one.last > one.first else f"entry {one.first} and beyond"
    click.echo(f"{where}: {what}, {'mended' if mended else 'wrong'}")
