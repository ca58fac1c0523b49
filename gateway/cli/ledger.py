"""``ledger``: the record of decisions: read it, search it, verify it, hand it out.

Whoever searches or exports is recorded, one entry a command (:func:`record_reading`); looking at the tail and verifying
are not, or a log that is watched would fill with who watches it.
"""

from __future__ import annotations

import dataclasses
import getpass
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.cli.context import Operation, as_json, seconds
from gateway.clock import SECOND_US, parse_rfc3339
from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger import FORMATS, LedgerReader, Projection, Query, Report
from gateway.ledger import verify as verify_ledger

FOLLOW_INTERVAL_S = 0.5
COLUMNS = ("sequence", "time", "effect", "rule", "subject", "country", "customer", "what", "ticket", "id")
_PROGRESS_EVERY = 1_000

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def ledger() -> None:
    """The record of decisions."""


def ledger_path(context: click.Context) -> Path:
    """Where the ledger of this configuration is."""
    operation: Operation = context.obj
    return operation.settings.ledger.path


def record_reading(context: click.Context, act: str, asked: Iterable[str]) -> None:
    """Write down who reads the record, before they do.

    Raises:
        LedgerUnavailable: it cannot be written down; nothing may be read.
    """
    operation: Operation = context.obj
    operation.record(act, "ledger", actor=getpass.getuser(), asked=sorted(asked))


