"""What the two location databases say about an address.

The schemas read are MaxMind's (Country, City, Enterprise; Anonymous-IP, Anonymous-Plus) and the flat ones of other
makers (``country_code``, or ``country`` as two letters). A person is where the network *is*, so only ``country`` is
read: never ``registered_country`` or ``represented_country`` (contract reading, *Location*).
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from geoip2.models import Country

from gateway.clock import SECOND_US, rfc3339
from gateway.errors import LocationUnavailable
from gateway.files import stamp_of
from gateway.location.mmdb import DamagedError, Mmdb
from gateway.location.networks import Address

_MAXMIND = re.compile(r"(?:GeoIP2?|GeoLite2)-")
_ALPHA_2 = re.compile(r"[A-Z]{2}")  # ISO 3166-1
_FLAGS: Mapping[str, str] = {
    "is_anonymous_vpn": "vpn",
    "is_tor_exit_node": "tor",
    "is_public_proxy": "proxy",
    "is_residential_proxy": "proxy",
    "is_hosting_provider": "hosting",
}


class Kind(StrEnum):
    """What a database is for."""

    COUNTRY = "country"
    ANONYMOUS = "anonymous"


class Database(ABC):
    """A database that has been read through; see the two kinds below."""

    kind: ClassVar[Kind]
    products: ClassVar[tuple[str, ...]]  # of MaxMind's database types
    holds: ClassVar[str]

    def __init__(self, data: bytes) -> None:
        """Read ``data`` through.

        Raises:
            DamagedError: unsound, of the wrong type, or without a single useful record.
        """
        self._mmdb = Mmdb(data)
        if _MAXMIND.match(self.type) and not any(product in self.type for product in self.products):
            raise DamagedError(f"its type is {self.type!r}")
        if not sum(self.is_useful(record) for record in self._mmdb.records()):  # a sum, for every one must be decoded
            raise DamagedError(f"its type is {self.type!r} and no record of it holds {self.holds}")

    @property
    def type(self) -> str:
        """The type that the file states, such as ``GeoLite2-Country``."""
        return self._mmdb.type

    @property
    def built_us(self) -> int:
        """When it was built, microseconds since the epoch."""
        return self._mmdb.built_s * SECOND_US

    @property
    def built_on(self) -> str:
        """The day it was built, UTC, such as ``2026-11-01``."""
        return day(self.built_us)

    @property
    def networks(self) -> int:
        """How many networks have a record."""
        return self._mmdb.networks

    @property
    def lookup_errors(self) -> int:
        """How many look-ups failed since it was opened; each counted as unknown."""
        return self._mmdb.errors

    @property
    def version(self) -> str:
        """Kind, build date and the beginning of the file's SHA-256: ``country 2026-11-01 0d1f6a3c9b2e``."""
        return f"{self.kind} {self.built_on} {self._mmdb.digest[:12]}"

    @abstractmethod
    def is_useful(self, record: object) -> bool:
        """Whether a record says what this kind of database is asked for."""


class CountryDatabase(Database):
    """Address → country."""

    kind = Kind.COUNTRY
    products = ("Country", "City", "Enterprise")
    holds = "a country (country.iso_code or country_code)"

    def country(self, address: Address) -> str | None:
        """The ISO 3166-1 alpha-2 code of ``address``; None when unknown, also when the look-up fails."""
        try:
            return _country(self._mmdb.record(address))
        except DamagedError:
            return None

    def is_useful(self, record: object) -> bool:
        return _country(record) is not None


class AnonymousDatabase(Database):
    """Address → what hides the person behind it."""

    kind = Kind.ANONYMOUS
    products = ("Anonymous",)
    holds = "a flag such as is_anonymous_vpn"

    def anonymity(self, address: Address) -> str:
        """What hides the person, such as ``vpn`` or ``tor, hosting``; "" when nothing does.

        A look-up that fails cannot say that nothing does: ``look-up failed``.
        """
        try:
            return ", ".join(_flags(self._mmdb.record(address)))
        except DamagedError:
            return "look-up failed"

    def is_useful(self, record: object) -> bool:
        return bool(_flags(record))


DATABASES: Mapping[Kind, type[Database]] = {Kind.COUNTRY: CountryDatabase, Kind.ANONYMOUS: AnonymousDatabase}


def read_file(path: Path) -> tuple[bytes, tuple[int, ...]]:
    """The bytes of ``path`` and the identity of what was read.

    Raises:
        LocationUnavailable: it cannot be read, or was being written meanwhile.
    """
    try:
        with path.open("rb") as file:
            before = stamp_of(os.fstat(file.fileno()))
            data = file.read()
            after = stamp_of(os.fstat(file.fileno()))
    except OSError as error:
        raise LocationUnavailable(f"{path}: cannot be read ({error.strerror}); expected a MaxMind DB file") from error
    if before != after:
        raise LocationUnavailable(f"{path}: changed while it was read; put it in place by renaming a finished file")
    return data, before


def parse(data: bytes, kind: Kind, path: Path) -> Database:
    """The database of ``kind`` that ``data``, read from ``path``, is.

    Raises:
        LocationUnavailable: it is damaged or of another kind.
    """
    try:
        return DATABASES[kind](data)
    except DamagedError as error:
        expected = "expected a whole GeoIP2, GeoLite2 or flat database of that kind; fetch it again"
        raise LocationUnavailable(f"{path}: not a usable {kind} database: {error}; {expected}") from error


def day(instant_us: int) -> str:
    """The UTC day of an instant, such as ``2026-11-01``."""
    return rfc3339(instant_us)[:10]


def _country(record: object) -> str | None:
    match record:
        case {"country": dict(country)}:  # MaxMind's schema, whose models geoip2 keeps
            code: object = Country(None, country=_named(country)).country.iso_code
        case {"country_code": code} | {"country": code}:
            pass
        case _:
            return None
    return code if isinstance(code, str) and _ALPHA_2.fullmatch(code) else None


def _named(record: dict[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if isinstance(name, str)}


def _flags(record: object) -> tuple[str, ...]:
    if not isinstance(record, dict):
        return ()
    words = tuple(dict.fromkeys(word for flag, word in _FLAGS.items() if record.get(flag)))
    return words or (("anonymous",) if record.get("is_anonymous") else ())
