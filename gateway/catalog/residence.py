"""Where a store's data really is: as declared, and as its address says.

A store is at home when it is declared there and no address that its name resolves to lies elsewhere (rule
``storage-home``); where it has addresses of its own, those count, and not the name that its certificate has. A private
address says nothing, so the declaration counts; a public one that no database places is not home, nor is one that
only wraps another; a name that does not resolve is not home. A folder of this machine is where it is declared to be.

A name may resolve otherwise when it is connected to, and a kept connection may lead to where it did before: what rests
on a store's being at home asks about the peer of its connection, too (:meth:`StoreResidence.is_peer_home`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from gateway.errors import GatewayError
from gateway.settings import StoreSettings

Address = IPv4Address | IPv6Address
UNPLACED = "?"


@dataclass(frozen=True, slots=True)
class Residence:
    """One store: its declared country, and the countries of the addresses it resolves to."""

    declared: str
    resolved: frozenset[str]

    def is_within(self, home: frozenset[str]) -> bool:
        return self.declared in home and self.resolved <= home


class StoreResidence:
    """Knows for each store where it is, as of the last :meth:`refresh`.

    Args:
        stores: as configured.
        resolve: a host name's addresses as text; raises OSError when it has none.
        country_of: the country of a public address, or "".
    """

    def __init__(
        self,
        stores: Iterable[StoreSettings],
        *,
        resolve: Callable[[str], Iterable[str]],
        country_of: Callable[[Address], str],
    ) -> None:
        self._stores = tuple(stores)
        self._resolve = resolve
        self._country_of = country_of
        self._residences: Mapping[str, Residence] = {}

    def refresh(self) -> None:
        """Resolve every store anew; blocking."""
        self._residences = {store.name: self._locate(store) for store in self._stores}

    def is_home(self, store: str, home: frozenset[str]) -> bool:
        """Whether a store is within a home jurisdiction."""
        residence = self._residences.get(store)
        return residence is not None and residence.is_within(home)

    def is_peer_home(self, store: str, address: str, home: frozenset[str]) -> bool:
        """Whether a connection to a store that leads to this address stays within a home jurisdiction."""
        residence = self._residences.get(store)
        if residence is None:
            return False
        try:
            return Residence(residence.declared, frozenset({self._place(ip_address(address))} - {""})).is_within(home)
        except (ValueError, GatewayError):
            return False

    def why_not_home(self, store: str, home: frozenset[str]) -> str:
        """For operators: what puts the store outside."""
        residence = self._residences[store]
        if residence.declared not in home:
            return f"it is declared in {residence.declared}"
        elsewhere = ", ".join(sorted(residence.resolved - home)).replace(UNPLACED, "an address that cannot be placed")
        return f"its name resolves to {elsewhere}"

    def _locate(self, store: StoreSettings) -> Residence:
        found: set[str] = set().union(*map(self._locate_host, _hosts(store)))
        return Residence(store.country, frozenset(found - {""}))

    def _locate_host(self, host: str) -> set[str]:
        try:
            return {self._place(ip_address(text)) for text in self._resolve(host)} or {UNPLACED}
        except (OSError, ValueError, GatewayError):
            return {UNPLACED}

    def _place(self, address: Address) -> str:
        if isinstance(address, IPv6Address):
            if address.ipv4_mapped:
                return self._place(address.ipv4_mapped)
            if address.sixtofour or address.teredo:
                return UNPLACED
        if not address.is_global:
            return ""
        return self._country_of(address) or UNPLACED


def _hosts(store: StoreSettings) -> list[str]:
    """What is connected to; nothing, for a folder of this machine."""
    if store.addresses:
        return [address.rpartition(":")[0].strip("[]") for address in store.addresses]
    url = urlsplit(store.url.get_secret_value())
    return [] if url.scheme == "file" else [url.hostname or ""]
