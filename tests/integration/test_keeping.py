"""A gateway that serves while its ledger is sealed and what is old removed: nothing is lost, nothing refused."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from gateway.cli import run as command_line
from gateway.clock import SECOND_US, SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import Report, verify
from gateway.settings import FeedSettings, Settings
from tests.integration.conftest import Running, running
from tests.world.waiting import until


async def command(site: Running, *arguments: str) -> int:
    """Beside the gateway, on its own configuration."""
    return await asyncio.to_thread(command_line, ["--config", str(site.world.config), "ledger", *arguments])


async def asked(site: Running, count: int) -> list[str]:
    """Requests, some at a time; the decisions that answered them."""
    decisions: list[str] = []
    for _ in range(count // 10):
        answers = await asyncio.gather(*(site.ask(SAM, "/conversations/acme/7") for _ in range(10)))
        assert {status for status, _, _ in answers} == {200}
        decisions += [headers["Residency-Decision"] for _, headers, _ in answers]
    return decisions


async def verified(site: Running) -> Report:
    report = await asyncio.to_thread(verify, site.world.settings.ledger.path, processes=1)
    assert report.verified, report.problems
    return report


def shorten(config: Path) -> None:
    """Keep for a second."""
    config.write_text(f'{config.read_text("utf-8")}\n[ledger]\nkeep = "1s"\n', "utf-8")


async def test_ledger_is_sealed_and_shortened_under_load(tmp_path: Path, stores: Addresses) -> None:
    """Every decision before, during and after is on record until it is removed; a start on the rest succeeds."""
    world = tmp_path / "world"
    async with running(world, stores) as site:
        before = await asked(site, 300)
        await site.gateway.checkpoints.take()
        await asyncio.sleep(1.1)
        status, during = await asyncio.gather(command(site, "seal", "--older-than", "1s"), asked(site, 100))
        assert status == 0
        await verified(site)
        path = site.world.settings.ledger.path
        with LedgerReader(path) as reader:
            for decision in (*before, *during):
                assert len(reader.show(decision)) == 2
        assert await command(site, "verify") == 0
        shorten(site.world.config)
        await asyncio.sleep(1.1)
        status, after = await asyncio.gather(command(site, "retain", "--delete"), asked(site, 100))
        assert status == 0
        report = await verified(site)
        assert any("were removed on" in note.what for note in report.notes)
        with LedgerReader(path) as reader:
            assert [entry["kind"] for entry in reader.show(after[0])] == ["decision", "completion"]
    async with running(world, stores) as site:
        await asked(site, 10)
        await site.gateway.checkpoints.take()
        assert (await verified(site)).checkpoints


class Earlier(SystemClock):
    """The system's clock, seventy days ago."""

    def now_us(self) -> int:
        return super().now_us() - 70 * 86_400 * SECOND_US


def segmented(settings: Settings) -> Settings:
    ledger = settings.ledger.model_copy(update={"segment_after": "1d"})
    return settings.model_copy(update={"ledger": ledger})


async def sealed(site: Running) -> list[dict[str, object]]:
    """The entries that tell of segments, once there is one."""
    async with asyncio.timeout(30):
        while True:
            with LedgerReader(site.world.settings.ledger.path) as reader:
                found = list(reader.search(Query(kind="administrative", object="ledger-segment")))
            if found:
                return found
            await asyncio.sleep(0.02)


async def test_old_month_is_sealed_by_itself_while_the_gateway_serves(tmp_path: Path, stores: Addresses) -> None:
    """At the start: recorded as the gateway's own act, counted, and nobody waits for it."""
    world = tmp_path / "world"
    async with running(world, stores, clock=Earlier()) as site:
        before = await asked(site, 600)
        await site.gateway.checkpoints.take()
    async with running(world, stores, change=segmented) as site:
        done = asyncio.ensure_future(sealed(site))
        during, slowest_s = [], 0.0
        while not done.done() or len(during) < 100:
            began_s = time.monotonic()
            during += await asked(site, 10)
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        assert slowest_s < 2
        entry, *_ = await done
        assert (entry["act"], entry["actor"]) == ("ledger.seal", "gateway")
        told = entry["details"]
        assert (told["first"], told["last"] >= 1_000, told["actor_kind"]) == (0, True, "service")  # type: ignore[index]  # an object
        async with site.client.get(f"{site.control}/metrics") as answer:
            metrics = await answer.text()
        assert "residency_ledger_segments_sealed 1.0" in metrics
        assert "residency_ledger_sealing_failed 0.0" in metrics
        async with site.client.get(f"{site.control}/readyz") as answer:
            assert answer.status == 200
        await site.gateway.ledger.flush()
        with LedgerReader(site.world.settings.ledger.path) as reader:
            for decision in (*before, *during):
                assert [each["kind"] for each in reader.show(decision)] == ["decision", "completion"]
        await verified(site)
    async with running(world, stores) as site:
        await asked(site, 10)
        await verified(site)


