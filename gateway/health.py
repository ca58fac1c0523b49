"""How a running gateway is: what ``/readyz`` says of each part, and the gauges of ``/metrics``."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.running import Gateway


def readiness(gateway: Gateway) -> Mapping[str, str]:
    """What stands in the way of deciding, by part; "" where nothing does."""
    rooms = gateway.rooms
    unusable = [f"{status.kind}: {status.problem}" for status in rooms.databases.status() if not status.usable]
    return {
        "ledger": gateway.ledger.problem,
        "pseudonyms": gateway.ledger.pseudonyms.problem if gateway.ledger.pseudonyms else "",
        "checkpoints": gateway.checkpoints.alarm,
        "state": "" if rooms.follower.fresh else rooms.follower.problem or "the state has not been read lately",
        "location": "; ".join(unusable),
        "keys": "; ".join(f"{name}: {problem}" for name, problem in gateway.authenticator.problems.items()),
        "policy": "",
        "stopping": "it is about to stop; send nothing new" if gateway.draining else "",
    }


def watch(gateway: Gateway) -> None:
    """Have the gauges read, whenever somebody asks for the metrics."""
    gauge = gateway.metrics.watch
    gauge("residency_ledger_healthy", "1 while decisions can be recorded.", lambda: float(not gateway.ledger.problem))
    gauge(
        "residency_ledger_committers_lost",
        "Processes that wrote the ledger and ended since the start.",
        lambda: float(gateway.ledger.committers_lost),
    )
    checkpoints = gateway.checkpoints
    gauge("residency_checkpoint_age_seconds", "Since the ledger was last signed.", lambda: checkpoints.age_s)
    gauge("residency_checkpoint_size", "Entries that the last checkpoint is over.", lambda: float(checkpoints.size))
    gauge(
        "residency_checkpoint_contradicted",
        "1 while one held outside is not of the ledger's past.",
        lambda: float(bool(checkpoints.alarm)),
    )
    gauge(
        "residency_checkpoint_holders_failing",
        "Holders that took not the last.",
        lambda: float(len(checkpoints.failing)),
    )
    gauge(
        "residency_state_fresh", "1 while the state in memory is current.", lambda: float(gateway.rooms.follower.fresh)
    )
    gauge("residency_customers", "Customers known.", lambda: float(len(gateway.rooms.customers)))
    gauge("residency_admissions", "Exchanges in flight.", lambda: float(len(gateway.checkpoint.admissions)))
    gauge(
        "residency_trackers_unavailable",
        "Trackers whose last look-up failed.",
        lambda: float(len(gateway.engine.tracked.problems)),
    )
    gauge(
        "residency_reload_failed",
        "1 while a changed configuration is refused.",
        lambda: float(bool(gateway.reloader.problem)),
    )
