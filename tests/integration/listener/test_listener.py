"""The listener: PROXY headers, TLS and limits, over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from aiohttp import web

from gateway import app
from gateway.demo.stores import Addresses
from gateway.demo.world import DANA, SAM, Person
from gateway.ledger.reader import LedgerReader
from gateway.proxy import arrival
from gateway.settings import Settings
from tests.integration.conftest import Running, running
from tests.integration.test_tunnel import handshake, with_action
from tests.integration.test_tunnel import live as live
from tests.world.certificates import Authority

PATH = "/conversations/acme/7"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
Result = TypeVar("Result")
Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def gateway(**changes: Any) -> Callable[[Settings], Settings]:
    """Settings with keys of ``[gateway]`` changed."""

    def change(settings: Settings) -> Settings:
        document = settings.gateway.model_dump(mode="json") | changes
        return settings.model_copy(update={"gateway": type(settings.gateway).model_validate(document)})

    return change


class BigStore:
    """A store that answers with so many bytes, after a while."""

    def __init__(self) -> None:
        self.size, self.delay_s, self.asked = 100, 0.0, 0
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        async for _ in request.content.iter_any():
            pass
        return web.Response(body=bytes(self.size))


@pytest.fixture
async def big() -> AsyncIterator[BigStore]:
    """The same, listening."""
    store = BigStore()
    runner = web.ServerRunner(web.Server(store.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield store
    await runner.cleanup()


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path, stores: Addresses) -> Start:
    """Start a gateway over the sample world, with keys of ``[gateway]`` changed, and another store of conversations."""

    def begin(store: BigStore | None = None, **changes: Any) -> AbstractAsyncContextManager[Running]:
        addresses = replace(stores, conversations=store.url) if store else stores
        return running(tmp_path / "world", addresses, change=gateway(**changes))

    return begin


def asking(site: Running, person: Person, path: str = PATH, *, forwarded: str = "") -> bytes:
    """A request's head, for the last time on its connection."""
    lines = [f"GET {path} HTTP/1.1", "Host: gw.test", f"Authorization: Bearer {site.world.token(person)}"]
    lines += [f"X-Forwarded-For: {forwarded}"] if forwarded else []
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


@asynccontextmanager
async def opened(site: Running) -> AsyncIterator[Opened]:
    """A connection to the door."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answered(reader: asyncio.StreamReader, within_s: float = 5.0) -> bytes:
    """All that comes until the connection ends, however it ends."""
    received = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while chunk := await reader.read(65_536):
                received += chunk
    except ConnectionError:
        pass
    return bytes(received)


async def told(site: Running, *pieces: bytes) -> bytes:
    """What the door says to these bytes, sent one after the other."""
    async with opened(site) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0.002)
        return await answered(reader)


async def eventually(check: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_s):
        while not check():  # noqa: ASYNC110 - nobody tells when it begins to hold
            await asyncio.sleep(0.01)


def entries(site: Running) -> list[dict[str, Any]]:
    """Every decision that is recorded."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return [entry for entry in reader.after(-1) if entry["kind"] == "decision"]


def closed(site: Running, why: str) -> float:
    """How many connections the gateway closed for this reason."""
    return site.gateway.metrics.registry.get_sample_value("residency_connections_closed_total", {"why": why}) or 0.0


def held(site: Running) -> float:
    """How many connections there are now."""
    return site.gateway.metrics.registry.get_sample_value("residency_connections") or 0.0


def v1(address: str) -> bytes:
    """A PROXY header in words."""
    version = ip_address(address).version
    return f"PROXY TCP{version} {address} {address} 40000 443\r\n".encode()


def v2(address: str, *, command: int = 0x21, extra: bytes = b"") -> bytes:
    """A PROXY header in bytes."""
    packed = ip_address(address).packed
    block = packed * 2 + struct.pack("!HH", 40_000, 443) + extra
    return SIGNATURE + bytes((command, 0x11 if len(packed) == 4 else 0x21)) + struct.pack("!H", len(block)) + block


