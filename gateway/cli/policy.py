"""``policy``: what the rules say, to whom, and whether they keep what they promise."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from gateway.cli.context import Operation, as_json
from gateway.errors import ConfigurationError
from gateway.policy import Policy, default_directory, load
from gateway.policy.fixtures import Outcome, read_fixtures, run
from gateway.policy.matrix import (
    compress,
    full_header,
    full_texts,
    header,
    reading_header,
    reading_texts,
    texts,
    to_csv,
    to_json,
    to_markdown,
)
from gateway.policy.prove import Proof, prove
from gateway.policy.space import Row, count, decide_every

_FORMATS: dict[str, Callable[[Sequence[str], Any], str]] = {"csv": to_csv, "markdown": to_markdown, "json": to_json}
_TABLE_WIDTH = 260  # where there is no terminal to fit into: no cell is cut

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The policy directory; otherwise the configuration's, otherwise the one shipped.",
)


@click.group()
def policy() -> None:
    """Test the policy, print its decision table, prove its properties."""


@policy.command()
@_directory
@as_json
@click.pass_context
def test(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """Run the examples in the policy's tests/*.toml. Exit 1 if one fails."""
    where = _where(context.obj, directory)
    outcomes = list(run(load(where), read_fixtures(where)))
    failed = [outcome for outcome in outcomes if outcome.problem]
    if as_json:
        _print_lines(map(_outcome, outcomes))
    else:
        for each in failed:
            click.echo(f"✗ {each.fixture.place}: {each.fixture.says}\n  {each.problem}")
        click.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} examples hold")
    context.exit(1 if failed else 0)


@policy.command()
@_directory
@click.option("--format", "form", type=click.Choice(["table", *_FORMATS]), default="table", show_default=True)
@click.option("--full", is_flag=True, help="Every combination by itself, with all its rules.")
@as_json
@click.pass_obj
def matrix(operation: Operation | None, directory: Path | None, form: str, full: bool, as_json: bool) -> None:
    """Print the decision table. It is read from the top: the first line that fits decides."""
    rows = _decide_every(load(_where(operation, directory)))
    form = "json" if as_json else form
    titles, table = _full_or_short(rows, full=full, for_people=form in ("table", "markdown"))
    if form == "table":
        _print_table(titles, table)
    else:
        click.echo(_FORMATS[form](titles, table), nl=False)


@policy.command("prove")
@_directory
@as_json
@click.pass_context
def prove_(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """Check properties over every combination of facts. Exit 1 if one does not hold."""
    loaded = load(_where(context.obj, directory))
    rows = _decide_every(loaded)
    proofs = prove(loaded, rows)
    if as_json:
        told = {"policy": loaded.version, "combinations": len(rows)}
        _print_lines(asdict(proof) | {"holds": proof.holds} | told for proof in proofs)
    else:
        for proof in proofs:
            _print_proof(proof)
        held = sum(proof.holds for proof in proofs)
        click.echo(f"{held} of {len(proofs)} properties hold over {len(rows):,} combinations")
    context.exit(0 if all(proof.holds for proof in proofs) else 1)


def _where(operation: Operation | None, directory: Path | None) -> Path:
    if directory is not None or operation is None:
        return directory or default_directory()
    try:
        _ = operation.config_path
    except ConfigurationError:  # there is none: the policy can be looked at all the same
        return default_directory()
    return operation.settings.policy.directory


def _full_or_short(rows: list[Row], *, full: bool, for_people: bool) -> tuple[list[str], Iterable[list[str]]]:
    if full:
        return full_header(), full_texts(rows)
    lines = compress(rows)
    return (reading_header(), reading_texts(lines)) if for_people else (header(), texts(lines))


def _decide_every(loaded: Policy) -> list[Row]:
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=count(), label="Deciding", file=sys.stderr, hidden=hidden) as bar:
        return decide_every(loaded, advance=bar.update)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    fixture = outcome.fixture
    return {"case": fixture.place, "says": fixture.says, "passed": not outcome.problem, "problem": outcome.problem}


def _print_lines(objects: Iterable[dict[str, Any]]) -> None:
    for each in objects:
        click.echo(json.dumps(each))


def _print_proof(proof: Proof) -> None:
    click.echo(f"{'✓' if proof.holds else '✗'} {proof.name} ({proof.checked:,} cases): {proof.says}")
    if not proof.holds:
        what = f"fails in {proof.failed:,}, such as {proof.counterexample}" if proof.failed else "speaks about no case"
        click.echo(f"  {what}")


def _print_table(titles: Sequence[str], table: Iterable[Sequence[str]]) -> None:
    shown = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for line in table:
        shown.add_row(*line)
    console = Console()
    Console(width=console.width if console.is_terminal else _TABLE_WIDTH).print(shown)
