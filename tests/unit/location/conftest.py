"""A valid world of location databases, for each test to damage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.clock import SECOND_US
from gateway.settings import LocationSettings
from tests.world.geo import ANONYMOUS, COUNTRIES, REGISTERED, SAMPLE_BUILT_S, write_anonymous, write_country

DAY_S = 86_400


@dataclass
class FakeClock:
    """Stands still until it is moved."""

    seconds: int = SAMPLE_BUILT_S + DAY_S

    def now_us(self) -> int:
        return self.seconds * SECOND_US

    def monotonic_s(self) -> float:
        return float(self.seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def country_path(tmp_path: Path) -> Path:
    return write_country(tmp_path / "country.mmdb", COUNTRIES, registered=REGISTERED)


@pytest.fixture
def anonymous_path(tmp_path: Path) -> Path:
    return write_anonymous(tmp_path / "anonymous.mmdb", ANONYMOUS)


@pytest.fixture
def settings(country_path: Path, anonymous_path: Path) -> LocationSettings:
    return LocationSettings(country_database=country_path, anonymous_database=anonymous_path)
