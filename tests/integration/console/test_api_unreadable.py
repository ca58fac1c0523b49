"""What is no HTTP, sent to the control listener: on record, a bounded number of times, and answered as a problem."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from gateway.errors import LedgerUnavailable
from gateway.proxy.control import UNREADABLE_BURST
from tests.integration.console.callers import ANN, Api

GARBAGE = b"\x16\x03\x01 hello\r\n\r\n"


async def sent(api: Api, raw: bytes) -> bytes:
    """All that is answered to this before the connection is closed; nothing where it is reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.site.gateway.control_port)
    try:
        writer.write(raw)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        GARBAGE,
        b"GET /healthz\r\n\r\n",
        b"GET /api/v1/me HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 17_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_is_recorded_and_answered_as_a_problem(api: Api, raw: bytes) -> None:
    """400, from where it came, and not a word of the server behind it; nothing more of the connection is read."""
    before = len(api.entries())
    answer = await sent(api, raw + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400"
    assert b"application/problem+json" in head
    assert json.loads(body)["type"].endswith("/malformed")
    assert not any(word in answer.lower() for word in (b"aiohttp", b"python", b"html"))
    [entry] = api.entries(before)
    assert (entry["act"], entry["actor"]) == ("api.unreadable", "")
    assert entry["details"] == {"outcome": "malformed", "status": 400, "client_address": "127.0.0.1"}


async def test_one_address_cannot_fill_the_ledger_with_what_cannot_be_read(api: Api) -> None:
    """Some at once are recorded; the others are cut, and the next entry says how many. Sound calls go on."""
    before, many = len(api.entries()), UNREADABLE_BURST + 30
    answers = await asyncio.gather(*(sent(api, GARBAGE) for _ in range(many)))
    recorded = len(api.entries()) - before
    assert UNREADABLE_BURST <= recorded < UNREADABLE_BURST + 10
    assert sum(answer == b"" for answer in answers) == many - recorded
    await api.done(ANN, "GET", "/me")
    await asyncio.sleep(1.1)
    assert await sent(api, GARBAGE)
    told = [entry["details"].get("unrecorded", 0) for entry in api.entries(before) if entry["act"] == "api.unreadable"]
    assert sum(told) == many - recorded


async def test_what_cannot_be_recorded_is_not_answered_as_if_it_were(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and closed."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise LedgerUnavailable("a full disk")

    monkeypatch.setattr(api.site.gateway.ledger, "enqueue", refuse)
    with capture_logs():
        assert (await sent(api, GARBAGE)).split()[1] == b"503"
