"""Refusals at their client's pace, over real sockets, on both event loops; every one of them on record."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from aiohttp.web_protocol import RequestHandler

from gateway.demo.world import DANA, SAM
from gateway.proxy.server import MAX_HEAD_BYTES
from tests.integration.conftest import Running
from tests.integration.listener.test_listener import (
    PATH,
    BigStore,
    Start,
    answered,
    asking,
    begun,
    closed,
    entries,
    eventually,
    held,
    keeping,
    lasted,
    opened,
    told,
    trickling,
)
from tests.integration.listener.test_listener import big as big
from tests.integration.listener.test_listener import start as start

ANONYMOUS = b"GET %s HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: 10.20.0.7\r\n\r\n" % PATH.encode()
UPLOAD = ANONYMOUS.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 1000000\r\n\r\n")


def slow_pace(**others: Any) -> dict[str, Any]:
    """One refusal at once of any client, and each one after it half a second later."""
    return {"limits": {"refusal_rate_per_s": 0.1, "refusal_wait_s": 0.5, **others}}


def rules(site: Running) -> list[str]:
    """What was shown for each decision that is recorded."""
    return [str(entry["rule"]) for entry in entries(site)]


async def status(site: Running, request: bytes, within_s: float = 3.0) -> bytes:
    """What the first answer on a connection of its own says."""
    async with opened(site) as (reader, writer):
        writer.write(request)
        async with asyncio.timeout(within_s):
            return (await reader.readline())[9:12]


class TestRefusals:
    """``gateway.limits.refusal_rate_per_s`` and ``refusal_wait_s``."""

    async def test_second_refusal_waits_and_is_on_record_meanwhile(self, start: Start) -> None:
        """On the same connection or another; what is permitted, and who else is refused, does not wait."""
        async with start(**slow_pace()) as site:
            assert await status(site, ANONYMOUS) == b"401"
            second = begun(lasted(status(site, ANONYMOUS)))
            await eventually(lambda: rules(site) == ["unauthenticated"] * 2)
            assert await lasted(status(site, asking(site, SAM, forwarded="10.20.0.7"))) < 0.4
            assert await lasted(status(site, ANONYMOUS.replace(b"10.20.0.7", b"10.20.0.8"))) < 0.4
            assert await lasted(status(site, asking(site, SAM, forwarded="49.36.0.1"))) < 0.4
            assert not second.done()
            assert await second == pytest.approx(0.55, abs=0.25)
            assert rules(site)[3:] == ["unauthenticated", "outside-home"]

    async def test_person_is_waited_for_by_name_wherever_they_are(self, start: Start) -> None:
        """Another address does not begin anew; another person does."""
        async with start(**slow_pace()) as site:
            assert await status(site, asking(site, SAM, forwarded="49.36.0.1")) == b"403"
            assert await lasted(status(site, asking(site, SAM, forwarded="49.36.0.2"))) > 0.4
            assert await lasted(status(site, asking(site, DANA, forwarded="49.36.0.2"))) < 0.4

    async def test_what_comes_next_is_not_read_until_the_answer_is_out(self, start: Start) -> None:
        """It is served then, in order."""
        async with start(**slow_pace()) as site, opened(site) as (reader, writer):
            writer.write(ANONYMOUS)
            assert await reader.readuntil(b"}") != b""
            writer.write(ANONYMOUS)
            await eventually(lambda: len(rules(site)) == 2)
            writer.write(asking(site, SAM, forwarded=SAM.address))
            await asyncio.sleep(0.2)
            assert len(rules(site)) == 2
            both = await answered(reader)
            assert (both.count(b"HTTP/1.1 401"), both.count(b"HTTP/1.1 200")) == (1, 1)

    async def test_where_too_many_wait_one_more_is_recorded_and_closed(self, start: Start) -> None:
        """A quarter of all connections may wait; who has not been refused lately is still answered."""
        limits = slow_pace(max_connections=4, refusal_wait_s=5)
        async with start(**limits) as site:
            assert await status(site, ANONYMOUS) == b"401"
            async with opened(site) as (_, writer):
                writer.write(ANONYMOUS)
                await eventually(lambda: len(rules(site)) == 2)
                assert await told(site, ANONYMOUS) == b""
                assert await status(site, ANONYMOUS.replace(b"10.20.0.7", b"10.20.0.8")) == b"401"
            assert rules(site) == ["unauthenticated"] * 4

    async def test_malformed_is_answered_at_the_pace_of_its_address(self, start: Start) -> None:
        """The parser's refusals, too, and a PROXY header's, which are only closed."""
        async with start(**slow_pace()) as site:
            assert await status(site, b"GET\r\n\r\n") == b"400"
            assert 0.4 < await lasted(told(site, b"GET\r\n\r\n")) < 1.2
            assert rules(site) == ["malformed"] * 2
        async with start(proxy_protocol=True, **slow_pace()) as site:
            assert await lasted(told(site, ANONYMOUS)) < 0.4
            assert 0.4 < await lasted(told(site, ANONYMOUS)) < 1.2
            assert rules(site) == ["malformed"] * 4  # in the same ledger
            await eventually(lambda: held(site) == 0)

    async def test_limited_requests_are_paced_by_subject(self, start: Start, big: BigStore) -> None:
        """One too many is answered 429 at once, the next one later."""
        async with start(**slow_pace(subject_concurrency=1), store=big) as site:
            big.delay_s = 1.5
            first = begun(site.ask(SAM, PATH))
            await eventually(lambda: big.asked == 1)
            assert await status(site, asking(site, SAM, forwarded=SAM.address)) == b"429"
            assert await lasted(status(site, asking(site, SAM, forwarded=SAM.address))) > 0.4
            assert (await first)[0] == 200
            assert rules(site) == ["home-personnel", *["too-many-requests"] * 2]

    async def test_stop_does_not_take_as_long_as_the_longest_wait(self, start: Start) -> None:
        """Whoever waits is answered then."""
        async with start(**slow_pace(refusal_wait_s=60)) as site:
            assert await status(site, ANONYMOUS) == b"401"
            reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
            writer.write(ANONYMOUS)
            await eventually(lambda: len(rules(site)) == 2)
            stopped_s = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopped_s < 1.5
        assert b"HTTP/1.1 401" in await answered(reader)
        writer.close()


class TestBodies:
    """What still comes of a refused request's body."""

    async def test_answer_comes_first_and_the_rest_is_dropped_unread(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client hears its answer and the end, however slowly it goes on; nothing of what it sends is parsed."""
        parsed: list[int] = []
        parse = RequestHandler.data_received

        def note(connection: RequestHandler, data: bytes) -> None:
            parsed.append(len(data))
            parse(connection, data)

        monkeypatch.setattr(RequestHandler, "data_received", note)
        async with start() as site, opened(site) as (reader, writer):
            writer.write(UPLOAD)
            answer = await answered(reader)
            assert b"HTTP/1.1 401" in answer
            assert b"Connection: close" in answer
            seen = len(parsed)
            await trickling(writer, [b"x"] * 20, 0.01)
            writer.write(b"x" * 200_000)
            await writer.drain()
            assert len(parsed) == seen
            assert held(site) == 1

    async def test_held_body_does_not_go_on_and_is_not_late(self, start: Start) -> None:
        """It is we who do not read."""
        limits = slow_pace(body_idle_timeout_s=0.2)
        async with start(**limits) as site:
            assert await status(site, UPLOAD) == b"401"
            assert await lasted(status(site, UPLOAD)) > 0.4
            assert closed(site, "body") == 0

    async def test_client_that_resets_while_it_waits_leaves_its_place(self, start: Start) -> None:
        """At the latest when its turn has come."""
        async with start(**slow_pace()) as site:
            assert await status(site, ANONYMOUS) == b"401"
            async with opened(site) as (_, writer):
                writer.write(ANONYMOUS)
                await eventually(lambda: len(rules(site)) == 2)
                writer.get_extra_info("socket").setsockopt(*_RESETTING)
                writer.transport.abort()
            await eventually(lambda: held(site) == 0)


class TestHeads:
    """Heads that are late, or too long."""

    async def test_late_head_comes_no_sooner_again(self, start: Start) -> None:
        """The first one is cut when it is late; the next one of the same client later still, and holds its place."""
        limits = slow_pace(header_timeout_s=0.2)
        async with start(**limits) as site:
            assert await lasted(told(site, b"GET / HT")) == pytest.approx(0.25, abs=0.2)
            assert await lasted(told(site, b"GET / HT")) == pytest.approx(0.75, abs=0.25)
            assert closed(site, "header") == 2
            async with opened(site) as (_, writer):
                writer.write(b"GET / HT")
                await asyncio.sleep(0.4)
                assert held(site) == 1
            await eventually(lambda: held(site) == 0)
            assert not len(site.gateway.reloader._server.pace)

    @pytest.mark.parametrize("whole", [False, True], ids=["in pieces", "at once"])
    @pytest.mark.parametrize("later", [False, True], ids=["first", "second on its connection"])
    async def test_head_that_is_too_long_is_refused_and_recorded(self, start: Start, whole: bool, later: bool) -> None:
        """Many headers, each of which would do; what comes in pieces is not even read to its end."""
        line = b"X-Y: %s\r\n" % (b"z" * 10_000)
        head = ANONYMOUS.removesuffix(b"\r\n")
        async with start() as site, opened(site) as (reader, writer):
            if later:
                writer.write(keeping(asking(site, SAM, forwarded=SAM.address)))
                assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n")
                await asyncio.sleep(0.1)
            if whole:
                writer.write(head + line * 8 + b"\r\n")
            else:
                await trickling(writer, [head, *[line] * 8], 0.02)
            assert b" 400 " in await answered(reader)
            assert rules(site)[-1] == "malformed"
            assert len(line) * 8 > MAX_HEAD_BYTES


_RESETTING = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
