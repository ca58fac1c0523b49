"""The engine: all that decides and forwards under one configuration.

A reload assembles another engine from the new configuration and puts it in the old one's place, for every request that
comes after; what is in flight is judged again by it. What is the same in both is handed over, not made anew: the state
in memory, the keys and remembered tokens, the location databases, and the connections to stores that did not change.
An engine that cannot be assembled leaves the old one where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.checkpoint import Checkpoint
from gateway.clock import SECOND_US, Clock
from gateway.console import Surroundings
from gateway.errors import ConfigurationError, LedgerUnavailable, NotFound, TrackerUnavailable
from gateway.identity import Authenticator, Fetcher
from gateway.identity.ssh_certificates import UserCa
from gateway.justification import Ticket, TrackedTickets
from gateway.ledger.appender import Ledger
from gateway.ledger.pseudonyms import Pseudonyms
from gateway.ledger.reader import LedgerReader, Query
from gateway.proxy import ExternalAuthorization, HttpDoor, HttpStore, Metrics, Store
from gateway.proxy.limits import SubjectLimits
from gateway.proxy.pace import Pace
from gateway.rooms import Rooms, checkpoint_of, open_rooms, require_stores_at_home
from gateway.settings import LedgerSettings, Settings, StoreSettings
from gateway.trackers import Homing, TicketHooks, tracked_tickets
from gateway.trackers.deliveries import Deliveries
from gateway.transfer.http_view import SiteStore
from gateway.transfer.session import Gate
from gateway.transfer.sign_in import SignIn
from gateway.transfer.sites import site_of

log = structlog.get_logger(__name__)

FIXED = (
    "gateway.listen",
    "gateway.control",
    "gateway.node",
    "gateway.workers",
    "gateway.tls",
    "doors",
    "ledger",
    "state",
)
"""What a reload cannot change: sockets that are open, files that are held, and the name that entries carry."""
ELSEWHERE_TIMEOUT_S = 30.0
"""How long an act waits for what another system says of a ticket; a look-up has a shorter time of its own."""


@dataclass(frozen=True, slots=True)
class Engine:
    """See the module."""

    settings: Settings
    rooms: Rooms
    authenticator: Authenticator
    checkpoint: Checkpoint
    stores: dict[str, Store]
    door: HttpDoor
    external: ExternalAuthorization
    surroundings: Surroundings
    tracked: TrackedTickets
    hooks: TicketHooks
    gate: Callable[[str], Gate]
    signing_in: SignIn

    async def close(self, *, kept: Engine | None = None) -> None:
        """Let go of what no other engine holds.

        Args:
            kept: the engine that took this one's place.
        """
        stores = set(kept.stores.values()) if kept else set()
        for store in self.stores.values():
            if store not in stores:
                await store.close()
        if kept is None or kept.authenticator is not self.authenticator:
            await self.authenticator.close()
        if kept is None or kept.tracked is not self.tracked:
            await self.tracked.close()


async def assemble(
    settings: Settings,
    *,
    ledger: Ledger,
    fetcher: Fetcher,
    metrics: Metrics,
    clock: Clock | None = None,
    before: Engine | None = None,
) -> Engine:
    """The engine of a configuration.

    Args:
        before: the engine whose place it takes; what did not change is taken over from it.

    Raises:
        ConfigurationError: it cannot be used, or changes what only a restart can change.
        GatewayError: something that it names is missing or wrong.
    """
    if before:
        _require_fixed(before.settings, settings)
    rooms = await asyncio.to_thread(open_rooms, settings, clock=clock, before=before.rooms if before else None)
    async with contextlib.AsyncExitStack() as undo:
        if before is None:
            undo.callback(rooms.state.close)
        require_stores_at_home(rooms)
        if before and before.settings.identity == settings.identity:
            authenticator = before.authenticator
        else:
            authenticator = Authenticator.of(
                settings.identity,
                fetcher=fetcher,
                clock=rooms.clock,
                revocations=rooms.revocations,
                accounts=rooms.accounts,
            )
            undo.push_async_callback(authenticator.close)
            await authenticator.refresh_if_due()
        checkpoint = checkpoint_of(
            rooms,
            authenticator=authenticator,
            ledger=ledger,
            admissions=before.checkpoint.admissions if before else None,
            pseudonyms=ledger.pseudonyms,
        )
        tracked = _tracked(settings, rooms, metrics, before)
        deliveries = before.hooks.deliveries if before else await asyncio.to_thread(_deliveries, settings, rooms.clock)
        stores = {store.name: _kept(store, before) or _store(store) for store in settings.store}
        signing_in = before.signing_in if before else _signing_in(settings, rooms, authenticator, ledger)
        undo.pop_all()
    rooms.desk.tracked = tracked  # the desk outlives a reload: only now that nothing can fail any more
    signing_in.principal = authenticator.accounted  # the doors outlive a reload, and so does who failed at them
    tracked.changed = checkpoint.admissions.nudge
    tracked.said = rooms.desk.hear
    hooks = TicketHooks(
        settings.tracker,
        tracked=tracked,
        office=rooms.office(_unrecorded),
        desk=rooms.desk,
        record=ledger.append,
        clock=rooms.clock,
        node=settings.gateway.node,
        deliveries=deliveries,
        settle=rooms.follower.poll,
        count=metrics.hooked,
    )
    limits = SubjectLimits(settings.gateway.limits, rooms.clock)
    door = HttpDoor(
        checkpoint,
        stores,
        rooms.explainer,
        request_headers={store.name: frozenset(map(str.lower, store.request_headers)) for store in settings.store},
        metrics=metrics,
        limits=limits,
        is_peer_home=rooms.residence.is_peer_home,
        origins=map(str.lower, settings.gateway.websocket_origins),
    )
    external = ExternalAuthorization(checkpoint, rooms.explainer, settings.external.trusted_peers, metrics)
    reading = ledger.pseudonyms or Pseudonyms.to_read(settings.ledger)
    surroundings = _surroundings(settings, rooms, authenticator, checkpoint, tracked, reading)
    pace = Pace(settings.gateway.limits, rooms.clock.monotonic_s)
    gates = partial(_gate, settings, rooms, checkpoint, metrics, limits, pace, stores)
    return Engine(
        settings,
        rooms,
        authenticator,
        checkpoint,
        stores,
        door,
        external,
        surroundings,
        tracked,
        hooks,
        gates,
        signing_in,
    )


def _signing_in(settings: Settings, rooms: Rooms, authenticator: Authenticator, ledger: Ledger) -> SignIn:
    """
    Raises:
        ConfigurationError: the key that signs certificates cannot be used.
    """
    sftp = settings.doors.sftp
    return SignIn(
        rooms.accounts,
        rooms.state,
        principal=authenticator.accounted,
        record=ledger.append,
        clock=rooms.clock,
        node=settings.gateway.node,
        user_ca=UserCa.of(sftp.user_ca) if sftp and sftp.user_ca else None,
    )


def _gate(
    settings: Settings,
    rooms: Rooms,
    checkpoint: Checkpoint,
    metrics: Metrics,
    limits: SubjectLimits,
    pace: Pace,
    stores: Mapping[str, Store],
    name: str,
) -> Gate:
    """What the sessions of a transfer door before this site share; one route leads to it, or it was refused at load."""
    store = stores[name]
    assert isinstance(store, SiteStore)  # noqa: S101 - the settings were checked
    [route] = [route for route in settings.route if route.store == name]
    return Gate(
        checkpoint=checkpoint,
        explainer=rooms.explainer,
        metrics=metrics,
        limits=limits,
        site=store.site,
        uploads=store.uploads,
        prefix=route.path.partition("/{customer}")[0],
        is_peer_home=rooms.residence.is_peer_home,
        pace=pace,
    )


def _surroundings(
    settings: Settings,
    rooms: Rooms,
    authenticator: Authenticator,
    checkpoint: Checkpoint,
    tracked: TrackedTickets,
    pseudonyms: Pseudonyms | None,
) -> Surroundings:
    """What the control API answers from: the same people, addresses and limits as at the doors."""
    return Surroundings(
        office=rooms.office(_unrecorded, authenticator.work_country),
        authenticator=authenticator,
        resolver=checkpoint.resolver,
        limits=SubjectLimits(settings.gateway.limits, rooms.clock),
        usage=rooms.desk.usage,
        ledger=lambda: LedgerReader(settings.ledger.path, pseudonyms),
        elsewhere=partial(_elsewhere, rooms, tracked),
        tracking=Homing(settings, tracked, is_here=lambda ticket: rooms.desk.ticket(ticket) is not None),
    )


async def _elsewhere(rooms: Rooms, tracked: TrackedTickets, ticket: str) -> Ticket | None:
    """A ticket of another system; None where that has none that can be used, or it is one of the embedded desk.

    Raises:
        TrackerUnavailable: it does not say, or not in time.
    """
    if rooms.desk.ticket(ticket) is not None or not tracked.asked(ticket):
        return rooms.desk.elsewhere(ticket)
    try:
        async with asyncio.timeout(ELSEWHERE_TIMEOUT_S):
            return await tracked.find(ticket)
    except NotFound:
        return None
    except TimeoutError as error:
        raise TrackerUnavailable(f"no tracker said within {ELSEWHERE_TIMEOUT_S:g} s how {ticket} is") from error


def _unrecorded(_entry: object) -> None:
    raise LedgerUnavailable("an act outside of a call is not recorded, and so not done")


def _tracked(settings: Settings, rooms: Rooms, metrics: Metrics, before: Engine | None) -> TrackedTickets:
    if before and before.settings.tracker == settings.tracker:
        return before.tracked
    return tracked_tickets(settings, rooms.clock, _hearing(metrics))


def _hearing(metrics: Metrics) -> Callable[[str, str], None]:
    """Counts look-ups, and logs the first of a tracker that fails."""
    failing: set[str] = set()

    def heard(tracker: str, problem: str) -> None:
        metrics.looked_up(tracker, "failed" if problem else "answered")
        if problem and tracker not in failing:
            log.error("tracker_unavailable", tracker=tracker, problem=problem)
        (failing.add if problem else failing.discard)(tracker)

    return heard


def _deliveries(settings: Settings, clock: Clock) -> Deliveries:
    """What trackers had pushed before a restart, so that none of it is taken again; blocking."""
    deliveries = Deliveries()
    if any(tracker.webhook_secret for tracker in settings.tracker):
        longest_s = max(tracker.max_skew_s for tracker in settings.tracker)
        since_us = clock.now_us() - round(2 * longest_s * SECOND_US)
        with LedgerReader(settings.ledger.path) as reader:
            deliveries.remember(reader.search(Query(kind="administrative", since_us=since_us)))
    return deliveries


def _require_fixed(old: Settings, new: Settings) -> None:
    problems = [
        f"{key} changes only with a restart; put the old value back, or restart"
        for key in FIXED
        if _value(old, key) != _value(new, key)
    ]
    if problems:
        raise ConfigurationError(problems)


def _value(settings: Settings, key: str) -> object:
    found: object = settings
    for name in key.split("."):
        found = getattr(found, name)
    return found.lasting if isinstance(found, LedgerSettings) else found


def _kept(settings: StoreSettings, before: Engine | None) -> Store | None:
    """The connections to a store that did not change."""
    if before is None or settings not in before.settings.store:
        return None
    return before.stores[settings.name]


def _store(settings: StoreSettings) -> Store:
    return SiteStore(settings.name, site_of(settings)) if settings.is_site else HttpStore(settings)
