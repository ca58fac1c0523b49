"""The HTTP door: a request in, a decision, and only then bytes.

The flow, for every request:

1. what two parsers would read in two ways is refused;
2. the checkpoint decides, and the decision is durable;
3. a denial is answered with a problem; a permit opens an admission;
4. the request goes to the store as it was judged, and the answer comes back, streamed with back-pressure;
5. the admission is completed, whatever happened.

Invariants: the client's body is not read before step 3 (``100 Continue`` included); an answer that breaks off breaks
the client's connection, so that half of one never looks whole; when an admission ends before its time, the exchange is
cut at once, whatever it waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from gateway.admission import Admission
from gateway.attempt import Approach, Decision
from gateway.catalog import Action
from gateway.checkpoint import Checkpoint
from gateway.errors import LedgerUnavailable
from gateway.explanation import Explainer, Problem
from gateway.policy import Plan
from gateway.proxy import headers, websocket
from gateway.proxy.limits import SubjectLimits, Turn, neighbourhood
from gateway.proxy.metrics import Metrics
from gateway.proxy.problems import answer
from gateway.proxy.server import MAX_HEAD_BYTES, DoorConnection, version_of
from gateway.proxy.store import Capped, ClientCut, Incoming, Outgoing, Store, StoreCut, StoreElsewhere, StoreUnreachable
from gateway.proxy.websocket import NotAFrame
from gateway.proxy.whole_answer import BODILESS, WholeAnswer, write_octets

log = structlog.get_logger(__name__)


class HttpDoor:
    """Turns HTTP requests into approaches, and permits into exchanges with a store.

    Args:
        checkpoint: decides.
        stores: by name.
        explainer: puts denials into words.
        request_headers: more headers that may cross to a store, in small letters, by store.
        metrics: counts decisions.
        limits: what one subject may ask for.
        is_peer_home: whether a connection of a store that leads to an address stays within a home.
        origins: see :func:`approach_of`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        stores: Mapping[str, Store],
        explainer: Explainer,
        *,
        request_headers: Mapping[str, frozenset[str]],
        metrics: Metrics,
        limits: SubjectLimits,
        is_peer_home: Callable[[str, str, frozenset[str]], bool],
        origins: Iterable[str] = (),
    ) -> None:
        self._checkpoint = checkpoint
        self._stores = stores
        self._explainer = explainer
        self._allowed = {name: headers.TO_STORE | request_headers.get(name, frozenset()) for name in stores}
        self._metrics = metrics
        self._limits = limits
        self._is_peer_home = is_peer_home
        self._origins = frozenset(origins)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request. Whatever goes wrong, no byte passes that was not decided on, and the client is told."""
        try:
            response = await self._serve(request)
        except Exception:
            log.exception("request_failed")
            response = _break_off(request) if request.writer.output_size else answer(_FAILED, request)
        if _is_last(request):
            response.force_close()
        return response

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        approach = approach_of(request, self._origins)
        with Turn(self._limits) as turn:
            decision = await decided(self._checkpoint.decide(approach, limit=turn.take), self._metrics)
            if decision and decision.permitted:
                return await self._forward(request, self._checkpoint.admit(decision, approach))
        if decision is None:
            return answer(UNRECORDED, request)
        problem = replace(self._explainer.explain(decision), retry_after_s=turn.retry_after_s)
        return await _refuse(request, answer(problem, request), client_of(decision, approach.peer))

    async def _forward(self, request: web.BaseRequest, admission: Admission) -> web.StreamResponse:
        decision, task = admission.decision, cast(asyncio.Task[object], asyncio.current_task())
        admission.on_end(task.cancel)
        outcome, status = "cut", 0
        try:
            incoming = await self._stores[decision.attempt.resource.store].exchange(self._outgoing(request, admission))
            try:
                status = incoming.status
                response, whole = await self._return(request, incoming, admission)
            finally:
                await incoming.close()
            outcome = "whole" if whole else "cut"
            return response
        except StoreUnreachable as error:
            outcome, status = "unreachable", error.status
            return answer(_upstream_problem(error, decision), request)
        except ClientCut as error:
            return answer(_client_problem(error, decision), request)
        except (StoreCut, Capped, NotAFrame, ConnectionError) as error:
            outcome = "capped" if isinstance(error, Capped) else "cut"
            return _break_off(request)
        except asyncio.CancelledError:
            if not admission.ended:  # it is the client who went away
                outcome = "whole" if admission.closed else "cut"
                raise
            task.uncancel()
            outcome = "ended"
            return _break_off(request)
        finally:
            admission.complete(outcome, status)

    def _outgoing(self, request: web.BaseRequest, admission: Admission) -> Outgoing:
        decision = admission.decision
        attempt = decision.attempt
        assert attempt.route is not None and attempt.target is not None  # noqa: S101, PT018 - a permit has both
        kept = headers.to_store(
            request.headers,
            allowed=self._allowed[attempt.resource.store],
            subject=attempt.principal.subject,
            rule=decision.verdict.rules[0],
            decision=decision.id,
        )
        if attempt.route.customer_header:  # as it was judged, whether or not it may cross
            kept[attempt.route.customer_header] = attempt.resource.customer
        upgrading = admission.approach.method == websocket.METHOD
        return Outgoing(
            method=request.method,
            path=attempt.route.upstream_path(attempt.target.path),
            query=attempt.target.query,
            headers=websocket.to_store(request.headers, kept) if upgrading else kept,
            body=_body(request, admission) if request.body_exists else None,  # one that broke off, too
            owner=(attempt.principal.issuer, attempt.principal.subject),
            upgrading=upgrading,
            admits=self._admits(decision),
        )

    def _admits(self, decision: Decision) -> Callable[[str], bool] | None:
        """To which addresses a request may go: where the permit rests on the store's being at home, its peer is, too.

        Reading stores nothing, and without a plan there is no home (rule ``storage-home``).
        """
        attempt, facts = decision.attempt, decision.facts
        if attempt.resource.action is Action.READ or facts is None or facts.plan is Plan.NONE or not facts.storage_home:
            return None
        return lambda peer: self._is_peer_home(attempt.resource.store, peer, attempt.home)

    async def _return(
        self, request: web.BaseRequest, incoming: Incoming, admission: Admission
    ) -> tuple[web.StreamResponse, bool]:
        """Pass the answer on; the response, and whether all of it went."""
        decision = admission.decision
        if incoming.octets:
            write_octets(request)
        kept = headers.to_client(
            incoming.headers, decision=decision.id, no_store="no-store" in decision.verdict.obligations
        )
        if admission.approach.method == websocket.METHOD:
            return await websocket.tunnel(request, incoming, kept, admission)
        if incoming.complete is not None and request.method != "HEAD" and incoming.status not in BODILESS:
            if not admission.count_out(len(incoming.complete)):
                raise Capped
            return WholeAnswer(incoming.status, incoming.reason, kept, incoming.complete), True
        response = web.StreamResponse(status=incoming.status, reason=incoming.reason, headers=kept)
        length = kept.get("Content-Length")
        if length is None and request.method != "HEAD":
            if request.version >= (1, 1):
                response.enable_chunked_encoding()
            else:
                response.force_close()  # its end is the end of the connection
        await response.prepare(request)
        async for chunk in incoming.chunks:
            if not admission.count_out(len(chunk)):
                raise Capped
            await response.write(chunk)
        if _falls_short(request, incoming.status, length, admission.bytes_out):
            raise StoreCut("the answer is not as long as it said")
        await response.write_eof()
        return response, True


async def decided(deciding: Awaitable[Decision], metrics: Metrics) -> Decision | None:
    """A decision, counted; None where it could not be recorded, so that nothing may pass."""
    try:
        decision = await deciding
    except LedgerUnavailable as error:
        log.error("decision_not_recorded", problem=str(error))
        metrics.decided("deny", "unavailable")
        return None
    metrics.decided(decision.verdict.effect.value, decision.verdict.rules[0])
    return decision


def client_of(decision: Decision, peer: str) -> Hashable:
    """At whose pace a refusal is answered: the person's or service's, or else the address's."""
    principal = decision.attempt.principal
    if principal.subject:
        return principal.issuer, principal.subject
    return neighbourhood(decision.attempt.location.address or peer)


