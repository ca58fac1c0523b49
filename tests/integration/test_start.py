"""Starting: what is missing or wrong stops the gateway, with a line that says what; nothing starts open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.app import build
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, World, enable, make_world
from gateway.errors import GatewayError
from tests.integration.conftest import Running, running

NOWHERE = Addresses(*["http://127.0.0.1:9"] * 3, uploads="ftp://127.0.0.1:9/")


def _break_policy(world: World) -> None:
    broken = world.directory / "policies"
    broken.mkdir()
    for file in world.settings.policy.directory.iterdir():
        if file.is_file():
            text = file.read_text("utf-8")
            (broken / file.name).write_text(text.replace("context.location", "context.lokation", 1), "utf-8")
    object.__setattr__(
        world,
        "settings",
        world.settings.model_copy(update={"policy": world.settings.policy.model_copy(update={"directory": broken})}),
    )


def _remove_country_database(world: World) -> None:
    world.settings.location.country_database.unlink()


def _truncate_country_database(world: World) -> None:
    path = world.settings.location.country_database
    path.write_bytes(path.read_bytes()[:500])


def _damage_state(world: World) -> None:
    world.state.close()
    for file in (world.directory / "state").glob("gateway.db*"):
        file.write_bytes(b"not a database, and long enough to be seen as none" * 20)


def _enable_customer_abroad(world: World) -> None:
    enable(world, "cascade", now_us=SystemClock().now_us())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_break_policy, "lokation"),
        (_remove_country_database, "sample-country.mmdb"),
        (_truncate_country_database, "sample-country.mmdb"),
        (_damage_state, "state database"),
        (_enable_customer_abroad, "store archive: holds a protected customer's data outside home"),
    ],
)
async def test_what_is_missing_or_wrong_stops_the_start(
    tmp_path: Path, damage: Callable[[World], None], says: str
) -> None:
    """One clear error, and no listener."""
    world = make_world(tmp_path, NOWHERE, clock=SystemClock(), ports=(0, 0))
    damage(world)
    with pytest.raises(GatewayError) as caught:
        async with build(world.settings):
            pass
    assert says in str(caught.value)
    world.state.close()


async def test_a_missing_key_set_starts_not_ready_and_denies(tmp_path: Path, stores: Addresses) -> None:
    """An identity provider that is down at start is not an exit: not ready, 503 for all, and recovery by itself."""
    async with running(tmp_path / "world", stores) as before:
        jwks = before.world.provider.jwks_path
        text = jwks.read_text()
    jwks.write_text("{}")
    world = before.world
    async with build(world.settings) as gateway:
        site = Running(gateway, world, before.client)
        async with aiohttp.ClientSession() as client:
            site.client = client
            async with client.get(f"{site.control}/readyz") as response:
                assert response.status == 503
            status, headers, _ = await site.ask(SAM, "/conversations/acme/7")
            assert (status, site.entry(headers["Residency-Decision"])["rule"]) == (503, "unavailable")
            jwks.write_text(text)


async def test_a_database_that_goes_bad_while_running_is_not_taken(site: Running) -> None:
    """The old one stays in force, and the problem is shown."""
    path = site.world.settings.location.country_database
    path.write_bytes(b"damaged")
    assert site.gateway.rooms.databases.reload_if_changed() is False
    status, _, _ = await site.ask(SAM, "/conversations/acme/7")
    assert status == 200
    assert any(status.problem for status in site.gateway.rooms.databases.status())


async def test_a_second_gateway_on_the_same_port_is_refused_in_one_line(site: Running) -> None:
    """The address is taken: one clear error, nothing half started."""
    taken = f"127.0.0.1:{site.gateway.door_port}"
    settings = site.world.settings
    door = settings.gateway.model_copy(update={"listen": taken, "control": "127.0.0.1:0"})
    with pytest.raises(GatewayError, match=f"cannot listen on {taken}: Address already in use"):
        async with build(settings.model_copy(update={"gateway": door})):
            pass
