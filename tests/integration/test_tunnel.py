"""WebSocket and server-sent events through the door, with real clients and servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, RAJ, SAM, Person, revoke_grant
from gateway.justification import Grant
from gateway.settings import RouteSettings, Settings
from tests.integration.conftest import Running, running
from tests.integration.test_bad_input import completion
from tests.integration.test_continuous import now_us

LIVE = {"path": "/live/{customer}/{rest...}", "store": "conversations", "data_class": "conversation"}
PATIENCE_S = 5.0


@pytest.fixture
async def live(stores: Addresses) -> AsyncIterator[Addresses]:
    """A store that echoes what comes over a WebSocket, tells events, or refuses to switch, as the path says."""
    told = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/refuses"):
            return web.Response(text="no")
        if request.path.endswith("/lies"):
            return web.Response(status=101, headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        if request.path.endswith("/events"):
            events = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await events.prepare(request)
            with contextlib.suppress(ConnectionError):
                for number in range(1_000):
                    await events.write(b"data: %d\n\n" % number)
                    await asyncio.sleep(0.02)
            return events
        socket = web.WebSocketResponse(protocols=("chat",), compress="deflate" in request.path)
        await socket.prepare(request)
        if request.path.endswith("/flood"):
            with contextlib.suppress(ConnectionError):
                while True:
                    await socket.send_bytes(b"x" * 65_536)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        told.set()
        return socket

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield replace(stores, conversations=f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


def with_action(action: str | None) -> Callable[[Settings], Settings]:
    """A change of settings: a route on which a WebSocket means this."""
    route = RouteSettings.model_validate(LIVE | ({"methods": {"WEBSOCKET": action}} if action else {}))

    def change(settings: Settings) -> Settings:
        return settings.model_copy(update={"route": (*settings.route, route)})

    return change


def handshake(site: Running, person: Person, *, ticket: str = "") -> dict[str, str]:
    headers = {"Authorization": f"Bearer {site.world.token(person)}", "X-Forwarded-For": person.address}
    return headers | ({"Access-Ticket": ticket} if ticket else {})


async def test_frames_pass_both_ways_and_are_counted(tmp_path: Path, live: Addresses) -> None:
    """Text, binary of every length form, and the close; a subprotocol is agreed upon end to end."""
    async with running(tmp_path / "world", live, change=with_action("write")) as site:
        url = f"{site.url}/live/acme/echo"
        async with site.client.ws_connect(url, headers=handshake(site, SAM), protocols=("chat",), max_msg_size=0) as ws:
            assert ws.protocol == "chat"
            decision = ws._response.headers["Residency-Decision"]
            for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
                await ws.send_bytes(b"y" * size)
                assert await ws.receive_bytes(timeout=PATIENCE_S) == b"y" * size
            await ws.send_str("hello")
            assert await ws.receive_str(timeout=PATIENCE_S) == "HELLO"
        done = await completion(site, decision)
        assert (done["outcome"], done["status"]) == ("whole", 101)
        assert (done["frames_in"], done["frames"]) == (9, 9)
        assert int(str(done["bytes"])) > 1_131_000
        entry = site.entry(decision)
        assert (entry["action"], entry["method"], entry["path"]) == ("write", "WEBSOCKET", "/live/acme/echo")


async def test_compressed_frames_pass_as_they_are(tmp_path: Path, live: Addresses) -> None:
    """An extension is agreed upon between client and store."""
    async with running(tmp_path / "world", live, change=with_action("write")) as site:
        url = f"{site.url}/live/acme/deflate"
        async with site.client.ws_connect(url, headers=handshake(site, SAM), compress=15) as ws:
            assert ws.compress
            await ws.send_str("hello" * 1_000)
            assert await ws.receive_str(timeout=PATIENCE_S) == "HELLO" * 1_000


@pytest.mark.parametrize(
    ("person", "action", "headers", "status", "rule"),
    [
        (RAJ, "read", {}, 403, "outside-home"),
        (SAM, None, {}, 400, "malformed"),
        (SAM, "write", {"Origin": "https://evil.example"}, 400, "malformed"),
        (SAM, "write", {"Sec-WebSocket-Version": "8"}, 400, "malformed"),
        (SAM, "delete", {}, 403, "role"),
    ],
    ids=["from abroad", "route without a meaning", "another origin", "another version", "role"],
)
async def test_a_handshake_is_judged(
    tmp_path: Path,
    live: Addresses,
    person: Person,
    action: str | None,
    headers: dict[str, str],
    status: int,
    rule: str,
) -> None:
    """No tunnel is opened, and the record says why."""
    async with running(tmp_path / "world", live, change=with_action(action)) as site:
        asked = {**handshake(site, person), "Upgrade": "websocket", "Connection": "Upgrade"}
        asked |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"} | headers
        async with site.client.get(f"{site.url}/live/acme/echo", headers=asked) as response:
            assert response.status == status
            entry = site.entry(response.headers["Residency-Decision"])
        assert (entry["rule"], entry["effect"]) == (rule, "deny")


@pytest.mark.parametrize("path", ["refuses", "lies"])
async def test_a_store_that_does_not_agree_is_a_bad_gateway(tmp_path: Path, live: Addresses, path: str) -> None:
    """Neither an ordinary answer nor a 101 without the right key opens a tunnel."""
    async with running(tmp_path / "world", live, change=with_action("write")) as site:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.client.ws_connect(f"{site.url}/live/acme/{path}", headers=handshake(site, SAM))
        assert refused.value.status == 502
        assert refused.value.headers is not None
        done = await completion(site, refused.value.headers["Residency-Decision"])
        assert (done["outcome"], done["status"]) == ("unreachable", 502)


async def test_a_tunnel_is_cut_when_its_grant_is_revoked(tmp_path: Path, live: Addresses) -> None:
    """While frames pass and while none does."""
    async with running(tmp_path / "world", live, change=with_action("read")) as site:
        url = f"{site.url}/live/acme/echo"
        async with site.client.ws_connect(url, headers=handshake(site, PRIYA, ticket="BUG-9")) as ws:
            decision = ws._response.headers["Residency-Decision"]
            await ws.send_str("hello")
            assert await ws.receive_str(timeout=PATIENCE_S) == "HELLO"
            await asyncio.to_thread(revoke_grant, site.world, now_us=now_us())
            message = await ws.receive(timeout=PATIENCE_S)
            assert message.type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)
        done = await completion(site, decision)
        assert done["outcome"] == "ended"
        assert "G-1" in str(done["why"])
        assert (done["frames_in"], done["frames"]) == (1, 1)


async def test_a_grants_cap_cuts_a_tunnel(tmp_path: Path, live: Addresses) -> None:
    """A store that floods stops at the cap."""
    async with running(tmp_path / "world", live, change=with_action("read")) as site:
        site.world.state.put(replace(site.world.state.get(Grant, "G-1"), max_bytes=1_000_000))
        await site.gateway.rooms.follower.poll()
        url, received = f"{site.url}/live/acme/flood", 0
        async with site.client.ws_connect(url, headers=handshake(site, PRIYA, ticket="BUG-9")) as ws:
            decision = ws._response.headers["Residency-Decision"]
            async for message in ws:
                received += len(message.data) if message.type is WSMsgType.BINARY else 0
        assert received < 1_000_000
        assert (await completion(site, decision))["outcome"] == "capped"


async def test_a_client_that_does_not_read_holds_the_store_back(tmp_path: Path, live: Addresses) -> None:
    """Back-pressure: what the gateway takes in is bounded by what it can pass on."""
    async with running(tmp_path / "world", live, change=with_action("write")) as site:
        url = f"{site.url}/live/acme/flood"
        ws = await site.client.ws_connect(url, headers=handshake(site, SAM), max_msg_size=0)
        assert ws._response.connection is not None
        transport = ws._response.connection.transport
        assert transport is not None
        transport.pause_reading()
        await asyncio.sleep(1.0)
        [admission] = site.gateway.checkpoint.admissions
        taken = admission.bytes_out
        await asyncio.sleep(0.5)
        assert admission.bytes_out == taken
        await ws.close()


async def test_what_is_no_frame_ends_the_tunnel(tmp_path: Path, live: Addresses) -> None:
    """A client that speaks something else after the handshake reaches nobody."""
    async with running(tmp_path / "world", live, change=with_action("write")) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
        asked = {**handshake(site, SAM), "Host": "gateway", "Upgrade": "websocket", "Connection": "Upgrade"}
        asked |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        writer.write(f"GET /live/acme/echo HTTP/1.1\r\n{lines}\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert head.startswith(b"HTTP/1.1 101")
        writer.write(b"GET /conversations/acme/7 HTTP/1.1\r\nHost: store\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()
        decision = next(
            line.partition(b": ")[2].decode()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"residency-decision")
        )
        done = await completion(site, decision)
        assert (done["outcome"], done["bytes_in"]) == ("cut", 0)


async def test_events_pass_as_they_come(tmp_path: Path, live: Addresses) -> None:
    """Server-sent events are an answer that does not end: each passes at once, none waits for the next."""
    async with running(tmp_path / "world", live, change=with_action("write")) as site:
        url = f"{site.url}/conversations/acme/events"
        async with site.client.get(url, headers=handshake(site, SAM)) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            first = await asyncio.wait_for(response.content.readuntil(b"\n\n"), PATIENCE_S)
            second = await asyncio.wait_for(response.content.readuntil(b"\n\n"), PATIENCE_S)
            assert (first, second) == (b"data: 0\n\n", b"data: 1\n\n")
            decision = response.headers["Residency-Decision"]
        assert (await completion(site, decision))["outcome"] == "cut"
