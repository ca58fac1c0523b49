"""Gathering the signals."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.location import Assurance, Databases, Location, Locator, Signal, Source, parse_address
from gateway.settings import LocationSettings, SiteSettings
from tests.unit.location.conftest import DAY_S, FakeClock
from tests.world.geo import SAMPLE_BUILT_S, write_country

HOME = frozenset({"US"})
MAX_AGE_S = 45 * DAY_S
VECTORS = json.loads((Path(__file__).parents[2] / "data" / "geo.json").read_text("utf-8"))["vectors"]
OFFICE = SiteSettings(name="Indianapolis", networks=("10.20.0.0/16", "45.83.220.0/25", "49.36.0.0/14"), country="US")  # type: ignore[arg-type]  # validated
LAB = SiteSettings(name="Chennai lab", networks=("10.20.30.0/24", "fd00::/8"), country="IN")  # type: ignore[arg-type]  # validated


@pytest.fixture
def databases(settings: LocationSettings, clock: FakeClock) -> Databases:
    return Databases.open(settings, clock)


@pytest.fixture
def locator(databases: Databases) -> Locator:
    return Locator(databases, [OFFICE, LAB])


def locate(locator: Locator, text: str, **claims: str) -> Location:
    address = parse_address(text)
    assert address is not None
    return locator.locate(address, **claims)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_published_vector_is_located_as_expected(databases: Databases, vector: dict[str, Any]) -> None:
    """What cannot be told is never home, and text that is no address is refused."""
    address = parse_address(vector["input"])
    if vector["expect"].startswith("reject"):
        assert address is None
        return
    location = Locator(databases).locate(address)
    expected = {"country=GB": "GB", "policy doc: not US": "GB", "deny": ""}[vector["expect"]]
    assert location.country(HOME) == expected
    assert location.assurance(HOME) is (Assurance.OUTSIDE if expected else Assurance.UNASSURED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.8.8.8", Signal(Source.NETWORK, "US")),
        ("136.145.1.1", Signal(Source.NETWORK, "PR")),
        ("9.9.9.9", Signal(Source.NETWORK, "", "no record")),
        ("214.1.1.1", Signal(Source.NETWORK, "", "no record")),
        ("192.168.0.1", Signal(Source.NETWORK, "", "private address")),
        ("2002:808:808::1", Signal(Source.NETWORK, "", "transition address")),
    ],
)
def test_network_signal_says_what_is_known(locator: Locator, text: str, expected: Signal) -> None:
    """A country, or why there is none."""
    assert locate(locator, text).signals == (expected,)


def test_signals_stand_in_the_order_of_their_sources(locator: Locator) -> None:
    """All five at once."""
    location = locate(locator, "45.83.220.1", token_country="US", work_country="IN")
    assert location.signals == (
        Signal(Source.NETWORK, "US"),
        Signal(Source.ANONYMITY, "", "vpn", adverse=True),
        Signal(Source.SITE, "US", "Indianapolis"),
        Signal(Source.TOKEN, "US"),
        Signal(Source.WORKFORCE, "IN"),
    )
    assert location.address == "45.83.220.1"
    assert location.version.startswith("country 2026-01-01 ")


@pytest.mark.parametrize(
    ("text", "site", "assurance"),
    [
        ("10.20.1.1", "Indianapolis", Assurance.HOME),
        ("10.20.30.1", "Chennai lab", Assurance.OUTSIDE),
        ("fd00::1", "Chennai lab", Assurance.OUTSIDE),
        ("49.36.0.1", "Indianapolis", Assurance.UNASSURED),
        ("45.83.220.1", "Indianapolis", Assurance.UNASSURED),
        ("10.21.0.1", "", Assurance.UNASSURED),
    ],
)
def test_most_specific_site_speaks_beside_the_network(
    locator: Locator, text: str, site: str, assurance: Assurance
) -> None:
    """The longest prefix wins; a site never outvotes the network or its anonymity."""
    location = locate(locator, text)
    assert [signal.detail for signal in location.signals if signal.source is Source.SITE] == ([site] if site else [])
    assert location.assurance(HOME) is assurance


def test_network_claimed_for_two_countries_is_refused(databases: Databases) -> None:
    """Which of them would win is nobody's guess; the same country twice is no contradiction."""
    other = SiteSettings(name="Pune", networks=("::ffff:10.20.0.0/112",), country="IN")  # type: ignore[arg-type]  # validated
    with pytest.raises(
        ConfigurationError, match=r"location\.site: 10\.20\.0\.0/16: 'Indianapolis' says US and 'Pune' says IN"
    ):
        Locator(databases, [OFFICE, other])
    assert Locator(databases, [OFFICE, OFFICE])


