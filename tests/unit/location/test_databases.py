"""Replacing databases while running, and what happens when they are missing, broken or old."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND_US
from gateway.errors import LocationUnavailable
from gateway.location import Databases
from gateway.location.networks import parse_address
from gateway.settings import LocationSettings
from tests.unit.location.conftest import DAY_S, FakeClock
from tests.world.geo import ANONYMOUS, SAMPLE_BUILT_S, write_anonymous, write_country

ADDRESS = parse_address("8.8.8.8")
MAX_AGE_S = 45 * DAY_S


@pytest.fixture(scope="module")
def two_ages(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """A country database, and an anonymous-IP database built nine days later."""
    directory = tmp_path_factory.mktemp("ages")
    settings = LocationSettings(
        country_database=write_country(directory / "a.mmdb", {"8.8.8.0/24": "US"}),
        anonymous_database=write_anonymous(directory / "b.mmdb", ANONYMOUS, built_s=SAMPLE_BUILT_S + 9 * DAY_S),
    )
    return Databases.open(settings, FakeClock())


def country(databases: Databases) -> str | None:
    assert databases.current.country is not None
    assert ADDRESS is not None
    return databases.current.country.country(ADDRESS)


def replace(path: Path, new: Path) -> None:
    """As an update does it: the finished file is renamed over the old one."""
    new.replace(path)


def test_sound_databases_are_usable(settings: LocationSettings, clock: FakeClock) -> None:
    """Both are in use, and the version names both."""
    databases = Databases.open(settings, clock, strict=True)
    assert [(status.kind, status.usable, status.problem) for status in databases.status()] == [
        ("country", True, ""),
        ("anonymous", True, ""),
    ]
    first, second = databases.current.version.split(", ")
    assert first.startswith("country 2026-01-01 ")
    assert second.startswith("anonymous 2026-01-01 ")
    assert databases.status()[0].age_s == DAY_S


def test_changed_file_is_taken_up_as_a_whole(settings: LocationSettings, clock: FakeClock, tmp_path: Path) -> None:
    """A renamed new file takes the old one's place; nothing happens twice."""
    databases = Databases.open(settings, clock)
    before = databases.current
    assert databases.reload_if_changed() is False
    assert databases.current is before
    replace(settings.country_database, write_country(tmp_path / "new.mmdb", {"8.8.8.0/24": "IN"}))
    assert country(databases) == "US"
    assert databases.reload_if_changed() is True
    assert country(databases) == "IN"
    assert databases.current.anonymous is before.anonymous
    assert databases.reload_if_changed() is False


def test_file_replaced_in_place_does_not_hurt_the_one_in_use(
    settings: LocationSettings, clock: FakeClock, tmp_path: Path
) -> None:
    """The database in use is in memory: cut short and written over, the old file still answers."""
    databases = Databases.open(settings, clock)
    os.truncate(settings.country_database, 10)
    assert country(databases) == "US"
    assert databases.reload_if_changed() is False
    shutil.copyfile(write_country(tmp_path / "new.mmdb", {"8.8.8.0/24": "IN"}), settings.country_database)
    assert databases.reload_if_changed() is True
    assert country(databases) == "IN"


