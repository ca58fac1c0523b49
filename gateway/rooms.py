"""The rooms, opened and joined: everything that decides, without a door and without a ledger.

Opening them is what ``serve --check-config``, ``check`` and ``doctor`` share with a running gateway: policy, location
databases, state, catalog and the residence of the stores, in this order, each refusing to go on when it is wrong.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.acts import Office, Permissions
from gateway.admission import Admissions
from gateway.catalog import Catalog, Customers, RouteTable, StoreResidence
from gateway.catalog.residence import Address
from gateway.checkpoint import Checkpoint
from gateway.clock import Clock, SystemClock
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    LedgerUnavailable,
    LocationUnavailable,
    PolicyError,
    Unauthenticated,
)
from gateway.explanation import Explainer
from gateway.identity import KeptAccounts, KeySet, Principal, Revocations, Workforce
from gateway.justification import Desk, Ticket
from gateway.location import ClientAddressResolver, Databases, Locator, Source
from gateway.notification import require_known_types
from gateway.policy import Policy
from gateway.policy import load as load_policy
from gateway.ports import Authenticating, Pseudonymising, Recording
from gateway.settings import Settings
from gateway.storage import StateFollower, StateStore
from gateway.support import SupportWindow
from gateway.usage import UsageBook


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that decides, without a door and without a ledger.

    ``follower`` has read the state once; ``residence`` has resolved the stores once.
    """

    settings: Settings
    clock: Clock
    policy: Policy
    databases: Databases
    locator: Locator
    state: StateStore
    follower: StateFollower
    customers: Customers
    desk: Desk
    usage: UsageBook
    revocations: Revocations
    accounts: KeptAccounts
    catalog: Catalog
    residence: StoreResidence
    window: SupportWindow
    permissions: Permissions

    @property
    def home(self) -> frozenset[str]:
        return frozenset(self.settings.policy.home)

    @property
    def explainer(self) -> Explainer:
        gateway = self.settings.gateway
        control_url = gateway.control_url or f"http://{gateway.control}"
        return Explainer(self.window.next_opening_us, control_url, desk=self.desk)

    def office(
        self,
        record: Callable[[Mapping[str, object]], object],
        country_of: Callable[[str], str] = lambda _subject: "",
        elsewhere: Callable[[str], Ticket | None] = lambda _id: None,
    ) -> Office:
        """What acts work with, over these rooms.

        Args:
            record: writes an entry down and returns once it is durable.
            country_of: where somebody works, by subject, or "".
            elsewhere: see :class:`Office`.
        """
        return Office.of(
            self.settings,
            permissions=self.permissions,
            state=self.state,
            record=record,
            clock=self.clock,
            roles=self.policy.roles,
            country_of=country_of,
            elsewhere=elsewhere,
        )


def open_rooms(
    settings: Settings, *, clock: Clock | None = None, strict: bool = True, before: Rooms | None = None
) -> Rooms:
    """Open what deciding needs; blocking.

    Args:
        settings: the configuration.
        clock: the system's unless given.
        strict: refuse to go on without usable location databases.
        before: rooms under an earlier configuration: their state stays in use, and their databases if still named.

    Raises:
        ConfigurationError: policy, databases, routes or stores are wrong.
        StateUnavailable: the state database cannot be used.
    """
    clock = clock or SystemClock()
    policy = load_policy(settings.policy.directory)
    permissions = Permissions.load(settings.policy.directory)
    _require_known_classes(settings, policy)
    require_known_types(settings.notification)
    databases = _databases(settings, clock, strict=strict, before=before)
    locator = Locator(databases, settings.location.site)
    routes = RouteTable(settings.route, {store.name for store in settings.store if store.is_site})
    state, follower, customers, desk, usage, revocations, accounts = _followed(settings, clock, before)
    residence = StoreResidence(settings.store, resolve=_resolve, country_of=lambda address: _country(locator, address))
    residence.refresh()
    window = SupportWindow(settings.support.fixed_offset, settings.support.closed_on_holidays)
    window.next_opening_us(clock.now_us())  # the first look at a year's holidays is slow: not in a request
    return Rooms(
        settings=settings,
        clock=clock,
        policy=policy,
        databases=databases,
        locator=locator,
        state=state,
        follower=follower,
        customers=customers,
        desk=desk,
        usage=usage,
        revocations=revocations,
        accounts=accounts,
        catalog=Catalog(routes, customers),
        residence=residence,
        window=window,
        permissions=permissions,
    )


def _databases(settings: Settings, clock: Clock, *, strict: bool, before: Rooms | None) -> Databases:
    if before and before.settings.location == settings.location:
        return before.databases
    try:
        return Databases.open(settings.location, clock, strict=strict)
    except LocationUnavailable as error:
        raise ConfigurationError([f"location: {error}"]) from error


