"""The composition root: settings in, a running gateway out.

Starting, in this order, each step refusing to go on when it fails: the ledger, the engine (:mod:`gateway.engine`:
policy, location databases, state, catalog, residence of the stores, key sets), the control listener, the door.
Stopping is the reverse: the doors close first and the ledger last, so that everything that was decided is recorded.
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
from functools import partial

import structlog
from aiohttp import web

from gateway.admission import Admission
from gateway.checkpoint import Checkpoint
from gateway.clock import Clock
from gateway.engine import Engine, assemble
from gateway.errors import ConfigurationError
from gateway.identity import Authenticator
from gateway.ledger import Ledger, administrative
from gateway.operations import notify_systemd
from gateway.proxy import DoorServer, DoorSite, Metrics, control_app, require_c_parser
from gateway.proxy.key_fetcher import KeyFetcher
from gateway.proxy.listener_tls import ListenerTls
from gateway.proxy.server import MAX_HEADER_BYTES
from gateway.reload import Reloader
from gateway.rooms import Rooms
from gateway.settings import Settings, Source

log = structlog.get_logger(__name__)
RESIDENCE_INTERVAL_S = 60.0
KEYS_INTERVAL_S = 5.0
CERTIFICATE_INTERVAL_S = 5.0


@dataclass(slots=True)
class Gateway:
    """A running gateway: where it listens, and what a test may look into.

    Attributes:
        engine: what decides and forwards now; a reload puts another in its place.
        draining: whether it is about to stop: it serves what comes, and keeps no connection open.
    """

    engine: Engine
    ledger: Ledger
    metrics: Metrics
    reloader: Reloader
    door_port: int = 0
    control_port: int = 0
    draining: bool = False

    @property
    def rooms(self) -> Rooms:
        return self.engine.rooms

    @property
    def checkpoint(self) -> Checkpoint:
        return self.engine.checkpoint

    @property
    def authenticator(self) -> Authenticator:
        return self.engine.authenticator

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request by the engine that is in place when it comes."""
        response = await self.engine.door.handle(request)
        if self.draining:
            response.force_close()
        return response

    async def judge_again(self, admission: Admission) -> str:
        """Why an admission in flight would be denied now, by the engine that is in place."""
        return await self.engine.checkpoint.judge_again(admission)


@asynccontextmanager
async def build(
    settings: Settings, *, clock: Clock | None = None, source: Source | None = None
) -> AsyncIterator[Gateway]:
    """A running gateway, as long as the context lasts.

    Args:
        settings: the configuration.
        clock: the system's unless given.
        source: where a reload finds the configuration; without one there is none.

    Raises:
        GatewayError: something that it needs is missing or wrong; nothing is left open.
    """
    require_c_parser()
    async with contextlib.AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            Ledger.open(
                settings.ledger.path,
                queue_entries=settings.ledger.queue_entries,
                commit_timeout_s=settings.ledger.commit_timeout_s,
                minimum_free_bytes=settings.ledger.minimum_free_bytes,
            )
        )
        fetcher = await stack.enter_async_context(KeyFetcher())
        metrics = Metrics()
        engine = await assemble(settings, ledger=ledger, fetcher=fetcher, metrics=metrics, clock=clock)
        stack.callback(engine.rooms.state.close)
        reloader = Reloader(source, ledger=ledger, fetcher=fetcher, metrics=metrics, clock=clock)
        gateway = Gateway(engine, ledger, metrics, reloader)
        stack.push_async_callback(_close_engine, gateway)
        tls = ListenerTls.of(settings.gateway.tls)
        await stack.enter_async_context(_background(gateway, tls))
        gateway.control_port = await _listen_control(stack, gateway)
        server = DoorServer(
            gateway.handle,
            checkpoint=engine.checkpoint,
            explainer=engine.rooms.explainer,
            settings=settings.gateway,
            metrics=metrics,
            tls=tls,
        )
        metrics.watch("residency_connections", "Connections of clients.", lambda: float(len(server.places)))
        reloader.attach(gateway, server)
        gateway.door_port = await _listen_door(stack, server)
        _watch(gateway)
        gc.freeze()  # what is there now stays: the collector need not look at it again
        yield gateway


async def _close_engine(gateway: Gateway) -> None:
    await gateway.engine.close()


