"""Ticket systems of the sample world, with the shapes that their public documentation shows.

Jira Cloud, REST API v3, *Get issue* and *Edit issue*; ServiceNow, Table API, *GET /now/table/{tableName}* and
*PATCH /now/table/{tableName}/{sys_id}*; and their errors.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.justification import Answer

JIRA_401 = "Client must be authenticated to access this resource."
JIRA_404 = {"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}}
JIRA_429 = {"errorMessages": ["Rate limit exceeded."], "errors": {}}
SERVICENOW_401 = {
    "error": {"message": "User Not Authenticated", "detail": "Required to provide Auth information"},
    "status": "failure",
}
SIGN_IN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head></html>"
JIRA = "https://example.atlassian.net/rest/api/3"


def issue(key: str, **fields: Any) -> dict[str, Any]:
    """An issue as Jira Cloud gives it: an open security incident of acme, high, unassigned."""
    return {
        "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
        "id": "10421",
        "self": f"{JIRA}/issue/10421",
        "key": key,
        "fields": {
            "issuetype": {
                "self": f"{JIRA}/issuetype/10011",
                "id": "10011",
                "description": "A security incident.",
                "name": "Security Incident",
                "subtask": False,
                "avatarId": 10316,
                "hierarchyLevel": 0,
            },
            "priority": {"self": f"{JIRA}/priority/2", "name": "High", "id": "2"},
            "status": status("indeterminate"),
            "assignee": None,
            "summary": "Odd sign-ins",
            "created": "2027-01-14T09:12:33.235+0100",
            "resolutiondate": None,
            "customfield_10050": [{"self": f"{JIRA}/customFieldOption/10020", "value": "acme", "id": "10020"}],
        }
        | fields,
    }


def status(category: str) -> dict[str, Any]:
    """The status of an issue, by its category: ``new``, ``indeterminate`` or ``done``."""
    number, name, colour = {
        "new": (2, "To Do", "blue-gray"),
        "indeterminate": (4, "In Progress", "yellow"),
        "done": (3, "Done", "green"),
    }[category]
    category_of = {"self": f"{JIRA}/statuscategory/{number}", "id": number, "key": category, "colorName": colour}
    return {
        "self": f"{JIRA}/status/{number}",
        "description": "",
        "name": name,
        "id": str(number),
        "statusCategory": category_of | {"name": name},
    }


def record(number: str, **fields: Any) -> dict[str, Any]:
    """A record of the incident table with ``sysparm_display_value=all``: open, of acme, critical."""
    return {
        "number": both(number),
        "sys_id": both(sys_id(number)),
        "sys_class_name": both("incident", "Incident"),
        "priority": both("1", "1 - Critical"),
        "state": both("2", "In Progress"),
        "assigned_to": both("46c1293aa9fe1981000dc753e75ebeee", "Beth Anglin"),
        "short_description": both("All lines down"),
        "opened_at": both("2027-01-14 08:12:33", "2027-01-14 00:12:33"),
        "closed_at": both(""),
        "u_customer": both("acme", "Acme Health"),
    } | fields


def sys_id(number: str) -> str:
    """The id that an instance gives to the record with this number."""
    return number.encode().hex().rjust(32, "0")[:32]


def both(value: str, display: str = "") -> dict[str, str]:
    """A field with both its values."""
    return {"display_value": display or value, "value": value}


class Served:
    """A ticket system that answers as it should, until it is told to misbehave.

    Attributes:
        misbehave: one of :data:`MISDEEDS`, or "".
        misbehave_writing: likewise, when something is to be written; then nothing is.
        asked: the raw targets of the requests that came.
        credentials: their ``Authorization``.
        written: method, path and body of what was to be written.
    """

    def __init__(self, answer: Callable[[Served, web.BaseRequest], web.Response]) -> None:
        self.misbehave = ""
        self.misbehave_writing = ""
        self.written: list[tuple[str, str, Any]] = []
        self.tickets: dict[str, Any] = {}
        self.asked: list[str] = []
        self.credentials: list[str] = []
        self.url = ""
        self._answer = answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.raw_path)
        self.credentials.append(request.headers.get("Authorization", ""))
        writing = request.method != "GET"
        if writing:
            self.written.append((request.method, request.path, await request.json()))
        misdeed = self.misbehave_writing if writing else self.misbehave
        answer = web.json_response({}) if writing and misdeed else self._answer(self, request)
        return await MISDEEDS[misdeed](request, answer) if misdeed else answer


def _jira(served: Served, request: web.BaseRequest) -> web.Response:
    if request.path == "/rest/api/3/myself":
        return web.json_response({"accountId": "5b10a2844c20165700ede21g", "active": True})
    key = request.path.removeprefix("/rest/api/3/issue/")
    found = served.tickets.get(key) or served.tickets.get(key.upper())  # the search ignores case
    if found and request.method == "PUT":
        found["fields"] |= served.written[-1][2]["fields"]
        return web.Response(status=204)
    return web.json_response(found) if found else web.json_response(JIRA_404, status=404)


def _servicenow(served: Served, request: web.BaseRequest) -> web.Response:
    if request.method == "PATCH":
        [found] = [one for one in served.tickets.values() if request.path.endswith("/" + one["sys_id"]["value"])]
        found |= {name: both(value) for name, value in served.written[-1][2].items()}
        return web.json_response({"result": {"number": found["number"]["value"]}})
    name, _, number = request.query["sysparm_query"].partition("=")
    if name != "number":  # what is not understood of a query is ignored
        return web.json_response({"result": list(served.tickets.values())[: int(request.query["sysparm_limit"])]})
    return web.json_response({"result": [served.tickets[number]] if number in served.tickets else []})


async def _slow(_request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    await asyncio.sleep(30)
    return response


async def _cut(request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    body = bytes(response.body)  # type: ignore[arg-type]
    half = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    request.transport.close()  # type: ignore[union-attr]
    return half


async def _giant(request: web.BaseRequest, _response: web.Response) -> web.StreamResponse:
    endless = web.StreamResponse(headers={"Content-Type": "application/json"})
    await endless.prepare(request)
    try:
        while True:
            await endless.write(b" " * 65_536)
    except ConnectionError:
        return endless


def _with_error(response: web.Response) -> web.Response:
    found = json.loads(bytes(response.body))  # type: ignore[arg-type]
    return web.json_response(found | {"error": {"message": "Transaction cancelled"}, "status": "failure"})


def _gzipped(response: web.Response) -> web.Response:
    body = gzip.compress(bytes(response.body))  # type: ignore[arg-type]
    return web.Response(body=body, content_type="application/json", headers={"Content-Encoding": "gzip"})


def _as(make: Callable[[web.Response], web.Response]) -> Callable[..., Any]:
    async def answer(_request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
        return make(response)

    return answer


MISDEEDS: dict[str, Callable[..., Any]] = {
    "401": _as(lambda _: web.json_response(SERVICENOW_401, status=401, headers={"WWW-Authenticate": "Basic"})),
    "401 in words": _as(lambda _: web.Response(text=JIRA_401, status=401)),
    "403": _as(lambda _: web.json_response({"errorMessages": ["Forbidden"], "errors": {}}, status=403)),
    "404 of nobody": _as(
        lambda _: web.json_response(JIRA_404, status=404, headers={"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"})
    ),
    "404 page": _as(lambda _: web.Response(text=SIGN_IN_PAGE, content_type="text/html", status=404)),
    "429": _as(lambda _: web.json_response(JIRA_429, status=429, headers={"Retry-After": "30"})),
    "500": _as(lambda _: web.Response(text="Internal Server Error", status=500)),
    "503": _as(lambda _: web.Response(text="", status=503, headers={"Retry-After": "5"})),
    "redirect": _as(lambda _: web.Response(status=302, headers={"Location": "/login"})),
    "sign-in page": _as(lambda _: web.Response(text=SIGN_IN_PAGE, content_type="text/html")),
    "page called JSON": _as(lambda _: web.Response(text=SIGN_IN_PAGE, content_type="application/json")),
    "list": _as(lambda _: web.json_response([])),
    "nested": _as(lambda _: web.Response(text="[" * 100_000, content_type="application/json")),
    "error beside result": _as(_with_error),
    "gzip": _as(_gzipped),
    "slow": _slow,
    "cut": _cut,
    "giant": _giant,
}


@asynccontextmanager
async def jira(*issues: dict[str, Any]) -> AsyncIterator[Served]:
    """A Jira that has these issues."""
    served = Served(_jira)
    served.tickets = {one["key"]: one for one in issues}
    async with _listening(served):
        yield served


@asynccontextmanager
async def servicenow(*records: dict[str, Any]) -> AsyncIterator[Served]:
    """A ServiceNow that has these records."""
    served = Served(_servicenow)
    served.tickets = {one["number"]["value"]: one for one in records}
    async with _listening(served):
        yield served


@asynccontextmanager
async def _listening(served: Served) -> AsyncIterator[None]:
    runner = web.ServerRunner(web.Server(served.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


class FakeTracker:
    """A tracker in memory: says what it is told to, when it is let.

    Attributes:
        answers: by id: an answer, or what is raised.
        asked: every id that it was asked for.
        handed_off: every id that it was to hand off.
        open: cleared, it keeps everybody waiting.
    """

    def __init__(self, name: str, pattern: str, *, max_age_s: float = 60.0, timeout_s: float = 1.0) -> None:
        self.name, self.pattern = name, re.compile(pattern)
        self.max_age_s, self.timeout_s = max_age_s, timeout_s
        self.answers: dict[str, Answer | Exception] = {}
        self.asked: list[str] = []
        self.handed_off: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, ticket: str) -> Answer:
        self.asked.append(ticket)
        answer = self.answers.get(ticket, Answer(problem=f"{self.name} knows no {ticket}"))
        await self.open.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def hand_off(self, ticket: str) -> None:
        self.handed_off.append(ticket)
        await self.open.wait()

    async def probe(self) -> None: ...

    async def close(self) -> None: ...
