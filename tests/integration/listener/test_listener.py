"""The listener: PROXY headers, TLS and limits, over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, SAM, Person
from gateway.ledger import LedgerReader
from gateway.settings import Settings
from tests.integration.conftest import Running, running

PATH = "/conversations/acme/7"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def gateway(**changes: Any) -> Callable[[Settings], Settings]:
    """Settings with keys of ``[gateway]`` changed."""

    def change(settings: Settings) -> Settings:
        document = settings.gateway.model_dump(mode="json") | changes
        return settings.model_copy(update={"gateway": type(settings.gateway).model_validate(document)})

    return change


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path, stores: Addresses) -> Start:
    """Start a gateway over the sample world, with keys of ``[gateway]`` changed."""
    return lambda **changes: running(tmp_path / "world", stores, change=gateway(**changes))


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


async def eventually(check: Callable[[], bool], within_s: float = 3.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_s):
        while not check():
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
                trickle = asyncio.create_task(_trickle(writer, pieces, 0.05))
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
            assert b"HTTP/1.1 400" in await told(site, v1(SAM.address) + asking(site, SAM))

    async def test_stop_ends_connections_without_a_header(self, start: Start) -> None:
        """None of them delays it."""
        async with start(proxy_protocol=True, proxy_protocol_timeout_s=60) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
            await eventually(lambda: held(site) == 1)
        assert await answered(reader) == b""
        writer.close()


async def _trickle(writer: asyncio.StreamWriter, pieces: list[bytes], pause_s: float) -> None:
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause_s)