async def test_sealing_that_fails_is_told_and_the_gateway_serves(tmp_path: Path, stores: Addresses) -> None:
    """Where segments cannot be written, say."""
    world = tmp_path / "world"
    (tmp_path / "file").touch()

    def nowhere(settings: Settings) -> Settings:
        ledger = segmented(settings).ledger.model_copy(update={"segments_directory": tmp_path / "file"})
        return settings.model_copy(update={"ledger": ledger})

    async with running(world, stores, clock=Earlier()) as site:
        await asked(site, 300)
        await site.gateway.checkpoints.take()
    async with running(world, stores, change=nowhere) as site:
        async with asyncio.timeout(20):
            while True:
                async with site.client.get(f"{site.control}/metrics") as answer:
                    if "residency_ledger_sealing_failed 1.0" in await answer.text():
                        break
                await asyncio.sleep(0.05)
        await asked(site, 10)
        async with site.client.get(f"{site.control}/readyz") as answer:
            assert answer.status == 200


async def test_entries_of_keys_say_by_what_way_whoever_made_them_came(site: Running) -> None:
    """The gateway by itself, and the account at the keyboard beside the name for whom it acts."""
    assert await command(site, "rotate-key", "--as", "dana") == 0
    with LedgerReader(site.world.settings.ledger.path) as reader:
        first, second = reader.search(Query(kind="administrative", object="ledger-key"))
    assert (first["actor"], first["details"]["actor_kind"]) == ("gateway", "service")
    assert (second["actor"], second["details"]["actor_kind"]) == ("dana", "operator")
    assert second["details"]["via"].startswith("cli:")
    await verified(site)


async def test_feed_that_comes_too_late_says_what_it_passed_over(
    tmp_path: Path, stores: Addresses, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the record, and in `feeds list`; it goes on with what is there."""
    world, out = tmp_path / "world", tmp_path / "out.jsonl"

    def fed(settings: Settings) -> Settings:
        feed = FeedSettings.model_validate({"name": "copy", "kind": "file", "path": out, "from": "start"})
        return settings.model_copy(update={"feed": (feed,)})

    async with running(world, stores) as site:
        await asked(site, 300)
        await site.gateway.checkpoints.take()
        await asyncio.sleep(1.1)
        assert await command(site, "seal", "--older-than", "1s") == 0
        shorten(site.world.config)
        assert await command(site, "retain", "--delete") == 0
    async with running(world, stores, change=fed) as site:
        await until(lambda: out.exists() and b"feed.passed_over" in out.read_bytes())
        with LedgerReader(site.world.settings.ledger.path) as reader:
            [entry] = reader.search(Query(kind="administrative", object="copy"))
        assert (entry["act"], entry["actor"], entry["details"]["actor_kind"]) == (
            "feed.passed_over",
            "gateway",
            "service",
        )
        last = entry["details"]["last"]
        text = f'\n[[feed]]\nname = "copy"\nkind = "file"\npath = "{out}"\n'
        site.world.config.write_text(site.world.config.read_text("utf-8") + text, "utf-8")
        capsys.readouterr()
        arguments = ["--config", str(site.world.config), "feeds", "list", "--json"]
        assert await asyncio.to_thread(command_line, arguments) == 0
        [listed] = map(json.loads, capsys.readouterr().out.splitlines())
        assert listed["passed_over"] == f"{entry['details']['first']} to {last}"
        assert [json.loads(line)["sequence"] for line in out.read_bytes().splitlines()][1] == last + 1