async def _refuse(request: web.BaseRequest, response: web.Response, client: Hashable) -> web.StreamResponse:
    connection = request.protocol
    if isinstance(connection, DoorConnection) and response.status != HTTPStatus.SERVICE_UNAVAILABLE:  # our own fault
        return await connection.refuse(request, response, client)
    return response


def approach_of(request: web.BaseRequest, origins: Collection[str] = ()) -> Approach:
    """What the door knows of a request. A WebSocket handshake has a method name of its own.

    What comes on one connection mostly says the same but for its target, and is then read once.

    Args:
        origins: more origins that browsers may open a WebSocket from.
    """
    connection = request.protocol
    if not isinstance(connection, DoorConnection):
        return _read(request, origins)
    said = request.raw_headers, request.method, version_of(request)
    latest = connection.latest
    if latest is not None and latest.said == said:
        return latest.approach.towards(request.raw_path)
    approach = _read(request, origins)
    if not approach.ambiguity and approach.method != websocket.METHOD:  # that one rests on a setting, too
        connection.remember(request.raw_headers, said, approach)
    return approach


def _read(request: web.BaseRequest, origins: Collection[str]) -> Approach:
    given = request.headers
    method, upgrading = request.method, websocket.is_asked_for(given)
    ambiguity = (
        _version_fault(request)
        or _length_fault(request)
        or headers.unasked_body(method, given)
        or headers.ambiguity(given, upgrading=upgrading)
    )
    if upgrading and not ambiguity:
        ambiguity = websocket.fault(method, request.version, given, origins)
        method = method if ambiguity else websocket.METHOD
    return Approach(
        door="http",
        method=method,
        target=request.raw_path,
        host=given.get("Host", ""),
        peer=_peer(request),
        authorization=given.getall("Authorization", ()),
        on_behalf_of=given.getall(headers.ON_BEHALF_OF, ()),
        forwarded=given.getall("Forwarded", ()),
        x_forwarded_for=given.getall("X-Forwarded-For", ()),
        ticket=given.get(headers.TICKET, ""),
        reason=given.get(headers.REASON, ""),
        header=partial(given.getall, default=()),
        ambiguity=ambiguity,
        certificate=getattr(request.protocol, "certificate", ""),
    )


