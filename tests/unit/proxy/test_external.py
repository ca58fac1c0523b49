"""Subrequests of other proxies: whom they are believed from, what they say, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.attempt import Approach, Attempt, Decision
from gateway.catalog import Catalog, Customers, RouteTable
from gateway.errors import ConfigurationError, LedgerUnavailable, Malformed
from gateway.explanation import Explainer
from gateway.identity import Kind, Principal
from gateway.justification import Justification
from gateway.location.networks import Network
from gateway.policy import Effect, Plan, Verdict
from gateway.proxy.external import DIALECTS, ENVOY_PREFIX, ExternalAuthorization
from gateway.proxy.metrics import Metrics
from gateway.refusal import MALFORMED, NOTHING, NOWHERE, UNAUTHENTICATED, UNAVAILABLE
from gateway.settings import ExternalSettings, RouteSettings
from tests.unit.test_settings import Document, changed, problems, read, told

PEER, PATH = "10.0.0.7", "/crm/acme/accounts/7"
PERMIT = Verdict(Effect.PERMIT, ("crm-account",), "consent 1", ("no-store", "read-cap"))
PLAIN = Verdict(Effect.PERMIT, ("home-personnel",), "", ())
DENY = Verdict(Effect.DENY, ("outside-home",), "")
NAMES = {
    "nginx": ("X-Original-Method", "X-Original-Host", "X-Original-URI"),
    "forward": ("X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri"),
}


@dataclass
class FakeCheckpoint:
    """Says what it is told to, but refuses what is ambiguous, as the real one does; it notes what it was asked."""

    verdict: Verdict = PLAIN
    subject: str = "sam"
    recording: bool = True
    max_target_bytes: int = 8_190
    asked: list[Approach] = field(default_factory=list)
    completed: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        route = RouteSettings(path="/crm/{customer}/{rest...}", store="crm", data_class="crm_account", allow=(";",))
        self.catalog = Catalog(RouteTable([route]), Customers())

    async def decide(self, approach: Approach) -> Decision:
        self.asked.append(approach)
        if not self.recording:
            raise LedgerUnavailable("the disk is full")
        principal = Principal(self.subject, "https://idp.test/", Kind.PERSONNEL, frozenset({"support"}))
        attempt = Attempt(
            principal, NOWHERE, NOTHING, Justification(), 0, frozenset({"US"}), Plan.IN_EFFECT, "P-1", None, None
        )
        verdict = MALFORMED if approach.ambiguity else self.verdict
        return Decision("01J-decision", attempt, verdict, "us_only@1", approach.ambiguity, sequence=0)

    def admit(self, decision: Decision, approach: Approach) -> FakeCheckpoint:
        assert decision.permitted
        assert approach is self.asked[-1]
        return self

    def complete(self, outcome: str, status: int) -> None:
        self.completed.append((outcome, status))


def authorization(checkpoint: FakeCheckpoint, *peers: str) -> ExternalAuthorization:
    trusted: Sequence[Network] = ExternalSettings(trusted_peers=peers or (f"{PEER}/32",)).trusted_peers
    return ExternalAuthorization(checkpoint, Explainer(lambda us: us), trusted, Metrics())  # type: ignore[arg-type]


def subrequest(
    door: str,
    *,
    method: str = "GET",
    host: str = "crm.test",
    target: str = PATH,
    peer: object = (PEER, 4711),
    **more: str,
) -> web.Request:
    """What a proxy sends; ``more`` are other headers of the client, dashes written as underscores twice."""
    given: CIMultiDict[str] = CIMultiDict({name.replace("__", "-"): value for name, value in more.items()})
    if door == "envoy":
        return mocked(method, ENVOY_PREFIX + target, given, host=host, peer=peer)
    given.update(zip(NAMES[door], (method, host, target), strict=True))
    return mocked("GET", f"/authz/{door}", given, host="gateway.test", peer=peer)


def mocked(method: str, path: str, given: CIMultiDict[str], *, host: str, peer: object) -> web.Request:
    given.add("Host", host)
    transport = Mock()
    transport.get_extra_info.side_effect = {"peername": peer}.get
    return make_mocked_request(method, path, given, transport=transport)


@pytest.mark.parametrize("door", sorted(DIALECTS))
async def test_original_request_is_judged_as_the_dialect_names_it(door: str) -> None:
    """Method, host and raw target are the original's; the peer is the proxy; credentials and reasons go along."""
    checkpoint = FakeCheckpoint()
    request = subrequest(
        door,
        method="DELETE",
        host="crm.test:8443",
        target=f"{PATH}?a=/../b",
        Authorization="Bearer t",
        On__Behalf__Of="Bearer p",
        Access__Ticket="BUG-9",
        Access__Reason="because",
        X__Forwarded__For="49.36.0.1",
        X__Tenant="acme",
    )
    response = await authorization(checkpoint).authorize(request, door)
    assert response.status == 200
    [asked] = checkpoint.asked
    assert asked[:5] == (door, "DELETE", f"{PATH}?a=/../b", "crm.test:8443", PEER)
    assert (asked.authorization, asked.on_behalf_of) == (["Bearer t"], ["Bearer p"])
    assert (asked.ticket, asked.reason, asked.x_forwarded_for) == ("BUG-9", "because", ["49.36.0.1"])
    assert (asked.header("X-Tenant"), asked.ambiguity, asked.certificate) == (["acme"], "", "")