async def serve(
    settings: Settings,
    *,
    ready: Callable[[Gateway], None],
    clock: Clock | None = None,
    source: Source | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    At a stop it says so on ``/readyz`` and goes on serving for the drain delay, each answer the last of its connection;
    then nothing new is taken, and what is in flight may finish within the drain time.
    """
    async with build(settings, clock=clock, source=source) as gateway:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, gateway.reloader.ask)
        await gateway.ledger.append(_lifecycle(gateway, "start"))
        ready(gateway)
        notify_systemd("READY=1")
        await stopping.wait()
        log.info("stopping")
        notify_systemd("STOPPING=1")
        gateway.draining = True
        await gateway.ledger.append(_lifecycle(gateway, "stopping"))
        await asyncio.sleep(settings.gateway.drain_delay_s)


@asynccontextmanager
async def _background(gateway: Gateway, tls: ListenerTls | None) -> AsyncIterator[None]:
    """What goes on beside the doors: following the state, judging what is in flight again, and renewing the rest."""
    loop = asyncio.get_running_loop()
    rooms = gateway.rooms
    rooms.follower.changed = gateway.checkpoint.admissions.nudge
    tasks = [
        loop.create_task(work)
        for work in (
            rooms.follower.run(),
            gateway.checkpoint.admissions.watch(gateway.judge_again),
            gateway.reloader.run(),
            _every(
                rooms.settings.location.reload_interval_s,
                lambda: asyncio.to_thread(gateway.rooms.databases.reload_if_changed),
            ),
            _every(KEYS_INTERVAL_S, lambda: gateway.authenticator.refresh_if_due()),
            _every(RESIDENCE_INTERVAL_S, lambda: asyncio.to_thread(gateway.rooms.residence.refresh)),
        )
    ]
    if tls:
        renewal = _every(CERTIFICATE_INTERVAL_S, lambda: asyncio.to_thread(tls.reload_if_changed))
        tasks.append(loop.create_task(renewal))
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


async def _listen_door(stack: contextlib.AsyncExitStack, server: DoorServer) -> int:
    runner = web.ServerRunner(server, shutdown_timeout=server.settings.drain_timeout_s)
    return await _listen(stack, runner, server.settings.listen, partial(DoorSite, runner, server))


async def _listen(
    stack: contextlib.AsyncExitStack,
    runner: web.ServerRunner | web.AppRunner,
    address: str,
    site_at: Callable[[str, int], web.BaseSite],
) -> int:
    host, _, port = address.rpartition(":")
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = site_at(host.strip("[]"), int(port))
    try:
        await site.start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(
            [f"cannot listen on {address}: {why}; name another address, or end what is there"]
        ) from error
    return int(runner.addresses[0][1])


async def _listen_control(stack: contextlib.AsyncExitStack, gateway: Gateway) -> int:
    app = control_app(lambda: _readiness(gateway), gateway.metrics, lambda: gateway.engine.external)
    # What another proxy was asked comes in a subrequest: its target in a header or behind a prefix, and its token.
    runner = web.AppRunner(app, access_log=None, max_line_size=MAX_HEADER_BYTES, max_field_size=MAX_HEADER_BYTES)
    return await _listen(stack, runner, gateway.engine.settings.gateway.control, partial(web.TCPSite, runner))


def _readiness(gateway: Gateway) -> Mapping[str, str]:
    rooms = gateway.rooms
    unusable = [f"{status.kind}: {status.problem}" for status in rooms.databases.status() if not status.usable]
    return {
        "ledger": gateway.ledger.problem,
        "state": "" if rooms.follower.fresh else rooms.follower.problem or "the state has not been read lately",
        "location": "; ".join(unusable),
        "keys": "; ".join(f"{name}: {problem}" for name, problem in gateway.authenticator.problems.items()),
        "policy": "",
        "stopping": "it is about to stop; send nothing new" if gateway.draining else "",
    }


def _watch(gateway: Gateway) -> None:
    watch = gateway.metrics.watch
    watch("residency_ledger_healthy", "1 while decisions can be recorded.", lambda: float(not gateway.ledger.problem))
    watch(
        "residency_state_fresh", "1 while the state in memory is current.", lambda: float(gateway.rooms.follower.fresh)
    )
    watch("residency_customers", "Customers known.", lambda: float(len(gateway.rooms.customers)))
    watch("residency_admissions", "Exchanges in flight.", lambda: float(len(gateway.checkpoint.admissions)))
    watch(
        "residency_reload_failed",
        "1 while a changed configuration is refused.",
        lambda: float(bool(gateway.reloader.problem)),
    )


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
