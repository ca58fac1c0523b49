"""Webhooks of ticket systems: ``POST /hooks/tickets/{tracker}`` on the control listener, signed.

``{"event": "…", "ticket": {"id": "…", …}}``. Of a tracker of kind ``webhook`` the ticket is what it says, and becomes a
ticket of the state, from where every node has it; one that says nothing that can be used closes the ticket that there
was. What a ticket no longer carries ends with the push. Jira and ServiceNow only say that something changed: the
gateway asks them anew.

Invariants: nothing is read of a body before its signature is found good; each delivery that is taken is an entry of
the ledger before it has any effect but a closer look; of two about one ticket the one that was sent later counts; a
hand-off made here is not undone, and a ticket that was opened here is not taken over. What cannot be written down is
refused, and its sender may send it again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
from aiohttp import StreamReader, web

from gateway.acts import Office
from gateway.acts.pushes import ACTOR, take_push
from gateway.clock import SECOND_US, Clock
from gateway.errors import Contradicted, GatewayError, LedgerUnavailable, Malformed, Unauthenticated, Unavailable
from gateway.justification import Desk, FieldMapping, TrackedTickets
from gateway.justification.mapping import words_at
from gateway.ledger.entry import administrative
from gateway.settings import TrackerSettings
from gateway.trackers.deliveries import Deliveries, Delivery
from gateway.trackers.signature import HEADER, JIRA_HEADER, signed_at, signed_by_jira

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 256 * 1024
BODY_TIMEOUT_S = 10.0
RECORD_TIMEOUT_S = 30.0
MAX_EVENT = 128
Details = dict[str, str | int | bool | Sequence[str]]


class TicketHooks:
    """Takes what trackers push.

    Args:
        trackers: of the configuration; those without a secret cannot push.
        tracked: asks anew.
        office: what pushed tickets are kept with.
        desk: knows what hangs on a ticket.
        record: makes an entry of the ledger durable.
        clock, node: for the entries.
        deliveries: what was taken before.
        settle: called once a ticket is different; returns once the doors judge by it.
        count: told the tracker's name and the status of each answer.
    """

    def __init__(
        self,
        trackers: Sequence[TrackerSettings],
        *,
        tracked: TrackedTickets,
        office: Office,
        desk: Desk,
        record: Callable[[Mapping[str, object]], Awaitable[object]],
        clock: Clock,
        node: str,
        settle: Callable[[], Awaitable[object]],
        deliveries: Deliveries | None = None,
        count: Callable[[str, str], object] = lambda _tracker, _status: None,
    ) -> None:
        self.deliveries = deliveries or Deliveries()
        self._trackers = {one.name: one for one in trackers if one.webhook_secret}
        self._mappings = {name: FieldMapping.of(one) for name, one in self._trackers.items()}
        self._tracked = tracked
        self._office = office
        self._desk = desk
        self._record = record
        self._clock = clock
        self._node = node
        self._settle = settle
        self._count = count
        self._turn = asyncio.Lock()

    async def receive(self, request: web.Request) -> web.Response:
        """Answer one webhook: 200 once in force; 400, 401 or 409 where refused; 503 where it may come again."""
        tracker = self._trackers.get(request.match_info["tracker"])
        if tracker is None:
            self._count("unknown", "404")
            raise web.HTTPNotFound
        response = await self._answer(tracker, request)
        self._count(tracker.name, str(response.status))
        return response

    async def _answer(self, tracker: TrackerSettings, request: web.Request) -> web.Response:
        try:
            body = await _whole(request.content)
            delivery = _verified(tracker, request, body)
            return web.json_response({"ticket": delivery.ticket, "act": await self._take(tracker, delivery)})
        except Unauthenticated as error:
            return _problem(401, error)
        except Unavailable as error:
            log.error("webhook_not_taken", tracker=tracker.name, problem=str(error))
            return _problem(503, error)
        except Contradicted as error:
            return _problem(409, error)
        except GatewayError as error:
            return _problem(400, error)

    async def _take(self, tracker: TrackerSettings, delivery: Delivery) -> str:
        """Put it in force; what it did."""
        if self._tracked.owners(delivery.ticket) != [tracker.name]:
            raise Malformed("this is no id of this tracker's alone; expected one that its pattern matches")
        async with self._turn:
            now_s = self._clock.now_us() / SECOND_US
            self.deliveries.require_new(delivery, now_s=now_s, max_skew_s=tracker.max_skew_s)
            act = await (self._keep if tracker.kind == "webhook" else self._doubt)(delivery)
            self.deliveries.take(delivery)
        return act

    async def _doubt(self, delivery: Delivery) -> str:
        self._tracked.doubt(delivery.ticket)
        if self._desk.hanging(delivery.ticket):  # it may be open again before anybody cites it
            self._tracked.renew(delivery.ticket)
        await self._write("ticket.refresh", delivery, {})
        return "ticket.refresh"

    async def _keep(self, delivery: Delivery) -> str:
        mapping, now_us = self._mappings[delivery.tracker], self._clock.now_us()
        answer = mapping.answer(delivery.ticket, partial(words_at, delivery.said), now_us=now_us)
        office = replace(self._office, record=partial(self._record_from_thread, asyncio.get_running_loop()))
        act = await asyncio.to_thread(
            take_push,
            office,
            delivery.tracker,
            delivery.ticket,
            answer,
            is_later=self.deliveries.is_later(delivery),
            details={"event": delivery.event, "sent_s": delivery.sent_s},
        )
        await self._settle()
        return act

    def _record_from_thread(self, loop: asyncio.AbstractEventLoop, entry: Mapping[str, object]) -> None:
        """Write what an act says of itself down.

        Raises:
            LedgerUnavailable: it is not known to be durable.
        """
        written = asyncio.run_coroutine_threadsafe(_awaited(self._record(entry)), loop)
        try:
            written.result(RECORD_TIMEOUT_S)
        except (TimeoutError, CancelledError) as error:
            raise LedgerUnavailable("the ledger did not confirm an entry in time") from error

    async def _write(self, act: str, delivery: Delivery, details: Details) -> None:
        await self._record(
            administrative(
                clock=self._clock,
                node=self._node,
                actor=ACTOR + delivery.tracker,
                act=act,
                subject=delivery.ticket,
                details={"event": delivery.event, "sent_s": delivery.sent_s, **details},
            )
        )


async def _awaited(recording: Awaitable[object]) -> object:
    return await recording


def _verified(tracker: TrackerSettings, request: web.Request, body: bytes) -> Delivery:
    """What a signed body says.

    Raises:
        Unauthenticated: its signature is not good.
        Malformed: it is signed, and says nothing that can be taken.
    """
    assert tracker.webhook_secret is not None  # noqa: S101 - others have no hook
    secret = tracker.webhook_secret.text.get_secret_value().encode()
    by_jira = request.headers.getall(JIRA_HEADER, [])
    if tracker.kind == "jira" and by_jira and HEADER not in request.headers:
        return _of_jira(tracker.name, signed_by_jira(by_jira, body, secret), _parsed(body))
    sent_s = signed_at(request.headers.getall(HEADER, []), body, secret)
    found = _parsed(body)
    event, said = found.get("event"), found.get("ticket")
    if not isinstance(event, str) or not (0 < len(event) <= MAX_EVENT and event.isascii() and event.isprintable()):
        raise Malformed(f'expected "event", a name of its own of at most {MAX_EVENT} characters of ASCII')
    return Delivery(tracker.name, event, _id(said, "id"), sent_s, said)


def _of_jira(tracker: str, signature: str, found: Mapping[str, Any]) -> Delivery:
    """Jira's own body: ``{"timestamp": milliseconds, "webhookEvent": …, "issue": {"key": …}}``."""
    sent_ms = found.get("timestamp")
    if not isinstance(sent_ms, int) or isinstance(sent_ms, bool):
        raise Malformed('expected "timestamp", in milliseconds')
    return Delivery(tracker, signature, _id(found.get("issue"), "key"), sent_ms // 1_000)


def _id(said: Any, name: str) -> str:
    ticket = said.get(name) if isinstance(said, dict) else None
    if not isinstance(ticket, str):
        raise Malformed(f'expected the ticket\'s id as "{name}"')
    return ticket


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is no JSON; expected an object") from error
    if not isinstance(found, dict):
        raise Malformed("the body is no JSON object")
    return found


async def _whole(content: StreamReader) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in content.iter_any():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise Malformed(f"the body is longer than {MAX_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise Malformed(f"the body did not come within {BODY_TIMEOUT_S:g} s") from error
    return bytes(body)


def _problem(status: int, error: GatewayError) -> web.Response:
    body = {"title": "Not taken", "status": status, "detail": str(error)}
    return web.json_response(body, status=status, content_type="application/problem+json")
