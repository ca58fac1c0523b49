"""``geo``: the location databases, and what they say about an address."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.cli.context import Operation, as_json
from gateway.cli.output import print_rows
from gateway.errors import LocationUnavailable, UsageError
from gateway.location import Databases, DatabaseStatus, Kind, Location, Locator, parse_address
from gateway.location.installation import install
from gateway.location.networks import Address

_DAY_S = 86_400


@click.group()
def geo() -> None:
    """The location databases, and what they say about an address."""


@geo.command()
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--token-country", default="", metavar="XX", help="The country that the token claims.")
@click.option("--work-country", default="", metavar="XX", help="The country in the workforce directory.")
@as_json
@click.pass_obj
def lookup(
    operation: Operation, addresses: tuple[str, ...], token_country: str, work_country: str, as_json: bool
) -> None:
    """Show each signal about an address, and whether it is assured to be home.

    Exit status 3 when a configured database cannot be used, for then nothing is assured.
    """
    parsed = [_address(text) for text in addresses]
    claims = {
        "token_country": _country("--token-country", token_country),
        "work_country": _country("--work-country", work_country),
    }
    settings = operation.settings
    databases = Databases.open(settings.location, operation.clock)
    locator = Locator(databases, settings.location.site)
    for address in parsed:
        _show(locator.locate(address, **claims), frozenset(settings.policy.home), as_json=as_json)
    if problems := _problems(databases.status()):
        raise LocationUnavailable(problems)


@geo.command()
@as_json
@click.pass_obj
def status(operation: Operation, as_json: bool) -> None:
    """Show each configured database, its age, and whether it can be used; exit status 1 when one cannot."""
    found = Databases.open(operation.settings.location, operation.clock).status()
    if as_json:
        for item in found:
            click.echo(json.dumps({**asdict(item), "path": str(item.path)}))
    else:
        _print_status(found)
    if problems := _problems(found):
        click.echo(problems, err=True)
        raise click.exceptions.Exit(1)


@geo.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--database", type=click.Choice([kind.value for kind in Kind]), default=Kind.COUNTRY.value, show_default=True
)
@click.option("--allow-older", is_flag=True, help="Also take a database built before the one in place.")
@click.pass_obj
def update(operation: Operation, file: Path, database: str, allow_older: bool) -> None:
    """Put FILE in the place of a configured database, once it has been read through.

    A running gateway takes it up by itself. Exit status 2 when it is refused; the old one then stays in place.
    """
    kind = Kind(database)
    location = operation.settings.location
    target = location.country_database if kind is Kind.COUNTRY else location.anonymous_database
    if target is None:
        raise UsageError("location.anonymous_database is not configured; name a path for it in the configuration first")
    try:
        new = install(file, target, kind, allow_older=allow_older)
    except LocationUnavailable as error:
        raise UsageError(str(error)) from error  # it is the file that was named that is wrong
    click.echo(f"{target}: {new.type}, built {new.built_on}, {new.networks} networks")


def _address(text: str) -> Address:
    address = parse_address(text)
    if address is None:
        expected = "expected an IPv4 or IPv6 address in full, such as 49.36.0.1 or 2001:4860:4860::8888"
        raise UsageError(f"got {text!r}; {expected}")
    return address


def _country(option: str, text: str) -> str:
    if text and not (len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()):
        raise UsageError(f'{option}: got {text!r}; expected a country as two capital letters (ISO 3166-1), like "US"')
    return text


def _problems(found: tuple[DatabaseStatus, ...]) -> str:
    return "; ".join(f"{item.kind}: {item.problem}" for item in found if not item.usable)


def _show(location: Location, home: frozenset[str], *, as_json: bool) -> None:
    assurance = location.assurance(home)
    if not as_json:
        _print_signals(location, f"{location.address}: {assurance} (home: {', '.join(sorted(home))})")
        return
    answer: dict[str, Any] = {
        "address": location.address,
        "assurance": assurance,
        "country": location.country(home),
        "signals": [asdict(signal) for signal in location.signals],
        "version": location.version,
    }
    click.echo(json.dumps(answer))


def _print_signals(location: Location, title: str) -> None:
    rows = [
        (signal.source, signal.country or "unknown", signal.detail, "yes" if signal.adverse else "")
        for signal in location.signals
    ]
    print_rows(("source", "country", "detail", "speaks_against"), rows, title=title)


def _print_status(found: tuple[DatabaseStatus, ...]) -> None:
    rows = []
    for item in found:
        built = (item.type, item.built_on, f"{item.age_s // _DAY_S} d", str(item.networks)) if item.type else ("",) * 4
        rows.append((item.kind, str(item.path), *built, item.problem or "fresh"))
    print_rows(("database", "path", "type", "built", "age", "networks", "state"), rows)