def filters(command: Command) -> Command:
    """The options that choose entries."""
    kinds = click.Choice(["decision", "completion", "administrative"])
    options = (
        click.option("--since", default="", metavar="WHEN", help="From then on: 1h, 2d, or 2026-03-01T09:00:00Z."),
        click.option("--until", default="", metavar="WHEN", help="Before then."),
        click.option("--customer", default="", help="Whose data."),
        click.option("--subject", default="", help="Who asked, or acted."),
        click.option("--country", default="", metavar="XX", help="From where."),
        click.option("--rule", default="", help="The rule that was shown."),
        click.option("--effect", type=click.Choice(["permit", "deny"]), help="What was decided."),
        click.option("--store", default="", help="Which store."),
        click.option("--ticket", default="", help="The ticket cited."),
        click.option("--grant", default="", help="The grant used."),
        click.option("--decision", default="", help="A decision, with its completion."),
        click.option("--kind", type=kinds, help="Which kind of entry."),
        click.option("--limit", type=click.IntRange(min=1), help="At most so many."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@ledger.command()
@click.option("-n", "--count", type=click.IntRange(min=0), default=20, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on as entries are added, until interrupted.")
@as_json
@click.pass_context
def tail(context: click.Context, count: int, follow: bool, as_json: bool) -> None:
    """The last entries, the newest last."""
    with LedgerReader(ledger_path(context)) as reader:
        last = reader.size() - 1
        entries = reader.tail(count)
        _show_many(entries, as_json=as_json)
        while follow:
            last = max(last, entries[-1]["sequence"]) if entries else last
            time.sleep(FOLLOW_INTERVAL_S)
            entries = list(reader.after(last))
            _show_many(entries, as_json=as_json, header=False)
            sys.stdout.flush()


@ledger.command()
@filters
@click.option("--oldest-first", is_flag=True, help="In the order of the record.")
@as_json
@click.pass_context
def search(context: click.Context, /, oldest_first: bool, as_json: bool, **asked: Any) -> None:
    """Entries that fit, the newest first. Searching is itself recorded."""
    query = _query(context, asked, newest_first=not oldest_first)
    with LedgerReader(ledger_path(context)) as reader:
        query = dataclasses.replace(query, before=reader.size())  # without the record of this search
        record_reading(context, "ledger.search", _given(asked))
        found = _show_many(reader.search(query), as_json=as_json)
    if not found and not as_json:
        click.echo("no entry fits", err=True)


@ledger.command()
@click.argument("entry", metavar="DECISION|SEQUENCE")
@as_json
@click.pass_context
def show(context: click.Context, entry: str, as_json: bool) -> None:
    """One entry by its id or sequence; a decision with its completion."""
    with LedgerReader(ledger_path(context)) as reader:
        for found in reader.show(entry):
            _show_one(found, as_json=as_json)


@ledger.command()
@as_json
@click.pass_context
def verify(context: click.Context, as_json: bool) -> int:
    """Re-read every entry and say what is wrong and where; exit status 1 when something is.

    Entries cut off the end together with the head that counts them cannot be seen from the ledger alone.
    """
    with _progress() as progress:
        task = progress.add_task("verifying", total=None)
        report = verify_ledger(
            ledger_path(context), progress=lambda done, of: progress.update(task, completed=done, total=of)
        )
    _show_report(report, as_json=as_json)
    return 0 if report.verified else 1


@ledger.command()
@filters
@click.option("--format", "format", type=click.Choice(sorted(FORMATS)), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file, in place of stdout.")
@as_json
@click.pass_context
def export(context: click.Context, /, format: str, output: Path | None, as_json: bool, **asked: Any) -> None:
    """Hand entries out, in the order of the record. Exporting is itself recorded.

    JSON lines hold the exact bytes of each entry behind its sequence. With --json, which needs --output, what was
    done is told as JSON.
    """
    if as_json and not output:
        raise UsageError("--json tells what was written to a file; name one with --output, or leave it out")
    query = _query(context, asked)
    with LedgerReader(ledger_path(context)) as reader:
        size = reader.size()
        query = dataclasses.replace(query, before=size)
        everything = not _given(asked)
        entries = reader.bodies(before=size) if everything else reader.find(query)
        record_reading(context, "ledger.export", [*_given(asked), f"format={format}"])
        count = _write(_counted(entries, total=size if everything else None), format, output)
    if output:
        click.echo(json.dumps({"entries": count, "output": str(output)}) if as_json else f"{output}: {count} entries")


def _query(context: click.Context, asked: dict[str, Any], *, newest_first: bool = False) -> Query:
    chosen = {name: value for name, value in asked.items() if name not in ("since", "until") and value is not None}
    operation: Operation = context.obj
    now_us = operation.clock.now_us()
    return Query(
        since_us=_instant("--since", asked["since"], now_us),
        until_us=_instant("--until", asked["until"], now_us),
        newest_first=newest_first,
        **chosen,
    )


def _instant(option: str, text: str, now_us: int) -> int | None:
    """A time, or a span before now."""
    if not text:
        return None
    try:
        return parse_rfc3339(text) if "T" in text else now_us - seconds(text) * SECOND_US
    except (ValueError, UsageError):
        expected = "expected a span before now such as 1h or 2d, or a time such as 2026-03-01T09:00:00Z"
        raise UsageError(f"{option}: got {text!r}; {expected}") from None


def _given(asked: dict[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in asked.items() if value not in ("", None)]


def _counted(entries: Iterable[tuple[int, bytes]], *, total: int | None) -> Iterator[tuple[int, bytes]]:
    with _progress() as progress:
        task = progress.add_task("exporting", total=total)
        for count, entry in enumerate(entries, 1):
            yield entry
            if not count % _PROGRESS_EVERY:
                progress.update(task, completed=count)


def _write(entries: Iterator[tuple[int, bytes]], format: str, output: Path | None) -> int:
    count = 0

    def counted() -> Iterator[tuple[int, bytes]]:
        nonlocal count
        for entry in entries:
            count += 1
            yield entry

    lines = FORMATS[format](counted())
    if output is None:
        sys.stdout.writelines(lines)
        return count
    try:
        with _new_file(output) as file:
            file.writelines(lines)
    except FileExistsError:
        raise UsageError(f"{output} is there already; name a new file") from None
    except OSError as error:
        raise LedgerUnavailable(f"{output} cannot be written: {error.strerror}; the export is not whole") from error
    return count


def _new_file(path: Path) -> TextIO:
    """For its owner only: it holds who did what."""
    path.touch(mode=0o600, exist_ok=False)
    return path.open("w", encoding="utf-8", newline="")


def _show_many(entries: Iterable[Projection], *, as_json: bool, header: bool = True) -> int:
    """A line for each entry; how many there were."""
    if as_json:
        count = 0
        for entry in entries:
            click.echo(json.dumps(entry, ensure_ascii=False))
            count += 1
        return count
    rows = [_row(entry) for entry in entries]
    if rows:
        table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold", show_header=header)
        for row in rows:
            table.add_row(*row)
        Console(highlight=False, markup=False).print(table)
    return len(rows)


def _row(entry: Projection) -> tuple[str, ...]:
    details = entry.get("details", {})
    texts = {name: str(entry.get(name, details.get(name, ""))) for name in ("rule", "customer", "ticket")}
    what = {
        "decision": f"{entry.get('method', '')} {entry.get('path', '')}",
        "completion": f"{entry.get('outcome', '')} {entry.get('bytes', 0)} bytes",
        "administrative": f"{entry.get('act', '')} {entry.get('object', '')}",
    }.get(entry["kind"], "")
    return (
        str(entry["sequence"]),
        str(entry["time"])[:23],
        str(entry.get("effect", entry["kind"])),
        texts["rule"],
        str(entry.get("subject", entry.get("actor", ""))),
        str(entry.get("location", {}).get("country", "")),
        texts["customer"],
        what.strip(),
        texts["ticket"],
        str(entry.get("decision", entry["id"])),
    )


def _show_one(entry: Projection, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(entry, ensure_ascii=False))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in entry.items():
        if value not in ("", []):
            table.add_row(name.replace("_", " "), _cell(value))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print()


def _cell(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _show_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"verified": report.verified, **dataclasses.asdict(report)}))
        return
    for problem in report.problems:
        click.echo(f"{_where(problem.sequence)}: {problem.what}")
    for note in report.notes:
        click.echo(f"{_where(note.sequence)}: note: {note.what}")
    mark = click.style("verified", fg="green") if report.verified else click.style("not verified", fg="red")
    click.echo(f"{mark}: {report.entries} entries, root {report.root}")


def _where(sequence: int) -> str:
    return "the ledger" if sequence < 0 else f"entry {sequence}"


def _progress() -> Progress:
    """A bar on stderr, where that is a terminal."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