class TestProxyProtocol:
    """``gateway.proxy_protocol``: the named address is the peer."""

    @pytest.mark.parametrize("header", [v1, v2], ids=["v1", "v2"])
    async def test_named_address_is_the_client(self, start: Start, header: Callable[[str], bytes]) -> None:
        """The person's place follows from it, and a forwarding header of theirs is not read."""
        async with start(proxy_protocol=True) as site:
            assert b"HTTP/1.1 200" in await told(site, header(SAM.address) + asking(site, SAM))
            refused = await told(site, header("49.36.0.2") + asking(site, SAM, forwarded=SAM.address))
            assert b"HTTP/1.1 403" in refused
            assert [entry["client_address"] for entry in entries(site)] == [SAM.address, "49.36.0.2"]

    @pytest.mark.parametrize("header", [v1, v2], ids=["v1", "v2"])
    async def test_header_in_pieces_is_put_together(self, start: Start, header: Callable[[str], bytes]) -> None:
        """One byte at a time, and the request in two."""
        async with start(proxy_protocol=True) as site:
            head = asking(site, SAM)
            pieces = [bytes([byte]) for byte in header(SAM.address)]
            assert b"HTTP/1.1 200" in await told(site, *pieces, head[:50], head[50:])

    @pytest.mark.parametrize(
        ("header", "address", "status"),
        [
            (b"PROXY UNKNOWN\r\n", "", b"403"),
            (SIGNATURE + b"\x21\x00\x00\x00", "", b"403"),
            (SIGNATURE + b"\x20\x00\x00\x00", SAM.address, b"200"),
        ],
        ids=["v1 unknown", "v2 unspecified", "v2 local"],
    )
    async def test_unknown_client_is_nowhere_and_a_local_one_is_the_proxy(
        self, start: Start, header: bytes, address: str, status: bytes
    ) -> None:
        """Nobody's location is assured by not knowing it; the proxy's own connection is as any of its connections."""
        async with start(proxy_protocol=True) as site:
            assert b"HTTP/1.1 " + status in await told(site, header + asking(site, SAM, forwarded=SAM.address))
            assert entries(site)[-1]["client_address"] == address

    @pytest.mark.parametrize(
        "sent",
        [
            b"GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n",
            b"PROXY TCP4 10.20.0.5 10.20.0.5 40000 443\n" + b" " * 70,
            SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        ],
    )
    async def test_missing_or_malformed_header_is_closed_and_recorded(self, start: Start, sent: bytes) -> None:
        """No answer, one record of a malformed approach from the proxy's address."""
        async with start(proxy_protocol=True) as site:
            assert await told(site, sent) == b""
            [entry] = entries(site)
            assert (entry["effect"], entry["rule"], entry["method"]) == ("deny", "malformed", "")
            assert "PROXY" in str(entry["problem"])
            assert closed(site, "proxy_protocol") == 1
            await eventually(lambda: held(site) == 0)

    async def test_peer_that_is_not_trusted_is_closed_and_recorded(self, start: Start) -> None:
        """Whatever it sends: nothing of it is read."""
        async with start(proxy_protocol=True, trusted_proxies=["10.0.0.0/8"]) as site:
            assert await told(site, v1(SAM.address) + asking(site, SAM)) == b""
            [entry] = entries(site)
            assert (entry["rule"], entry["client_address"]) == ("malformed", "127.0.0.1")
            assert "not believed from this peer" in str(entry["problem"])

    async def test_header_that_does_not_come_in_time_is_closed_and_recorded(self, start: Start) -> None:
        """The deadline holds for the whole header, however it trickles."""
        async with start(proxy_protocol=True, proxy_protocol_timeout_s=0.2) as site:
            pieces = [bytes([byte]) for byte in b"PROXY TCP4 10.20"]
            async with opened(site) as (reader, writer):
                began = asyncio.get_running_loop().time()
                trickle = begun(trickling(writer, pieces, 0.05))
                assert await answered(reader) == b""
                assert asyncio.get_running_loop().time() - began < 0.6
                trickle.cancel()
            assert [entry["problem"] for entry in entries(site)] == ["the PROXY protocol header did not come in time"]

    async def test_connection_that_ends_in_its_header_is_recorded_and_an_empty_one_is_not(self, start: Start) -> None:
        """A probe that only connects asks for nothing."""
        async with start(proxy_protocol=True) as site:
            for sent in (b"PROXY TCP4 10", b""):
                async with opened(site) as (reader, writer):
                    writer.write(sent)
                    writer.write_eof()
                    assert await answered(reader) == b""
            await eventually(lambda: held(site) == 0)
            assert len(entries(site)) == 1

    async def test_header_is_not_guessed(self, start: Start) -> None:
        """Where none is configured it is no HTTP."""
        async with start() as site:
            assert b" 400 " in await told(site, v1(SAM.address) + asking(site, SAM))

    async def test_stop_ends_connections_without_a_header(self, start: Start) -> None:
        """None of them delays it."""
        async with start(proxy_protocol=True, proxy_protocol_timeout_s=60) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
            await eventually(lambda: held(site) == 1)
        assert await answered(reader) == b""
        writer.close()


