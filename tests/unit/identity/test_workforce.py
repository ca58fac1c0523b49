"""The workforce directory and its reloading."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.identity import Workforce


@pytest.mark.parametrize(
    ("name", "content"),
    [("w.toml", '"priya@example.com" = "IN"\n'), ("w.json", '{"priya@example.com": "IN"}')],
)
def test_directory_in_either_format_gives_countries(tmp_path: Path, name: str, content: str) -> None:
    """A subject that is not in it has no country."""
    (tmp_path / name).write_text(content)
    workforce = Workforce(tmp_path / name)

    assert workforce.country("priya@example.com") == "IN"
    assert workforce.country("dana@example.com") == ""


BROKEN = ['priya = "India"', "priya = 7", 'priya.example = "IN"', "not toml", 'priya = "in"', 'a = "IN"\na = "US"']


@pytest.mark.parametrize("content", BROKEN)
def test_wrong_directory_is_a_configuration_error_at_start(tmp_path: Path, content: str) -> None:
    """It is read whole or not at all."""
    (tmp_path / "w.toml").write_text(content)

    with pytest.raises(ConfigurationError, match=r"w\.toml"):
        Workforce(tmp_path / "w.toml")


@pytest.mark.parametrize("name", ["missing.toml", "list.json"])
def test_missing_or_shapeless_directory_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    """A file that is not there, and one that is not a table."""
    (tmp_path / "list.json").write_text("[]")

    with pytest.raises(ConfigurationError, match=name):
        Workforce(tmp_path / name)


def test_changed_directory_takes_effect_once(tmp_path: Path) -> None:
    """A reload reads only what changed, and counts."""
    path = tmp_path / "w.toml"
    path.write_text('priya = "IN"')
    workforce = Workforce(path)
    assert not workforce.reload_if_changed()

    path.write_text('priya = "US" # moved')
    assert workforce.reload_if_changed()
    assert not workforce.reload_if_changed()
    assert (workforce.country("priya"), workforce.version, workforce.problem) == ("US", 2, "")


def test_directory_that_broke_later_leaves_the_old_one(tmp_path: Path) -> None:
    """Broken, then gone, then whole again."""
    path = tmp_path / "w.toml"
    path.write_text('priya = "IN"')
    workforce = Workforce(path)

    path.write_text('priya = "India"')
    assert not workforce.reload_if_changed()
    assert "India" not in workforce.problem
    assert "capital letters" in workforce.problem
    path.unlink()
    assert not workforce.reload_if_changed()
    assert not workforce.reload_if_changed()
    assert "FileNotFoundError" in workforce.problem
    assert (workforce.country("priya"), workforce.version) == ("IN", 1)

    path.write_text('priya = "US"')
    assert workforce.reload_if_changed()
    assert (workforce.country("priya"), workforce.problem) == ("US", "")


@pytest.mark.parametrize("typed", ["Priya", "PRIYA", " priya", "priya\u200b", "ｐriya"])
def test_name_that_somebody_typed_is_found_in_any_spelling(tmp_path: Path, typed: str) -> None:
    """Who is at the door has the one spelling of the token alone."""
    (tmp_path / "w.toml").write_text('priya = "IN"')
    workforce = Workforce(tmp_path / "w.toml")
    assert (workforce.country_of(typed), workforce.country(typed)) == ("IN", "")


def test_spellings_of_one_name_work_in_one_country(tmp_path: Path) -> None:
    """Two countries are refused; the same twice is not."""
    path = tmp_path / "w.toml"
    path.write_text('priya = "IN"\nPriya = "IN"')
    assert Workforce(path).country_of("PRIYA") == "IN"
    path.write_text('priya = "IN"\nPriya = "US"')
    with pytest.raises(ConfigurationError, match="'Priya' and 'priya' are spellings of one name"):
        Workforce(path)
