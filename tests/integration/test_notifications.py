"""Notices reach real receivers that fail in every way that receivers do; nothing is lost, nothing secret is told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import shlex
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.app import build
from gateway.cli import run
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import World, make_world
from gateway.ledger.writer import LedgerWriter
from gateway.notification import Backoff, Courier, Message, Notice, channels, notice
from gateway.proxy import WebhookPoster
from gateway.proxy.webhook import INWARD
from gateway.settings import NoticeSettings, NotificationSettings, load
from gateway.storage import StateOutbox, StateStore
from tests.world.certificates import Authority
from tests.world.waiting import until

NOWHERE = Addresses(*["http://127.0.0.1:9"] * 3, uploads="ftp://127.0.0.1:9/")
CANARY = "canary-path-5e1f"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"
KEY = b"a key of thirty-two bytes: canary"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


def verified(headers: Any, body: bytes) -> bool:
    """As `docs/notifications.md` shows it, with nothing of ours."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(wanted, one) for one in headers["webhook-signature"].split())


class Receiver:
    """Takes messages, and misbehaves as it is told to: one behaviour for each message, then it is well."""

    def __init__(self) -> None:
        self.arrived: list[dict[str, Any]] = []
        self.behaviours: list[Behaviour] = []
        self.unsigned = 0
        self.seen_at_s: list[float] = []
        self.redirected = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen_at_s.append(time.monotonic())
        self.unsigned += not verified(request.headers, body)
        if self.behaviours:
            return await self.behaviours.pop(0)(request)
        self.arrived.append(json.loads(body))
        return web.Response(status=204)

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.redirected += 1
        return web.Response()

    def ids(self) -> set[str]:
        return {event["id"] for event in self.arrived}

    @asynccontextmanager
    async def listening(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        app = web.Application()
        app.router.add_post(f"/{CANARY}", self.take)
        app.router.add_route("*", "/elsewhere", self.elsewhere)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True).start()
        try:
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()


def answering(status: int, **headers: str) -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={key.replace("_", "-"): value for key, value in headers.items()})

    return behave


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(2)
    return web.Response()


async def broken_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=500)
    await response.prepare(request)
    for _ in range(2_000):
        await response.write(b"x" * 65_536)
    return response


def receiver_settings(port: int, **changed: Any) -> NotificationSettings:
    values: dict[str, Any] = {
        "name": "hook",
        "url": f"http://127.0.0.1:{port}/{CANARY}",
        "secret": SECRET,
        "timeout_s": 0.3,
        "unsafe_loopback": True,
    }
    return NotificationSettings(**(values | changed))


@asynccontextmanager
async def delivering(store: StateStore, *settings: NotificationSettings) -> AsyncIterator[Courier]:
    """A courier with waits that a test can bear."""
    quick = Backoff(base_s=0.05, cap_s=0.2)
    async with WebhookPoster() as poster:
        courier = Courier(
            StateOutbox(store),
            poster,
            clock=SystemClock(),
            channels=lambda: channels(settings),
            settings=NoticeSettings,
            node="gateway-1",
            backoff=quick,
            rest=quick,
            poll_s=0.02,
        )
        task = asyncio.get_running_loop().create_task(courier.run())
        try:
            yield courier
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = StateStore(f"sqlite:///{tmp_path}/gateway.db", SystemClock())
    yield store
    store.close()


def tell(store: StateStore, count: int = 1) -> set[str]:
    now_us = SystemClock().now_us()
    made = [
        notice(
            "access.requested",
            subject=f"R-{number}",
            customer="acme",
            summary=f"priya asks with Bearer {TOKEN}",
            at_us=now_us,
            data={"reason": f"see https://u:canary-password@h/ and {TOKEN}"},
        )
        for number in range(count)
    ]
    store.put(*made)
    return {found.id for found in made}


def all_delivered(store: StateStore) -> Callable[[], bool]:
    outbox = StateOutbox(store)
    return lambda: {standing.state for standing in outbox.standings(limit=1_000)} == {"delivered"}


async def test_everything_arrives_signed_through_every_kind_of_failure(store: StateStore) -> None:
    """500, silence, 429 with Retry-After, a connection that breaks, a redirect, an answer without an end."""
    receiver = Receiver()
    failures = [
        answering(500),
        silent,
        broken_off,
        answering(307, Location="/elsewhere"),
        endless,
        answering(404),
        answering(429, Retry_After="1"),
    ]
    receiver.behaviours = failures * 2
    async with receiver.listening() as port, delivering(store, receiver_settings(port)):
        made = tell(store, 20)
        await until(all_delivered(store))
    assert receiver.ids() == made
    assert (receiver.unsigned, receiver.redirected, receiver.behaviours) == (0, 0, [])
    assert max(Counter(event["id"] for event in receiver.arrived).values()) == 1


