"""slowhttptest against a whole gateway: slow headers, slow bodies and slow reads at once, while good clients ask.

What is asserted is that every good client is answered as it should be and that everything is on record; how fast that
goes is measured by ``tests/bench/bench_slowhttptest.py``.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader
from gateway.settings import Settings
from tests.integration.conftest import Running, running

PROGRAM = shutil.which("slowhttptest")
PATH, BODY = "/conversations/acme/7", b"the answer" * 2_000
CONNECTIONS, LASTING_S, GOOD = 70, 5, 4
SUBJECT_CONCURRENCY = 20
MODES = {
    "headers": ("-H", "-x", "24"),
    "bodies": ("-B", "-x", "10", "-s", "100000", "-t", "POST"),
    "reads": ("-X", "-z", "5", "-n", "1", "-w", "1", "-y", "512", "-t", "GET"),
}

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="slowhttptest is not installed; it is a package of that name in Debian and Ubuntu"
)


class Store:
    """Answers at once, and notes the decision under which it was asked."""

    def __init__(self) -> None:
        self.decisions: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.decisions.append(request.headers["Residency-Decision"])
        async for _ in request.content.iter_any():
            pass
        return web.Response(body=BODY)


@pytest.fixture
async def store(stores: Addresses) -> AsyncIterator[tuple[Store, Addresses]]:
    """The same, listening in the place of that of conversations."""
    found = Store()
    runner = web.ServerRunner(web.Server(found.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield found, replace(stores, conversations=f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


def hurried(settings: Settings) -> Settings:
    """Slow heads are late within the test, and one person has few requests at a time."""
    limits = settings.gateway.limits.model_copy(
        update={"header_timeout_s": 1.5, "subject_concurrency": SUBJECT_CONCURRENCY, "refusal_rate_per_s": 20.0}
    )
    return settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"limits": limits})})


async def test_good_clients_are_served_and_everything_is_recorded(
    store: tuple[Store, Addresses], tmp_path: Path
) -> None:
    """What slow clients ask for is decided, limited or cut like anything else, and costs nobody an answer."""
    asked, addresses = store
    async with running(tmp_path / "world", addresses, change=hurried) as site:
        attacks = [asyncio.ensure_future(attack(site, *options)) for options in MODES.values()]
        await asyncio.sleep(0.5)
        served = [asyncio.ensure_future(ask_until(site, attacks)) for _ in range(GOOD)]
        for answers in await asyncio.gather(*served):
            assert len(answers) > 1
            assert set(answers) == {(200, BODY)}
        assert await asyncio.gather(*attacks) == [0] * len(MODES)
        async with asyncio.timeout(5):
            while len(site.gateway.checkpoint.admissions):  # noqa: ASYNC110 - nobody tells when all are cut
                await asyncio.sleep(0.05)
    recorded = entries(site)
    permits = {str(entry["id"]) for entry in recorded if entry.get("effect") == "permit"}
    assert set(asked.decisions) <= permits
    assert Counter(permits) == Counter(str(entry["decision"]) for entry in recorded if entry["kind"] == "completion")
    assert sum(entry["kind"] == "decision" for entry in recorded) >= decisions(site)
    assert "too-many-requests" in {entry.get("rule") for entry in recorded}


async def attack(site: Running, *options: str) -> int | None:
    """Run slowhttptest; its exit status. It has no option for headers, but passes the cookie's value on as it is."""
    token = site.world.provider.mint("slow", SAM.roles)
    cookie = f"a=b\r\nAuthorization: Bearer {token}\r\nX-Forwarded-For: 10.20.0.7"
    how = [f"-c{CONNECTIONS}", f"-r{CONNECTIONS}", "-i1", f"-l{LASTING_S}", "-p3", "-v0"]
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM), *options, *how, "-j", cookie, "-u", site.url + PATH, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(LASTING_S + 15):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


async def ask_until(site: Running, attacks: list[asyncio.Future[int | None]]) -> list[tuple[int, bytes]]:
    """What a good client is answered until the attacks are over."""
    answers = []
    while not all(attack.done() for attack in attacks):
        status, _, body = await site.ask(SAM, PATH)
        answers.append((status, body))
        await asyncio.sleep(0.02)
    return answers


def decisions(site: Running) -> int:
    """How many decisions the gateway counted."""
    families = {family.name: family for family in site.gateway.metrics.registry.collect()}
    samples = families["residency_decisions"].samples
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))


def entries(site: Running) -> list[dict[str, object]]:
    """Everything that is recorded."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return list(reader.after(-1))
