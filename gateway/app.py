"""The composition root: settings in, a running gateway out.

Starting, in this order, each step refusing to go on when it fails: the ledger, the engine (:mod:`gateway.engine`:
policy, location databases, state, catalog, residence of the stores, key sets), the ledger against the checkpoints that
are held outside, the control listener, the door.
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
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web

from gateway.acts import Steward
from gateway.acts.steward import GATEWAY
from gateway.by_itself import lifecycle, pass_over, sealer
from gateway.clock import SECOND_US, Clock, SteadyClock, SystemClock, rfc3339
from gateway.console import OPERATIONS, Console
from gateway.engine import Engine, assemble
from gateway.errors import ConfigurationError
from gateway.feeds import Feeds, Surroundings, open_sink
from gateway.files import stamp
from gateway.health import readiness, watch
from gateway.holders import holders
from gateway.ledger.appender import Ledger
from gateway.ledger.checkpoints import Checkpoints, LedgerBook
from gateway.ledger.entry import administrative
from gateway.ledger.notary import Notary
from gateway.ledger.pseudonyms import BEGIN_ACT, OBJECT, Pseudonyms, require_own
from gateway.ledger.reader import LedgerReader
from gateway.ledger.signing import SigningKey
from gateway.ledger.working_thread import WorkingThread
from gateway.notification import Courier, channels
from gateway.operations import Tidying, notify_systemd
from gateway.proxy import (
    ControlRunner,
    DoorServer,
    DoorSite,
    Metrics,
    WebhookPoster,
    control_app,
    require_c_parser,
)
from gateway.proxy.key_fetcher import KeyFetcher
from gateway.proxy.listener_tls import ListenerTls
from gateway.proxy.server import MAX_HEADER_BYTES
from gateway.reload import Reloader
from gateway.rooms import Rooms
from gateway.running import Gateway
from gateway.settings import Settings, Source
from gateway.storage import FeedCursors, StateOutbox, prune
from gateway.transfer.opening import open_doors

__all__ = ["Gateway", "build", "serve"]

log = structlog.get_logger(__name__)
RESIDENCE_INTERVAL_S = 60.0
KEYS_INTERVAL_S = 5.0
CERTIFICATE_INTERVAL_S = 5.0
STEWARD_INTERVAL_S = 1.0
PRUNING_INTERVAL_S = 300.0
TIDYING_INTERVAL_S = 0.5
MAX_BEHIND_US = 60 * SECOND_US


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
    pseudonyms = Pseudonyms.of(settings.ledger)
    async with contextlib.AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            Ledger.open(
                settings.ledger.path,
                queue_entries=settings.ledger.queue_entries,
                commit_timeout_s=settings.ledger.commit_timeout_s,
                minimum_free_bytes=settings.ledger.minimum_free_bytes,
                pseudonyms=pseudonyms,
            )
        )
        clock = await asyncio.to_thread(_steady, clock or SystemClock(), settings.ledger.path)
        if pseudonyms:
            await _begin_pseudonyms(pseudonyms, ledger, settings, clock)
        fetcher = await stack.enter_async_context(KeyFetcher())
        metrics = Metrics()
        engine = await assemble(settings, ledger=ledger, fetcher=fetcher, metrics=metrics, clock=clock)
        stack.callback(engine.rooms.state.close)
        await asyncio.to_thread(_recall_usage, engine.rooms)
        stack.push_async_callback(engine.rooms.usage.flush)  # of what was in flight until the doors had closed
        poster = await stack.enter_async_context(WebhookPoster())
        reloader = Reloader(source, ledger=ledger, fetcher=fetcher, metrics=metrics, clock=clock)
        checkpoints = await _checkpoints(stack, engine, ledger)
        gateway = Gateway(engine, ledger, metrics, reloader, checkpoints)
        courier = _courier(gateway, poster)
        stack.push_async_callback(_close_engine, gateway)
        tls = ListenerTls.of(settings.gateway.tls)
        await stack.enter_async_context(_background(gateway, courier, _feeds(stack, gateway), tls))
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
        doors = open_doors(settings, gateway.gate, engine.signing_in)  # who signs in outlives a reload, as the doors do
        gateway.transfer_ports = await stack.enter_async_context(doors)
        gateway.door_port = await _listen_door(stack, server)
        watch(gateway)
        yield gateway


def _steady(clock: Clock, ledger: Path) -> SteadyClock:
    """A clock that goes on from the last entry of the ledger, so that no restart prolongs what has an end.

    Raises:
        ConfigurationError: the machine's clock is far behind that entry, so one of them is wrong.
    """
    with LedgerReader(ledger) as reader:
        latest_us = reader.latest_us()
    behind_us = latest_us - clock.now_us()
    if behind_us > MAX_BEHIND_US:
        far = f"{behind_us // SECOND_US} s behind the last entry of the ledger ({rfc3339(latest_us)})"
        mend = "set the clock right, or begin another ledger if that entry's time is wrong"
        raise ConfigurationError([f"the machine's clock is {far}; {mend}"])
    return SteadyClock(clock, latest_us)


async def _begin_pseudonyms(pseudonyms: Pseudonyms, ledger: Ledger, settings: Settings, clock: Clock) -> None:
    """See :func:`gateway.ledger.pseudonyms.require_own`: a ledger names the keys that its pseudonyms are made with."""
    new = await asyncio.to_thread(require_own, pseudonyms, settings.ledger.path)
    if new:
        details = {"keys": new, **GATEWAY.said()}
        entry = administrative(
            clock=clock,
            node=settings.gateway.node,
            actor=GATEWAY.name,
            act=BEGIN_ACT,
            subject=OBJECT,
            details=details,
        )
        await ledger.append(entry)


def _recall_usage(rooms: Rooms) -> None:
    with LedgerReader(rooms.settings.ledger.path) as reader:
        rooms.usage.recall(reader, now_us=rooms.clock.now_us())


async def _checkpoints(stack: contextlib.AsyncExitStack, engine: Engine, ledger: Ledger) -> Checkpoints:
    """What signs the ledger; the last time when everything that adds to it has ended, and before it is closed.

    Raises:
        LedgerContradicted: the ledger is behind what is held outside, or inconsistent with it.
        GatewayError: a holder that is required does not answer, or the key is not the ledger's.
    """
    settings, rooms = engine.settings, engine.rooms
    key = SigningKey.of(settings.ledger, settings.ledger_origin)
    node = settings.gateway.node
    checkpoints = Checkpoints(
        ledger,
        Notary(settings.ledger.path, LedgerBook(ledger), key, clock=rooms.clock, node=node, said=GATEWAY.said()),
        holders(settings, rooms.state),
        clock=rooms.clock,
        interval_s=settings.ledger.checkpoint_interval_s,
        entries=settings.ledger.checkpoint_entries,
    )
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(checkpoints.let_go)
        await checkpoints.begin("gateway")
        undo.pop_all()
    stack.push_async_callback(checkpoints.close)
    return checkpoints


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
        await gateway.ledger.append(lifecycle(gateway, "start"))
        gc.freeze()  # what is there now stays: the collector need not look at it again
        ready(gateway)
        notify_systemd("READY=1")
        await stopping.wait()
        log.info("stopping")
        notify_systemd("STOPPING=1")
        gateway.draining = True
        await gateway.ledger.append(lifecycle(gateway, "stopping"))
        await asyncio.sleep(settings.gateway.drain_delay_s)


@asynccontextmanager
async def _background(gateway: Gateway, courier: Courier, feeds: Feeds, tls: ListenerTls | None) -> AsyncIterator[None]:
    """What goes on beside the doors: following the state, judging what is in flight again, telling and feeding."""
    loop = asyncio.get_running_loop()
    rooms = gateway.rooms
    rooms.follower.changed = gateway.checkpoint.admissions.nudge
    rooms.follower.noticed = courier.nudge
    tasks = [
        loop.create_task(work)
        for work in (
            rooms.follower.run(),
            gateway.checkpoint.admissions.watch(gateway.judge_again),
            gateway.reloader.run(),
            rooms.usage.run(gateway.checkpoint.admissions.capped),
            gateway.checkpoints.run(),
            courier.run(),
            feeds.run(),
            _every(
                rooms.settings.location.reload_interval_s,
                lambda: asyncio.to_thread(gateway.rooms.databases.reload_if_changed),
            ),
            _every(KEYS_INTERVAL_S, lambda: gateway.authenticator.refresh_if_due()),
            _every(STEWARD_INTERVAL_S, lambda: asyncio.to_thread(_attend, gateway, loop)),
            _every(PRUNING_INTERVAL_S, lambda: asyncio.to_thread(prune, rooms.state, now_us=rooms.clock.now_us())),
            _every(RESIDENCE_INTERVAL_S, lambda: asyncio.to_thread(gateway.rooms.residence.refresh)),
            _tidied(Tidying()),
        )
    ]
    if sealing := sealer(gateway):
        tasks.append(loop.create_task(sealing.run()))
    if tls:
        renewal = _every(CERTIFICATE_INTERVAL_S, lambda: asyncio.to_thread(tls.reload_if_changed))
        tasks.append(loop.create_task(renewal))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _attend(gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
    """What is due by time alone; in a thread, for the state is read and written synchronously."""

    def record(entry: Mapping[str, object]) -> int:
        return asyncio.run_coroutine_threadsafe(gateway.ledger.append(entry), loop).result()

    rooms = gateway.rooms
    office = rooms.office(record, gateway.authenticator.work_country)
    Steward(office, rooms.desk.usage, rooms.desk.unfinished, rooms.customers.unbegun, rooms.desk.lapses).attend()


def _courier(gateway: Gateway, poster: WebhookPoster) -> Courier:
    """Takes notices to the channels of the configuration that is in force; the state stays the same over a reload."""
    rooms = gateway.rooms
    courier = Courier(
        StateOutbox(rooms.state, lambda instant_us: gateway.rooms.window.next_opening_us(instant_us)),
        poster,
        clock=rooms.clock,
        channels=lambda: channels(gateway.rooms.settings.notification),
        settings=lambda: gateway.rooms.settings.notices,
        node=rooms.settings.gateway.node,
    )
    watch = gateway.metrics.watch
    watch("residency_notifications_waiting", "Notices that a channel has yet to take.", lambda: courier.counts.waiting)
    watch("residency_notifications_failed", "Notices given up and still kept.", lambda: courier.counts.failed)
    watch("residency_notification_channels_failing", "Channels that took not the last.", lambda: len(courier.problems))
    return courier


def _feeds(stack: contextlib.AsyncExitStack, gateway: Gateway) -> Feeds:
    """Takes the ledger's entries to the feeds of the configuration that is in force."""
    rooms, ledger = gateway.rooms, gateway.ledger
    thread = WorkingThread(asyncio.get_running_loop(), "feeds")
    stack.callback(thread.stop)
    path = rooms.settings.ledger.path
    files = (path, path.with_name(f"{path.name}-wal"))
    around = Surroundings(
        path,
        FeedCursors(rooms.state),
        thread.call,
        partial(open_sink, node=rooms.settings.gateway.node, clock=rooms.clock),
        gateway.metrics.feed_failed,
        passed_over=partial(pass_over, gateway, asyncio.get_running_loop()),
    )
    feeds = Feeds(
        around,
        settings=lambda: gateway.rooms.settings.feed,
        grown=lambda: (ledger.size, *map(stamp, files), rooms.state.fingerprint()),
    )
    about = "Entries that a feed is behind the ledger."
    gateway.metrics.watch_each("residency_feed_lag_entries", about, "feed", lambda: feeds.lags(ledger.size))
    return feeds


async def _every(interval_s: float, act: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await act()
        except Exception:
            log.exception("background_failed")
        await asyncio.sleep(interval_s)


async def _tidied(tidying: Tidying) -> None:
    while True:
        tidying.look()
        await asyncio.sleep(TIDYING_INTERVAL_S)


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
    console = Console(
        OPERATIONS,
        surroundings=lambda: gateway.engine.surroundings,
        record=gateway.ledger.append,
        settle=lambda: gateway.rooms.follower.poll(),
    )
    stack.push_async_callback(console.close)
    app = control_app(
        lambda: readiness(gateway),
        gateway.metrics,
        lambda: gateway.engine.external,
        attach=console.attach,
        ticket_hook=gateway.take_webhook,
    )
    # What another proxy was asked comes in a subrequest: its target in a header or behind a prefix, and its token.
    runner = ControlRunner(
        app,
        console.refuse_unreadable,
        access_log=None,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    return await _listen(stack, runner, gateway.engine.settings.gateway.control, partial(web.TCPSite, runner))
