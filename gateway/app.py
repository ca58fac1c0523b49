"""The composition root: settings in, a running gateway out. The only place where the rooms meet.

Starting, in this order, each step refusing to go on when it fails: policy, location databases, state, key sets,
catalog, residence of the stores, ledger, doors. Stopping is the reverse: the doors close first and the ledger last, so
that everything that was decided is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from gateway.catalog import Catalog, Customers, RouteTable, StoreResidence
from gateway.catalog.residence import Address
from gateway.checkpoint import Authenticating, Checkpoint, Recording
from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigurationError, LedgerUnavailable, LocationUnavailable, PolicyError, Unauthenticated
from gateway.explanation import Explainer
from gateway.identity import Authenticator, Principal, Revocations
from gateway.justification import Desk
from gateway.ledger import Ledger, administrative
from gateway.location import ClientAddressResolver, Databases, Locator, Source
from gateway.policy import Policy
from gateway.policy import load as load_policy
from gateway.proxy import (
    DoorServer,
    FtpStore,
    HttpDoor,
    HttpStore,
    Metrics,
    Store,
    control_app,
    require_c_parser,
)
from gateway.proxy.key_fetcher import KeyFetcher
from gateway.settings import Settings, StoreSettings
from gateway.storage import StateFollower, StateStore
from gateway.support import SupportWindow

log = structlog.get_logger(__name__)
RESIDENCE_INTERVAL_S = 60.0
KEYS_INTERVAL_S = 5.0


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
    revocations: Revocations
    catalog: Catalog
    residence: StoreResidence
    window: SupportWindow

    @property
    def home(self) -> frozenset[str]:
        return frozenset(self.settings.policy.home)

    @property
    def explainer(self) -> Explainer:
        return Explainer(self.window.next_opening_us)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: where it listens, and what a test may look into."""

    rooms: Rooms
    checkpoint: Checkpoint
    ledger: Ledger
    authenticator: Authenticator
    metrics: Metrics
    door_port: int
    control_port: int

    def readiness(self) -> Mapping[str, str]:
        """For each thing that a decision needs, what is wrong with it, or ""."""
        return _readiness(self.rooms, self.ledger, self.authenticator)


def open_rooms(settings: Settings, *, clock: Clock | None = None, strict: bool = True) -> Rooms:
    """Open what deciding needs; blocking.

    Args:
        settings: the configuration.
        clock: the system's unless given.
        strict: refuse to go on without usable location databases.

    Raises:
        ConfigurationError: policy, databases, routes or stores are wrong.
        StateUnavailable: the state database cannot be used.
    """
    clock = clock or SystemClock()
    policy = load_policy(settings.policy.directory)
    _require_known_classes(settings, policy)
    try:
        databases = Databases.open(settings.location, clock, strict=strict)
    except LocationUnavailable as error:
        raise ConfigurationError([f"location: {error}"]) from error
    locator = Locator(databases, settings.location.site)
    customers = Customers()
    routes = RouteTable(settings.route)
    state = StateStore(settings.state.url.get_secret_value(), clock)
    desk = Desk()
    revocations = Revocations()
    follower = StateFollower(
        state,
        customers=customers,
        desk=desk,
        clock=clock,
        max_staleness_s=settings.state.max_staleness_s,
        revocations=revocations,
    )
    desk.fresh = lambda: follower.fresh
    follower.load()
    residence = StoreResidence(settings.store, resolve=_resolve, country_of=lambda address: _country(locator, address))
    residence.refresh()
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
        revocations=revocations,
        catalog=Catalog(routes, customers),
        residence=residence,
        window=SupportWindow(settings.support.fixed_offset, settings.support.closed_on_holidays),
    )


def require_stores_at_home(rooms: Rooms) -> None:
    """Rule ``storage-home``, *at start*: a store of a protected customer outside home stops the gateway.

    Raises:
        ConfigurationError: one line for each such store.
    """
    now_us = rooms.clock.now_us()
    problems = []
    for store in {route.store for route in rooms.settings.route if _serves_protected(rooms, route.customer, now_us)}:
        if not rooms.residence.is_home(store, rooms.home):
            why = rooms.residence.why_not_home(store, rooms.home)
            problems.append(
                f"store {store}: holds a protected customer's data outside home: {why}; move it, or end the plans"
            )
    if problems:
        raise ConfigurationError(sorted(problems))


