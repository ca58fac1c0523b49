"""Several addresses of one store: which is tried first, what a failure costs, and that nothing goes out twice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.addresses import AVOIDED_S, Addresses
from gateway.proxy.store import StoreElsewhere, StoreUnreachable
from tests.world.raw_store import OK, asking, closing, facing, listening, received

A, B, C = ("a", 1), ("b", 1), ("c", 1)


def test_addresses_take_turns() -> None:
    """Each is the first to be tried as often as any other."""
    addresses = Addresses([A, B, C])
    assert [addresses.in_order(0.0)[0] for _ in range(6)] == [A, B, C, A, B, C]


def test_an_address_that_failed_is_tried_last_for_a_while() -> None:
    """It comes after all others until its time is over; that it failed is news only once."""
    addresses = Addresses([A, B, C])
    assert addresses.failed(B, 0.0)
    assert not addresses.failed(B, 1.0)
    assert {addresses.in_order(2.0)[2] for _ in range(3)} == {B}
    assert {addresses.in_order(1.0 + AVOIDED_S)[0] for _ in range(3)} == {A, B, C}
    assert addresses.failed(B, 1.0 + AVOIDED_S)


@given(st.lists(st.sampled_from([A, B, C])), st.floats(0, 20))
def test_every_address_is_tried_whatever_failed(failed: list[tuple[str, int]], now_s: float) -> None:
    """Where all have failed, all are tried nevertheless."""
    addresses = Addresses([A, B, C])
    for address in failed:
        addresses.failed(address, 0.0)
    assert sorted(addresses.in_order(now_s)) == [A, B, C]


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def silence() -> Iterator[str]:
    """An address that answers no attempt to connect: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def body() -> AsyncIterator[bytes]:
    yield b"body"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_address_that_refuses_is_passed_over(method: str) -> None:
    """Whatever the method, for nothing of it was sent; and the store is told the name in the url."""
    async with listening(OK) as raw:
        with nobody() as closed:
            async with facing("http://crm.test", addresses=[closed, raw.address]) as store:
                assert await received(await store.exchange(asking(method))) == b"ok"
        assert raw.requests[0].startswith(f"{method} /x HTTP/1.1\r\nHost: crm.test\r\n".encode())


async def test_an_address_that_is_silent_leaves_time_for_the_others() -> None:
    """It uses its share of the time to connect, and the next one has the rest."""
    async with listening(OK, OK) as raw:
        with silence() as mute:
            async with facing("http://crm.test", addresses=[mute, raw.address], connect_timeout_s=0.2) as store:
                async with asyncio.timeout(0.2):
                    assert await received(await store.exchange(asking("POST"))) == b"ok"
        assert raw.connections == 1


@pytest.mark.parametrize(("addresses", "status"), [([nobody], 502), ([silence], 504), ([nobody, silence], 504)])
async def test_a_store_that_no_address_leads_to_is_told(addresses: list[object], status: int) -> None:
    """By what was wrong with the last one, within the time to connect."""
    with contextlib.ExitStack() as stack:
        named = [stack.enter_context(address()) for address in addresses]  # type: ignore[operator]
        async with facing("http://crm.test", addresses=named, connect_timeout_s=0.1) as store:
            async with asyncio.timeout(0.3):
                with pytest.raises(StoreUnreachable) as refused:
                    await store.exchange(asking())
    assert refused.value.status == status


async def test_a_name_that_cannot_be_is_a_bad_gateway() -> None:
    """It is not looked up at all."""
    async with facing(f"http://{'a' * 64}.test") as store:
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking())
    assert refused.value.status == 502


async def test_an_address_that_failed_is_not_asked_again_at_once() -> None:
    """Although it would be its turn, and it is there again."""
    with nobody() as closed:
        port = int(closed.rpartition(":")[2])
    async with (
        listening(*[closing(OK)] * 4) as raw,
        facing("http://crm.test", addresses=[closed, raw.address]) as store,
    ):
        assert await received(await store.exchange(asking())) == b"ok"
        async with listening(port=port) as back:
            for _ in range(3):
                await asyncio.sleep(0.02)
                assert await received(await store.exchange(asking())) == b"ok"
            assert (back.connections, raw.connections) == (0, 4)


async def test_an_address_of_ipv6_is_connected_to() -> None:
    """Its brackets are only for writing it."""
    try:
        server = await asyncio.start_server(_answer, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with server, facing("http://crm.test", addresses=[f"[::1]:{server.sockets[0].getsockname()[1]}"]) as store:
        assert await received(await store.exchange(asking())) == b"ok"


async def _answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    writer.close()


async def test_an_address_that_gives_no_answer_is_left_for_last() -> None:
    """It connects, and that is all that it does."""
    async with listening(closing(b"")) as mute, listening(closing(OK), closing(OK), closing(OK)) as raw:
        async with facing("http://crm.test", addresses=[mute.address, raw.address]) as store:
            with pytest.raises(StoreUnreachable):
                await store.exchange(asking())
            for _ in range(3):
                assert await received(await store.exchange(asking())) == b"ok"
                await asyncio.sleep(0.02)
        assert (mute.connections, raw.connections) == (1, 3)


async def test_what_went_out_is_not_sent_to_another_address() -> None:
    """Whoever has seen a request may have done what it says."""
    async with listening(closing(b"")) as first, listening(OK) as second:
        async with facing("http://crm.test", addresses=[first.address, second.address]) as store:
            with pytest.raises(StoreUnreachable):
                await store.exchange(asking("POST", body=body()))
        assert (len(first.requests), len(second.requests)) == (1, 0)


async def test_what_may_not_go_to_where_a_connection_leads_does_not_go() -> None:
    """Neither on a new connection nor on one that was kept, with a body or without; the connection is closed."""
    peers: list[str] = []

    def admits(peer: str) -> bool:
        peers.append(peer)
        return False

    async with listening(OK, OK) as raw, facing("http://crm.test", addresses=[raw.address]) as store:
        for kept in (False, True):
            if kept:
                assert await received(await store.exchange(asking())) == b"ok"
            before = raw.connections
            with pytest.raises(StoreElsewhere) as refused:
                await store.exchange(asking("POST", body=body())._replace(admits=admits))
            assert refused.value.status == 503
            assert raw.connections == before + (not kept)
        assert len(raw.requests) == 1
        assert peers == ["127.0.0.1"] * 2
        incoming = await store.exchange(asking()._replace(admits=lambda peer: peer == "127.0.0.1"))
        assert await received(incoming) == b"ok"
        assert raw.connections == 3