def begun(work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    return asyncio.get_running_loop().create_task(work)


async def trickling(writer: asyncio.StreamWriter, pieces: list[bytes], pause_s: float) -> None:
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause_s)


class TestConnections:
    """``gateway.limits``: how many connections there may be."""

    async def test_one_connection_too_many_is_closed_at_once(self, start: Start) -> None:
        """Counted, and there is room again as soon as one leaves."""
        async with start(limits={"max_connections": 2}) as site:
            async with opened(site) as (_, writer), opened(site):
                await eventually(lambda: held(site) == 2)
                assert await told(site, asking(site, SAM, forwarded=SAM.address)) == b""
                assert closed(site, "connections") == 1
                writer.close()
                await eventually(lambda: held(site) == 1)
                assert b"HTTP/1.1 200" in await told(site, asking(site, SAM, forwarded=SAM.address))
            await eventually(lambda: held(site) == 0)

    async def test_one_address_may_have_so_many_and_no_more(self, start: Start) -> None:
        """Its own are counted, as the proxy names it; another's are not."""
        async with start(proxy_protocol=True, limits={"connections_per_address": 1}) as site:
            async with opened(site) as (_, writer):
                writer.write(v1(SAM.address))
                await asyncio.sleep(0.05)
                assert await told(site, v1(SAM.address) + asking(site, SAM)) == b""
                assert closed(site, "address") == 1
                assert b"HTTP/1.1 200" in await told(site, v2("10.20.0.6") + asking(site, SAM))
            await eventually(lambda: held(site) == 0)
            assert b"HTTP/1.1 200" in await told(site, v1(SAM.address) + asking(site, SAM))

    async def test_trusted_proxy_may_have_as_many_as_there_are(self, start: Start) -> None:
        """Its connections are many clients'."""
        async with start(limits={"connections_per_address": 1}) as site, opened(site), opened(site):
            await eventually(lambda: held(site) == 2)

    async def test_no_descriptor_left_is_a_pause_and_not_an_end(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What waits to be accepted is served once there is room."""
        monkeypatch.setattr(arrival, "BREATH_S", 0.1)
        async with start() as site:
            refusals = iter([OSError(24, "Too many open files")])
            accept = socket.socket.accept

            def fail_once(listening: socket.socket) -> object:
                for refusal in refusals:
                    raise refusal
                return accept(listening)

            monkeypatch.setattr(socket.socket, "accept", fail_once)
            assert b"HTTP/1.1 200" in await told(site, asking(site, SAM, forwarded=SAM.address))
            assert next(refusals, None) is None


class TestDeadlines:
    """``gateway.limits``: how long a client may take."""

    async def test_head_that_trickles_is_cut(self, start: Start) -> None:
        """The deadline is for all of it, not for each piece."""
        async with start(limits={"header_timeout_s": 0.3}) as site, opened(site) as (reader, writer):
            trickle = begun(trickling(writer, [b"GET / HTTP/1.1\r\n", *[b"X-Y: z\r\n"] * 100], 0.05))
            assert await lasted(answered(reader)) == pytest.approx(0.35, abs=0.25)
            assert closed(site, "header") == 1
            trickle.cancel()

    async def test_second_head_that_trickles_is_cut(self, start: Start) -> None:
        """Its time begins with its first byte, not with the connection."""
        async with start(limits={"header_timeout_s": 0.3}) as site, opened(site) as (reader, writer):
            writer.write(keeping(asking(site, SAM, forwarded=SAM.address)))
            assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n")
            await asyncio.sleep(0.5)
            trickle = begun(trickling(writer, [b"GET / HTTP/1.1\r\n", *[b"X-Y: z\r\n"] * 100], 0.05))
            assert await lasted(answered(reader)) == pytest.approx(0.35, abs=0.25)
            assert closed(site, "header") == 1
            trickle.cancel()

    async def test_connection_without_a_request_is_closed_in_its_time(self, start: Start) -> None:
        """Longer than a head may take: nobody is late who asks for nothing more."""
        limits = {"header_timeout_s": 0.2, "keepalive_timeout_s": 0.6}
        async with start(limits=limits) as site, opened(site) as (reader, writer):
            writer.write(keeping(asking(site, SAM, forwarded=SAM.address)))
            assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n")
            assert await lasted(answered(reader)) == pytest.approx(0.65, abs=0.25)
            assert closed(site, "header") == 0

    async def test_body_that_stands_still_is_cut_and_one_that_trickles_is_not(
        self, start: Start, big: BigStore
    ) -> None:
        """The deadline is for each piece; what was admitted is completed as cut."""
        async with start(limits={"body_idle_timeout_s": 0.3, "header_timeout_s": 0.2}, store=big) as site:
            head = asking(site, SAM, forwarded=SAM.address).replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\n")
            head += b"Content-Length: 10\r\n\r\n"
            async with opened(site) as (reader, writer):
                await trickling(writer, [head, *[b"x"] * 10], 0.1)
                assert b"HTTP/1.1 20" in await answered(reader)
            async with opened(site) as (reader, writer):
                writer.write(head + b"xxx")
                assert await lasted(answered(reader)) == pytest.approx(0.35, abs=0.25)
            assert closed(site, "body") == 1
            await eventually(lambda: outcomes(site) == ["whole", "cut"])

    @pytest.mark.parametrize("way", ["streamed", "one after the other"])
    async def test_client_that_does_not_read_is_cut(self, start: Start, way: str, big: BigStore) -> None:
        """Whether the answer waits in the handler or behind it."""
        async with start(limits={"write_timeout_s": 0.4}, store=big) as site:
            _, writer = await _deaf(site.gateway.door_port)
            if way == "streamed":
                big.size = 1 << 26
                writer.write(keeping(asking(site, SAM, forwarded=SAM.address)))
            else:
                big.size = 50_000
                writer.write(keeping(asking(site, SAM, forwarded=SAM.address)) * 200)
            await eventually(lambda: closed(site, "write") == 1)
            await eventually(lambda: held(site) == 0)
            writer.close()

    async def test_answer_left_unread_at_the_end_of_a_connection_is_cut(
        self, start: Start, big: BigStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing waits for ever for the last bytes to be taken."""
        monkeypatch.setattr(socket, "create_server", _with_little_room)
        async with start(limits={"write_timeout_s": 0.4}, store=big) as site:
            big.size = 60_000
            _, writer = await _deaf(site.gateway.door_port)
            writer.write(asking(site, SAM, forwarded=SAM.address))
            await eventually(lambda: outcomes(site) == ["whole"])
            assert held(site) == 1
            await eventually(lambda: closed(site, "write") == 1)
            await eventually(lambda: held(site) == 0)
            writer.close()

    async def test_client_that_only_waits_is_never_late(self, start: Start, big: BigStore) -> None:
        """The store takes longer than a client ever might: that is another deadline's matter."""
        async with start(limits=SHORT, store=big) as site:
            big.delay_s = 1.0
            assert (await site.ask(SAM, PATH))[0] == 200
            assert (await site.ask(SAM, PATH, method="POST", data=io.BytesIO(bytes(30_000_000))))[0] == 200

    async def test_websocket_on_which_nobody_speaks_stays_open(self, tmp_path: Path, live: Addresses) -> None:
        """Once it is one, a client owes it nothing."""

        def change(settings: Settings) -> Settings:
            changed = with_action("write")(settings)
            return gateway(limits=SHORT)(changed)

        async with running(tmp_path / "world", live, change=change) as site:
            url = f"{site.url}/live/acme/echo"
            async with site.client.ws_connect(url, headers=handshake(site, SAM)) as ws:
                for _ in range(2):
                    await asyncio.sleep(0.8)
                    await ws.send_str("hello")
                    assert await ws.receive_str(timeout=3) == "HELLO"

    async def test_whole_request_has_a_deadline_where_one_is_set(self, start: Start, big: BigStore) -> None:
        """A store that takes its time is no excuse."""
        async with start(limits={"request_timeout_s": 0.3}, store=big) as site:
            big.delay_s = 5
            assert await lasted(told(site, asking(site, SAM, forwarded=SAM.address))) == pytest.approx(0.35, abs=0.25)
            assert closed(site, "request") == 1
            await eventually(lambda: outcomes(site) == ["cut"])


class TestSubjects:
    """``gateway.limits``: what one person may ask for."""

    async def test_subject_over_its_concurrency_is_told_when_to_come_back(self, start: Start, big: BigStore) -> None:
        """429 with a time, recorded as a denial, so that nothing was permitted; another person is served."""
        async with start(limits={"subject_concurrency": 1}, store=big) as site:
            big.delay_s = 0.5
            first = begun(site.ask(SAM, PATH))
            await eventually(lambda: big.asked == 1)
            status, headers, body = await site.ask(SAM, PATH)
            assert (status, headers["Retry-After"]) == (429, "1")
            assert b"too-many-requests" in body
            big.delay_s = 0
            assert (await site.ask(DANA, PATH))[0] != 429
            assert (await first)[0] == 200
            assert (await site.ask(SAM, PATH))[0] == 200
            entry = site.entry(headers["Residency-Decision"])
            assert (entry["effect"], entry["rule"]) == ("deny", "too-many-requests")
            assert "try again in 1 s" in str(entry["problem"])
            assert big.asked == 2

    async def test_subject_over_its_rate_is_told_when_to_come_back(self, start: Start) -> None:
        """And is served when it does."""
        async with start(limits={"subject_rate_per_s": 2, "subject_burst": 2}) as site:
            found = [(await site.ask(SAM, PATH))[0] for _ in range(3)]
            assert found == [200, 200, 429]
            await asyncio.sleep(0.6)
            assert (await site.ask(SAM, PATH))[0] == 200


SHORT = {"header_timeout_s": 0.3, "body_idle_timeout_s": 0.3, "keepalive_timeout_s": 0.3, "write_timeout_s": 0.3}


def keeping(asked: bytes) -> bytes:
    """The same request, not the last on its connection."""
    return asked.replace(b"Connection: close\r\n", b"")


def outcomes(site: Running) -> list[str]:
    """How what was permitted ended."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return [entry["outcome"] for entry in reader.after(-1) if entry["kind"] == "completion"]


async def lasted(work: Awaitable[object]) -> float:
    began_s = asyncio.get_running_loop().time()
    await work
    return asyncio.get_running_loop().time() - began_s


def _with_little_room(*arguments: Any, **options: Any) -> socket.socket:
    """A listening socket whose connections keep next to nothing in the system."""
    listening = _create_server(*arguments, **options)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    return listening


_create_server = socket.create_server


async def _deaf(port: int) -> Opened:
    """A connection whose client has next to no room for an answer, and reads none of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1)
    cast(asyncio.Transport, writer.transport).pause_reading()
    return reader, writer