async def test_retry_after_is_waited_for(store: StateStore) -> None:
    """Nothing comes before the time that the receiver named."""
    receiver = Receiver()
    receiver.behaviours = [answering(429, Retry_After="2")]
    async with receiver.listening() as port, delivering(store, receiver_settings(port)):
        tell(store)
        await until(lambda: len(receiver.arrived) == 1)
    first_s, second_s = receiver.seen_at_s
    assert second_s - first_s >= 2


async def test_receiver_that_is_down_for_a_while_misses_nothing(store: StateStore) -> None:
    """Refused connections are tried again, by a courier that is started again in between, too."""
    receiver = Receiver()
    async with receiver.listening() as port:
        pass
    settings = receiver_settings(port)
    async with delivering(store, settings) as courier:
        made = tell(store, 15)
        await until(lambda: courier.problems == {"hook": "cannot connect: Connection refused"})
    async with delivering(store, settings):
        made |= tell(store, 5)
        await asyncio.sleep(0.3)
        async with receiver.listening(port):
            await until(all_delivered(store))
    assert receiver.ids() == made
    assert receiver.unsigned == 0


async def test_nothing_secret_is_in_what_arrives_or_what_is_kept(store: StateStore, tmp_path: Path) -> None:
    """No token that somebody pasted; in the database neither the receiver's address nor its key."""
    receiver = Receiver()
    receiver.behaviours = [answering(500), broken_off]
    async with receiver.listening() as port, delivering(store, receiver_settings(port)):
        tell(store, 3)
        await until(all_delivered(store))
    sent = json.dumps(receiver.arrived)
    kept = files(tmp_path)
    for secret in (TOKEN, "canary-password", CANARY, SECRET, KEY.decode()):
        assert secret not in sent
        assert secret.encode() not in kept


def files(directory: Path) -> bytes:
    """All that the database has on the disk."""
    return b"".join(path.read_bytes() for path in directory.glob("gateway.db*"))


def message(url: str, *, loopback: bool = False) -> Message:
    return Message(url, {}, b"{}", 5.0, loopback)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/",
        "https://localhost:{port}/",
        "https://[::1]:{port}/",
        "https://[::ffff:127.0.0.1]:{port}/",
        "https://2130706433:{port}/",
        "https://0.0.0.0:{port}/",
        "https://169.254.169.254/latest/",
    ],
)
async def test_no_message_goes_to_this_machine_unless_a_setting_says_so(url: str) -> None:
    """However its address is written: nobody so much as connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with WebhookPoster() as poster:
            answer = await poster.post(message(url.format(port=listener.getsockname()[1])))
        assert answer.status == 0
        assert answer.problem in (INWARD, "it did not answer in HTTP (InvalidUrlClientError)")
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_certificate_that_is_not_trusted_is_a_failure(tmp_path: Path) -> None:
    """TLS is always verified."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*Authority(tmp_path).server())
    receiver = Receiver()
    async with receiver.listening(tls=tls) as port, WebhookPoster() as poster:
        answer = await poster.post(message(f"https://127.0.0.1:{port}/{CANARY}", loopback=True))
    assert answer.problem == "its certificate is not one that this machine trusts"
    assert receiver.seen_at_s == []


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000])
async def test_answer_that_is_not_http_is_a_failure_in_words(reply: bytes) -> None:
    """None of which holds the address."""

    async def answer_so(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer_so, "127.0.0.1", 0)
    async with server, WebhookPoster() as poster:
        port = server.sockets[0].getsockname()[1]
        answer = await poster.post(message(f"http://127.0.0.1:{port}/{CANARY}", loopback=True))
    assert answer.status == 0
    assert answer.problem
    assert CANARY not in answer.problem


def configured(world: World, port: int, **changed: str) -> None:
    """Add a channel to the sample world's configuration."""
    values = {
        "name": '"hook"',
        "url": f'"http://127.0.0.1:{port}/{CANARY}"',
        "secret": f'"{SECRET}"',
        "unsafe_loopback": "true",
    }
    lines = [f"{key} = {value}" for key, value in (values | changed).items()]
    text = world.config.read_text("utf-8")
    world.config.write_text("\n".join([text, "[[notification]]", *lines]) + "\n", "utf-8")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    world = make_world(tmp_path, NOWHERE, clock=SystemClock(), ports=(0, 0))
    monkeypatch.setenv("RESIDENCY_GATEWAY_CONFIG", str(world.config))
    yield world
    world.state.close()


