"""Damaged framing, forwarding headers and tokens by the thousand: nothing crashes, and no refusal goes unrecorded.

``make test`` tries as many as take some seconds, always the same; ``make soak`` tries ``SOAK`` times 50,000 of each,
from a new seed. A run that fails names its seed and its input; ``SEED=…`` repeats it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import jwt
import pytest
from structlog.testing import capture_logs

from gateway.attempt import Approach
from gateway.demo.identity_provider import AUDIENCE, ISSUER
from gateway.demo.world import SAM
from gateway.location.networks import parse_address
from tests.fuzz.conftest import SEED, SOAK, count
from tests.world.door import PEER, Door, door_in

VECTORS = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.timeout(120 + round(3_600 * SOAK))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with door_in(tmp_path) as door:
        yield door


TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"\x0b", b"\x85", b"\xa0", b"\xff"),
    *(b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content_Length: 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"transfer-encoding:\tchunked \r\n"),
    *(
        b"0\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"5;a=b\r\nabcde\r\n",
        b"1;" + b"x" * 2_000 + b"\r\nZ\r\n",
        b"ffffffffffffffff\r\n",
    ),
    *(
        b"Host: gw.test\r\n",
        b"Host: a/b\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01"),
    *(b"GET", b"HEAD", b"POST", b"TRACE", b"CONNECT", b"OPTIONS", b"PROPFIND", b"M-SEARCH", b"BREW"),
    *(b"/", b"*", b"/%2f", b"http://x/", b"x:443", b"?", b"#", b"X: " + b"y" * 20_000 + b"\r\n", b"X: y\r\n" * 200),
    *(
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: x-y, te\r\n",
        b"Sec-WebSocket-Key1: x\r\n",
    ),
]


def seeds(credentials: bytes) -> list[bytes]:
    """Requests that are good, and the vectors."""
    vectors = json.loads((VECTORS / "framing.json").read_text("utf-8"))["vectors"]
    raw = [base64.b64decode(vector["raw_b64"])[:4_000] for vector in vectors]
    known = [data.replace(b"/public/", b"/conversations/acme/").replace(b"/private/", b"/crm/acme/") for data in raw]
    put = b"PUT /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\n"
    good = [
        b"GET /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        put + b"Content-Length: 5\r\n\r\nabcde",
        put + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        b"HEAD /crm/delta/cases/1 HTTP/1.0\r\n\r\n",
    ]
    return [data.replace(b"\r\n", b"\r\n" + credentials, 1) for data in (*known, *good * 8)]


def damaged(random: Random, good: list[bytes]) -> bytes:
    """One or two of them, changed in up to four places."""
    data = bytearray(b"".join(random.choices(good, k=random.choice((1, 1, 1, 2, 3)))))
    for _ in range(random.randint(0, 4)):
        at, to = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
        match random.randrange(6):
            case 0 if at < len(data):
                data[at] = random.randrange(256)
            case 1:
                data[at : min(to, at + 20)] = b""
            case 2:
                data[at:at] = data[at : min(to, at + 60)]
            case 3:
                del data[at + (len(data) - at) // 2 :]
            case _:
                line = data.find(b"\n", at) + 1
                where = line if random.random() < 0.6 else at
                data[where:where] = random.choice(TOKENS)
    return bytes(data)


def pieces(random: Random, data: bytes) -> Iterator[bytes]:
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 0, 1, 2, 5))))
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        if start < end:
            yield data[start:end]


def answered(answer: bytes) -> list[str]:
    """The decisions that whole answers name, each read by the book; an answer that breaks off ends the list."""
    found = []
    while answer:
        head, empty, rest = answer.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*(?:\r\n|\Z)", head)
        assert empty, answer
        assert line, answer
        if line[1] != b"100":
            named = re.findall(rb"\r\nResidency-Decision: (\S+)", head)
            assert len(named) == 1, head
            found.append(named[0].decode())
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        answer = rest[int(length[1]) if length and line[1] != b"100" else 0 :]
        if length and b"HTTP/" in rest[:5]:
            answer = rest  # to HEAD
    return found


async def test_framing(door: Door, random: Random, calls: list[Approach], caplog: pytest.LogCaptureFixture) -> None:
    """Each answer names a decision on record; what is closed without one is recorded; nobody's exception is seen."""
    good = seeds(door.credentials)
    statuses: dict[str, int] = {}
    tries = count(10_000)
    with capture_logs() as logs:
        for number in range(tries):
            data = damaged(random, good)
            cut = list(pieces(random, data))
            door.ledger.decisions.clear()
            calls.clear()
            answer, closed = await door.say(*cut)
            told = answered(answer)
            recorded = [entry["id"] for entry in door.ledger.decisions]
            about = (SEED, number, cut, answer)
            assert len(recorded) == len(calls), about
            assert set(told) <= set(recorded), about
            assert len(set(told)) == len(told), about
            assert recorded or not closed, about
            assert door.failures == [], about
            for entry in door.ledger.decisions:
                assert entry["rule"] != "unavailable", about
                statuses[entry["rule"]] = statuses.get(entry["rule"], 0) + 1
    assert [log for log in logs if log["log_level"] in ("error", "critical")] == [], SEED
    assert [record for record in caplog.records if record.levelname == "ERROR"] == [], SEED
    print(statuses)
    assert statuses.keys() >= {"malformed", "home-personnel"}, "a generator of nothing but refusals shows nothing"