def _falls_short(request: web.BaseRequest, status: int, length: str | None, sent: int) -> bool:
    """Whether a body is not as long as was announced; what comes next on the connection would be read as more of it."""
    return length is not None and request.method != "HEAD" and status not in (204, 304) and int(length) != sent


def _is_last(request: web.BaseRequest) -> bool:
    """Whether what comes behind a request must not be read as another.

    It may be more of its body; and behind an ``Upgrade`` that was declined, aiohttp parses what it kept on its own.
    """
    body = request.content
    return not body.is_eof() or body.exception() is not None or websocket.is_asked_for(request.headers)


def _version_fault(request: web.BaseRequest) -> str:
    """HTTP/1.1, or 1.0 without what it does not know (RFC 9112 §6.1)."""
    version = version_of(request)
    if version == (1, 1) or (version == (1, 0) and "Transfer-Encoding" not in request.headers):
        return ""
    return "the request is not HTTP/1.1, or HTTP/1.0 with a transfer encoding; this door speaks HTTP/1.1"


def _length_fault(request: web.BaseRequest) -> str:
    """A head that comes in pieces is not read further than this; one that came in one piece is told so here."""
    if sum(len(name) + len(value) for name, value in request.raw_headers) <= MAX_HEAD_BYTES:
        return ""
    return f"the headers are longer than {MAX_HEAD_BYTES} bytes together"


def _peer(request: web.BaseRequest) -> str:
    return str(getattr(request.protocol, "peer", ""))  # as the listener established it


async def _body(request: web.BaseRequest, admission: Admission) -> AsyncIterator[bytes]:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await _continue(request)
    try:
        async for chunk in request.content.iter_any():
            admission.count_in(len(chunk))
            yield chunk
    except (web.RequestPayloadError, OSError) as error:
        raise ClientCut("the request's body broke off, or is not what was announced") from error


async def _continue(request: web.BaseRequest) -> None:
    writer: AbstractStreamWriter = request.writer
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _break_off(request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection without an end of the body; the response returned is never written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=HTTPStatus.BAD_GATEWAY)


def _upstream_problem(error: StoreUnreachable, decision: Decision) -> Problem:
    elsewhere = isinstance(error, StoreElsewhere)
    return Problem(
        status=error.status,
        rule="storage-home" if elsewhere else "store-unreachable",
        title="Storage outside home" if elsewhere else HTTPStatus(error.status).phrase,
        detail=str(error),
        decision=decision.id,
        retry_after_s=error.retry_after_s,
    )


def _client_problem(error: ClientCut, decision: Decision) -> Problem:
    return Problem(status=400, rule="malformed", title="Not one meaning", detail=str(error), decision=decision.id)


_FAILED = Problem(
    status=503,
    rule="unavailable",
    title="Cannot decide now",
    detail="something went wrong within the gateway, and nothing passed; tell the operator if it lasts",
)
UNRECORDED = Problem(
    status=503,
    rule="unavailable",
    title="Cannot decide now",
    detail="the decision could not be written down, so nothing may pass; try again, and tell the operator if it lasts",
)
