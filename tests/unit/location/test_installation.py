"""Replacing the configured file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import LocationUnavailable, UsageError
from gateway.location.database import Kind
from gateway.location.installation import install
from tests.unit.location.conftest import DAY_S
from tests.world.geo import SAMPLE_BUILT_S, write_country


def newer(tmp_path: Path, days: int = 1) -> Path:
    return write_country(tmp_path / "new.mmdb", {"8.8.8.0/24": "IN"}, built_s=SAMPLE_BUILT_S + days * DAY_S)


def test_newer_database_replaces_the_one_in_place(country_path: Path, tmp_path: Path) -> None:
    """The very bytes that were read through, readable by all, with nothing left beside them."""
    source = newer(tmp_path)
    assert install(source, country_path, Kind.COUNTRY).built_on == "2026-01-02"
    assert country_path.read_bytes() == source.read_bytes()
    assert country_path.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["country.mmdb", "new.mmdb"]


def test_same_age_is_not_older(country_path: Path, tmp_path: Path) -> None:
    """Installing the same day's database again is allowed."""
    install(newer(tmp_path, 0), country_path, Kind.COUNTRY)


def test_older_database_is_refused_unless_allowed(country_path: Path, tmp_path: Path) -> None:
    """Going back is possible, but only on purpose."""
    source, before = newer(tmp_path, -1), country_path.read_bytes()
    with pytest.raises(UsageError, match=r"built 2025-12-31, older than .* \(built 2026-01-01\).*--allow-older"):
        install(source, country_path, Kind.COUNTRY)
    assert country_path.read_bytes() == before
    install(source, country_path, Kind.COUNTRY, allow_older=True)
    assert country_path.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("kind", list(Kind))
def test_unusable_source_leaves_the_one_in_place(country_path: Path, tmp_path: Path, kind: Kind) -> None:
    """Damaged, or of another kind: refused before anything is written."""
    source, before = newer(tmp_path), country_path.read_bytes()
    if kind is Kind.COUNTRY:
        source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(LocationUnavailable):
        install(source, country_path, kind)
    assert country_path.read_bytes() == before


@pytest.mark.parametrize("in_place", [None, b"broken"])
def test_missing_or_broken_one_is_replaced_by_any(tmp_path: Path, in_place: bytes | None) -> None:
    """There is nothing to lose; the directory is made if need be."""
    target = tmp_path / "geo" / "country.mmdb"
    if in_place is not None:
        target.parent.mkdir()
        target.write_bytes(in_place)
    install(newer(tmp_path), target, Kind.COUNTRY)
    assert target.stat().st_size > 1_000


def test_failed_write_leaves_the_old_file_and_no_other(
    country_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is reported in one line, and cleaned up after."""
    source, before = newer(tmp_path), country_path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.location.installation.os.fsync", full)
    with pytest.raises(UsageError, match="cannot be written \\(No space left on device\\)"):
        install(source, country_path, Kind.COUNTRY)
    assert country_path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["country.mmdb", "new.mmdb"]
