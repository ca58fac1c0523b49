"""The engine: all that decides and forwards under one configuration.

A reload assembles another engine from the new configuration and puts it in the old one's place, for every request that
comes after; what is in flight is judged again by it. What is the same in both is handed over, not made anew: the state
in memory, the keys and remembered tokens, the location databases, and the connections to stores that did not change.
An engine that cannot be assembled leaves the old one where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.checkpoint import Checkpoint
from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.identity import Authenticator, Fetcher
from gateway.ledger import Ledger
from gateway.proxy import ExternalAuthorization, FtpStore, HttpDoor, HttpStore, Metrics, Store
from gateway.proxy.limits import SubjectLimits
from gateway.rooms import Rooms, checkpoint_of, open_rooms, require_stores_at_home
from gateway.settings import Settings, StoreSettings

FIXED = (
    "gateway.listen",
    "gateway.control",
    "gateway.node",
    "gateway.workers",
    "gateway.tls",
    "ledger",
    "state",
)
"""What a reload cannot change: sockets that are open, files that are held, and the name that entries carry."""


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
                settings.identity, fetcher=fetcher, clock=rooms.clock, revocations=rooms.revocations
            )
            undo.push_async_callback(authenticator.close)
            await authenticator.refresh_if_due()
        checkpoint = checkpoint_of(
            rooms,
            authenticator=authenticator,
            ledger=ledger,
            admissions=before.checkpoint.admissions if before else None,
        )
        stores = {store.name: _kept(store, before) or _store(store) for store in settings.store}
        undo.pop_all()
    door = HttpDoor(
        checkpoint,
        stores,
        rooms.explainer,
        request_headers={store.name: frozenset(map(str.lower, store.request_headers)) for store in settings.store},
        metrics=metrics,
        limits=SubjectLimits(settings.gateway.limits, rooms.clock),
        origins=map(str.lower, settings.gateway.websocket_origins),
    )
    external = ExternalAuthorization(checkpoint, rooms.explainer, settings.external.trusted_peers, metrics)
    return Engine(settings, rooms, authenticator, checkpoint, stores, door, external)


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
    return found


def _kept(settings: StoreSettings, before: Engine | None) -> Store | None:
    """The connections to a store that did not change."""
    if before is None or settings not in before.settings.store:
        return None
    return before.stores[settings.name]


def _store(settings: StoreSettings) -> Store:
    url = settings.url.get_secret_value()
    timeouts = {"connect_timeout_s": settings.connect_timeout_s, "read_timeout_s": settings.read_timeout_s}
    match urlsplit(url).scheme:
        case "http" | "https":
            return HttpStore(settings)
        case "ftp":
            return FtpStore(settings.name, url, **timeouts)
        case scheme:
            raise ConfigurationError(
                [f"store {settings.name}: {scheme}:// is not supported by this version; use http(s):// or ftp://"]
            )
