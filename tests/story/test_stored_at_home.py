"""Data of a protected customer is stored in the United States only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app import build
from gateway.catalog.customers import Customer
from gateway.clock import SystemClock
from gateway.demo.stores import sample_stores
from gateway.demo.world import ADA, MARIA, PRIYA, SAM, enable, make_world
from gateway.errors import ConfigurationError
from tests.story.conftest import Story


async def test_nothing_of_a_protected_customer_is_written_to_a_store_abroad(story: Story) -> None:
    """ "storage of Customer Data … will occur only in the United States", whoever writes, and from wherever."""
    assert (await story.asks(SAM, "/archive/2026", method="POST", data=b"{}"))[1] == "no-plan"
    enable(story.site.world, "cascade", now_us=story.clock.now_us())
    await story.site.gateway.rooms.follower.poll()
    assert await story.asks(SAM, "/archive/2026", method="POST", data=b"{}") == (403, "storage-home")
    assert await story.asks(SAM, "/archive/2026", method="PUT", data=b"{}") == (403, "storage-home")
    assert await story.asks(replace(ADA, name="cy@cascade", customer="cascade"), "/archive/2026", method="POST") == (
        403,
        "storage-home",
    )


async def test_what_a_protected_customer_stores_at_home_is_stored(story: Story) -> None:
    """ "US-based customer data … is stored only in the United States": the customer's own upload, from London."""
    assert await story.asks(ADA, "/uploads/acme/new.csv", method="PUT", data=b"sample,data\n") == (
        201,
        "customer-own-data",
    )


async def test_what_is_read_abroad_is_kept_nowhere_abroad(story: Story) -> None:
    """ "stored and retained in the United States only": an answer to somebody abroad may not be kept on its way."""
    for person, path in ((MARIA, "/crm/acme/accounts/7"), (PRIYA, "/conversations/acme/7")):
        status, headers, _ = await story.site.ask(person, path)
        assert status == 200
        assert "no-store" in headers["Cache-Control"].split(", ")


async def test_a_gateway_with_a_protected_customers_store_abroad_does_not_start(tmp_path: Path) -> None:
    """ "only in the United States": it is an error that stops it, not a warning."""
    clock = SystemClock()
    async with sample_stores(tmp_path / "ftp-site") as stores:
        world = make_world(tmp_path / "world", stores, clock=clock, ports=(0, 0))
        enable(world, "cascade", now_us=clock.now_us())
        assert world.state.get(Customer, "cascade").plan_at(clock.now_us())
        with pytest.raises(ConfigurationError, match=r"store archive: .* outside home"):
            async with build(world.settings):
                pass
        world.state.close()
