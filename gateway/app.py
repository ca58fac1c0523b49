"""The composition root: settings in, a running gateway out.

Starting, in this order, each step refusing to go on when it fails: the rooms (:mod:`gateway.rooms`: policy, location
databases, state, catalog, residence of the stores), the ledger, key sets, the control listener, the door. Stopping is
the reverse: the doors close first and the ledger last, so that everything that was decided is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from gateway.checkpoint import Checkpoint
from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.identity import Authenticator
from gateway.ledger import Ledger, administrative
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
from gateway.rooms import Rooms, checkpoint_of, open_rooms, require_stores_at_home
from gateway.settings import Settings, StoreSettings

log = structlog.get_logger(__name__)
RESIDENCE_INTERVAL_S = 60.0
KEYS_INTERVAL_S = 5.0


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
        rooms.follower.changed = checkpoint.admissions.nudge
        await stack.enter_async_context(_background(rooms, authenticator, checkpoint))
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
        await gateway.ledger.append(_lifecycle(gateway, "stopping"))


@asynccontextmanager
async def _background(rooms: Rooms, authenticator: Authenticator, checkpoint: Checkpoint) -> AsyncIterator[None]:
    """What goes on beside the doors: following the state, judging what is in flight again, and refreshing the rest."""
    reload_s = rooms.settings.location.reload_interval_s
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(work)
        for work in (
            rooms.follower.run(),
            checkpoint.admissions.watch(checkpoint.judge_again),
            _every(reload_s, lambda: asyncio.to_thread(rooms.databases.reload_if_changed)),
            _every(KEYS_INTERVAL_S, authenticator.refresh_if_due),
            _every(RESIDENCE_INTERVAL_S, lambda: asyncio.to_thread(rooms.residence.refresh)),
        )
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(
            [f"cannot listen on {address}: {why}; name another address, or end what is there"]
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
