"""How commands show nouns: a table for people, one JSON object a line for scripts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from gateway.clock import rfc3339


def plain(noun: Any) -> dict[str, Any]:
    """A noun as JSON would have it: instants as RFC 3339 text beside their names without ``_us``; "" for none."""
    values = dataclasses.asdict(noun) if dataclasses.is_dataclass(noun) and not isinstance(noun, type) else dict(noun)
    return {name.removesuffix("_us"): _shown(name, value) for name, value in values.items()}


def show_one(noun: Any, *, as_json: bool) -> None:
    """One noun: its fields, one a line."""
    values = plain(noun)
    if as_json:
        click.echo(json.dumps(values))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in values.items():
        table.add_row(f"[dim]{name.replace('_', ' ')}[/dim]", _cell(value))
    Console().print(table)


def show_many(nouns: Iterable[Any], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Several nouns: chosen columns as a table, or all of each as JSON."""
    rows = [plain(noun) for noun in nouns]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    if not rows:
        click.echo(empty, err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    Console().print(table)


def _shown(name: str, value: Any) -> Any:
    if name.endswith("_us"):
        return rfc3339(value) if value else ""
    if isinstance(value, (tuple, list)):
        return [plain(item) if isinstance(item, Mapping) else item for item in value]
    return value


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = "–" if value == "" else str(value)
    return text.replace("[", "\\[")
