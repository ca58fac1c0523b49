"""External authorization: decisions for those who keep a proxy of their own as the data path.

Before it forwards a request, such a proxy asks here, with a subrequest that says what was asked of it. Three dialects:

* ``nginx``: ``auth_request``; the original request stands in ``X-Original-Method``, ``-Host`` and ``-URI``;
* ``forward``: ``forward_auth`` of Caddy, ForwardAuth of Traefik, and HAProxy by a small action of its own; the original
  request stands in ``X-Forwarded-Method``, ``-Host`` and ``-Uri``;
* ``envoy``: ``ext_authz`` over HTTP; the subrequest has the original method and host, and its path behind
  :data:`ENVOY_PREFIX`.

Invariants: what a subrequest says of the original one is believed only from a configured peer, and only once; the
proxy passes the path on as it came, so that one which is not in its canonical form already is refused; whatever is
refused here is recorded, and whatever is permitted is recorded as delegated: its bytes are not seen here, and nothing
here can cut them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import structlog
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.attempt import Approach, Decision
from gateway.checkpoint import Checkpoint
from gateway.errors import GatewayError
from gateway.explanation import Explainer, Problem
from gateway.location.networks import Network, parse_address, plain_network
from gateway.proxy import headers, websocket
from gateway.proxy.http_door import UNRECORDED, approach_of, decided
from gateway.proxy.metrics import Metrics
from gateway.proxy.problems import answer

log = structlog.get_logger(__name__)

OBLIGATIONS = "Residency-Obligations"
ENVOY_PREFIX = "/authz/envoy"

_OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL")
"""With these, some frameworks serve something else than the request line asks for."""


class Original(NamedTuple):
    """The request that the proxy was asked; ``fault``: why it cannot be told, or ""."""

    method: str
    host: str
    target: str
    fault: str = ""


def of_nginx(request: web.BaseRequest) -> Original:
    """What nginx was asked, from the headers that its configuration sets."""
    return _named(request, "X-Original-Method", "X-Original-Host", "X-Original-URI")


def of_forward(request: web.BaseRequest) -> Original:
    """What Caddy, Traefik or HAProxy was asked."""
    return _named(request, "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri")


def of_envoy(request: web.BaseRequest) -> Original:
    """What Envoy was asked: its subrequest is the original one, with a prefix before the path."""
    hosts = request.headers.getall("Host", ())
    fault = "" if len(hosts) == 1 else f"Host came {len(hosts)} times; expected it once"
    return Original(request.method, "".join(hosts[:1]), request.raw_path.removeprefix(ENVOY_PREFIX), fault)


DIALECTS: Mapping[str, Callable[[web.BaseRequest], Original]] = {
    "nginx": of_nginx,
    "forward": of_forward,
    "envoy": of_envoy,
}


class ExternalAuthorization:
    """Answers the subrequests of other proxies.

    Args:
        checkpoint: decides.
        explainer: puts denials into words.
        trusted_peers: networks of the proxies that are believed about the original request. Each has to be a trusted
            proxy of the address resolver too, or its own address would be judged as everybody's.
        metrics: counts decisions.
    """

    def __init__(
        self, checkpoint: Checkpoint, explainer: Explainer, trusted_peers: Iterable[Network], metrics: Metrics
    ) -> None:
        self._checkpoint = checkpoint
        self._explainer = explainer
        self._trusted = tuple(map(plain_network, trusted_peers))
        self._metrics = metrics

    @property
    def enabled(self) -> bool:
        """Whether anybody may ask."""
        return bool(self._trusted)

    async def authorize(self, request: web.BaseRequest, door: str) -> web.StreamResponse:
        """Answer a subrequest: 200 with what the store is to be told, or the problem that the client is to see.

        Args:
            door: the dialect; one of :data:`DIALECTS`.
        """
        peer = _peer(request)
        approach = self._approach(request, door, peer)
        decision = await decided(self._checkpoint.decide(approach), self._metrics)
        if decision is None:
            return _denied(UNRECORDED, request)
        if not decision.permitted:
            problem = self._explainer.explain(decision)
            # nginx knows 401 and 403, and makes an error of its own of any other answer.
            forbid = problem.status in (400, 405) and (door == "nginx" or not self._trusts(peer))
            return _denied(replace(problem, status=403) if forbid else problem, request)
        self._checkpoint.admit(decision, approach).complete("delegated", 200)
        return _permitted(decision)

    def _approach(self, request: web.BaseRequest, door: str, peer: str) -> Approach:
        """The original request as the checkpoint is to judge it; of a peer that is not believed, only who asks."""
        if self._trusts(peer):
            original = DIALECTS[door](request)
            ambiguity = original.fault or _ambiguity(request, original) or self._moved(original)
        else:
            original = Original("", "", "")
            ambiguity = "this peer is not believed about other requests; expected one of external.trusted_peers"
        return approach_of(request)._replace(
            door=door,
            method=original.method,
            target=original.target,
            host=original.host,
            peer=peer,
            ambiguity=ambiguity,
            certificate="",
        )

    def _trusts(self, peer: str) -> bool:
        address = parse_address(peer)
        return address is not None and any(address in network for network in self._trusted)

    def _moved(self, original: Original) -> str:
        """Why the store would receive something else than what is judged, or ""."""
        limit = self._checkpoint.max_target_bytes
        try:
            judged = self._checkpoint.catalog.read(original.target, original.host, max_bytes=limit).path
        except GatewayError:
            return ""  # the checkpoint meets it too, and says so
        if original.target.partition("?")[0] == judged:
            return ""
        return f"the path is not in the form that is judged, and would be passed on as it came; expected {judged}"


def _named(request: web.BaseRequest, *names: str) -> Original:
    """The original method, host and target from headers of these names, each of which comes once."""
    given = [request.headers.getall(name, ()) for name in names]
    wrong = [f"{name} came {len(values)} times" for name, values in zip(names, given, strict=True) if len(values) != 1]
    method, host, target = ("".join(values[:1]) for values in given)
    return Original(method, host, target, f"{', '.join(wrong)}; expected each once, from the proxy" if wrong else "")


def _ambiguity(request: web.BaseRequest, original: Original) -> str:
    """What makes the original request readable in two ways, by the store that the proxy passes it on to, or ""."""
    given = request.headers
    if "Upgrade" in given or original.method == websocket.METHOD:
        return "an Upgrade came; a tunnel through another proxy could not be ended, so none is permitted"
    if any("_" in name or "." in name for name in given):
        return "a header's name holds a '_' or a '.', which some stores take for a '-'; expected the proxy to drop it"
    if any(name in given for name in _OVERRIDES):
        return f"a header overrides the method or the path; expected none of {', '.join(_OVERRIDES)}"
    original_headers = CIMultiDict(given)
    original_headers["Host"] = original.host
    return headers.ambiguity(CIMultiDictProxy(original_headers))


def _peer(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("peername") if request.transport else None
    return str(name[0]) if isinstance(name, tuple) else ""


def _permitted(decision: Decision) -> web.Response:
    obligations = decision.verdict.obligations
    given = {
        headers.DECISION: decision.id,
        headers.SUBJECT: headers.quoted(decision.attempt.principal.subject),
        headers.RULE: decision.verdict.rules[0],
        "Server": headers.SERVER,
        "Vary": "*",  # kept and used again, it would be a permit without a record (RFC 9111 §4.1)
    }
    if obligations:
        given[OBLIGATIONS] = ", ".join(obligations)
    if "no-store" in obligations:
        given["Cache-Control"] = "no-store, private"
    return web.Response(headers=given)


def _denied(problem: Problem, request: web.BaseRequest) -> web.Response:
    response = answer(problem, request)
    response.headers[headers.RULE] = problem.rule  # nginx passes on no body
    return response
