"""How commands show nouns: a table for people, one JSON object a line for scripts.

For scripts an instant stands there twice: ``opened`` is RFC 3339 text, ``opened_us`` microseconds since the epoch; ""
and 0 stand for none. A number that is :data:`NONE_AT_ZERO` is null for scripts and a dash for people where it is 0. For
people, what others wrote is never markup, and nothing in it steers the terminal (:func:`gateway.letters.shown`); for
scripts it is exact.

Every table of the command line is made here: where there is no terminal it is as wide as need be, and where there is
one no id is cut or wrapped, and columns that are empty go before others get narrow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gateway.clock import rfc3339
from gateway.letters import shown

WIDTH = 1_000_000  # where there is no terminal to fit into: no cell is cut, and no line is longer than its cells
IDS = frozenset({"id", "ticket", "customer", "decision", "sequence", "request", "grant", "channel"})
"""The columns of which no cell is cut or wrapped."""
NONE_AT_ZERO = frozenset({"severity", "max_bytes", "max_requests"})
NOTHING = "–"
Cell = Text | str


def plain(noun: Any) -> dict[str, Any]:
    """A noun as JSON would have it."""
    values = dataclasses.asdict(noun) if dataclasses.is_dataclass(noun) and not isinstance(noun, type) else dict(noun)
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith("_us"):
            found[name.removesuffix("_us")] = rfc3339(value) if value else ""
        if name in NONE_AT_ZERO and value == 0:
            value = None
        found[name] = [_plain_item(item) for item in value] if isinstance(value, (tuple, list)) else value
    return found


def show_one(noun: Any, *, as_json: bool) -> None:
    """One noun: its fields, one a line, and below them a table of each thing that it has several of."""
    values = plain(noun)
    if as_json:
        click.echo(json.dumps(values))
        return
    spoken = _spoken(values)
    below = {name: value for name, value in spoken.items() if _is_table(value)}
    print_fields((name, as_cell(value)) for name, value in spoken.items() if name not in below)
    for name, rows in below.items():
        click.echo()
        print_rows(list(rows[0]), _cells(rows, list(rows[0])), title=name)


def show_many(nouns: Iterable[Any], columns: Sequence[str], *, as_json: bool, empty: str) -> int:
    """Several nouns: chosen columns as a table, or all of each as JSON; how many there were."""
    rows = [plain(noun) for noun in nouns]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif rows:
        print_rows(columns, _cells([_spoken(row) for row in rows], columns))
    else:
        click.echo(empty, err=True)
    return len(rows)


def chosen(
    rows: Iterable[Mapping[str, Any]], only: Mapping[str, str | None], states: Collection[str], limit: int | None
) -> list[Mapping[str, Any]]:
    """The rows in one of these states whose fields are these, where one is given; of many the last."""
    found = [
        row for row in rows if row["state"] in states and all(want in (None, row[of]) for of, want in only.items())
    ]
    return found[-limit:] if limit else found


def tell(line: str, *, as_json: bool) -> None:
    """What an act did, in one line for people; beside what a script reads."""
    if not as_json:
        click.echo(shown(line), err=True)


def _plain_item(item: Any) -> Any:
    return plain(item) if isinstance(item, Mapping) else item


def _spoken(values: Mapping[str, Any]) -> dict[str, Any]:
    """What people read of it: each instant once, to the second."""
    instants = {name.removesuffix("_us"): value for name, value in values.items() if name.endswith("_us")}
    return {
        name: _moment(value) if name in instants else _spoken_item(value)
        for name, value in values.items()
        if not name.endswith("_us")
    }


def _spoken_item(value: Any) -> Any:
    if isinstance(value, list):
        return [_spoken(item) if isinstance(item, Mapping) else item for item in value]
    return value


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%SZ}" if text else ""


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _cells(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> list[list[Text]]:
    return [[as_cell(row[column]) for column in columns] for row in rows]


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str = "", with_header: bool = True
) -> None:
    """A table: a line for each row.

    Args:
        columns: their names, as fields have them.
        rows: a cell for each column; a ``str`` is text that somebody wrote.
        title: what stands above it, as the name of a field.
    """
    table = _table(columns, rows, title=title, with_header=with_header)
    console = _console()
    wished = Measurement.get(console, console.options.update(width=WIDTH), table)
    if wished.maximum > console.width:
        filled = [place for place in range(len(columns)) if any(_text(row[place]).plain.strip("–") for row in rows)]
        kept = [[row[place] for place in filled] for row in rows]
        table = _table([columns[place] for place in filled], kept, title=title, with_header=with_header)
    console.print(table, crop=False)


def print_fields(fields: Iterable[tuple[str, Cell]]) -> None:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(cell(_title(name), style="dim"), _text(value))
    _console().print(table, crop=False)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str, with_header: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=with_header)
    table.title, table.title_justify, table.title_style = _title(title) or None, "left", "dim"
    for place, column in enumerate(columns):
        longest = max((_text(row[place]).cell_len for row in rows), default=0)
        width = max(longest, len(column) if with_header else 0) if column in IDS else None
        table.add_column(_title(column), width=width, no_wrap=width is not None, overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _text(value: Cell) -> Text:
    return value if isinstance(value, Text) else cell(value)


def _console() -> Console:
    """As wide as the terminal, or where there is none as wide as need be."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(width=WIDTH, highlight=False, markup=False)


def counted(number: int, one: str, many: str) -> str:
    """``1 access``, ``2 accesses``."""
    return f"{number:,} {one if number == 1 else many}"


def _title(name: str) -> str:
    return name.replace("_", " ")


def as_cell(value: Any) -> Text:
    """What a table has of a value: a dash for none."""
    if isinstance(value, bool):
        return cell("yes" if value else "no")
    if value is None:
        return cell(NOTHING)
    return cell((", ".join(map(str, value)) if isinstance(value, list) else str(value)) or NOTHING)


def cell(text: str, *, style: str = "") -> Text:
    """What a table has of a text that somebody wrote."""
    return Text(shown(text), style=style)