@pytest.mark.parametrize(("door", "name"), [(door, name) for door, names in NAMES.items() for name in names])
async def test_original_header_that_is_missing_or_repeated_is_refused(door: str, name: str) -> None:
    """Neither none nor two of them is believed, and the record says which."""
    for count in (0, 2):
        checkpoint = FakeCheckpoint()
        request = subrequest(door)
        given = CIMultiDict(request.headers)
        del given[name]
        for _ in range(count):
            given.add(name, PATH)
        again = mocked("GET", f"/authz/{door}", given, host="gateway.test", peer=(PEER, 1))
        response = await authorization(checkpoint).authorize(again, door)
        assert response.status in {400, 403}
        assert checkpoint.asked[0].ambiguity == f"{name} came {count} times; expected each once, from the proxy"


async def test_envoys_host_that_came_twice_is_refused() -> None:
    """Which of them the store believes cannot be told."""
    checkpoint = FakeCheckpoint()
    request = mocked("GET", ENVOY_PREFIX + PATH, CIMultiDict({"Host": "a.test"}), host="b.test", peer=(PEER, 1))
    assert (await authorization(checkpoint).authorize(request, "envoy")).status == 400
    assert checkpoint.asked[0].ambiguity.startswith("Host came 2 times")


@pytest.mark.parametrize("door", sorted(DIALECTS))
@pytest.mark.parametrize("peer", [("10.0.0.8", 1), ("::1", 1, 0, 0), ("not an address", 1), "/run/a.sock", None])
async def test_peer_that_is_not_configured_is_refused_and_nothing_of_it_believed(door: str, peer: object) -> None:
    """It is told 403, and the record holds who it was and that it was not believed; no method, host or path."""
    checkpoint = FakeCheckpoint()
    response = await authorization(checkpoint).authorize(subrequest(door, peer=peer), door)
    assert response.status == 403
    [asked] = checkpoint.asked
    assert asked[:4] == (door, "", "", "")
    assert asked.peer == (peer[0] if isinstance(peer, tuple) else "")
    assert "external.trusted_peers" in asked.ambiguity
    assert checkpoint.completed == []


@pytest.mark.parametrize(
    ("network", "peer"), [("10.0.0.0/29", PEER), ("fd00::/8", "fd00::7"), ("10.0.0.7/32", f"::ffff:{PEER}")]
)
async def test_peer_inside_a_configured_network_is_believed(network: str, peer: str) -> None:
    """Either version of IP, and an IPv4 peer on a socket of both."""
    checkpoint = FakeCheckpoint()
    response = await authorization(checkpoint, network).authorize(subrequest("nginx", peer=(peer, 1)), "nginx")
    assert response.status == 200


@pytest.mark.parametrize("door", sorted(DIALECTS))
@pytest.mark.parametrize(
    "target",
    [
        "/crm/acme/a/../b",
        "/crm/acme//a",
        "/crm/acme/a/",
        "/crm/%61cme/a",
        "/crm/acme/caf%c3%a9",
        "/crm/acme/./a?q",
        "//crm",
    ],
)
async def test_path_that_is_not_in_its_canonical_form_is_refused(door: str, target: str) -> None:
    """The proxy would pass it on as it came, so the store would not receive what was judged."""
    checkpoint = FakeCheckpoint()
    await authorization(checkpoint).authorize(subrequest(door, target=target), door)
    assert checkpoint.asked[0].ambiguity.startswith("the path is not in the form that is judged")
    assert checkpoint.completed == []


