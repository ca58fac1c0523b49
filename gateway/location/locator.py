"""Gathers what every source says about where a request comes from.

The locator establishes signals and judges nothing: what they add up to is :meth:`Location.assurance`.

Answers are remembered for as long as they hold: while the same databases are in use and none of them has become too
old. A remembered answer costs less than a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.errors import ConfigurationError
from gateway.location.databases import Current, Databases
from gateway.location.location import Location, Signal, Source
from gateway.location.networks import Address, Network, plain, plain_network, unlocatable
from gateway.settings import SiteSettings


@dataclass(frozen=True, slots=True)
class _View:
    """The databases as judged at one time, and a locating function that remembers, for as long as that holds."""

    current: Current
    since_us: float
    until_us: float
    locate: Callable[[Address | None, str, str], Location]


class Locator:
    """Turns an address and the countries that others vouch for into a :class:`Location`."""

    def __init__(self, databases: Databases, sites: Sequence[SiteSettings] = (), *, remembered: int = 16_384) -> None:
        """Args:
            databases: what the network is looked up in.
            sites: the vendor's own networks.
            remembered: how many answers are kept at most.

        Raises:
            ConfigurationError: one network is said to be in two countries.
        """
        self._databases = databases
        self._sites = _longest_first(sites)
        self._remembered = remembered
        self._view = self._look()

    def locate(self, address: Address | None, *, token_country: str = "", work_country: str = "") -> Location:
        """Where a request comes from.

        Args:
            address: the client's address; None when it cannot be established.
            token_country: the country claim of the token, or "".
            work_country: the workforce directory's country for the person, or "".
        """
        view = self._view
        if view.current is not self._databases.current or not (
            view.since_us <= self._databases.clock.now_us() < view.until_us
        ):
            view = self._view = self._look()
        return view.locate(address, token_country, work_country)

    def _look(self) -> _View:
        current = self._databases.current
        now_us = self._databases.clock.now_us()
        since_us, until_us = self._databases.steady(current, now_us)
        network_fault = self._databases.fault(current.country, now_us)
        anonymity_fault = self._databases.fault(current.anonymous, now_us) if current.asks_anonymous else ""

        def locate(address: Address | None, token_country: str, work_country: str) -> Location:
            at = None if address is None else plain(address)
            signals = (
                _network(current, at, network_fault),
                *_anonymity(current, at, anonymity_fault),
                *_site(self._sites, at),
                *_vouched(Source.TOKEN, token_country),
                *_vouched(Source.WORKFORCE, work_country),
            )
            return Location("" if at is None else str(at), signals, current.version)

        return _View(current, since_us, until_us, lru_cache(self._remembered)(locate))


def _network(current: Current, address: Address | None, fault: str) -> Signal:
    if fault or current.country is None:
        return Signal(Source.NETWORK, detail=fault, adverse=True)
    if address is None:
        return Signal(Source.NETWORK, detail="no client address")
    if reason := unlocatable(address):
        return Signal(Source.NETWORK, detail=reason)
    country = current.country.country(address)
    return Signal(Source.NETWORK, country) if country else Signal(Source.NETWORK, detail="no record")


def _anonymity(current: Current, address: Address | None, fault: str) -> Iterator[Signal]:
    """Present only when it speaks against the address: not being listed does not say where anybody is."""
    detail = fault
    if not fault and current.anonymous is not None and address is not None and not unlocatable(address):
        detail = current.anonymous.anonymity(address)
    if detail:
        yield Signal(Source.ANONYMITY, detail=detail, adverse=True)


def _site(sites: Sequence[tuple[Network, SiteSettings]], address: Address | None) -> Iterator[Signal]:
    """The site with the longest prefix, for ``sites`` begin with the longest."""
    for network, site in sites:
        if address is not None and address in network:
            yield Signal(Source.SITE, site.country, site.name)
            return


def _vouched(source: Source, country: str) -> Iterator[Signal]:
    if country:
        yield Signal(source, country)


def _longest_first(sites: Sequence[SiteSettings]) -> tuple[tuple[Network, SiteSettings], ...]:
    pairs = [(plain_network(network), site) for site in sites for network in site.networks]
    claimed: dict[Network, SiteSettings] = {}
    for network, site in pairs:
        other = claimed.setdefault(network, site)
        if other.country != site.country:
            what = f"{other.name!r} says {other.country} and {site.name!r} says {site.country}"
            raise ConfigurationError([f"location.site: {network}: {what}; expected one country for a network"])
    return tuple(sorted(pairs, key=lambda pair: pair[0].prefixlen, reverse=True))