def _followed(
    settings: Settings, clock: Clock, before: Rooms | None
) -> tuple[StateStore, StateFollower, Customers, Desk, UsageBook, Revocations, KeptAccounts]:
    """The state, and what follows it in memory; the same as before where there is one."""
    if before:
        kept = before.customers, before.desk, before.usage, before.revocations, before.accounts
        return before.state, before.follower, *kept
    customers, desk, revocations, accounts = Customers(), Desk(), Revocations(), KeptAccounts(clock)
    state = StateStore(settings.state.url.get_secret_value(), clock)
    follower = StateFollower(
        state,
        customers=customers,
        desk=desk,
        clock=clock,
        max_staleness_s=settings.state.max_staleness_s,
        revocations=revocations,
        accounts=accounts,
    )
    desk.fresh = accounts.fresh = lambda: follower.fresh
    follower.load()
    return state, follower, customers, desk, UsageBook(state, desk), revocations, accounts


def require_stores_at_home(rooms: Rooms) -> None:
    """Rule ``storage-home``, *at start*: a store of a protected customer outside home stops the gateway.

    Raises:
        ConfigurationError: one line for each such store.
    """
    now_us = rooms.clock.now_us()
    home = rooms.customers.common_home(rooms.home)
    problems = []
    for store in {route.store for route in rooms.settings.route if _serves_protected(rooms, route.customer, now_us)}:
        if not rooms.residence.is_home(store, home):
            why = rooms.residence.why_not_home(store, home)
            problems.append(
                f"store {store}: holds a protected customer's data outside home: {why}; move it, or end the plans"
            )
    if problems:
        raise ConfigurationError(sorted(problems))


def require_key_files(rooms: Rooms) -> None:
    """That what identity reads from files is usable: key sets and the workforce directory. Https is not asked.

    Raises:
        ConfigurationError: one line for each that is not.
    """
    identity = rooms.settings.identity
    problems = []
    for index, issuer in enumerate(identity.issuer):
        if not issuer.jwks.startswith("https://"):
            try:
                KeySet.parse(Path(issuer.jwks).read_bytes())
            except (OSError, GatewayError, ValueError) as error:
                problems.append(f"identity.issuer[{index}].jwks: {issuer.jwks}: {error}; expected a JSON Web Key Set")
    if problems:
        raise ConfigurationError(problems)
    if identity.workforce:
        Workforce(identity.workforce)


def checkpoint_of(
    rooms: Rooms,
    *,
    authenticator: Authenticating,
    ledger: Recording,
    admissions: Admissions | None = None,
    pseudonyms: Pseudonymising | None = None,
) -> Checkpoint:
    """The checkpoint over these rooms; with the admissions in flight of another one whose place it takes."""
    gateway = rooms.settings.gateway
    return Checkpoint(
        authenticator=authenticator,
        resolver=ClientAddressResolver(gateway.trusted_proxies, gateway.forwarding_header, gateway.max_forwarding_hops),
        locator=rooms.locator,
        catalog=rooms.catalog,
        customers=rooms.customers,
        desk=rooms.desk,
        roles=rooms.policy.roles,
        policy=rooms.policy,
        ledger=ledger,
        clock=rooms.clock,
        window=rooms.window,
        home=rooms.home,
        node=gateway.node,
        store_is_home=rooms.residence.is_home,
        fresh=lambda: rooms.follower.fresh,
        save_usage=rooms.usage.save,
        deny_outside_window=rooms.settings.support.outside_window == "deny",
        max_target_bytes=gateway.max_target_bytes,
        admissions=Admissions() if admissions is None else admissions,
        pseudonyms=pseudonyms,
    )


def rehearsal(rooms: Rooms) -> Checkpoint:
    """A checkpoint that can only rehearse: it has neither key sets nor a ledger, so it can let nothing pass."""
    return checkpoint_of(rooms, authenticator=_NoCredentials(), ledger=_NoRecord())


class _NoCredentials:
    async def authenticate(self, authorization: str | None, on_behalf_of: str | None = None) -> Principal:
        raise Unauthenticated("nobody is authenticated in a rehearsal")

    def certified(self, service: str) -> Principal:
        raise Unauthenticated("nobody is authenticated in a rehearsal")

    def accounted(self, account: str) -> Principal:
        raise Unauthenticated("nobody is authenticated in a rehearsal")


class _NoRecord:
    async def append(self, entry: object, *, permit: bool = False, unclaimed: object = None) -> int:
        raise LedgerUnavailable("nothing is recorded in a rehearsal")

    def submit(self, entry: object) -> object:
        raise LedgerUnavailable("nothing is recorded in a rehearsal")


def _require_known_classes(settings: Settings, policy: Policy) -> None:
    problems = [
        f"route[{index}].data_class: got {route.data_class!r}, which no role may use; "
        f"add it to {settings.policy.directory}/roles.toml"
        for index, route in enumerate(settings.route)
        if route.data_class not in policy.roles.known_data_classes
    ]
    if problems:
        raise PolicyError(problems)


def _serves_protected(rooms: Rooms, customer: str | None, now_us: int) -> bool:
    if customer is None:
        return rooms.customers.any_protected(now_us)
    known = rooms.customers.get(customer)
    return known is not None and known.plan_at(now_us) is not None


def _resolve(host: str) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def _country(locator: Locator, address: Address) -> str:
    signals = locator.locate(address).signals
    return next((signal.country for signal in signals if signal.source in (Source.NETWORK, Source.SITE)), "")