@pytest.mark.parametrize(
    "target", ["", "*", "http://crm.test/crm/a", "/crm/a\\b", "/crm/a%2fb", "/crm/a#b", "/crm/%00"]
)
async def test_path_that_cannot_be_read_is_left_to_the_checkpoint(target: str) -> None:
    """It says so in its own words: the target goes there as it came."""
    checkpoint = FakeCheckpoint()
    await authorization(checkpoint).authorize(subrequest("nginx", target=target), "nginx")
    assert (checkpoint.asked[0].target, checkpoint.asked[0].ambiguity) == (target, "")


async def test_path_that_a_route_opted_in_to_passes_as_it_is() -> None:
    """What the catalog reads for that route is compared, not a stricter form."""
    checkpoint = FakeCheckpoint()
    await authorization(checkpoint).authorize(subrequest("nginx", target="/crm/acme/a;b"), "nginx")
    assert checkpoint.asked[0].ambiguity == ""


@settings(max_examples=150)
@given(st.text(st.sampled_from("/.%;aA2eEfF5c?#"), max_size=24))
async def test_whatever_passes_is_what_was_judged(tail: str) -> None:
    """Without an ambiguity, the path as the proxy passes it on is the canonical one, or no path at all."""
    checkpoint = FakeCheckpoint()
    target = f"/crm/{tail}"
    await authorization(checkpoint).authorize(subrequest("forward", target=target), "forward")
    if checkpoint.asked[0].ambiguity:
        return
    try:
        judged = checkpoint.catalog.read(target, "crm.test", max_bytes=8_190)
    except Malformed:
        return
    assert target.partition("?")[0] == judged.path


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"Upgrade": "websocket"}, "an Upgrade came"),
        ({"Upgrade": "h2c"}, "an Upgrade came"),
        ({"method": "WEBSOCKET"}, "an Upgrade came"),
        ({"host": "a.test, b.test"}, "the Host header is not a name"),
        ({"host": "a.test/b"}, "the Host header is not a name"),
        ({"X_Tenant": "acme"}, "a header's name"),
        ({"X.Tenant": "acme"}, "a header's name"),
        ({"X__HTTP__Method__Override": "DELETE"}, "a header overrides"),
        ({"x__http__method": "DELETE"}, "a header overrides"),
        ({"X__Original__URL": "/crm/acme/cases/7"}, "a header overrides"),
        ({"X__Rewrite__URL": "/crm/acme/cases/7"}, "a header overrides"),
        ({"Range": "bytes=" + ",".join(["0-1"] * 20)}, "too many ranges"),
    ],
)
async def test_request_that_the_store_might_read_otherwise_is_refused(more: dict[str, str], said: str) -> None:
    """Upgrades, aliases of headers, and headers that override the request line."""
    for door in DIALECTS:
        checkpoint = FakeCheckpoint()
        response = await authorization(checkpoint).authorize(subrequest(door, **more), door)
        assert response.status in {400, 403}
        assert checkpoint.asked[0].ambiguity.startswith(said)


@pytest.mark.parametrize("door", sorted(DIALECTS))
async def test_permit_says_what_the_store_is_told_and_is_complete_at_once(door: str) -> None:
    """Decision, subject and rule are headers, and so are obligations; the bytes pass elsewhere."""
    checkpoint = FakeCheckpoint(PERMIT, subject="zoë\r\nX: y")
    response = await authorization(checkpoint).authorize(subrequest(door), door)
    assert response.status == 200
    assert dict(response.headers) == {
        "Residency-Decision": "01J-decision",
        "Residency-Subject": "zo%C3%AB%0D%0AX:%20y",
        "Residency-Rule": "crm-account",
        "Residency-Obligations": "no-store, read-cap",
        "Cache-Control": "no-store, private",
        "Vary": "*",
        "Server": "residency-gateway",
    }
    assert checkpoint.completed == [("delegated", 200)]


