"""Problems over HTTP: JSON for programs, a page for people (RFC 9457)."""

from __future__ import annotations

import html
import json

from aiohttp import web

from gateway.explanation import Problem
from gateway.proxy.headers import DECISION, SERVER

RETRY_AFTER_S = 5


def answer(problem: Problem, request: web.BaseRequest) -> web.Response:
    """The response that carries a problem; never kept by anybody."""
    headers = {"Cache-Control": "no-store", "Server": SERVER}
    if problem.decision:
        headers[DECISION] = problem.decision
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="residency-gateway"'
    if problem.status == 405:
        headers["Allow"] = ", ".join(problem.allowed)
    if problem.retry_after_s or problem.status == 503:
        headers["Retry-After"] = str(problem.retry_after_s or RETRY_AFTER_S)
    if _prefers_page(request.headers.get("Accept", "")):
        response = web.Response(
            status=problem.status,
            body=_page(problem).encode("utf-8", "replace"),
            content_type="text/html",
            charset="utf-8",
            headers=headers,
        )
    else:
        response = web.Response(
            status=problem.status,
            body=json.dumps(problem.as_json()).encode(),
            content_type="application/problem+json",
            headers=headers,
        )
    if problem.status in (400, 405):  # it may be that not all of it was read as it was meant
        response.force_close()
    return response


def _prefers_page(accept: str) -> bool:
    """Whether a browser asks: it names HTML, and names it before any JSON."""
    page, data = accept.find("text/html"), accept.find("json")
    return page >= 0 and (data < 0 or page < data)


def _page(problem: Problem) -> str:
    steps = "".join(
        f"<li>{html.escape(step['rel'].replace('-', ' '))}: <code>{html.escape(step.get('command', ''))}</code></li>"
        for step in problem.next_steps
    )
    return _PAGE.format(
        title=html.escape(problem.title),
        detail=html.escape(problem.detail),
        rule=html.escape(problem.rule),
        decision=html.escape(problem.decision or "not recorded"),
        steps=f"<h2>What to do next</h2><ul>{steps}</ul>" if steps else "",
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 12vh auto; padding: 0 1.5rem; color: #1c2430 }}
h1 {{ font-size: 1.6rem }} h2 {{ font-size: 1.1rem }} dt {{ color: #5b6675 }} code {{ overflow-wrap: anywhere }}
@media (prefers-color-scheme: dark) {{ body {{ background: #12161c; color: #e6eaf0 }} dt {{ color: #94a0b0 }} }}
</style></head>
<body><h1>{title}</h1><p>{detail}</p>{steps}
<dl><dt>Rule</dt><dd>{rule}</dd><dt>Decision</dt><dd><code>{decision}</code></dd></dl></body></html>
"""
