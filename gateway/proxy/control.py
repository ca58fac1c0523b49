"""The control listener: health, readiness, metrics and external authorization, never on the doors' port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.proxy.external import ENVOY_PREFIX, ExternalAuthorization
from gateway.proxy.metrics import Metrics

READINESS: web.AppKey[Callable[[], Mapping[str, str]]] = web.AppKey("readiness", Callable[[], Mapping[str, str]])  # type: ignore[arg-type]  # a Callable is no class, yet a good name
METRICS = web.AppKey("metrics", Metrics)
External = Callable[[], ExternalAuthorization]


def control_app(readiness: Callable[[], Mapping[str, str]], metrics: Metrics, external: External) -> web.Application:
    """The application of the control listener.

    Args:
        readiness: says for each thing that a decision needs what is wrong with it; "" where nothing is.
        metrics: what to expose.
        external: what answers the subrequests of other proxies now.
    """
    app = web.Application(middlewares=[_envoy(external)])
    app[READINESS] = readiness
    app[METRICS] = metrics
    app.router.add_get("/healthz", _health)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/metrics", _metrics)
    for door in ("nginx", "forward"):
        app.router.add_route("*", f"/authz/{door}", partial(_authorize, external, door))
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
