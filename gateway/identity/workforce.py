"""The workforce directory: in which country each of the vendor's people works.

A TOML or JSON file of one table, ``"priya@example.com" = "IN"``. Invariants: it is read whole or not at all; a file
that became unreadable or wrong leaves the last good one in force, and :attr:`Workforce.problem` says why;
no two spellings of one name work in two countries.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.errors import ConfigurationError
from gateway.files import stamp
from gateway.letters import folded

_COUNTRY = re.compile(r"[A-Z]{2}")


class Workforce:
    """Subjects and their work countries.

    Attributes:
        version: grows with every change that took effect, so that what was derived from it can be told to be old.
        problem: why the file's present content is not in force, or "".
    """

    def __init__(self, path: Path) -> None:
        """Read the directory.

        Raises:
            ConfigurationError: the file is missing, unreadable or wrong.
        """
        self._path = path
        self._stamp = stamp(path)
        self._countries = _read(path)
        self._spelled = _by_any_spelling(self._countries)
        self.version = 1
        self.problem = ""

    def country(self, subject: str) -> str:
        """Where this subject works (ISO 3166-1 alpha-2), or "" if the directory does not have them."""
        return self._countries.get(subject, "")

    def country_of(self, name: str) -> str:
        """The same of a name that somebody typed, in whatever spelling; for who is at the door :meth:`country` is."""
        return self._spelled.get(folded(name), "")

    def reload_if_changed(self) -> bool:
        """Read the file again if it is another one than last time; it blocks for as long as that takes.

        Returns:
            Whether a new directory took effect.
        """
        seen = stamp(self._path)
        if seen is not None and seen == self._stamp:
            return False
        try:
            countries = _read(self._path)
        except ConfigurationError as error:
            self.problem = error.problems[0]
            return False
        finally:
            self._stamp = seen
        self._countries, self._spelled, self.problem = countries, _by_any_spelling(countries), ""
        self.version += 1
        return True


def _read(path: Path) -> Mapping[str, str]:
    try:
        text = path.read_text("utf-8")
        table: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            [f"{path}: cannot be read ({type(error).__name__}); expected a table of subjects and countries"]
        ) from error
    if not isinstance(table, dict):
        raise ConfigurationError([f"{path}: expected one table of subjects and countries"])
    problems = [
        f'{path}: {subject!r}: expected a country as two capital letters, such as "US" (quote a subject with dots)'
        for subject, country in table.items()
        if not isinstance(country, str) or not _COUNTRY.fullmatch(country)
    ]
    problems = problems or [f"{path}: {fault}" for fault in _two_countries(table)]
    if problems:
        raise ConfigurationError(problems)
    return {unicodedata.normalize("NFC", subject): country for subject, country in table.items()}


def _by_any_spelling(countries: Mapping[str, str]) -> Mapping[str, str]:
    return {folded(subject): country for subject, country in countries.items()}


def _two_countries(table: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with names that look like one and work in two countries."""
    first: dict[str, str] = {}
    for subject, country in table.items():
        other = first.setdefault(folded(subject), subject)
        if table[other] != country:
            yield f"{subject!r} and {other!r} are spellings of one name, in two countries; mend one of them"
