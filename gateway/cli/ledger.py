"""``ledger``: the record of decisions: read it, search it, verify it, hand it out.

Whoever searches, proves or exports is recorded, one entry a command; looking at the tail and verifying are not, or a
log that is watched would fill with who watches it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.cli.checkpoints import accept_holder, checkpoint, key, rotate_key
from gateway.cli.context import Operation, as_json
from gateway.cli.erasing import erase_subject, replace_subject_keys
from gateway.cli.handing_out import export, prove, report
from gateway.cli.keeping import hold, retain, seal
from gateway.cli.ledger_choices import (
    choices,
    filters,
    given_of,
    ledger_path,
    progress,
    query_of,
    reader_of,
    record_reading,
    tell_removed,
)
from gateway.cli.output import print_fields, print_rows
from gateway.cli.reindexing import reindex
from gateway.errors import UsageError
from gateway.ledger.attestation import Trust
from gateway.ledger.note import Verifier
from gateway.ledger.reader import LedgerReader, Projection, Query
from gateway.ledger.verification import Report
from gateway.ledger.verification import verify as verify_ledger
from gateway.letters import shown

FOLLOW_INTERVAL_S = 0.5
COLUMNS = ("sequence", "time", "effect", "rule", "subject", "country", "customer", "what", "ticket", "id")
_PROGRESS_EVERY = 1_000

_FILE = click.Path(path_type=Path, dir_okay=False)

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def ledger() -> None:
    """The record of decisions."""


for part in (
    checkpoint,
    key,
    rotate_key,
    accept_holder,
    seal,
    retain,
    hold,
    reindex,
    prove,
    export,
    report,
    erase_subject,
    replace_subject_keys,
):
    ledger.add_command(part)


def _configured_witnesses(context: click.Context) -> list[str]:
    operation: Operation = context.obj
    return [holder.key for holder in operation.settings.ledger.holder if holder.kind == "witness"]


@ledger.command()
@click.option("-n", "--count", type=click.IntRange(min=0), default=20, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on as entries are added, until interrupted.")
@choices
@as_json
@click.pass_context
def tail(context: click.Context, /, count: int, follow: bool, as_json: bool, **asked: Any) -> None:
    """The last entries, the newest last. To choose among them is a search, and recorded once."""
    chosen = Query(**{name: value for name, value in asked.items() if value})
    with reader_of(context) as reader:
        size = reader.size()
        if given_of(asked):
            record_reading(context, "ledger.search", given_of(asked))
        newest = dataclasses.replace(chosen, before=size, newest_first=True, limit=count)
        found = list(reader.search(newest))[::-1]
        tell_removed(reader, _looked_at(newest, found))
        _show_many(found, as_json=as_json)
        while follow:
            time.sleep(FOLLOW_INTERVAL_S)
            last, size = size - 1, reader.size()
            _show_many(
                reader.search(dataclasses.replace(chosen, after=last, before=size)), as_json=as_json, header=False
            )
            sys.stdout.flush()


@ledger.command()
@filters
@click.option("--oldest-first", is_flag=True, help="In the order of the record.")
@click.option("--after", type=click.IntRange(min=0), metavar="CURSOR", help="The next page, by the cursor of the last.")
@as_json
@click.pass_context
def search(context: click.Context, /, oldest_first: bool, after: int | None, as_json: bool, **asked: Any) -> None:
    """Entries that fit, the newest first. Searching is itself recorded.

    Where --limit leaves some out, a cursor is told, with --json as "cursor" of the last entry shown. The next page
    begins behind it, whatever has been recorded meanwhile.
    """
    query = query_of(context, asked, newest_first=not oldest_first)
    with reader_of(context) as reader:
        size = reader.size()  # without the record of this search
        before = size if oldest_first or after is None else min(size, after)
        query = dataclasses.replace(query, before=before, after=after if oldest_first else None)
        record_reading(context, "ledger.search", given_of({**asked, "after": after}))
        if query.limit is None:
            tell_removed(reader, query)
            found = _show_many(reader.search(query), as_json=as_json)
        else:
            page = _page(reader, query, query.limit)
            tell_removed(reader, _looked_at(query, page))
            found = _show_many(page, as_json=as_json)
    if not found and not as_json:
        click.echo("no entry fits", err=True)


def _page(reader: LedgerReader, query: Query, limit: int) -> list[Projection]:
    """What fits, as many as the limit; the last of them has the cursor where there are more."""
    page = list(reader.search(dataclasses.replace(query, limit=limit + 1)))
    if len(page) > limit:
        page.pop()
        page[-1]["cursor"] = page[-1]["sequence"]
    return page


def _looked_at(query: Query, page: Sequence[Projection]) -> Query:
    """The stretch that was looked at: where a page is full, no farther than it reaches."""
    if query.limit is None or len(page) < query.limit:
        return query
    sequences = [entry["sequence"] for entry in page] or [query.before]
    if query.newest_first:
        return dataclasses.replace(query, after=min(sequences))
    return dataclasses.replace(query, before=max(sequences))


@ledger.command()
@click.argument("entry", metavar="DECISION|SEQUENCE")
@as_json
@click.pass_context
def show(context: click.Context, entry: str, as_json: bool) -> None:
    """One entry by its id or sequence; a decision with its completion."""
    with reader_of(context) as reader:
        for found in reader.show(entry):
            _show_one(found, as_json=as_json)


@ledger.command()
@click.option("--from-checkpoint", "kept", type=_FILE, help="A checkpoint that somebody outside kept.")
@click.option("--key", default="", metavar="VKEY", help="One of the ledger's keys, had from elsewhere.")
@click.option("--witness", "witnesses", multiple=True, metavar="VKEY", help="The key of a witness; may be repeated.")
@click.option("--resume", type=_FILE, help="A file that says how far an interrupted verification came.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes that read; one for each processor unless given.")
@as_json
@click.pass_context
def verify(
    context: click.Context,
    kept: Path | None,
    key: str,
    witnesses: tuple[str, ...],
    resume: Path | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Re-read every entry and say what is wrong and where; exit status 1 when something is.

    Entries cut off the end together with the head that counts them and the checkpoints over them, an old copy, or a
    ledger written anew with another key cannot be seen from the ledger alone: name a checkpoint and a key that were
    kept elsewhere.
    """
    trust = Trust(
        key=Verifier.parse(key) if key else None,
        witnesses=tuple(Verifier.parse(witness) for witness in (*witnesses, *_configured_witnesses(context))),
        outside=_read_text(kept) if kept else "",
    )
    with progress() as bar:
        task = bar.add_task("verifying", total=None)
        report = verify_ledger(
            ledger_path(context),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
            trust=trust,
            resume=resume,
            processes=jobs,
        )
    _show_report(report, as_json=as_json)
    return 0 if report.verified else 1


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({type(error).__name__}); expected a checkpoint") from error


