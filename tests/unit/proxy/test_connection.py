"""Single connections to stores: how an answer begins and ends, who is slow, and what is held in memory meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.proxy.store import StoreCut, StoreUnreachable
from tests.world.certificates import Authority
from tests.world.raw_store import OK, asking, closing, facing, raw_store, received, trickling


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 6\r\n\r\nforged" + OK,
        b"HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\x1b[2JK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=[
        *("000", "below 100", "600", "999", "NUL in the reason", "escape in the reason", "CR in the reason"),
        *("chunked in HTTP/1.0", "chunked twice", "vertical tab", "the same length twice", "empty length"),
        *("endless length", "CR in a header"),
    ],
)
async def test_an_answer_with_no_single_meaning_is_a_bad_gateway(answer: bytes) -> None:
    """Its head is refused, and what follows it is never taken for a body."""
    async with raw_store(answer, OK) as (raw, store):
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking())
        assert refused.value.status == 502
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 2


@pytest.mark.parametrize(
    ("head", "connections"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 1),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", 2),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 2),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 1),
    ],
)
async def test_a_status_without_a_body_that_announces_one_is_the_last_of_its_connection(
    head: bytes, connections: int
) -> None:
    """Somebody could send what was announced, and it would be the next answer's."""
    async with raw_store(head, OK) as (raw, store):
        assert await received(await store.exchange(asking())) == b""
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == connections


async def test_an_offer_of_another_protocol_is_an_answer_like_any_other() -> None:
    """Only a 101 switches (RFC 9110 §15.5.22)."""
    offer = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok"
    async with raw_store(offer, OK) as (raw, store):
        first = await store.exchange(asking())
        assert (first.status, await received(first)) == (426, b"ok")
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 1


@contextlib.contextmanager
def parting(answer: bytes, authority: Authority, *, politely: bool) -> Iterator[int]:
    """A TLS server that answers once and closes the connection, and says so before or does not; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server())

    def serve() -> None:
        wire = context.wrap_socket(listener.accept()[0], server_side=True)
        wire.recv(1000)
        wire.sendall(answer)
        if politely:
            with contextlib.suppress(OSError):
                wire.unwrap()
        with socket.socket(fileno=wire.detach()) as bare, contextlib.suppress(OSError):
            bare.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("size", [5, 3_000_000])
def test_an_answer_that_only_its_tls_connection_ends_is_whole_only_if_the_store_said_so(
    run: Callable[[Coroutine[Any, Any, None]], None], politely: bool, size: int, tmp_path: Path
) -> None:
    """Anybody on the way can close the connection, but only the store can say that it closes (RFC 9112 §9.8)."""
    authority = Authority(tmp_path / "tls")
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size

    async def exchange(port: int) -> None:
        async with facing(f"https://127.0.0.1:{port}", tls_ca=authority.path) as store:
            incoming = await store.exchange(asking())
            await asyncio.sleep(0.05)  # let what is read ahead fill up
            if politely:
                assert len(await received(incoming)) == size
            else:
                with pytest.raises(StoreCut):
                    await received(incoming)

    with parting(answer, authority, politely=politely) as port:
        run(exchange(port))


async def test_a_slow_client_is_not_the_stores_fault() -> None:
    """While more of the request is to come, the store need not answer; the client has deadlines of its own."""

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(0.25)
        yield b"second"

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)

    async with raw_store(take, read_timeout_s=0.1) as (_, store):
        assert await received(await store.exchange(asking("POST", body=slowly()))) == b"ok"


async def test_a_store_that_has_the_whole_request_must_answer_in_time() -> None:
    """From then on it is the store who is slow."""

    async def body() -> AsyncIterator[bytes]:
        yield b"all of it"

    async with raw_store(trickling([]), read_timeout_s=0.1) as (_, store):
        async with asyncio.timeout(0.5):
            with pytest.raises(StoreUnreachable) as refused:
                await store.exchange(asking("POST", body=body()))
        assert refused.value.status == 504


async def test_a_store_that_is_behind_holds_the_client_back() -> None:
    """What was taken from the client and not yet sent stays bounded, and all of it arrives once the store reads."""
    taken, total, got = 0, 32 * 1024 * 1024, 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < total:
            taken += 65_536
            yield b"x" * 65_536

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got, before
        await asyncio.sleep(0.2)
        before = taken
        while got < total:
            got += len(await reader.read(1024 * 1024))
        writer.write(OK)

    before = total
    async with raw_store(take, read_timeout_s=1.0) as (_, store):
        incoming = await store.exchange(asking("PUT", body=body(), Content_Length=str(total)))
        assert await received(incoming) == b"ok"
        assert (got, before < 16 * 1024 * 1024) == (total, True)


async def test_a_store_that_never_takes_the_request_is_too_slow() -> None:
    """Its side is full and stays so: that is not the client's fault."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async with raw_store(trickling([]), read_timeout_s=0.2) as (_, store):
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking("POST", body=endless()))
        assert refused.value.status == 504


