"""The HTTP server under the door: aiohttp's, with what it refuses by itself recorded too.

A request that aiohttp's parser cannot read never reaches a handler; here it still goes through the checkpoint, as far
as it is known, so that no refusal is without a record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp.http_parser
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.attempt import Approach
from gateway.checkpoint import Checkpoint
from gateway.errors import ConfigurationError, LedgerUnavailable
from gateway.explanation import Explainer, Problem
from gateway.proxy.problems import answer

MAX_HEADER_BYTES = 16_384
KEEPALIVE_S = 75.0


def require_c_parser() -> None:
    """Refuse to run on aiohttp's pure-Python parser, which reads more than HTTP allows.

    Raises:
        ConfigurationError: the C extension is missing.
    """
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise ConfigurationError(["aiohttp runs without its C parser here; install a wheel of it for this platform"])


class DoorServer(web.Server):
    """A server whose protocol records what the parser refuses."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        checkpoint: Checkpoint,
        explainer: Explainer,
        **options: Any,
    ) -> None:
        defaults = {
            "max_line_size": checkpoint.max_target_bytes,
            "max_field_size": MAX_HEADER_BYTES,
            "keepalive_timeout": KEEPALIVE_S,
            "access_log": None,
            "auto_decompress": False,
        }
        super().__init__(handler, handler_cancellation=True, **(defaults | options))
        self.checkpoint = checkpoint
        self.explainer = explainer

    def __call__(self) -> RequestHandler:
        return _RecordingHandler(self, loop=self._loop, **self._kwargs)

    async def refuse(self, request: web.BaseRequest, peer: str, message: str) -> web.StreamResponse:
        """Record and answer a request that could not be parsed."""
        approach = Approach(door="http", method="", target="", host="", peer=peer, ambiguity=message)
        try:
            problem = self.explainer.explain(await self.checkpoint.decide(approach))
        except LedgerUnavailable:
            problem = Problem(503, "unavailable", "Cannot decide now", "the refusal could not be written down")
        response = answer(problem, request)
        response.force_close()
        return response


class _RecordingHandler(RequestHandler):
    """aiohttp's protocol; only what it does with a message it cannot parse is different."""

    def _make_error_handler(
        self,
        err_info: Any,  # noqa: ARG002 - what the parser says may quote the request
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def refuse(request: web.BaseRequest) -> web.StreamResponse:
            peername = self.transport.get_extra_info("peername") if self.transport else None
            server = self._manager
            assert isinstance(server, DoorServer)  # noqa: S101 - made by DoorServer.__call__ only
            peer = str(peername[0]) if isinstance(peername, tuple) else ""
            return await server.refuse(request, peer, "the request is not HTTP that can be read in one way only")

        return refuse