def _show_many(entries: Iterable[Projection], *, as_json: bool, header: bool = True) -> int:
    """A line for each entry; how many there were."""
    if as_json:
        count = 0
        for entry in entries:
            click.echo(json.dumps(entry, ensure_ascii=False))
            count += 1
        return count
    found = list(entries)
    rows = [_row(entry) for entry in found]
    if rows:
        print_rows(COLUMNS, rows, with_header=header)
        if "cursor" in found[-1]:
            click.echo(f"there is more: --after {found[-1]['cursor']}", err=True)
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
    print_fields((name, _told(value)) for name, value in entry.items() if value not in ("", []))
    click.echo()


def _told(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _show_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"verified": report.verified, **dataclasses.asdict(report)}))
        return
    for problem in report.problems:
        click.echo(f"{_where(problem.sequence)}: {shown(problem.what)}")
    for note in report.notes:
        click.echo(f"{_where(note.sequence)}: note: {shown(note.what)}")
    mark = click.style("verified", fg="green") if report.verified else click.style("not verified", fg="red")
    click.echo(f"{mark}: {report.entries} entries, root {report.root}")
    if report.checkpoints:
        click.echo(f"signed: the first {report.signed} entries, by {report.checkpoints} checkpoints")
    else:
        click.echo("signed: nothing; run ledger checkpoint")


def _where(sequence: int) -> str:
    return "the ledger" if sequence < 0 else f"entry {sequence}"
