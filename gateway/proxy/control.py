"""The control listener: health, readiness, metrics and external authorization, never on the doors' port.

What aiohttp's parser cannot read there never reaches a handler; it is recorded all the same, a bounded number of times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestHandler

from gateway.proxy.external import ENVOY_PREFIX, ExternalAuthorization
from gateway.proxy.limits import Rate, neighbourhood
from gateway.proxy.metrics import Metrics

READINESS: web.AppKey[Callable[[], Mapping[str, str]]] = web.AppKey("readiness", Callable[[], Mapping[str, str]])  # type: ignore[arg-type]  # a Callable is no class, yet a good name
METRICS = web.AppKey("metrics", Metrics)
Hook = Callable[[web.Request], Awaitable[web.StreamResponse]]
External = Callable[[], ExternalAuthorization]
Unreadable = Callable[[web.BaseRequest, int], Awaitable[web.StreamResponse]]
UNREADABLE_PER_S, UNREADABLE_BURST = 1.0, 20


def control_app(
    readiness: Callable[[], Mapping[str, str]],
    metrics: Metrics,
    external: External,
    attach: Callable[[web.UrlDispatcher], object] = lambda _: None,
    ticket_hook: Hook | None = None,
) -> web.Application:
    """The application of the control listener.

    Args:
        readiness: says for each thing that a decision needs what is wrong with it; "" where nothing is.
        metrics: what to expose.
        external: what answers the subrequests of other proxies now.
        attach: adds what else is to be called there.
        ticket_hook: what takes the webhooks of ticket systems.
    """
    app = web.Application(middlewares=[_envoy(external)])
    app[READINESS] = readiness
    app[METRICS] = metrics
    app.router.add_get("/healthz", _health)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/metrics", _metrics)
    if ticket_hook:
        app.router.add_post("/hooks/tickets/{tracker}", ticket_hook)
    for door in ("nginx", "forward"):
        app.router.add_route("*", f"/authz/{door}", partial(_authorize, external, door))
    attach(app.router)
    return app


def _envoy(external: External) -> Middleware:
    """Envoy puts the original path behind the prefix: whatever that is, no other route may answer it."""

    @web.middleware
    async def look_at_prefix(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.raw_path.startswith(ENVOY_PREFIX):
            return await _authorize(external, "envoy", request)
        return await handler(request)

    return look_at_prefix


async def _authorize(external: External, door: str, request: web.Request) -> web.StreamResponse:
    answering = external()
    if not answering.enabled:
        raise web.HTTPNotFound
    return await answering.authorize(request, door)


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


async def _ready(request: web.Request) -> web.Response:
    """Whether it would decide: 200 with every check well, else 503 with what is wrong."""
    checks = request.app[READINESS]()
    ready = not any(checks.values())
    body = {
        "status": "ready" if ready else "not ready",
        "checks": {name: problem or "ok" for name, problem in checks.items()},
    }
    return web.json_response(body, status=200 if ready else 503)


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=request.app[METRICS].exposition(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


class ControlRunner(web.AppRunner):
    """Runs the application of the control listener, with another answer to what cannot be parsed.

    Args:
        unreadable: records and answers a request that cannot be, and is told how many before it were not recorded.
        settings: of aiohttp's server.
    """

    __slots__ = ("_unreadable",)

    def __init__(self, app: web.Application, unreadable: Unreadable, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._unreadable = unreadable

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _ControlServer(made, self._unreadable)


class _ControlServer(web.Server):
    """A server of which one address gets so many unreadable requests recorded; then its connections are closed."""

    def __init__(self, made: web.Server, unreadable: Unreadable) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(made.request_handler, request_factory=made.request_factory, loop=loop, **made._kwargs)
        self._unreadable = unreadable
        self._rate = Rate(UNREADABLE_PER_S, UNREADABLE_BURST, loop.time)
        self._unrecorded = 0

    def __call__(self) -> RequestHandler:
        return _ControlConnection(self, loop=self._loop, **self._kwargs)

    async def refuse(self, request: web.BaseRequest) -> web.StreamResponse:
        client = neighbourhood(request.remote or "")
        if self._rate.wait_s(client) > 0:
            self._unrecorded += 1
            if request.transport:
                request.transport.abort()
            return web.Response(status=400)
        self._rate.draw(client)
        unrecorded, self._unrecorded = self._unrecorded, 0
        return await self._unreadable(request, unrecorded)


class _ControlConnection(RequestHandler):
    """aiohttp's protocol, but for what it says to a message that it cannot parse."""

    __slots__ = ()

    def _make_error_handler(self, _err_info: Any) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        return cast(_ControlServer, self._manager).refuse