def test_without_a_client_address_only_claims_speak(locator: Locator) -> None:
    """Nobody is at home by claim alone."""
    location = locator.locate(None, token_country="US", work_country="US")
    assert location.address == ""
    assert location.signals[0] == Signal(Source.NETWORK, "", "no client address")
    assert location.assurance(HOME) is Assurance.UNASSURED


def test_mapped_address_is_that_of_ipv4(locator: Locator) -> None:
    """However the address object was made."""
    assert locator.locate(ipaddress.IPv6Address("::ffff:8.8.8.8")) == locate(locator, "8.8.8.8")


@pytest.mark.parametrize("text", ["8.8.8.8", "10.20.1.1"])
def test_missing_country_database_assures_nobody(settings: LocationSettings, clock: FakeClock, text: str) -> None:
    """Not even at a site."""
    settings.country_database.unlink()
    location = locate(Locator(Databases.open(settings, clock), [OFFICE]), text)
    assert location.signals[0] == Signal(Source.NETWORK, "", "database missing", adverse=True)
    assert location.assurance(HOME) is Assurance.UNASSURED


@pytest.mark.parametrize("text", ["8.8.8.8", "10.20.1.1"])
def test_missing_anonymous_database_assures_nobody(settings: LocationSettings, clock: FakeClock, text: str) -> None:
    """Configured is needed: nobody can tell who hides."""
    assert settings.anonymous_database is not None
    settings.anonymous_database.unlink()
    location = locate(Locator(Databases.open(settings, clock), [OFFICE]), text)
    assert Signal(Source.ANONYMITY, "", "database missing", adverse=True) in location.signals
    assert location.assurance(HOME) is Assurance.UNASSURED


def test_unconfigured_anonymous_database_is_not_missed(country_path: Path, clock: FakeClock) -> None:
    """Without one, anonymity is not asked about."""
    databases = Databases.open(LocationSettings(country_database=country_path), clock)
    assert locate(Locator(databases), "45.83.220.1").assurance(HOME) is Assurance.HOME


def test_database_ages_while_answers_are_remembered(locator: Locator, clock: FakeClock) -> None:
    """The moment it is too old, nobody is assured any more; and a clock set right again is believed."""
    texts = ("8.8.8.8", "10.20.1.1")
    clock.seconds = SAMPLE_BUILT_S + MAX_AGE_S - 1
    assert [locate(locator, text).assurance(HOME) for text in texts] == [Assurance.HOME] * 2
    clock.seconds += 1
    location = locate(locator, "8.8.8.8")
    assert location.signals[0].detail == "database too old (built 2026-01-01)"
    assert [locate(locator, text).assurance(HOME) for text in texts] == [Assurance.UNASSURED] * 2
    clock.seconds -= 1
    assert locate(locator, "8.8.8.8").assurance(HOME) is Assurance.HOME


def test_clock_before_the_build_date_assures_nobody(locator: Locator, clock: FakeClock) -> None:
    """With a wrong clock no age can be told; a day is left for time zones."""
    clock.seconds = SAMPLE_BUILT_S - DAY_S
    assert locate(locator, "8.8.8.8").assurance(HOME) is Assurance.HOME
    clock.seconds -= 1
    location = locate(locator, "8.8.8.8")
    assert location.signals[0].detail == "database built in the future (built 2026-01-01); check the clock"
    assert location.assurance(HOME) is Assurance.UNASSURED


def test_swapped_database_forgets_what_was_remembered(
    databases: Databases, locator: Locator, country_path: Path, tmp_path: Path
) -> None:
    """After a swap the new database answers, and the version says so."""
    before = locate(locator, "8.8.8.8")
    assert locate(locator, "8.8.8.8") is before
    write_country(tmp_path / "new.mmdb", {"8.8.8.0/24": "IN"}).replace(country_path)
    assert locate(locator, "8.8.8.8") is before
    assert databases.reload_if_changed()
    after = locate(locator, "8.8.8.8")
    assert after.signals[0].country == "IN"
    assert after.version != before.version


def test_database_swapped_to_a_broken_one_answers_as_before(
    databases: Databases, locator: Locator, country_path: Path
) -> None:
    """A broken file changes nothing."""
    before = locate(locator, "8.8.8.8")
    os.truncate(country_path, 700)
    assert not databases.reload_if_changed()
    assert locate(locator, "8.8.8.8") is before


def test_remembered_answers_are_bounded_and_kept_apart(databases: Databases) -> None:
    """What is claimed is part of the question."""
    locator = Locator(databases, remembered=2)
    first = locate(locator, "8.8.8.8")
    assert locate(locator, "8.8.8.8", token_country="IN") != first
    assert locate(locator, "8.8.8.8", work_country="IN") != locate(locator, "8.8.8.8", token_country="IN")
    assert locate(locator, "9.9.9.9").signals[0].detail == "no record"
    assert locate(locator, "8.8.8.8") is not first
    assert locate(locator, "8.8.8.8") == first
