"""The ``geo`` commands."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gateway.cli import status_of
from gateway.cli.geo import geo
from gateway.clock import SystemClock
from gateway.errors import GatewayError
from gateway.settings import LocationSettings, SiteSettings
from tests.unit.location.conftest import DAY_S
from tests.world.geo import ANONYMOUS, COUNTRIES, write_anonymous, write_country


@dataclass
class Answer:
    """What a command printed, and its exit status."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass
class Desk:
    """A configured installation, and commands typed at it."""

    location: LocationSettings

    def type(self, *arguments: str) -> Answer:
        settings = SimpleNamespace(location=self.location, policy=SimpleNamespace(home=("US",)))
        result = CliRunner().invoke(geo, list(arguments), obj=SimpleNamespace(settings=settings, clock=SystemClock()))
        if isinstance(result.exception, GatewayError):  # translated as the whole command line does it
            return Answer(status_of(result.exception), result.stdout, f"{result.stderr}{result.exception}\n")
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    now_s = int(time.time())
    return Desk(
        LocationSettings(
            country_database=write_country(tmp_path / "c.mmdb", COUNTRIES, built_s=now_s - 3 * DAY_S),
            anonymous_database=write_anonymous(tmp_path / "a.mmdb", ANONYMOUS, built_s=now_s - 3 * DAY_S),
            site=(SiteSettings(name="Lab", networks=("10.0.0.0/8",), country="IN"),),  # type: ignore[arg-type]  # validated
        )
    )


def test_lookup_shows_each_signal_and_the_verdict(desk: Desk) -> None:
    """One JSON object for each address."""
    result = desk.type("lookup", "8.8.8.8", "45.83.220.1", "10.1.1.1", "--work-country", "US", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second, third = (json.loads(line) for line in result.stdout.splitlines())
    assert first["assurance"] == "home"
    assert first["signals"] == [
        {"source": "network", "country": "US", "detail": "", "adverse": False},
        {"source": "workforce", "country": "US", "detail": "", "adverse": False},
    ]
    assert second["assurance"] == "unassured"
    assert second["signals"][1] == {"source": "anonymity", "country": "", "detail": "vpn", "adverse": True}
    assert (third["address"], third["country"], third["assurance"]) == ("10.1.1.1", "IN", "unassured")
    assert first["version"].startswith("country ")


def test_lookup_prints_a_table_for_people(desk: Desk) -> None:
    """Verdict and signals, in words."""
    result = desk.type("lookup", "49.36.0.1", "--token-country", "US")
    assert result.exit_code == 0
    assert "49.36.0.1: unassured (home: US)" in result.stdout
    for word in ("network", "IN", "token", "US"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("lookup", "8.8.8"), "got '8.8.8'; expected an IPv4 or IPv6 address"),
        (("lookup", "8.8.8.8", "fe80::1%1"), "got 'fe80::1%1'; expected an IPv4 or IPv6 address"),
        (("lookup", "8.8.8.8", "--work-country", "usa"), "--work-country: got 'usa'; expected a country"),
        (("update", "absent.mmdb"), "absent.mmdb: cannot be read (No such file or directory)"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(desk: Desk, arguments: tuple[str, ...], expected: str) -> None:
    """What came and what was expected, on standard error, and nothing else."""
    result = desk.type(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(expected)
    assert result.stderr.count("\n") == 1


def test_contradictory_sites_are_exit_2(desk: Desk) -> None:
    """The configuration is wrong, so nothing is answered."""
    other = SiteSettings(name="Other", networks=("10.0.0.0/8",), country="US")  # type: ignore[arg-type]  # validated
    desk.location = desk.location.model_copy(update={"site": (*desk.location.site, other)})
    result = desk.type("lookup", "8.8.8.8")
    assert result.exit_code == 2
    assert "'Lab' says IN and 'Other' says US" in result.stderr


def test_lookup_without_a_usable_database_is_exit_3(desk: Desk) -> None:
    """It shows that nothing is assured, and why."""
    desk.location.country_database.unlink()
    result = desk.type("lookup", "8.8.8.8", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["assurance"] == "unassured"
    assert result.stderr.startswith("country: ")
    assert result.stderr.count("\n") == 1


def test_status_shows_every_database(desk: Desk) -> None:
    """As JSON and as a table."""
    result = desk.type("status", "--json")
    country, anonymous = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert (country["kind"], country["type"], country["usable"]) == ("country", "GeoLite2-Country", True)
    assert country["path"] == str(desk.location.country_database)
    assert country["networks"] == len(COUNTRIES)
    assert (anonymous["kind"], anonymous["age_s"] // DAY_S) == ("anonymous", 3)
    table = desk.type("status")
    assert table.exit_code == 0
    assert "fresh" in table.stdout
    assert "3 d" in table.stdout


@pytest.mark.parametrize("damage", ["missing", "old"])
def test_status_of_an_unusable_database_is_exit_1(desk: Desk, damage: str) -> None:
    """One line says which and why."""
    path = desk.location.country_database
    if damage == "missing":
        path.unlink()
    else:
        write_country(path, COUNTRIES)
        desk.location = desk.location.model_copy(update={"max_database_age_s": 60.0})
    result = desk.type("status")
    assert result.exit_code == 1
    assert result.stderr.startswith("country: ")


def test_update_replaces_the_configured_database(desk: Desk, tmp_path: Path) -> None:
    """The new one is in place and answers."""
    new = write_country(tmp_path / "new.mmdb", {"8.8.8.0/24": "IN"}, built_s=int(time.time()))
    result = desk.type("update", str(new))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "GeoLite2-Country, built " in result.stdout
    assert json.loads(desk.type("lookup", "8.8.8.8", "--json").stdout)["assurance"] == "outside"


def test_update_refuses_an_older_one_unless_told(desk: Desk, tmp_path: Path) -> None:
    """Exit 2 and the old one stays; ``--allow-older`` says it is on purpose."""
    old = write_anonymous(tmp_path / "old.mmdb", ANONYMOUS)
    result = desk.type("update", str(old), "--database", "anonymous")
    assert result.exit_code == 2
    assert "older than the database in place" in result.stderr
    assert desk.type("update", str(old), "--database", "anonymous", "--allow-older").exit_code == 0


def test_update_of_an_unconfigured_database_is_refused(desk: Desk, tmp_path: Path) -> None:
    """There is no place to put it."""
    desk.location = desk.location.model_copy(update={"anonymous_database": None})
    result = desk.type("update", str(write_anonymous(tmp_path / "x.mmdb", ANONYMOUS)), "--database", "anonymous")
    assert result.exit_code == 2
    assert "location.anonymous_database is not configured" in result.stderr