@asynccontextmanager
async def build(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Gateway]:
    """A running gateway, as long as the context lasts.

    Raises:
        GatewayError: something that it needs is missing or wrong; nothing is left open.
    """
    require_c_parser()
    async with contextlib.AsyncExitStack() as stack:
        rooms = await asyncio.to_thread(open_rooms, settings, clock=clock)
        stack.callback(rooms.state.close)
        require_stores_at_home(rooms)
        ledger = await stack.enter_async_context(
            Ledger.open(
                settings.ledger.path,
                queue_entries=settings.ledger.queue_entries,
                commit_timeout_s=settings.ledger.commit_timeout_s,
                minimum_free_bytes=settings.ledger.minimum_free_bytes,
            )
        )
        fetcher = await stack.enter_async_context(KeyFetcher())
        authenticator = Authenticator.of(
            settings.identity, fetcher=fetcher, clock=rooms.clock, revocations=rooms.revocations
        )
        stack.push_async_callback(authenticator.close)
        await authenticator.refresh_if_due()
        checkpoint = checkpoint_of(rooms, authenticator=authenticator, ledger=ledger)
        metrics = Metrics()
        stores: dict[str, Store] = {store.name: _store(store) for store in settings.store}
        for store in stores.values():
            stack.push_async_callback(store.close)
        door = HttpDoor(
            checkpoint,
            stores,
            rooms.explainer,
            request_headers={store.name: frozenset(map(str.lower, store.request_headers)) for store in settings.store},
            metrics=metrics,
        )
        await stack.enter_async_context(_background(rooms, authenticator))
        control_port = await _listen_control(stack, rooms, ledger, authenticator, metrics)
        server = DoorServer(door.handle, checkpoint=checkpoint, explainer=rooms.explainer)
        door_port = await _listen(
            stack, web.ServerRunner(server, shutdown_timeout=settings.gateway.drain_timeout_s), settings.gateway.listen
        )
        _watch(metrics, rooms, ledger)
        gc.freeze()  # what is there now stays: the collector need not look at it again
        yield Gateway(rooms, checkpoint, ledger, authenticator, metrics, door_port, control_port)


async def serve(settings: Settings, *, ready: Callable[[Gateway], None], clock: Clock | None = None) -> None:
    """Run until SIGTERM or SIGINT; requests in flight may finish within the drain time."""
    async with build(settings, clock=clock) as gateway:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await gateway.ledger.append(_lifecycle(gateway, "start"))
        ready(gateway)
        await stopping.wait()
        log.info("stopping")
        await gateway.ledger.append(_lifecycle(gateway, "stop"))


def checkpoint_of(rooms: Rooms, *, authenticator: Authenticating, ledger: Recording) -> Checkpoint:
    """The checkpoint over these rooms."""
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
        save_usage=_usage_saver(rooms),
        deny_outside_window=rooms.settings.support.outside_window == "deny",
        max_target_bytes=gateway.max_target_bytes,
    )


def rehearsal(rooms: Rooms) -> Checkpoint:
    """A checkpoint that can only rehearse: it has neither key sets nor a ledger, so it can let nothing pass."""
    return checkpoint_of(rooms, authenticator=_NoCredentials(), ledger=_NoRecord())


class _NoCredentials:
    async def authenticate(self, authorization: str | None, on_behalf_of: str | None = None) -> Principal:
        raise Unauthenticated("nobody is authenticated in a rehearsal")


class _NoRecord:
    async def append(self, entry: object, *, permit: bool = False) -> int:
        raise LedgerUnavailable("nothing is recorded in a rehearsal")

    def submit(self, entry: object) -> object:
        raise LedgerUnavailable("nothing is recorded in a rehearsal")