ADDRESSES = [
    *("10.20.0.5", "49.36.0.1", "87.32.0.1", "127.0.0.1", "::1", "[::1]", "[2001:db8::1]:443", "::ffff:10.20.0.5"),
    *("unknown", "_hidden", "_SEVKISEK", "", "0x0a140005", "012.020.0.5", "10.20.5", "167772165", "10.20.0.5:80"),
    *("10.20.0.256", "fe80::1%eth0", "2002:a14:5::", "10.20.0.5, 49.36.0.1", "localhost", "٣.١.١.١", "1.1.1.1" * 400),
]
MARKS = [
    *'=;,"\\ \t:[]%',
    "for=",
    "For=",
    "by=",
    "proto=https",
    '"',
    "\x00",
    "\r\n",
    "\x85",
    "é",
    "\ud800",
    "for=;for=",
]


def forwarding(random: Random) -> list[str]:
    """Some lines, each of some hops, changed here and there."""
    lines = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 5))):
        named = random.random() < 0.5
        hops = [random.choice(ADDRESSES) for _ in range(random.choice((0, 1, 1, 2, 3, 40)))]
        quote = random.choice(("", '"'))
        text = random.choice((",", ", ", " ,\t", ";")).join(
            f"for={quote}{hop}{quote}" if named else hop for hop in hops
        )
        for _ in range(random.choice((0, 0, 1, 2, 4))):
            at = random.randrange(len(text) + 1)
            text = text[:at] + random.choice(MARKS) + text[at + random.choice((0, 1)) :]
        lines.append(text)
    return lines


async def test_forwarding_headers(door: Door, random: Random, calls: list[Approach]) -> None:
    """One record each; the address recorded is one, or none; nothing that cannot be read is taken for home."""
    bearer = (f"Bearer {door.world.token(SAM)}",)
    path, rules = "/conversations/acme/7", set()
    checkpoint = door.server.checkpoint
    tries = count(20_000)
    with capture_logs() as logs:
        for number in range(tries):
            lines, both = forwarding(random), random.random() < 0.1
            named = lines if both or "for" in "".join(lines).lower() else []
            plain = lines if both or not named else []
            peer = random.choice((PEER, PEER, PEER, "49.36.0.1", "", "not an address"))
            door.ledger.decisions.clear()
            approach = Approach("http", "GET", path, "gw.test", peer, bearer, forwarded=named, x_forwarded_for=plain)
            await checkpoint.decide(approach)
            [entry] = door.ledger.decisions
            about = (SEED, number, lines, entry)
            address = entry["client_address"]
            assert not address or parse_address(address) is not None, about
            assert entry["rule"] != "unavailable", about
            said = "".join(lines).replace("\\", "")  # what is quoted may hold a backslash before any character
            assert not entry["location"]["assured"] or (peer == PEER and address in said), about
            rules.add(entry["rule"])
    assert len(calls) == tries
    assert [log for log in logs if log["log_level"] in ("error", "critical")] == [], SEED
    assert rules >= {"home-personnel", "location-unassured"}


