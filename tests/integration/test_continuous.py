"""A stream lives only as long as its admission: what would deny the request now cuts it, and the record says why."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import jwt
import pytest
from aiohttp import web

from gateway.clock import SECOND_US, SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import ADA, LIAM, PRIYA, RAJ, SAM, Person, World, enable, revoke_grant
from gateway.identity import Revocation, Revoked
from gateway.justification import Authorization, Grant, Ticket
from gateway.settings import Settings
from tests.integration.conftest import Running, running
from tests.integration.test_bad_input import completion

PATIENCE_S = 5.0


def now_us() -> int:
    return SystemClock().now_us()


@pytest.fixture
async def endless(stores: Addresses) -> AsyncIterator[Addresses]:
    """The sample stores, of which one never comes to an end, and takes whatever is sent."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            async for _ in request.content.iter_any():
                pass
            return web.Response(text="taken")
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"data: tick\n\n")
                await asyncio.sleep(0.02)
        return response

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield replace(stores, conversations=url, crm=url)
    await runner.cleanup()


@asynccontextmanager
async def streaming(
    site: Running, person: Person, path: str, *, ticket: str = "", token: str = ""
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer that has begun and does not end."""
    headers = {"Authorization": f"Bearer {token or site.world.token(person)}", "X-Forwarded-For": person.address}
    if ticket:
        headers["Access-Ticket"] = ticket
    async with site.client.get(site.url + path, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert await response.content.readany()
        yield response


async def is_cut(site: Running, response: aiohttp.ClientResponse) -> dict[str, object]:
    """The stream breaks off, and is not ended; its completion."""
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        async with asyncio.timeout(PATIENCE_S):
            while await response.content.readany():
                pass
    return await completion(site, response.headers["Residency-Decision"])


def revoke(kind: Revoked, value: str) -> Callable[[World], None]:
    return lambda world: world.state.put(Revocation("X-1", kind, value, "", now_us()))


def close_ticket(key: str) -> Callable[[World], None]:
    return lambda world: world.state.put(replace(world.state.get(Ticket, key), closed_us=now_us()))


def expire_grant(world: World) -> None:
    world.state.put(replace(world.state.get(Grant, "G-1"), ends_us=now_us() + SECOND_US // 2))


def withdraw(world: World) -> None:
    world.state.put(replace(world.state.get(Authorization, "A-1"), ends_us=now_us()))


@pytest.mark.parametrize(
    ("person", "path", "ticket", "happens", "why"),
    [
        (PRIYA, "/conversations/acme/7", "BUG-9", lambda world: revoke_grant(world, now_us=now_us()), "the grant G-1"),
        (PRIYA, "/conversations/acme/7", "BUG-9", expire_grant, "the grant G-1"),
        (PRIYA, "/conversations/acme/7", "BUG-9", close_ticket("BUG-9"), "the grant G-1"),
        (LIAM, "/conversations/acme/7", "INC-7", close_ticket("INC-7"), "outside-home"),
        (RAJ, "/conversations/acme/7", "CASE-1", withdraw, "outside-home"),
        (RAJ, "/conversations/cascade/7", "", lambda w: enable(w, "cascade", now_us=now_us()), "outside-home"),
        (SAM, "/conversations/acme/7", "", revoke(Revoked.SUBJECT, "sam"), "unauthenticated: the token"),
        (ADA, "/conversations/acme/7", "", revoke(Revoked.SUBJECT, "ada@acme"), "unauthenticated: the token"),
    ],
    ids=[
        *("grant revoked", "grant expired", "ticket closed", "incident closed", "authorization withdrawn"),
        *("plan begins", "subject revoked", "customer's user revoked"),
    ],
)
async def test_a_stream_is_cut_when_its_request_would_be_denied(
    tmp_path: Path,
    endless: Addresses,
    person: Person,
    path: str,
    ticket: str,
    happens: Callable[[World], None],
    why: str,
) -> None:
    """Each reason ends a download in flight; the completion names it; the next request is denied."""
    async with running(tmp_path / "world", endless) as site:
        async with streaming(site, person, path, ticket=ticket) as response:
            await asyncio.to_thread(happens, site.world)
            done = await is_cut(site, response)
        assert done["outcome"] == "ended"
        assert why in str(done["why"])
        assert done["bytes"]
        status, _, _ = await site.ask(person, path, ticket=ticket)
        assert status in (401, 403)
        assert len(site.gateway.checkpoint.admissions) == 0


async def test_a_stream_is_cut_when_its_token_is_revoked_or_expires(tmp_path: Path, endless: Addresses) -> None:
    """By its ``jti``; and by its own end, however long the stream has been going on."""

    def strict(settings: Settings) -> Settings:
        issuers = tuple(issuer.model_copy(update={"leeway_s": 0.0}) for issuer in settings.identity.issuer)
        return settings.model_copy(update={"identity": settings.identity.model_copy(update={"issuer": issuers})})

    async with running(tmp_path / "world", endless, change=strict) as site:
        token = site.world.token(SAM)
        async with streaming(site, SAM, "/conversations/acme/7", token=token) as response:
            key = jwt.decode(token, options={"verify_signature": False})["jti"]
            revoke(Revoked.TOKEN, key)(site.world)
            assert "revoked" in str((await is_cut(site, response))["why"])
        short = site.world.provider.mint("sam", ["support"], expires_in_s=2)
        async with streaming(site, SAM, "/conversations/acme/7", token=short) as response:
            assert "expired" in str((await is_cut(site, response))["why"])


async def test_an_upload_is_cut_too(tmp_path: Path, endless: Addresses) -> None:
    """The client has not sent all of it; neither it nor the store may go on."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000
            await asyncio.sleep(0.02)

    async with running(tmp_path / "world", endless) as site:
        headers = {"Authorization": f"Bearer {site.world.token(SAM)}", "X-Forwarded-For": SAM.address}
        asking = asyncio.ensure_future(
            site.client.post(f"{site.url}/conversations/acme/7", headers=headers, data=body())
        )
        while not len(site.gateway.checkpoint.admissions):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        [admission] = site.gateway.checkpoint.admissions
        revoke(Revoked.SUBJECT, "sam")(site.world)
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await asyncio.wait_for(asking, PATIENCE_S)
        done = await completion(site, admission.decision.id)
        assert (done["outcome"], done["status"]) == ("ended", 0)
        assert done["bytes_in"]


async def test_a_stream_is_cut_when_the_state_is_no_longer_known(tmp_path: Path, endless: Addresses) -> None:
    """Nobody can tell whether its grant still stands, so it does not."""
    async with running(tmp_path / "world", endless) as site:
        async with streaming(site, PRIYA, "/conversations/acme/7", ticket="BUG-9") as response:
            site.gateway.checkpoint.desk.fresh = lambda: False
            done = await is_cut(site, response)
        assert done["outcome"] == "ended"


async def test_what_is_still_permitted_goes_on(tmp_path: Path, endless: Addresses) -> None:
    """A change that concerns somebody else cuts nobody; nor does a grant that this very request has exhausted."""
    async with running(tmp_path / "world", endless) as site:
        site.world.state.put(replace(site.world.state.get(Grant, "G-1"), max_requests=1))
        await site.gateway.rooms.follower.poll()
        async with streaming(site, PRIYA, "/conversations/acme/7", ticket="BUG-9") as response:
            revoke(Revoked.SUBJECT, "sam")(site.world)
            close_ticket("CASE-5")(site.world)
            for _ in range(60):
                assert await asyncio.wait_for(response.content.readany(), PATIENCE_S)
            assert site.world.state.get(Grant, "G-1").why == "its cap is used up"
            [admission] = site.gateway.checkpoint.admissions
            assert admission.ended == ""
