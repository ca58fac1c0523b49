"""The location databases in use, replaced while running.

Invariants:

1. What is in use has been read through; a file that cannot be used never takes the place of one that can.
2. A change takes effect whole: whoever took :attr:`Databases.current` sees either the old databases or the new ones.
3. A database is used until it is older than the configured age, and not a moment longer, whatever the reason why no
   newer one came. Then every network is unknown, and said to be untrustworthy (an adverse signal).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from gateway.clock import SECOND_US, Clock
from gateway.errors import LocationUnavailable
from gateway.files import stamp_of
from gateway.location.database import AnonymousDatabase, CountryDatabase, Database, Kind, parse, read_file
from gateway.settings import LocationSettings

_CLOCK_SKEW_US = 86_400 * SECOND_US  # a database built "tomorrow" is a time zone; one built later is a wrong clock


@dataclass(frozen=True, slots=True)
class Current:
    """The databases in use at one moment; None where there is none.

    Attributes:
        country: the country database.
        anonymous: the anonymous-IP database.
        asks_anonymous: whether an anonymous-IP database is configured.
    """

    country: CountryDatabase | None
    anonymous: AnonymousDatabase | None
    asks_anonymous: bool

    @property
    def version(self) -> str:
        """Which databases are asked, such as ``country 2026-11-01 0d1f6a3c9b2e``."""
        return ", ".join(database.version for database in (self.country, self.anonymous) if database is not None)


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """One database, for people and for readiness.

    Attributes:
        kind: what it is for.
        path: the configured file.
        usable: whether it is being used.
        problem: why it is not usable; or, of a usable one, why a newer file was not taken; or "".
        type, built_on, networks, version: of the database in use; "" and 0 without one.
        age_s: since it was built.
        lookup_errors: how many look-ups failed since it was opened.
    """

    kind: Kind
    path: Path
    usable: bool
    problem: str
    type: str = ""
    built_on: str = ""
    age_s: int = 0
    networks: int = 0
    version: str = ""
    lookup_errors: int = 0


@dataclass(slots=True)
class _Slot:
    """One configured file and what has come of it."""

    kind: Kind
    path: Path
    database: Database | None = None
    seen: tuple[int, ...] = ()  # the identity of the file last tried, sound or not
    problem: str = ""

    def refresh(self) -> bool:
        """Take the file if it is another one than last time; whether it was taken."""
        try:
            found = stamp_of(self.path.stat())
            if found == self.seen:
                return False
            data, self.seen = read_file(self.path)  # one that changed meanwhile keeps the old identity: tried again
            self.database = parse(data, self.kind, self.path)
        except OSError as error:
            self.seen = ()
            self.problem = f"{self.path}: cannot be read ({error.strerror}); expected a MaxMind DB file"
            return False
        except LocationUnavailable as error:
            self.problem = str(error)
            return False
        self.problem = ""
        return True


@dataclass(slots=True)
class Databases:
    """Holds the configured databases; :meth:`open` makes one.

    Attributes:
        clock: tells how old a database is.
        current: the databases in use; replaced as a whole, so that it may be read from any thread.
    """

    clock: Clock
    current: Current
    _max_age_us: int
    _slots: tuple[_Slot, ...]
    _reloading: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, settings: LocationSettings, clock: Clock, *, strict: bool = False) -> Databases:
        """Open the configured databases.

        Args:
            settings: ``[location]``.
            clock: tells how old a database is.
            strict: refuse to go on without usable databases. Otherwise nobody's location is assured until they come.

        Raises:
            LocationUnavailable: ``strict``, and a configured database is missing, damaged or too old.
        """
        slots = [_Slot(Kind.COUNTRY, settings.country_database)]
        if settings.anonymous_database is not None:
            slots.append(_Slot(Kind.ANONYMOUS, settings.anonymous_database))
        for slot in slots:
            slot.refresh()
        databases = cls(clock, _current(slots), round(settings.max_database_age_s * SECOND_US), tuple(slots))
        if strict:
            databases._require()
        return databases

    def reload_if_changed(self) -> bool:
        """Take files that have changed since they were last looked at; whether any was taken.

        Blocks for as long as reading a database through takes, so call it in a thread. It never raises: a file that
        cannot be used leaves the old database in use, and :meth:`status` says why.
        """
        with self._reloading:
            taken = [slot.refresh() for slot in self._slots]
            if any(taken):
                self.current = _current(self._slots)
            return any(taken)

    def fault(self, database: Database | None, now_us: int) -> str:
        """Why ``database`` cannot be relied on at ``now_us``, or ""."""
        if database is None:
            return "database missing"
        if now_us < database.built_us - _CLOCK_SKEW_US:
            return f"database built in the future (built {database.built_on}); check the clock"
        if now_us >= database.built_us + self._max_age_us:
            return f"database too old (built {database.built_on})"
        return ""

    def steady(self, current: Current, now_us: int) -> tuple[float, float]:
        """The span around ``now_us``, its end excluded, in which :meth:`fault` says the same of ``current``."""
        turns = [
            turn
            for database in (current.country, current.anonymous)
            if database is not None
            for turn in (database.built_us - _CLOCK_SKEW_US, database.built_us + self._max_age_us)
        ]
        since = max((turn for turn in turns if turn <= now_us), default=-math.inf)
        return since, min((turn for turn in turns if turn > now_us), default=math.inf)

    def status(self) -> tuple[DatabaseStatus, ...]:
        """What there is to know about each configured database."""
        now_us = self.clock.now_us()
        return tuple(self._status(slot, now_us) for slot in self._slots)

    def _status(self, slot: _Slot, now_us: int) -> DatabaseStatus:
        database = slot.database
        fault = self.fault(database, now_us)
        if database is None:
            return DatabaseStatus(slot.kind, slot.path, usable=False, problem=slot.problem or fault)
        return DatabaseStatus(
            slot.kind,
            slot.path,
            usable=not fault,
            problem="; ".join(filter(None, (fault, slot.problem))),
            type=database.type,
            built_on=database.built_on,
            age_s=(now_us - database.built_us) // SECOND_US,
            networks=database.networks,
            version=database.version,
            lookup_errors=database.lookup_errors,
        )

    def _require(self) -> None:
        problems = [f"{status.kind}: {status.problem}" for status in self.status() if not status.usable]
        if problems:
            hint = "put current databases in place, see `residency-gateway geo update`"
            raise LocationUnavailable(f"{'; '.join(problems)}; {hint}")


def _current(slots: list[_Slot] | tuple[_Slot, ...]) -> Current:
    found = {slot.kind: slot.database for slot in slots}
    country, anonymous = found[Kind.COUNTRY], found.get(Kind.ANONYMOUS)
    return Current(
        country if isinstance(country, CountryDatabase) else None,
        anonymous if isinstance(anonymous, AnonymousDatabase) else None,
        asks_anonymous=Kind.ANONYMOUS in found,
    )
