"""What a running gateway does of its own accord, and writes down as its own act."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.acts.steward import GATEWAY
from gateway.feeds import Gone
from gateway.ledger import sealing
from gateway.ledger.entry import administrative
from gateway.ledger.moves import OBJECT, described
from gateway.ledger.sealed import SEAL
from gateway.ledger.sealer import Sealer
from gateway.running import Gateway
from gateway.storage import PASSED_OVER


def sealer(gateway: Gateway) -> Sealer | None:
    """Moves old months into segments; None where no setting says what is old."""
    rooms = gateway.rooms
    settings = rooms.settings.ledger
    if settings.segment_after_s is None:
        return None
    directory = settings.segments_directory or sealing.segments_directory(settings.path)
    found = Sealer(
        settings.path,
        directory,
        after_s=settings.segment_after_s,
        clock=rooms.clock,
        told=lambda one: by_gateway(gateway, SEAL, OBJECT, described(one)),
    )
    watch = gateway.metrics.watch
    watch("residency_ledger_segments_sealed", "Sealed files made since the start.", lambda: float(found.segments))
    watch("residency_ledger_sealing_failed", "1 while old entries cannot be sealed.", lambda: bool(found.problem))
    return found


def pass_over(gateway: Gateway, loop: asyncio.AbstractEventLoop, feed: str, gone: Gone) -> None:
    """Write down what a feed can never send; in a thread."""
    entry = by_gateway(gateway, PASSED_OVER, feed, gone._asdict())
    asyncio.run_coroutine_threadsafe(gateway.ledger.append(entry), loop).result()


def lifecycle(gateway: Gateway, act: str) -> dict[str, object]:
    """The entry of a start or a stop."""
    rooms = gateway.rooms
    return by_gateway(gateway, act, rooms.settings.gateway.node, {"policy_version": rooms.policy.version})


def by_gateway(gateway: Gateway, act: str, subject: str, details: Mapping[str, str | int]) -> dict[str, object]:
    """The entry of what the gateway does of its own accord."""
    rooms = gateway.rooms
    return administrative(
        clock=rooms.clock,
        node=rooms.settings.gateway.node,
        actor=GATEWAY.name,
        act=act,
        subject=subject,
        details={**details, **GATEWAY.said()},
    )