class TestTls:
    """``gateway.tls``: the doors' certificate, and clients'."""

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
    @pytest.mark.parametrize("proxied", [False, True], ids=["straight", "behind a proxy"])
    async def test_request_is_served_over_tls(
        self, start: Start, authority: Authority, version: ssl.TLSVersion, proxied: bool
    ) -> None:
        """HTTP/1.1 is agreed on; a PROXY header comes before the handshake."""
        async with start(proxy_protocol=proxied, tls=tls(authority)) as site:
            context = trusting(authority)
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            header = v1(SAM.address) if proxied else b""
            async with secured(site, context, header) as (reader, writer):
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
                writer.write(asking(site, SAM, forwarded="" if proxied else SAM.address))
                assert b"HTTP/1.1 200" in await answered(reader)
            assert entries(site)[-1]["client_address"] == SAM.address
            await eventually(lambda: held(site) == 0)

    async def test_large_body_crosses_tls_whole(self, start: Start, authority: Authority, big: BigStore) -> None:
        """Nothing is lost between the layers."""
        big.size = 3_000_000
        async with (
            start(tls=tls(authority), store=big) as site,
            secured(site, trusting(authority)) as (reader, writer),
        ):
            writer.write(asking(site, SAM, forwarded=SAM.address))
            assert (await answered(reader)).endswith(b"\r\n\r\n" + bytes(big.size))

    async def test_what_is_no_tls_or_too_old_is_closed(self, start: Start, authority: Authority) -> None:
        """And holds no place."""
        async with start(tls=tls(authority)) as site:
            assert b"HTTP" not in await told(site, asking(site, SAM, forwarded=SAM.address))
            old = trusting(authority)
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_ciphers("AES128-SHA256")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with secured(site, old):
                    pass
            await eventually(lambda: closed(site, "handshake") == 2 and held(site) == 0)

    async def test_handshake_that_does_not_go_on_is_cut(self, start: Start, authority: Authority) -> None:
        """It has as long as a head."""
        async with (
            start(tls=tls(authority), limits={"header_timeout_s": 0.3}) as site,
            opened(site) as (reader, writer),
        ):
            writer.write(b"\x16\x03\x01")
            assert await lasted(answered(reader)) == pytest.approx(0.35, abs=0.25)
            await eventually(lambda: closed(site, "handshake") == 1 and held(site) == 0)

    async def test_stop_ends_handshakes(self, start: Start, authority: Authority) -> None:
        """None of them delays it."""
        async with start(tls=tls(authority), limits={"header_timeout_s": 60}) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
            await eventually(lambda: held(site) == 1)
        assert await answered(reader) == b""
        writer.close()

    async def test_certificate_is_renewed_while_serving(
        self, start: Start, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next handshake shows the newer one."""
        monkeypatch.setattr(app, "CERTIFICATE_INTERVAL_S", 0.05)
        async with start(tls=tls(authority)) as site:
            before = await shown(site, authority)
            authority.server()
            async with asyncio.timeout(3):
                while await shown(site, authority) == before:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)

    @pytest.mark.parametrize(
        ("subject", "spiffe", "name"),
        [
            ({"CN": "x"}, ["spiffe://example.com/billing"], "billing"),
            ({"O": "Acme", "CN": "etl"}, [], "etl"),
            ({"CN": "etl"}, [], ""),
            ({"CN": "x"}, ["spiffe://example.com/other"], ""),
        ],
    )
    async def test_client_certificate_is_a_service_where_nothing_else_is_presented(
        self, start: Start, authority: Authority, subject: dict[str, str], spiffe: list[str], name: str
    ) -> None:
        """A token beside it says who asks; a certificate that no mapping names says nothing."""
        async with start(tls=tls(authority, asks="optional")) as site:
            context = trusting(authority)
            context.load_cert_chain(*authority.client(subject, *spiffe))
            for line, expected in ((b"", name), (_bearer(site), "sam")):
                async with secured(site, context) as (reader, writer):
                    writer.write(
                        b"GET %s HTTP/1.1\r\nHost: gw.test\r\n%sConnection: close\r\n\r\n" % (PATH.encode(), line)
                    )
                    await answered(reader)
                entry = entries(site)[-1]
                assert entry["subject"] == expected
                assert (entry["issuer"] == "certificate") == (bool(name) and not line)
                assert (entry["rule"] == "unauthenticated") == (not expected)

    async def test_revoked_service_is_nobody(self, start: Start, authority: Authority) -> None:
        """Its certificate is good, and not believed."""
        async with start(tls=tls(authority, asks="optional")) as site:
            context = trusting(authority)
            context.load_cert_chain(*authority.client({"CN": "x"}, "spiffe://example.com/billing"))
            site.gateway.authenticator.revocations.revoke_subject("billing")
            async with secured(site, context) as (reader, writer):
                writer.write(b"GET %s HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n" % PATH.encode())
                assert b"HTTP/1.1 401" in await answered(reader)

    @pytest.mark.parametrize("foreign", [False, True], ids=["none", "of another authority"])
    async def test_certificate_that_is_required_and_not_there_ends_the_handshake(
        self, start: Start, authority: Authority, tmp_path: Path, foreign: bool
    ) -> None:
        """As does one that nobody who is trusted signed."""
        async with start(tls=tls(authority, asks="required")) as site:
            context = trusting(authority)
            if foreign:
                other = Authority(tmp_path / "other", "other authority")
                context.load_cert_chain(*other.client({"CN": "x"}, "spiffe://example.com/billing"))
            with contextlib.suppress(ssl.SSLError, ConnectionError):  # TLS 1.3 tells the client only afterwards
                async with secured(site, context) as (reader, writer):
                    writer.write(asking(site, SAM, forwarded=SAM.address))
                    assert await answered(reader) == b""
            await eventually(lambda: closed(site, "handshake") == 1)
            assert entries(site) == []


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificates here."""
    return Authority(tmp_path / "tls")


def tls(authority: Authority, *, asks: str = "none") -> dict[str, Any]:
    """``[gateway.tls]`` with a certificate, asking for clients' or not."""
    certificate, key = authority.server()
    services = [
        {"name": "billing", "spiffe": "spiffe://example.com/billing"},
        {"name": "etl", "subject": "CN=etl,O=Acme"},
    ]
    return {
        "certificate": str(certificate),
        "key": str(key),
        "client_ca": str(authority.path),
        "client_certificates": asks,
        "service": services,
    }


def trusting(authority: Authority) -> ssl.SSLContext:
    """A client's side."""
    return ssl.create_default_context(cafile=str(authority.path))


@asynccontextmanager
async def secured(site: Running, context: ssl.SSLContext, before: bytes = b"") -> AsyncIterator[Opened]:
    """A connection over TLS, after these bytes in the clear."""
    connection = socket.create_connection(("127.0.0.1", site.gateway.door_port))
    connection.sendall(before)
    reader, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname="127.0.0.1")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def shown(site: Running, authority: Authority) -> bytes:
    """The certificate that the door shows."""
    async with secured(site, trusting(authority)) as (_, writer):
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(certificate, bytes)
        return certificate


def _bearer(site: Running) -> bytes:
    return f"Authorization: Bearer {site.world.token(SAM)}\r\n".encode()
