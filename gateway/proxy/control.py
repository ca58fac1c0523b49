"""The control listener: health, readiness and metrics, never on the doors' port."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from gateway.proxy.metrics import Metrics

READINESS: web.AppKey[Callable[[], Mapping[str, str]]] = web.AppKey("readiness", Callable[[], Mapping[str, str]])  # type: ignore[arg-type]  # a Callable is no class, yet a good name
METRICS = web.AppKey("metrics", Metrics)


def control_app(readiness: Callable[[], Mapping[str, str]], metrics: Metrics) -> web.Application:
    """The application of the control listener.

    Args:
        readiness: says for each thing that a decision needs what is wrong with it; "" where nothing is.
        metrics: what to expose.
    """
    app = web.Application()
    app[READINESS] = readiness
    app[METRICS] = metrics
    app.router.add_get("/healthz", _health)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/metrics", _metrics)
    return app


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
