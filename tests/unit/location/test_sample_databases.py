"""The demo's databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.demo import geo
from gateway.location import Assurance, Databases, Locator, parse_address
from gateway.settings import LocationSettings
from tests.unit.location.conftest import FakeClock
from tests.world.geo import SAMPLE_BUILT_S, write_country, write_samples

SHIPPED = Path(geo.__file__).parent / "data"
NAMES = (geo.COUNTRY_FILE, geo.ANONYMOUS_FILE)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_file_is_what_the_builder_writes(tmp_path: Path, name: str) -> None:
    """Byte for byte; ``python -m tests.world.geo`` brings them together again."""
    write_samples(tmp_path)
    assert (SHIPPED / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("built_s", [SAMPLE_BUILT_S + 1, 1_900_000_000, 0xFFFF_FFFF])
def test_dated_copy_differs_in_its_build_date_only(tmp_path: Path, built_s: int) -> None:
    """The copy is what the builder would have written at that time."""
    built = write_country(tmp_path / "then.mmdb", geo.SAMPLE_COUNTRIES, built_s=built_s).read_bytes()
    assert geo.dated((SHIPPED / geo.COUNTRY_FILE).read_bytes(), built_s) == built


@pytest.mark.parametrize(
    ("data", "built_s"),
    [(b"", SAMPLE_BUILT_S), (b"build_epoch\x04\x02abcd", SAMPLE_BUILT_S), (None, 0), (None, 0x1_0000_0000)],
)
def test_undatable_database_is_refused(data: bytes | None, built_s: int) -> None:
    """Neither a file without metadata nor a date of another width is patched."""
    with pytest.raises(ValueError, match="cannot set the build date"):
        geo.dated((SHIPPED / geo.COUNTRY_FILE).read_bytes() if data is None else data, built_s)


@pytest.mark.parametrize(
    ("text", "country", "assurance"),
    [
        ("8.8.8.8", "US", Assurance.HOME),
        ("73.1.2.3", "US", Assurance.HOME),
        ("23.192.1.1", "US", Assurance.HOME),
        ("2600:1700::1", "US", Assurance.HOME),
        ("45.83.220.7", "US", Assurance.UNASSURED),
        ("185.220.101.7", "DE", Assurance.UNASSURED),
        ("136.145.1.1", "PR", Assurance.OUTSIDE),
        ("49.36.0.1", "IN", Assurance.OUTSIDE),
        ("117.192.0.1", "IN", Assurance.OUTSIDE),
        ("2405:200::1", "IN", Assurance.OUTSIDE),
        ("87.32.0.1", "IE", Assurance.OUTSIDE),
        ("112.198.0.1", "PH", Assurance.OUTSIDE),
        ("136.158.0.1", "PH", Assurance.OUTSIDE),
        ("81.2.69.142", "GB", Assurance.OUTSIDE),
        ("196.216.0.1", "ZA", Assurance.OUTSIDE),
        ("1.1.1.1", "", Assurance.UNASSURED),
    ],
)
def test_sample_network_is_where_the_demo_says(tmp_path: Path, text: str, country: str, assurance: Assurance) -> None:
    """Every sample network, on databases that are fresh by the machine's clock."""
    paths = geo.sample_databases(tmp_path / "geo", SystemClock())
    settings = LocationSettings(country_database=paths[0], anonymous_database=paths[1])
    databases = Databases.open(settings, SystemClock(), strict=True)
    location = Locator(databases).locate(parse_address(text))
    assert (location.country(frozenset({"US"})), location.assurance(frozenset({"US"}))) == (country, assurance)


def test_sample_databases_are_built_now(tmp_path: Path) -> None:
    """However long ago they were shipped."""
    clock = FakeClock(2_000_000_000)
    country, anonymous = geo.sample_databases(tmp_path, clock)
    settings = LocationSettings(country_database=country, anonymous_database=anonymous)
    assert [status.age_s for status in Databases.open(settings, clock, strict=True).status()] == [0, 0]
