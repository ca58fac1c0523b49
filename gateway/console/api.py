"""A call from its first byte to its answer: who, how many, may they, what, and only then is it done or shown.

Invariants: whatever is called, at least one entry of the ledger says so before the answer goes out, be it a refusal; if
it cannot be written, nothing is shown and nothing is done; a change that was made is what the doors judge by before its
answer goes out; the event loop never waits for a database.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial

import orjson
import structlog
from aiohttp import web

from gateway.acts import Actor
from gateway.console import problems
from gateway.console.asked import Nothing
from gateway.console.call import Call
from gateway.console.document import DOCUMENT_PATH, document
from gateway.console.errand import Errand
from gateway.console.operation import PREFIX, Answer, Operation
from gateway.console.problems import Problem, Refused
from gateway.console.reading import MEDIA_TYPE, REPLAYED, read
from gateway.console.visit import Authenticating, Entry, Surroundings, Visit, told
from gateway.console.workers import Workers
from gateway.errors import Forbidden, GatewayError, LedgerUnavailable, Malformed, NotFound

log = structlog.get_logger(__name__)
RECORD_TIMEOUT_S = 30.0
WAITING = 128
_ALWAYS = {"Cache-Control": "no-store", "Server": "residency-gateway", "X-Content-Type-Options": "nosniff"}


class Console:
    """Answers the calls of the control API.

    Args:
        operations: all that can be called.
        surroundings: what calls are answered from now.
        record: writes an entry down, and returns once it is durable.
        settle: called after a change; returns once the doors judge by it.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        *,
        surroundings: Callable[[], Surroundings],
        record: Callable[[Entry], Awaitable[int]],
        settle: Callable[[], Awaitable[object]],
    ) -> None:
        self._surroundings = surroundings
        self._record = record
        self._settle = settle
        self._acts = Workers("console-act", threads=1, waiting=WAITING)
        self._reads = Workers("console-read", threads=2, waiting=WAITING)
        show = Operation("document", "GET", DOCUMENT_PATH, "This document", "", self._show, None, public=True)
        self._table = (*operations, show)

    @cached_property
    def _document(self) -> bytes:
        """Made when it is first asked for, which many a start never is."""
        return orjson.dumps(document(self._table))

    def attach(self, router: web.UrlDispatcher) -> None:
        """Make everything callable. Whatever else begins with the prefix is answered, and recorded, too."""
        paths: dict[str, dict[str, Operation]] = {}
        for operation in self._table:
            paths.setdefault(operation.path, {})[operation.method] = operation
        for path, methods in paths.items():
            router.add_route("*", PREFIX + path, partial(self._serve, methods))
        router.add_route("*", PREFIX + "{rest:(/.*)?}", partial(self._serve, {}))

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._acts.close()
        await self._reads.close()

    async def _serve(self, methods: Mapping[str, Operation], request: web.Request) -> web.Response:
        operation = methods.get("GET" if request.method == "HEAD" else request.method)
        around = self._surroundings()
        visit = Visit(around, _client(around, request), operation.name if operation else "unknown")
        try:
            return await self._answered(operation, methods, request, visit)
        except GatewayError as error:
            return await self._refused(visit, problems.of(error), error, method=told(request.method))
        except Exception as error:
            log.exception("call_failed", operation=visit.name)
            return await self._refused(visit, problems.FAILED, error, method=told(request.method))

    async def refuse_unreadable(self, request: web.BaseRequest, unrecorded: int) -> web.Response:
        """Record and answer what is no request that can be read, and hear no more of its connection.

        Args:
            unrecorded: how many such were not recorded since the last that was.
        """
        visit = Visit(self._surroundings(), request.remote or "", "unreadable")
        error = Refused(problems.MALFORMED, "the request is not HTTP that can be read in one way only", closes=True)
        more = {"unrecorded": unrecorded} if unrecorded else {}
        return await self._refused(visit, problems.of(error), error, **more)

    async def _answered(
        self, operation: Operation | None, methods: Mapping[str, Operation], request: web.Request, visit: Visit
    ) -> web.Response:
        failure = await _establish(request, visit)
        with _let_in(visit):
            if operation is None:
                raise _nowhere(methods, request, visit)
            visit.thing = told("/".join(request.match_info.values()))
            if failure and not operation.public:
                raise failure
            answer = await self._do(operation, request, visit)
        if visit.entries:
            await self._settle()
        else:
            done = "replayed" if answer.replayed else "unchanged" if operation.acts else "shown"
            await self._record(visit.entry(done, operation.status, count=answer.count))
        return _response(answer, operation.status)

    async def _do(self, operation: Operation, request: web.Request, visit: Visit) -> Answer:
        actor, around = visit.actor or Actor(""), visit.around
        if operation.act:
            around.office.permissions.require(actor, operation.act)
        asking = await read(request, operation, dict(request.match_info))
        visit.ask(asking.query, asking.body)
        record = partial(self._record_from_thread, asyncio.get_running_loop(), visit)
        office = replace(around.office, record=record)
        call = Call(operation, actor, asking, office, around.usage, around.ledger)
        if operation.cites:
            call = await self._told_elsewhere(call, operation.cites, around)
        if operation.sends:
            return await self._sent_home(call, operation.sends, visit)
        return await self._handled(call)

    async def _handled(self, call: Call) -> Answer:
        workers = self._acts if call.operation.acts else self._reads
        return await workers.run(partial(call.operation.handler, call))

    async def _sent_home(self, call: Call, sends: Callable[[Call], str], visit: Visit) -> Answer:
        """Do it, and then what is left to do in another system: by then access has ended at the doors."""
        tracking = visit.around.tracking
        errand = await Errand.of(await self._reads.run(partial(sends, call)), tracking)
        answer = await self._handled(replace(call, office=replace(call.office, homeward=errand.homeward)))
        if errand.is_due and visit.entries:
            await self._settle()
        await errand.finish(tracking)
        return answer

    async def _told_elsewhere(self, call: Call, cites: Callable[[Call], str], around: Surroundings) -> Call:
        """The call, with what another system says of the ticket that it rests on: whoever revokes waits for no tracker,
        so it is asked before the one thread for acts is taken."""
        cited = await self._reads.run(partial(cites, call))
        said = {cited: await around.elsewhere(cited)}
        return replace(call, office=replace(call.office, elsewhere=said.get))

    def _record_from_thread(self, loop: asyncio.AbstractEventLoop, visit: Visit, entry: Entry) -> None:
        """Write what an act says of itself down.

        Raises:
            LedgerUnavailable: it is not known to be durable.
        """
        written = asyncio.run_coroutine_threadsafe(_awaited(self._record(visit.located(entry))), loop)
        try:
            written.result(RECORD_TIMEOUT_S)
        except (TimeoutError, CancelledError) as error:
            raise LedgerUnavailable("the ledger did not confirm an entry in time") from error
        visit.entries += 1

    async def _refused(self, visit: Visit, problem: Problem, error: Exception, **details: str | int) -> web.Response:
        if problem.kind is problems.UNAVAILABLE:
            log.error("call_unavailable", operation=visit.name, problem=str(error))
        if visit.entries:  # something was done before it went wrong
            await self._settle()
        try:
            await self._record(visit.entry(problem.kind.name, problem.kind.status, **details))
        except GatewayError as failure:
            log.error("call_not_recorded", operation=visit.name, problem=str(failure))
            problem = replace(problems.UNRECORDED, closes=problem.closes)
        return _problem(problem)

    def _show(self, _call: Call) -> Answer:
        return Answer(self._document)


