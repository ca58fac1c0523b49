"""How commands choose entries of the ledger, say that they read them, and show how far they are."""

from __future__ import annotations

import dataclasses
import getpass
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from gateway.cli.context import Operation, seconds
from gateway.clock import SECOND_US, parse_rfc3339
from gateway.errors import UsageError
from gateway.ledger.reader import LedgerReader, Query

_PROGRESS_EVERY = 1_000

Command = TypeVar("Command", bound=Callable[..., Any])


def ledger_path(context: click.Context) -> Path:
    """Where the ledger of this configuration is."""
    operation: Operation = context.obj
    return operation.settings.ledger.path


def reader_of(context: click.Context) -> LedgerReader:
    """The ledger of this configuration, to read; people who were not erased are named, and found by name."""
    operation: Operation = context.obj
    return LedgerReader(operation.settings.ledger.path, operation.pseudonyms)


def by_pseudonym(context: click.Context, query: Query) -> Query:
    """The same for a reader that knows no pseudonyms, for what is handed out names nobody who has one."""
    operation: Operation = context.obj
    found = operation.pseudonyms.find(query.subject) if operation.pseudonyms and query.subject else ""
    return dataclasses.replace(query, pseudonym=found)


def record_reading(context: click.Context, act: str, asked: Iterable[str]) -> None:
    """Write down who reads the record, before they do.

    Raises:
        LedgerUnavailable: it cannot be written down; nothing may be read.
    """
    operation: Operation = context.obj
    operation.record(act, "ledger", actor=getpass.getuser(), asked=sorted(asked))


_KINDS = click.Choice(["decision", "completion", "administrative"])
_CHOICES = (
    click.option("--customer", default="", help="Whose data."),
    click.option("--subject", default="", help="Who asked, or acted."),
    click.option("--country", default="", metavar="XX", help="From where."),
    click.option("--rule", default="", help="The rule that was shown."),
    click.option("--effect", type=click.Choice(["permit", "deny"]), help="What was decided."),
    click.option("--store", default="", help="Which store."),
    click.option("--ticket", default="", help="The ticket cited."),
    click.option("--grant", default="", help="The grant used."),
    click.option("--decision", default="", help="A decision, with its completion."),
    click.option("--kind", type=_KINDS, help="Which kind of entry."),
)
_PERIOD = (
    click.option("--since", default="", metavar="WHEN", help="From then on: 1h, 2d, or 2026-03-01T09:00:00Z."),
    click.option("--until", default="", metavar="WHEN", help="Before then."),
)
_LIMIT = click.option("--limit", type=click.IntRange(min=1), help="At most so many.")


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def choices(command: Command) -> Command:
    """The options that choose entries by what they hold."""
    return _with(command, *_CHOICES)


def filters(command: Command) -> Command:
    """The options that choose entries, by their time and number too."""
    return _with(command, *_PERIOD, *_CHOICES, _LIMIT)


def query_of(context: click.Context, asked: dict[str, Any], *, newest_first: bool = False) -> Query:
    """What these options ask for; an instant or a span is one of the clock now."""
    chosen = {name: value for name, value in asked.items() if name not in ("since", "until") and value is not None}
    operation: Operation = context.obj
    now_us = operation.clock.now_us()
    return Query(
        since_us=instant_of("--since", asked["since"], now_us),
        until_us=instant_of("--until", asked["until"], now_us),
        newest_first=newest_first,
        **chosen,
    )


def instant_of(option: str, text: str, now_us: int) -> int | None:
    """A time, or a span before now."""
    if not text:
        return None
    try:
        return parse_rfc3339(text) if "T" in text else now_us - seconds(text) * SECOND_US
    except (ValueError, UsageError):
        expected = "expected a span before now such as 1h or 2d, or a time such as 2026-03-01T09:00:00Z"
        raise UsageError(f"{option}: got {text!r}; {expected}") from None


def given_of(asked: dict[str, Any]) -> list[str]:
    """The options that were given, as the record tells them."""
    return [f"{name}={value}" for name, value in asked.items() if value not in ("", None)]


def tell_removed(reader: LedgerReader, query: Query) -> None:
    """Say on stderr, in a line, what of the stretch that a query looks at was removed."""
    period = {"since_us": query.since_us, "until_us": query.until_us}
    if found := reader.removed(after=query.after, before=query.before, **period):
        ranges = ", ".join(f"{one.first} to {one.last}" for one in found)
        count = sum(one.entries for one in found)
        click.echo(f"{count} entries of these were removed when their time was over: {ranges}", err=True)


def counted(entries: Iterable[tuple[int, bytes]], total: int | None) -> Iterator[tuple[int, bytes]]:
    """The same entries, with a bar of how many there were so far."""
    with progress() as bar:
        task = bar.add_task("exporting", total=total)
        for count, entry in enumerate(entries, 1):
            yield entry
            if not count % _PROGRESS_EVERY:
                bar.update(task, completed=count)


def progress() -> Progress:
    """A bar on stderr, where that is a terminal."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
