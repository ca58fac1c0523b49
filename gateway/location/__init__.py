"""Where a request comes from.

:class:`ClientAddressResolver` establishes whose address it is, behind proxies that are trusted to say so.
:class:`Locator` asks each source about that address and gathers their :class:`Signal` answers into a
:class:`Location`: the country database and the anonymous-IP database (:class:`Databases`, replaced while running),
the vendor's own sites, the token's claim and the workforce directory. :meth:`Location.assurance` says what the signals
add up to for a home jurisdiction.

Promised: whatever is unknown, damaged, too old, hidden or contradictory is never home; a damaged database never takes
the place of a sound one; a network's *registered* country is never read; nothing here raises while a request is judged.
"""

from __future__ import annotations

from gateway.location.client_address import ClientAddressResolver
from gateway.location.database import AnonymousDatabase, CountryDatabase, Kind
from gateway.location.databases import Databases, DatabaseStatus
from gateway.location.location import Assurance, Location, Signal, Source
from gateway.location.locator import Locator
from gateway.location.networks import parse_address

__all__ = [
    "AnonymousDatabase",
    "Assurance",
    "ClientAddressResolver",
    "CountryDatabase",
    "DatabaseStatus",
    "Databases",
    "Kind",
    "Location",
    "Locator",
    "Signal",
    "Source",
    "parse_address",
]