def test_broken_new_file_leaves_the_old_database_in_use(settings: LocationSettings, clock: FakeClock) -> None:
    """The old one goes on, the problem is shown, and the broken file is not read again and again."""
    databases = Databases.open(settings, clock)
    whole = settings.country_database.read_bytes()
    settings.country_database.write_bytes(whole[: len(whole) // 2])
    assert databases.reload_if_changed() is False
    status = databases.status()[0]
    assert status.usable
    assert "not a usable country database" in status.problem
    assert country(databases) == "US"
    settings.country_database.write_bytes(whole)
    assert databases.reload_if_changed() is True
    assert databases.status()[0].problem == ""


def test_removed_file_leaves_the_old_database_until_it_is_too_old(settings: LocationSettings, clock: FakeClock) -> None:
    """A file that is gone is a problem, but no reason to stop before its age is."""
    databases = Databases.open(settings, clock)
    settings.country_database.unlink()
    assert databases.reload_if_changed() is False
    assert databases.status()[0].usable
    assert "cannot be read (No such file" in databases.status()[0].problem
    clock.seconds = SAMPLE_BUILT_S + MAX_AGE_S
    assert not databases.status()[0].usable
    assert databases.status()[0].problem.startswith("database too old (built 2026-01-01); ")


def test_missing_database_is_used_once_it_comes(settings: LocationSettings, clock: FakeClock, tmp_path: Path) -> None:
    """Without one nothing is known; when it comes it is taken up."""
    whole = settings.country_database.read_bytes()
    settings.country_database.unlink()
    databases = Databases.open(settings, clock)
    assert databases.current.country is None
    assert not databases.status()[0].usable
    settings.country_database.write_bytes(whole)
    assert databases.reload_if_changed() is True
    assert country(databases) == "US"


@pytest.mark.parametrize("damage", ["missing", "broken", "old", "future", "wrong kind"])
@pytest.mark.parametrize("which", ["country", "anonymous"])
def test_strict_opening_refuses_an_unusable_database(
    settings: LocationSettings, clock: FakeClock, damage: str, which: str
) -> None:
    """The gateway does not start without usable databases, but can be asked to."""
    path = settings.country_database if which == "country" else settings.anonymous_database
    assert path is not None
    match damage:
        case "missing":
            path.unlink()
        case "broken":
            path.write_bytes(b"not a database")
        case "old":
            clock.seconds = SAMPLE_BUILT_S + MAX_AGE_S
        case "future":
            clock.seconds = SAMPLE_BUILT_S - DAY_S - 1
        case "wrong kind":
            write_country(path, {"8.8.8.0/24": "US"}, database_type="GeoLite2-ASN")
    with pytest.raises(LocationUnavailable, match=r"country|anonymous") as refused:
        Databases.open(settings, clock, strict=True)
    assert "\n" not in str(refused.value)
    lenient = {status.kind.value: status.usable for status in Databases.open(settings, clock).status()}
    assert lenient[which] is False


def test_anonymous_database_is_optional(country_path: Path, clock: FakeClock) -> None:
    """Without one configured there is none to miss."""
    databases = Databases.open(LocationSettings(country_database=country_path), clock, strict=True)
    assert databases.current.anonymous is None
    assert databases.current.asks_anonymous is False
    assert len(databases.status()) == 1


def test_file_that_changes_while_it_is_read_is_tried_again(
    settings: LocationSettings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its identity is not remembered, so the finished file is read the next time."""
    databases = Databases.open(settings, clock)
    settings.country_database.write_bytes(settings.country_database.read_bytes())

    def changing(path: Path) -> tuple[bytes, tuple[int, ...]]:
        raise LocationUnavailable(f"{path}: changed while it was read")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.location.databases.read_file", changing)
        assert databases.reload_if_changed() is False
    assert databases.reload_if_changed() is True


@given(now_s=st.integers(SAMPLE_BUILT_S - 3 * DAY_S, SAMPLE_BUILT_S + 60 * DAY_S), later_s=st.integers(0, 60 * DAY_S))
def test_fault_is_steady_within_its_span(two_ages: Databases, now_s: int, later_s: int) -> None:
    """Within the span that is promised, a database is judged alike; at its end, otherwise."""
    databases = two_ages
    current, now_us = databases.current, now_s * SECOND_US
    since_us, until_us = databases.steady(current, now_us)
    said = [databases.fault(database, now_us) for database in (current.country, current.anonymous)]
    assert since_us <= now_us < until_us
    for instant in (now_us + later_s * SECOND_US, now_us - later_s * SECOND_US):
        same = [databases.fault(database, instant) for database in (current.country, current.anonymous)] == said
        assert same or not since_us <= instant < until_us