async def test_permit_without_obligations_says_nothing_about_keeping() -> None:
    """So that the proxy can tell when the store's own word holds."""
    response = await authorization(FakeCheckpoint()).authorize(subrequest("nginx"), "nginx")
    assert not {"Cache-Control", "Residency-Obligations"} & set(response.headers)


@pytest.mark.parametrize(
    ("verdict", "others", "nginx"),
    [(DENY, 403, 403), (UNAUTHENTICATED, 401, 401), (MALFORMED, 400, 403), (UNAVAILABLE, 503, 503)],
)
async def test_denial_is_the_doors_own_in_what_the_proxy_understands(verdict: Verdict, others: int, nginx: int) -> None:
    """The status and problem of the HTTP door, with the rule as a header; nginx knows 401 and 403 only."""
    for door, expected in (("nginx", nginx), ("forward", others), ("envoy", others)):
        checkpoint = FakeCheckpoint(verdict)
        response = await authorization(checkpoint).authorize(subrequest(door), door)
        assert isinstance(response, web.Response)
        assert (response.status, response.content_type) == (expected, "application/problem+json")
        assert response.headers["Residency-Rule"] == verdict.rules[0]
        assert response.headers["Residency-Decision"] == "01J-decision"
        assert ("WWW-Authenticate" in response.headers) == (expected == 401)
        assert checkpoint.completed == []


async def test_decision_that_cannot_be_recorded_is_no_permit() -> None:
    """503, and it is counted."""
    checkpoint = FakeCheckpoint(recording=False)
    answering = authorization(checkpoint)
    response = await answering.authorize(subrequest("envoy"), "envoy")
    assert response.status == 503
    assert b'effect="deny",rule="unavailable"} 1.0' in answering._metrics.exposition()
    assert checkpoint.completed == []


def test_without_peers_it_is_off() -> None:
    """Nobody may ask until somebody is named."""
    off = ExternalAuthorization(FakeCheckpoint(), Explainer(lambda us: us), (), Metrics())  # type: ignore[arg-type]
    assert not off.enabled
    assert authorization(FakeCheckpoint()).enabled


def external(proxies: list[str], peers: list[str], **gateway: str) -> Document:
    return changed(
        lambda document: document.update(
            gateway={"trusted_proxies": proxies, **gateway}, external={"trusted_peers": peers}
        )
    )


@pytest.mark.parametrize(
    ("proxies", "peers"),
    [([], []), (["10.0.0.0/24"], ["10.0.0.7/32"]), (["10.0.0.0/24", "fd00::/8"], ["fd00::7/128", "10.0.0.0/24"])],
)
def test_peers_that_are_trusted_proxies_are_accepted(proxies: list[str], peers: list[str]) -> None:
    """They are believed about addresses, too."""
    assert len(read(external(proxies, peers)).external.trusted_peers) == len(peers)


@pytest.mark.parametrize(
    ("proxies", "peers"),
    [
        ([], ["10.0.0.7/32"]),
        (["10.0.0.8/32"], ["10.0.0.7/32"]),
        (["10.0.0.7/32"], ["10.0.0.0/24"]),
        (["::/0"], ["10.0.0.7/32"]),
    ],
)
def test_peer_that_is_no_trusted_proxy_is_a_fault(proxies: list[str], peers: list[str]) -> None:
    """Its own address would be judged as everybody's, so that an office's proxy would bring everybody home."""
    [problem] = problems(external(proxies, peers))
    assert problem == f"external.trusted_peers: got {peers[0]!r}; expected a part of gateway.trusted_proxies, too"


def test_peers_whose_forwarding_header_is_not_read_are_a_fault() -> None:
    """For the same reason; without peers the header may be left alone."""
    assert problems(external(["10.0.0.7/32"], ["10.0.0.7/32"], forwarding_header="none")) == [
        "gateway.forwarding_header: got 'none'; expected the header that external.trusted_peers send"
    ]
    assert told(external(["10.0.0.7/32"], [], forwarding_header="none")) == ""


def test_peers_that_are_no_networks_are_one_fault() -> None:
    """What cannot be read is not compared."""
    for peers in ("10.0.0.7/32", ["10.0.0.7/24"], [7.5]):
        with pytest.raises(ConfigurationError):
            read(changed(lambda document, peers=peers: document.update(external={"trusted_peers": peers})))  # type: ignore[misc]
        assert told(changed(lambda document: document.update(external=7))).count("\n") == 0
