"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from gateway import rooms
from gateway.ledger import committing
from gateway.storage import store
from tests.world import forked
from tests.world.migrated import upgrade_by_copy
from tests.world.remembered import engine_that_remembers, load_once

# A busy machine makes no law untrue; neither does a first run, in which Hypothesis builds its tables of Unicode.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# The whole table of decisions takes half a minute to make: the tests that look into it share one worker.
TOGETHER = ("test_policy_command", "test_prove", "test_matrix", "test_oracle", "test_space")

# What takes longest begins first, so that no worker is left with it alone at the end.
LONGEST = (
    "test_differential",
    "test_ticket_machine",
    "test_fuzz",
    *TOGETHER,
    "test_machines",
    "test_api_conformance",
    "test_kills",
    "test_keeping",
    "test_system_calls",
    "test_streaming",
    "test_plan_machine",
)


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """Each module is run by one worker, and those of :data:`TOGETHER` by the same one."""

    def _split_scope(self, nodeid: str) -> str:
        module: str = nodeid.split("::")[0]
        return "together" if Path(module).stem in TOGETHER else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    """Which worker runs what."""
    return ByModule(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first, in their order; the rest stays as it was."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(Path(item.path).stem, len(rank)))


@pytest.fixture(autouse=True)
def _worked_out_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test migrates a state database of its own but those of migrating, nor starts an interpreter for its committer
    but those of committers, nor reads a policy that another has read."""
    if request.path.stem != "test_migrations":
        monkeypatch.setattr(store, "upgrade", upgrade_by_copy)
        monkeypatch.setattr(store, "_engine", engine_that_remembers)
        monkeypatch.setattr(rooms, "load_policy", load_once)
    if request.path.stem != "test_committing" and forked.POSSIBLE:
        monkeypatch.setattr(committing, "_start_process", forked.start_committer)


@pytest.fixture(autouse=True)
def _log_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test sets the log up anew, and no logger keeps the set-up of an earlier one.

    A traceback with every variable in colours, as structlog makes it unless told otherwise, takes seconds.
    """
    configure = structlog.configure

    def uncached(**given: Any) -> None:
        configure(**{**given, "cache_logger_on_first_use": False})

    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    uncached(processors=[structlog.processors.add_log_level, renderer])
    monkeypatch.setattr(structlog, "configure", uncached)
    yield
    structlog.reset_defaults()