VALUES = [
    *(None, True, 0, -1, 1e300, 2**70, "", "sam", "x" * 5_000, [], ["support"], ["support", 7], {}, {"sub": "tool"}),
    *("US", "usa", "é", "\x00", "\ud83d", ISSUER, AUDIENCE, [AUDIENCE, "x"], [[[]]], "ES256", "none", "HS256", "JWT"),
]
MEMBERS = ["alg", "typ", "kid", "crit", "jku", "jwk", "x5u", "b64", "zip", "cty"]
CLAIMS = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "roles", "customer", "country", "act", "cnf", "scope"]


def signed(random: Random, door: Door) -> str:
    """A token with some claims and header members changed, and a signature that is good."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "sam",
        "exp": 4_000_000_000,
        "roles": ["support"],
    }
    header: dict[str, object] = {"kid": "sample-1", "typ": "JWT", "alg": "ES256"}
    for _ in range(random.choice((0, 1, 2))):
        claims[random.choice(CLAIMS)] = random.choice(VALUES)
    for _ in range(random.choice((0, 0, 1))):
        header[random.choice(MEMBERS)] = random.choice(VALUES)
    joined = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    algorithm = jwt.get_algorithm_by_name("ES256")
    signature = algorithm.sign(joined, door.world.provider._key)
    return f"{joined.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def broken(random: Random, token: str) -> str:
    """A token changed in some characters, so that its signature is not good any more."""
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(token) + 1)
        mark = random.choice((".", "=", "A", "-", "_", "/", "+", " ", "é", "\x00", token[: random.randrange(40)], ""))
        token = token[:at] + mark + token[at + random.choice((0, 1, 1, 9)) :]
    return token


def meant(token: str) -> tuple[bytes, ...]:
    """What a token's three parts decode to."""
    return tuple(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))


async def test_tokens(door: Door, random: Random, calls: list[Approach]) -> None:
    """One record each; one whose bytes were changed admits nobody; one that is signed admits whom it names at most."""
    checkpoint, rules = door.server.checkpoint, set()
    pool = [door.world.token(SAM), *(signed(random, door) for _ in range(200))]
    tries = count(20_000)
    with capture_logs() as logs:
        for number in range(tries):
            token = signed(random, door) if number % 4 == 0 else random.choice(pool)
            sent = token if number % 4 == 0 else broken(random, token)
            scheme = random.choice(("Bearer ", "Bearer ", "Bearer ", "bearer ", "Basic ", "", "Bearer  "))
            door.ledger.decisions.clear()
            lines = (f"{scheme}{sent}",) * random.choice((1, 1, 1, 2))
            person = lines if random.random() < 0.1 else ()
            path = "/conversations/acme/7"
            approach = Approach("http", "GET", path, "gw.test", PEER, lines, person, x_forwarded_for=(SAM.address,))
            decision = await checkpoint.decide(approach)
            [entry] = door.ledger.decisions
            about = (SEED, number, token, sent, entry)
            assert entry["rule"] != "unavailable", about
            assert sent not in json.dumps(entry) or len(sent) < 30, about
            if decision.permitted:
                assert meant(sent) == meant(token), about
                assert entry["subject"] == json.loads(meant(token)[1])["sub"], about
            rules.add(entry["rule"])
    assert len(calls) == tries
    assert [log for log in logs if log["log_level"] in ("error", "critical")] == [], SEED
    assert rules >= {"home-personnel", "unauthenticated", "malformed"}
