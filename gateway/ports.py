"""What the checkpoint asks of the rooms: their doors, as types."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

from gateway.identity import Principal
from gateway.ledger.entry import Entry
from gateway.location import Location
from gateway.policy import Facts, Verdict


class Authenticating(Protocol):
    async def authenticate(self, authorization: str | None, on_behalf_of: str | None = None) -> Principal: ...

    def certified(self, service: str) -> Principal: ...

    def accounted(self, account: str) -> Principal: ...


class AddressResolving(Protocol):
    def resolve(
        self, peer: str, forwarded: Sequence[str], x_forwarded_for: Sequence[str]
    ) -> IPv4Address | IPv6Address | None: ...

    def resolve_person(
        self, peer: str, forwarded: Sequence[str], x_forwarded_for: Sequence[str]
    ) -> IPv4Address | IPv6Address | None: ...


class Locating(Protocol):
    def locate(
        self, address: IPv4Address | IPv6Address | None, *, token_country: str = "", work_country: str = ""
    ) -> Location: ...


class Judging(Protocol):
    @property
    def version(self) -> str: ...

    def decide(self, facts: Facts) -> Verdict: ...


class Recording(Protocol):
    async def append(
        self,
        entry: Mapping[str, object] | Entry,
        *,
        permit: bool = False,
        unclaimed: Callable[[], object] | None = None,
    ) -> int: ...

    def submit(self, entry: Mapping[str, object] | Entry) -> object: ...


class Pseudonymising(Protocol):
    """See :class:`gateway.ledger.pseudonyms.Pseudonyms`."""

    @property
    def state(self) -> Hashable: ...

    def knows(self, name: str, address: str, reason: str) -> bool: ...

    async def meet(self, name: str, address: str, reason: str) -> None: ...

    def decision(self, fields: Mapping[str, Any]) -> dict[str, Any]: ...


class Window(Protocol):
    def is_open(self, instant_us: int) -> bool: ...