async def test_running_gateway_tells_what_another_process_wrote(world: World) -> None:
    """A command writes a notice beside its act; the gateway hears of it and sends it at once; metrics say how it is."""
    receiver = Receiver()
    async with receiver.listening() as port:
        configured(world, port)
        async with build(load(world.config, {})) as gateway:
            [made] = tell(world.state)
            await until(lambda: receiver.ids() == {made})
            shown = gateway.metrics.exposition().decode()
    assert receiver.arrived[0]["source"] == "/residency-gateway/demo"
    for name in ("waiting", "failed"):
        assert f"residency_notifications_{name} 0.0" in shown


async def test_wrong_pattern_stops_the_start(world: World) -> None:
    """With a line that says which types there are."""
    configured(world, 9, types='["acess.*"]')
    with pytest.raises(Exception, match=r"notification\[0\]\.types: got 'acess\.\*', which is no type of notice"):
        async with build(load(world.config, {})):
            pass


def said(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> list[dict[str, Any]]:
    """Run a line; the JSON objects it printed."""
    capsys.readouterr()
    found = run(shlex.split(line))
    captured = capsys.readouterr()
    assert found == status, captured.err
    assert CANARY not in captured.out + captured.err
    return [json.loads(text) for text in captured.out.splitlines()]


async def test_commands_list_retry_and_test(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What an operator does when a receiver is down, and when it is up again; doctor says so in between."""
    receiver = Receiver()
    async with receiver.listening() as port:
        pass
    configured(world, port, max_attempts="1")
    LedgerWriter(world.settings.ledger.path).close()
    settings = load(world.config, {}).notification
    [made] = tell(world.state)
    assert [row["state"] for row in said(capsys, "notifications list --json")] == ["new"]
    async with delivering(world.state, *settings):
        await until(lambda: bool(StateOutbox(world.state).standings(state="failed")))
    [row] = said(capsys, "notifications list --state failed --json")
    assert (row["id"], row["channel"], row["attempts"]) == (made, "hook", 1)
    assert row["last_problem"] == "cannot connect: Connection refused"
    assert (row["type"], row["subject"], row["customer"], row["next"]) == ("access.requested", "R-0", "acme", "")
    findings = {one["subject"]: one["problem"] for one in await asyncio.to_thread(said, capsys, "doctor --json", 1)}
    assert findings["notification channel hook"].startswith("0 notices wait and 1 was given up: cannot connect")
    assert await asyncio.to_thread(run, ["notifications", "test", "hook", "--json"]) == 3
    assert "hook: cannot connect: Connection refused" in capsys.readouterr().err
    async with receiver.listening(port):
        assert await asyncio.to_thread(run, ["notifications", "test", "hook", "--json"]) == 0
        assert receiver.arrived[0]["type"] == "dev.residency-gateway.notification.test"
        said(capsys, f"notifications retry {made} --channel other --json", 1)
        assert said(capsys, f"notifications retry {made} --json") == [{"id": made, "channels": 1}]
        async with delivering(world.state, *settings):
            await until(all_delivered(world.state))
    assert made in receiver.ids()
    assert receiver.unsigned == 0
    said(capsys, f"notifications retry {made} --json", 1)
    said(capsys, "notifications retry 0-0 --json", 1)
    said(capsys, "notifications test nobody --json", 1)
    assert said(capsys, "notifications list --state failed --json") == []
    found = {one["subject"]: one["problem"] for one in await asyncio.to_thread(said, capsys, "doctor --json")}
    assert found["notification channel hook"] == ""
    acts = [entry["act"] for entry in said(capsys, "ledger search --since 1h --json") if entry.get("act")]
    assert acts.count("notification.retry") >= 1
    assert acts.count("notification.test") == 2


def test_notice_of_the_state_is_readable_by_the_list(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, too: a table, or a word that there is nothing."""
    assert run(["notifications", "list"]) == 0
    assert "no notices" in capsys.readouterr().err
    tell(world.state)
    assert run(["notifications", "list"]) == 0
    assert "access" in capsys.readouterr().out
    assert len(list(world.state.all(Notice))) == 1
