"""The central promise: a permit is durable before the first byte reaches a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from gateway.demo.stores import Addresses
from gateway.demo.world import RAJ, SAM, Person
from gateway.errors import LedgerUnavailable
from gateway.ledger.reader import LedgerReader
from tests.integration.conftest import Running, running

PATH = "/conversations/acme/7"


class WatchfulStore:
    """A store that looks into the ledger file the moment a request arrives."""

    def __init__(self) -> None:
        self.ledger = Path()
        self.seen: list[str] = []
        self.unrecorded: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.Response:
        decision = request.headers.get("Residency-Decision", "")
        self.seen.append(decision)
        with LedgerReader(self.ledger) as reader:
            found = next(iter(reader.show(decision)), None)
        if found is None or found["effect"] != "permit":
            self.unrecorded.append(decision)
        return web.Response(body=b"data")


@pytest.fixture
async def watched(tmp_path: Path, stores: Addresses) -> AsyncIterator[tuple[Running, WatchfulStore]]:
    """A gateway whose conversations are kept by a watchful store."""
    store = WatchfulStore()
    runner = web.ServerRunner(web.Server(store.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    addresses = replace(stores, conversations=f"http://127.0.0.1:{runner.addresses[0][1]}")
    async with running(tmp_path / "world", addresses) as site:
        store.ledger = site.world.settings.ledger.path
        yield site, store
    await runner.cleanup()


async def test_every_permit_is_in_the_ledger_when_the_store_sees_the_request(
    watched: tuple[Running, WatchfulStore],
) -> None:
    """1,000 requests, 32 at a time: the store finds each decision already written."""
    site, store = watched
    await asyncio.gather(*(_many(site, 32) for _ in range(32)))
    assert len(store.seen) == 1_024
    assert len(set(store.seen)) == 1_024
    assert store.unrecorded == []


async def _many(site: Running, count: int) -> None:
    for _ in range(count):
        status, _, _ = await site.ask(SAM, PATH)
        assert status == 200


async def test_a_denied_request_never_reaches_the_store(watched: tuple[Running, WatchfulStore]) -> None:
    """A denial is answered by the gateway alone."""
    site, store = watched
    status, _, _ = await site.ask(RAJ, PATH)
    assert status == 403
    assert store.seen == []


async def test_no_byte_passes_when_the_decision_cannot_be_recorded(
    watched: tuple[Running, WatchfulStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that fails means 503 for permits and denials alike, and nothing for the store."""
    site, store = watched

    async def fail(*_args: object, **_options: object) -> int:
        raise LedgerUnavailable("the disk is gone")

    monkeypatch.setattr(type(site.gateway.ledger), "append", fail)
    for person in (SAM, RAJ):
        status, headers, body = await site.ask(person, PATH)
        assert status == 503
        assert b"could not be written down" in body
        assert headers["Retry-After"] == "5"
    assert store.seen == []


async def test_a_body_is_not_asked_for_before_the_decision(watched: tuple[Running, WatchfulStore]) -> None:
    """``Expect: 100-continue`` is answered only once the request is permitted."""
    site, _ = watched
    assert b"403" in await _first_line(site, _upload(site, RAJ))
    assert b"100 Continue" in await _first_line(site, _upload(site, SAM))


def _upload(site: Running, person: Person) -> str:
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {site.world.token(person)}\r\n"
        f"X-Forwarded-For: {person.address}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    )


async def _first_line(site: Running, head: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return line
