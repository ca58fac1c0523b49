"""``ledger prove``, ``export`` and ``report``: what is handed to somebody else. Each is itself recorded."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from gateway.cli.context import Operation, as_json
from gateway.cli.ledger_choices import (
    by_pseudonym,
    counted,
    filters,
    given_of,
    instant_of,
    ledger_path,
    progress,
    query_of,
    record_reading,
    tell_removed,
)
from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger import transparency_page
from gateway.ledger.bundle import export_bundle
from gateway.ledger.exporting import EXPORTS, Export
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.receipt import prove as make_receipt
from gateway.ledger.transparency import Asked
from gateway.ledger.transparency import report as transparency_report

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("entry", metavar="ENTRY|SEQUENCE")
@click.option("-o", "--output", type=_FILE, help="A new file for the proof; FILE.json gets the entry.")
@as_json
@click.pass_context
def prove(context: click.Context, entry: str, output: Path | None, as_json: bool) -> None:
    """Prove to somebody without the ledger that an entry stands in it. Proving is itself recorded.

    The proof (C2SP tlog-proof) ends in the newest checkpoint over the entry. Whoever has it, the entry's exact bytes
    and the ledger's key can check it.
    """
    with LedgerReader(ledger_path(context)) as reader:
        receipt = make_receipt(reader, entry)
    record_reading(context, "ledger.prove", [f"entry={receipt.index}", f"checkpoint={receipt.size}"])
    if output:
        _write_new(output, receipt.text.encode())
        _write_new(output.with_name(f"{output.name}.json"), receipt.body)
    if as_json:
        told = {"sequence": receipt.index, "size": receipt.size, "entry": receipt.body.decode(), "proof": receipt.text}
        click.echo(json.dumps(told, ensure_ascii=False))
    elif output:
        click.echo(f"{output}: entry {receipt.index} under the checkpoint over {receipt.size} entries")
    else:
        click.echo(receipt.text, nl=False)


@click.command()
@filters
@click.option("--from", "first", type=click.IntRange(min=0), metavar="SEQUENCE", help="From this entry on.")
@click.option("--to", "last", type=click.IntRange(min=0), metavar="SEQUENCE", help="Up to this entry.")
@click.option("--format", "format", type=click.Choice(EXPORTS), default="jsonl", show_default=True)
@click.option("-o", "--output", type=_FILE, help="A new file, in place of stdout.")
@click.option(
    "--bundle", type=click.Path(path_type=Path, file_okay=False), help="A directory, for everything that is signed."
)
@as_json
@click.pass_context
def export(
    context: click.Context,
    /,
    first: int | None,
    last: int | None,
    format: str,
    output: Path | None,
    bundle: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Hand entries out, in the order of the record. Exporting is itself recorded.

    JSON lines hold the exact bytes of each entry behind its sequence. A file is written as FILE.part until it is
    whole; the same command goes on with it after an interruption. With --json, which needs --output, what was done is
    told as JSON.

    A bundle is the ledger up to its newest checkpoint as static files (C2SP tlog-tiles), which others can check and
    serve. An export into it that was interrupted goes on.
    """
    if bundle:
        narrowed = given_of({**asked, "from": first, "to": last}) or output
        _export_bundle(context, bundle, narrowed, as_json=as_json)
        return
    if as_json and not output:
        raise UsageError("--json tells what was written to a file; name one with --output, or leave it out")
    given = given_of({**asked, "from": first, "to": last})
    exporting = Export(format, output, given)
    if exporting.note:
        click.echo(exporting.note, err=True)
    query = by_pseudonym(context, query_of(context, asked))
    with LedgerReader(ledger_path(context)) as reader:
        size = reader.size()
        after = None if first is None else first - 1
        query = dataclasses.replace(query, after=after, before=size if last is None else min(size, last + 1))
        record_reading(context, "ledger.export", [*given, f"format={format}"])
        tell_removed(reader, query)
        done = exporting.run(reader, query, counted)
    if as_json:
        click.echo(json.dumps({"entries": done.entries, "output": str(output), "resumed": done.resumed}))
    elif output:
        click.echo(f"{output}: {done.entries} entries{' more than the part had' if done.resumed else ''}")


REPORTS: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
    "html": transparency_page.as_html,
    "csv": transparency_page.as_csv,
    "json": lambda report: [json.dumps(report, ensure_ascii=False, indent=1), "\n"],
}


@click.command()
@click.option("--customer", required=True, help="Whose data.")
@click.option("--since", required=True, metavar="WHEN", help="From then on: 30d, or 2026-03-01T00:00:00Z.")
@click.option("--until", default="", metavar="WHEN", help="Before then; now, unless given.")
@click.option("--format", "format", type=click.Choice(list(REPORTS)), default="html", show_default=True)
@click.option("--pseudonyms", is_flag=True, help="Number people in place of naming them; leaves out the exact entries.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file, in place of stdout.")
@click.pass_context
def report(
    context: click.Context, customer: str, since: str, until: str, format: str, pseudonyms: bool, output: Path | None
) -> None:
    """Every access to a customer's data from outside home, by clause, with its proof. Asking is itself recorded.

    As JSON it holds all that the customer needs to check it with the ledger's public key alone.
    """
    operation: Operation = context.obj
    now_us = operation.clock.now_us()
    since_us, until_us = instant_of("--since", since, now_us), instant_of("--until", until, now_us)
    asked = Asked(customer, since_us or 0, now_us if until_us is None else until_us, pseudonyms=pseudonyms)
    if asked.since_us >= asked.until_us:
        raise UsageError("--since is not before --until; expected a period that is not empty")
    given = given_of({"customer": customer, "since": since, "until": until, "format": format})
    if output and output.exists():
        raise UsageError(f"{output} is there already; name a new file")
    with LedgerReader(ledger_path(context)) as reader:
        size = reader.size()
        record_reading(context, "ledger.report", [*given, *(["pseudonyms"] if pseudonyms else [])])
        found = transparency_report(reader, asked, made_us=now_us, before=size)
        tell_removed(reader, Query(since_us=asked.since_us, until_us=asked.until_us, before=size))
    if found["unproven"]:
        click.echo(f"not all is proven: {found['unproven']}", err=True)
    if output is None:
        sys.stdout.writelines(REPORTS[format](found))
        return
    _write_new(output, "".join(REPORTS[format](found)).encode())
    click.echo(f"{output}: {found['totals']['accesses']} accesses")


def _export_bundle(context: click.Context, directory: Path, narrowed: object, *, as_json: bool) -> None:
    if narrowed:
        raise UsageError("a bundle holds all that is signed, in a directory; leave out filters and --output")
    with LedgerReader(ledger_path(context)) as reader, progress() as bar:
        record_reading(context, "ledger.export", ["format=bundle"])
        tell_removed(reader, Query())
        task = bar.add_task("exporting", total=None)
        done = export_bundle(reader, directory, lambda done, of: bar.update(task, completed=done, total=of))
    told = {"entries": done.entries, "checkpoints": done.checkpoints, "bundle": str(directory)}
    line = f"{directory}: {done.entries} entries, {done.checkpoints} checkpoints"
    click.echo(json.dumps(told) if as_json else line)


def _write_new(path: Path, content: bytes) -> None:
    """For its owner only: it holds who did what."""
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(content)
    except FileExistsError:
        raise UsageError(f"{path} is there already; name a new file") from None
    except OSError as error:
        raise LedgerUnavailable(f"{path} cannot be written: {error.strerror}") from error
