"""The circuit breaker of a store: when it opens, what passes then, and what closes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.proxy.circuit import Circuit
from gateway.proxy.store import ClientCut, StoreUnreachable
from tests.world.raw_store import OK, Script, asking, closing, facing, raw_store, received, trickling

DEAD = closing(b"")


def opened(limit: int = 3) -> Circuit:
    """One that opened at 100 s, for 5 s."""
    circuit = Circuit("crm", limit=limit, open_s=5.0)
    for _ in range(limit):
        circuit.failed(100.0)
    return circuit


def passes(circuit: Circuit, now_s: float) -> bool:
    if circuit.failures < circuit.limit:
        return True
    with contextlib.suppress(StoreUnreachable):
        circuit.enter(now_s)
        return True
    return False


def test_circuit_opens_after_so_many_failures_in_a_row() -> None:
    """One fewer leaves it closed, and an answer in between makes it count anew."""
    circuit = Circuit("crm", limit=3, open_s=5.0)
    for answered in (False, False, True, False, False):
        circuit.answered() if answered else circuit.failed(100.0)
        assert passes(circuit, 100.0)
    circuit.failed(100.0)
    assert not passes(circuit, 100.0)


def test_one_request_passes_when_the_time_is_over_and_then_none_for_as_long() -> None:
    """Whatever became of the first: nobody has to say that it was given up."""
    circuit = opened()
    times_s = (104.9, 105.0, 105.1, 109.9, 110.0, 110.1)
    assert [passes(circuit, now_s) for now_s in times_s] == [False, True, False, False, True, False]


def test_an_answer_closes_the_circuit() -> None:
    """All pass again."""
    circuit = opened()
    assert passes(circuit, 105.0)
    circuit.answered()
    assert [passes(circuit, 105.0) for _ in range(3)] == [True] * 3


def test_a_failed_trial_leaves_it_open_for_as_long_again() -> None:
    """Counted from when it failed."""
    circuit = opened()
    assert passes(circuit, 105.0)
    circuit.failed(108.0)
    assert [passes(circuit, now_s) for now_s in (112.9, 113.0)] == [False, True]


def test_a_limit_of_none_never_opens() -> None:
    """It is switched off."""
    circuit = Circuit("crm", limit=0, open_s=5.0)
    for _ in range(10_000):
        circuit.failed(1.0)
    assert passes(circuit, 1.0)


def test_refusal_says_when_the_store_is_tried_again() -> None:
    """Whole seconds, never none."""
    with pytest.raises(StoreUnreachable, match=r"crm did not answer 3 times in a row; it is tried again in 1 s"):
        opened().enter(104.999)


async def ask(store: object, method: str = "GET") -> int:
    """The status of an exchange; that of the failure, where there was no answer."""
    try:
        incoming = await store.exchange(asking(method))  # type: ignore[attr-defined]
    except StoreUnreachable as error:
        return error.status
    await received(incoming)
    return int(incoming.status)


async def test_a_store_that_does_not_answer_is_left_alone_and_then_tried_once() -> None:
    """503 at once and nothing reaches it; one request is the trial; its answer closes the circuit."""
    scripts: list[Script] = [DEAD, DEAD, DEAD, OK, OK]
    async with raw_store(*scripts, breaker_failures=2, breaker_open_s=0.15) as (raw, store):
        assert [await ask(store) for _ in range(4)] == [502, 502, 503, 503]
        assert raw.connections == 2
        await asyncio.sleep(0.2)
        assert [await ask(store) for _ in range(2)] == [502, 503]
        await asyncio.sleep(0.2)
        assert [await ask(store) for _ in range(2)] == [200, 200]
        assert len(raw.requests) == 5


async def test_a_store_that_cannot_be_connected_to_opens_the_circuit() -> None:
    """Each attempt counts once, however many addresses there are."""
    async with raw_store() as (raw, _):
        gone = raw.address
    async with facing(f"http://{gone}", addresses=[gone, gone], breaker_failures=3) as store:
        assert [await ask(store) for _ in range(4)] == [502, 502, 502, 503]


async def test_a_store_that_is_too_slow_opens_the_circuit() -> None:
    """Even one that had begun to answer."""
    scripts = [trickling([]), trickling([b"HTTP/1.1 200"])]
    async with raw_store(*scripts, breaker_failures=2, read_timeout_s=0.05) as (_, store):
        assert [await ask(store) for _ in range(3)] == [504, 504, 503]


@pytest.mark.parametrize(
    ("scripts", "statuses"),
    [
        ([b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"] * 3, [500, 500, 500]),
        ([b"what?\r\n\r\n"] * 3, [502, 502, 502]),
        ([DEAD, OK, DEAD, OK, DEAD, OK], [502, 200, 502, 200, 502, 200]),
    ],
    ids=["errors", "not HTTP", "now and then"],
)
async def test_what_answers_in_whatever_way_is_not_left_alone(scripts: list[Script], statuses: list[int]) -> None:
    """The circuit is for stores that are not there; a client can bring about most other failures."""
    async with raw_store(*scripts, breaker_failures=2) as (_, store):
        assert [await ask(store, "POST") for _ in statuses] == statuses


async def test_a_kept_connection_that_had_gone_stale_does_not_count() -> None:
    """It says nothing about the store."""
    async with raw_store(OK, DEAD, OK, DEAD, OK, breaker_failures=1) as (_, store):
        assert [await ask(store, "POST") for _ in range(5)] == [200, 502, 200, 502, 200]


async def test_clients_that_break_off_do_not_open_the_circuit() -> None:
    """Nor do those that go away while they wait."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ClientCut("it broke off")

    silent: Callable[..., Awaitable[None]] = trickling([])
    async with raw_store(silent, silent, OK, breaker_failures=1) as (_, store):
        with pytest.raises(ClientCut):
            await store.exchange(asking("POST", body=broken()))
        exchange = asyncio.ensure_future(store.exchange(asking()))
        await asyncio.sleep(0.05)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert await ask(store) == 200


async def test_a_trial_that_its_client_gave_up_does_not_close_the_way_for_others() -> None:
    """The next one is the trial, once as long has passed again."""
    async with raw_store(DEAD, trickling([]), OK, breaker_failures=1, breaker_open_s=0.1) as (_, store):
        assert await ask(store) == 502
        await asyncio.sleep(0.12)
        trial = asyncio.ensure_future(store.exchange(asking()))
        await asyncio.sleep(0.05)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        assert await ask(store) == 503
        await asyncio.sleep(0.12)
        assert await ask(store) == 200


async def test_every_connection_busy_does_not_open_the_circuit() -> None:
    """The store has much to do, and does it."""
    async with raw_store(OK, OK, breaker_failures=1, max_connections=1, connect_timeout_s=0.05) as (_, store):
        slow = await store.exchange(asking())
        assert [await ask(store) for _ in range(2)] == [503, 503]
        assert await received(slow) == b"ok"
        assert await ask(store) == 200