async def _awaited(recording: Awaitable[int]) -> int:
    return await recording


async def _establish(request: web.Request, visit: Visit) -> GatewayError | None:
    """Find out who calls; the failure where that cannot be told."""
    try:
        visit.actor = await _actor(visit.around.authenticator, request)
    except GatewayError as error:
        return error
    return None


async def _actor(authenticator: Authenticating, request: web.Request) -> Actor:
    """Whoever's own token it is.

    Raises:
        Unauthenticated: nobody's.
        Forbidden: a service calls for somebody; here people call for themselves.
    """
    authorizations = request.headers.getall("Authorization", ())
    if len(authorizations) > 1:
        raise Malformed("Authorization came twice; expected one")
    principal = await authenticator.authenticate(next(iter(authorizations), None))
    if principal.actor or "On-Behalf-Of" in request.headers:
        raise Forbidden("a service calls on behalf of somebody; the control API takes people's own tokens only")
    return Actor.of(principal)


@contextmanager
def _let_in(visit: Visit) -> Iterator[None]:
    """While a call is served, it takes a place of its caller's.

    Raises:
        Refused: there is none now.
    """
    limits, caller = visit.around.limits, visit.caller
    wait_s = limits.enter(caller)
    if wait_s is not None:
        after = {"Retry-After": str(math.ceil(wait_s))}
        raise Refused(problems.TOO_MANY, "you call too often, or too much at a time; wait a little", headers=after)
    try:
        yield
    finally:
        limits.leave(caller)


def _client(around: Surroundings, request: web.Request) -> str:
    peer = request.remote or ""
    forwarded, x_forwarded_for = (request.headers.getall(name, ()) for name in ("Forwarded", "X-Forwarded-For"))
    return str(around.resolver.resolve(peer, forwarded, x_forwarded_for) or peer)


def _nowhere(methods: Mapping[str, Operation], request: web.Request, visit: Visit) -> GatewayError:
    """Why there is nothing to call: no such path, or no such method there."""
    visit.asked = {"path": told(request.rel_url.raw_path)}
    if not methods:
        return NotFound(f"there is no such path; {PREFIX}{DOCUMENT_PATH} describes those that there are")
    allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
    how = f"got {told(request.method)}; expected {allow}: {_how(methods)}"
    return Refused(problems.NO_SUCH_METHOD, how, headers={"Allow": allow}, closes=request.body_exists)


def _how(methods: Mapping[str, Operation]) -> str:
    """What to send, so that something comes of it."""
    return "; ".join(
        f"send {method}{_with(operation)} ({operation.summary})" for method, operation in sorted(methods.items())
    )


def _with(operation: Operation) -> str:
    if operation.body is None:
        return ""
    return ", with no body or {}" if operation.body is Nothing else f" with a body of {MEDIA_TYPE}"


def _response(answer: Answer, status: int) -> web.Response:
    said = {
        "ETag": answer.etag and f'"{answer.etag}"',
        "Location": answer.location,
        "Link": answer.next and f'<{answer.next}>; rel="next"',
        REPLAYED: "true" if answer.replayed else "",
    }
    headers = _ALWAYS | {name: value for name, value in said.items() if value}
    return web.Response(status=status, body=answer.body, content_type="application/json", headers=headers)


def _problem(problem: Problem) -> web.Response:
    response = web.Response(
        status=problem.kind.status,
        body=orjson.dumps(problem.body()),
        content_type="application/problem+json",
        headers={**_ALWAYS, **problem.headers},
    )
    if problem.closes:
        response.force_close()
    return response