def _usage_saver(rooms: Rooms) -> Callable[[str], None]:
    """Writes a grant's usage behind the answer; the desk, not the database, is what the next decision reads."""
    writing: set[asyncio.Task[None]] = set()

    async def write(grant: str) -> None:
        try:
            await asyncio.to_thread(rooms.state.put, rooms.desk.usage(grant))
        except Exception:
            log.exception("usage_not_saved", grant=grant)

    def save(grant: str) -> None:
        task = asyncio.get_running_loop().create_task(write(grant))
        writing.add(task)
        task.add_done_callback(writing.discard)

    return save


@asynccontextmanager
async def _background(rooms: Rooms, authenticator: Authenticator) -> AsyncIterator[None]:
    """What goes on beside the doors: following the state, swapping databases, refreshing keys and residence."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(rooms.follower.run()),
            group.create_task(
                _every(
                    rooms.settings.location.reload_interval_s,
                    lambda: asyncio.to_thread(rooms.databases.reload_if_changed),
                )
            ),
            group.create_task(_every(KEYS_INTERVAL_S, authenticator.refresh_if_due)),
            group.create_task(_every(RESIDENCE_INTERVAL_S, lambda: asyncio.to_thread(rooms.residence.refresh))),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _every(interval_s: float, act: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await act()
        except Exception:
            log.exception("background_failed")
        await asyncio.sleep(interval_s)


async def _listen(stack: contextlib.AsyncExitStack, runner: web.ServerRunner | web.AppRunner, address: str) -> int:
    host, _, port = address.rpartition(":")
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host.strip("[]"), int(port), backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise ConfigurationError(
            [f"cannot listen on {address}: {error.strerror}; is another process there?"]
        ) from error
    return int(runner.addresses[0][1])


async def _listen_control(
    stack: contextlib.AsyncExitStack, rooms: Rooms, ledger: Ledger, authenticator: Authenticator, metrics: Metrics
) -> int:
    app = control_app(lambda: _readiness(rooms, ledger, authenticator), metrics)
    return await _listen(stack, web.AppRunner(app, access_log=None), rooms.settings.gateway.control)


def _readiness(rooms: Rooms, ledger: Ledger, authenticator: Authenticator) -> Mapping[str, str]:
    unusable = [f"{status.kind}: {status.problem}" for status in rooms.databases.status() if not status.usable]
    return {
        "ledger": ledger.problem,
        "state": "" if rooms.follower.fresh else rooms.follower.problem or "the state has not been read lately",
        "location": "; ".join(unusable),
        "keys": "; ".join(f"{name}: {problem}" for name, problem in authenticator.problems.items()),
        "policy": "",
    }


def _watch(metrics: Metrics, rooms: Rooms, ledger: Ledger) -> None:
    metrics.watch("residency_ledger_healthy", "1 while decisions can be recorded.", lambda: float(not ledger.problem))
    metrics.watch(
        "residency_state_fresh", "1 while the state in memory is current.", lambda: float(rooms.follower.fresh)
    )
    metrics.watch("residency_customers", "Customers known.", lambda: float(len(rooms.customers)))


def _lifecycle(gateway: Gateway, act: str) -> dict[str, object]:
    rooms = gateway.rooms
    return administrative(
        clock=rooms.clock,
        node=rooms.settings.gateway.node,
        actor="gateway",
        act=act,
        subject=rooms.settings.gateway.node,
        details={"policy_version": rooms.policy.version},
    )


def _store(settings: StoreSettings) -> Store:
    url = settings.url.get_secret_value()
    timeouts = {"connect_timeout_s": settings.connect_timeout_s, "read_timeout_s": settings.read_timeout_s}
    match urlsplit(url).scheme:
        case "http" | "https":
            return HttpStore(settings.name, url, max_connections=settings.max_connections, **timeouts)
        case "ftp":
            return FtpStore(settings.name, url, **timeouts)
        case scheme:
            raise ConfigurationError(
                [f"store {settings.name}: {scheme}:// is not supported by this version; use http(s):// or ftp://"]
            )


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