async def test_a_store_that_answers_before_it_has_all_and_closes_is_passed_on() -> None:
    """What is still sent to it goes nowhere, and that spoils nothing."""
    gone = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await gone.wait()
        yield b"late"

    async with raw_store(closing(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")) as (_, store):
        incoming = await store.exchange(asking("POST", body=body()))
        await asyncio.sleep(0.05)
        gone.set()
        await asyncio.sleep(0.05)
        assert (incoming.status, await received(incoming)) == (413, b"no")


async def test_a_store_that_closes_in_the_middle_of_a_request_is_a_bad_gateway() -> None:
    """It has given no answer."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    async with raw_store(closing(b"")) as (_, store):
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking("POST", body=endless()))
        assert refused.value.status == 502


async def test_silence_in_the_middle_is_told_in_time() -> None:
    """Whoever reads is not left waiting for longer than between any two reads."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with raw_store(trickling([head]), read_timeout_s=0.1) as (_, store):
        incoming = await store.exchange(asking())
        async with asyncio.timeout(0.5):
            with pytest.raises(StoreCut):
                await received(incoming)


async def test_an_idle_connection_that_the_store_closed_is_not_used() -> None:
    """Not even for what may not be sent twice, where the end was seen before."""
    async with raw_store(OK, closing(b""), OK) as (raw, store):
        assert await received(await store.exchange(asking())) == b"ok"
        raw.scripts.pop(0)
        for task in raw.tasks:
            task.cancel()
        await asyncio.sleep(0.05)
        assert await received(await store.exchange(asking("POST"))) == b"ok"
        assert raw.connections == 2


@contextlib.contextmanager
def unasked(first: bytes, later: bytes) -> Iterator[tuple[str, threading.Event]]:
    """A store that answers each connection's first request, and then says more; its url, and when it has done so."""
    said = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as open_:
            while True:
                wire = open_.enter_context(listener.accept()[0])
                wire.recv(10_000)
                wire.sendall(first if not said.is_set() else OK)
                if not said.is_set():
                    time.sleep(0.05)
                    wire.sendall(later)
                    said.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", said
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("asked", "first"),
    [("GET", OK), ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"), ("GET", b"HTTP/1.1 304 X\r\n\r\n")],
    ids=["an answer", "a body to HEAD", "a body to 304"],
)
def test_what_arrived_unread_is_not_the_next_answer(
    run: Callable[[Coroutine[Any, Any, None]], None], asked: str, first: bytes, method: str
) -> None:
    """The event loop is busy when it comes, and the next request goes out before it is read: on a new connection."""

    async def exchanges(url: str, said: threading.Event) -> None:
        async with facing(url, read_timeout_s=2.0) as store:
            await received(await store.exchange(asking(asked)))
            said.wait(5.0)  # blocks the loop, on purpose
            assert await received(await store.exchange(asking(method))) == b"ok"

    with unasked(first, FORGED) as (url, said):
        run(exchanges(url, said))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_an_end_that_was_not_seen_yet_is_not_written_to(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """So that what may not be sent twice is sent once, and answered."""

    async def exchanges() -> None:
        async with raw_store(OK, OK) as (raw, store):
            assert await received(await store.exchange(asking())) == b"ok"
            [task] = raw.tasks
            task.cancel()
            await asyncio.sleep(0)  # it closes, and nothing here has been read since
            await asyncio.sleep(0)
            assert await received(await store.exchange(asking("POST"))) == b"ok"
            assert raw.connections == 2

    run(exchanges())
