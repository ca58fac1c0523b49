"""Checkpoints of a whole gateway: taken, held outside, and what a start makes of a ledger that is not what it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.app import build
from gateway.cli import run as command_line
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, make_world
from gateway.engine import _require_fixed
from gateway.errors import ConfigurationError, GatewayError, HolderUnavailable, LedgerContradicted
from gateway.ledger.entry import administrative
from gateway.ledger.evidence import evidence
from gateway.ledger.keys import private_pem
from gateway.ledger.notary import size_of
from gateway.ledger.note import Checkpoint, opened
from gateway.ledger.reader import LedgerReader
from gateway.ledger.signing import new_signer
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from gateway.settings import HolderSettings, Settings, load
from tests.integration.conftest import Running, running
from tests.world.forked import run_command
from tests.world.signed import copy_ledger
from tests.world.witness import Shelf, Witness, serving

ORIGIN = "demo/ledger"
Change = Callable[[Settings], Settings]


def changed(*holders: dict[str, Any], **ledger: Any) -> Change:
    """The sample world's settings with these holders."""
    made = tuple(HolderSettings(name=f"h{number}", **values) for number, values in enumerate(holders))

    def change(settings: Settings) -> Settings:
        return settings.model_copy(update={"ledger": settings.ledger.model_copy(update={"holder": made} | ledger)})

    return change


def act() -> dict[str, object]:
    """An entry that no gateway wrote."""
    return administrative(clock=SystemClock(), node="n", actor="mallory", act="act", subject="s", details={})


def forget_state(directory: Path) -> None:
    """Another state database, so that only the other holders remember."""
    for file in (directory / "state").glob("gateway.db*"):
        file.unlink()


async def checks(site: Running) -> tuple[int, dict[str, str]]:
    async with site.client.get(f"{site.control}/readyz") as response:
        return response.status, (await response.json())["checks"]


async def metric(site: Running, name: str) -> float:
    async with site.client.get(f"{site.control}/metrics") as response:
        text = await response.text()
    [line] = [line for line in text.splitlines() if line.startswith(name + " ")]
    return float(line.split(" ")[1])


async def taken(site: Running) -> str:
    """One more, of which every holder has been told."""
    note = await site.gateway.checkpoints.take()
    assert note is not None
    await site.gateway.checkpoints.told()
    return note


def latest(path: Path) -> str:
    with evidence(path, ORIGIN) as found:
        note = found.latest()
    assert note is not None
    return note


async def test_running_gateway_signs_and_the_last_one_is_over_everything(tmp_path: Path, stores: Addresses) -> None:
    """From the start on, shown on /metrics; at the stop everything that was decided is signed and held."""
    held = tmp_path / "held"
    async with running(tmp_path / "world", stores, change=changed({"kind": "file", "path": held})) as site:
        await taken(site)
        before = await metric(site, "residency_checkpoint_size")
        await site.ask(SAM, "/conversations/acme/7")
        await taken(site)
        assert await metric(site, "residency_checkpoint_size") > before
        assert await metric(site, "residency_checkpoint_age_seconds") < 30
        assert await metric(site, "residency_checkpoint_holders_failing") == 0
        assert (await checks(site))[1]["checkpoints"] == "ok"
        await site.ask(SAM, "/conversations/acme/7")
        path = site.world.settings.ledger.path
    with evidence(path, ORIGIN) as found:
        assert found.latest() == held.read_text("utf-8")
        assert size_of(held.read_text("utf-8")) == found.size
    assert verify(path).verified


@asynccontextmanager
async def holder_of(kind: str, directory: Path) -> AsyncIterator[dict[str, Any]]:
    if kind == "file":
        yield {"kind": "file", "path": directory / "held"}
    elif kind == "http":
        async with serving(Shelf()) as url:
            yield {"kind": "http", "url": url, "unsafe_plain_http": True}
    elif kind == "witness":
        witness = Witness()
        async with serving(witness) as url:
            yield {"kind": "witness", "url": url, "key": str(witness.key), "unsafe_plain_http": True, "there": witness}
    else:
        yield {}


@pytest.mark.parametrize("damage", ["old", "new", "forked"])
@pytest.mark.parametrize("kind", ["state", "file", "http", "witness"])
async def test_start_with_another_past_is_refused(tmp_path: Path, stores: Addresses, kind: str, damage: str) -> None:
    """An old copy put back, a new ledger begun, another past written: by whichever holder remembers; nobody is served,
    and nothing is written."""
    world, backup = tmp_path / "world", tmp_path / "backup.db"
    async with holder_of(kind, tmp_path) as holder:
        there = holder.pop("there", None)
        change = changed(holder) if holder else changed()
        async with running(world, stores, change=change) as site:
            path = site.world.settings.ledger.path
            await taken(site)
            copy_ledger(path, backup)
            if there:
                with evidence(path, ORIGIN) as found:
                    assert found.key
                    there.known[ORIGIN] = found.key.verifier
            for _ in range(3):
                await site.ask(SAM, "/conversations/acme/7")
        if kind != "state":
            forget_state(world)
        copy_ledger(backup, path)
        if damage == "new":
            path.unlink()
        if damage == "forked":
            with LedgerWriter(path) as writer:
                for _ in range(20):
                    writer.append(act())
            if kind == "witness":
                with evidence(path, ORIGIN) as found:
                    forged = Checkpoint(ORIGIN, found.size, found.root_at(found.size))
                signer = site.gateway.checkpoints._notary.key.signer()
                assert signer is not None
                with LedgerWriter(path) as writer:
                    writer.keep_checkpoint(forged.size, forged.signed(signer))
        before = path.read_bytes() if damage == "old" else b""
        with pytest.raises(LedgerContradicted, match=r"rolled back|changed or forked"):
            async with running(world, stores, change=change):
                raise AssertionError("it serves")
        if before:
            with evidence(path, ORIGIN) as found, evidence(backup, ORIGIN) as old:
                assert found.size == old.size


async def test_ledger_that_only_went_on_starts(tmp_path: Path, stores: Addresses) -> None:
    """Outside is behind, as after a crash between keeping a checkpoint and handing it out."""
    world, held = tmp_path / "world", tmp_path / "held"
    change = changed({"kind": "file", "path": held})
    async with running(world, stores, change=change) as site:
        early = await taken(site)
        await site.ask(SAM, "/conversations/acme/7")
    held.write_text(early, "utf-8")
    forget_state(world)  # which remembers what was handed out only afterwards
    async with running(world, stores, change=change) as site:
        await taken(site)
        assert size_of(held.read_text("utf-8")) > size_of(early)


async def test_killed_at_any_instant_it_starts_again(tmp_path: Path, stores: Addresses) -> None:
    """Whatever of signing, keeping and telling was under way."""
    directory = tmp_path / "world"
    places = (stores.crm, stores.conversations, stores.archive, stores.uploads)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.serve_world", str(directory), *places],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline().startswith("http://")
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    async with running(directory, stores) as site:
        await taken(site)
        assert verify(site.world.settings.ledger.path).verified


@pytest.mark.parametrize("required", [False, True])
async def test_holder_out_of_reach_at_start(tmp_path: Path, stores: Addresses, required: bool) -> None:
    """A warning, unless it is required: then nobody is served."""
    change = changed({"kind": "file", "path": tmp_path / "mnt" / "held", "required": required})
    if required:
        with pytest.raises(HolderUnavailable, match="h0: "):
            async with running(tmp_path / "world", stores, change=change):
                raise AssertionError("it serves")
        return
    async with running(tmp_path / "world", stores, change=change) as site:
        assert (await checks(site))[0] == 200
        await taken(site)
        assert await metric(site, "residency_checkpoint_holders_failing") == 1
        (tmp_path / "mnt").mkdir()
        await taken(site)
        assert await metric(site, "residency_checkpoint_holders_failing") == 0


async def test_contradiction_while_running_is_not_ready_and_serves_on(tmp_path: Path, stores: Addresses) -> None:
    """Somebody put another checkpoint there; once it is gone, all is well again."""
    held = tmp_path / "held"
    async with running(tmp_path / "world", stores, change=changed({"kind": "file", "path": held})) as site:
        note = await taken(site)
        held.write_text(Checkpoint(ORIGIN, 10**6, bytes(32)).signed(new_signer(ORIGIN)), "utf-8")
        await taken(site)
        status, found = await checks(site)
        assert (status, "over 1000000 entries" in found["checkpoints"]) == (503, True)
        assert await metric(site, "residency_checkpoint_contradicted") == 1
        assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 200
        held.write_text(note, "utf-8")
        await taken(site)
        assert (await checks(site))[0] == 200


async def test_slow_holder_delays_no_answer(tmp_path: Path, stores: Addresses) -> None:
    """Nor the next checkpoint."""
    async with serving(shelf := Shelf()) as url:
        change = changed({"kind": "http", "url": url, "unsafe_plain_http": True, "timeout_s": 1.0})
        async with running(tmp_path / "world", stores, change=change) as site:
            shelf.delay_s = 30.0
            first = await site.gateway.checkpoints.take()
            assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 200
            second = await site.gateway.checkpoints.take()
            assert first
            assert second
            assert size_of(second) > size_of(first)
            await site.gateway.checkpoints.told()
            assert "within 1 s" in site.gateway.checkpoints.failing["h0"]


def command(site: Running, *words: str) -> subprocess.CompletedProcess[str]:
    return run_command(["--config", str(site.world.config), *words], os.environ)


async def test_key_is_rotated_under_a_running_gateway(tmp_path: Path, stores: Addresses) -> None:
    """It signs with the new one from then on, and so does the next start; the commands tell the chain."""
    async with running(tmp_path / "world", stores) as site:
        old = await taken(site)
        done = await asyncio.to_thread(command, site, "ledger", "rotate-key", "--as", "dana", "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        new = await taken(site)
        listed = await asyncio.to_thread(command, site, "ledger", "key", "--json")
        chain = [json.loads(line) for line in listed.stdout.splitlines()]
        assert [one["key"] for one in chain] == [said["previous"], said["key"]]
        assert [one["present"] for one in chain] == [False, True]
        with evidence(site.world.settings.ledger.path, ORIGIN) as found:
            first, second = (one.verifier for one in found.keys)
        assert opened(old, [first])
        assert opened(new, [second])
        await site.ask(SAM, "/conversations/acme/7")
    async with running(tmp_path / "world", stores) as site:
        assert opened(await taken(site), [second])
        assert (await checks(site))[0] == 200


async def test_key_in_a_file_of_the_operators_is_rotated_and_reloads_go_on(tmp_path: Path, stores: Addresses) -> None:
    """The file that the configuration names is replaced; another ledger would still need a restart."""
    key = tmp_path / "operators.key"
    key.write_text(private_pem(new_signer(ORIGIN).key))
    world = make_world(tmp_path / "world", stores, clock=SystemClock(), ports=(0, 0))
    world.state.close()
    lines = world.config.read_text("utf-8") + f'[ledger]\nsigning_key = {{ file = "{key}" }}\n'
    world.config.write_text(lines, "utf-8")
    old = load(world.config, {})
    async with build(old) as gateway:
        await gateway.checkpoints.take()
        line = ["--config", str(world.config), "ledger", "rotate-key", "--json"]
        assert await asyncio.to_thread(command_line, line) == 0
        note = await gateway.checkpoints.take()
        assert note is not None
        with evidence(old.ledger.path, ORIGIN) as found:
            assert opened(note, [found.keys[1].verifier])
    new = load(world.config, {})
    assert old.ledger != new.ledger
    _require_fixed(old, new)
    world.config.write_text(lines + 'path = "elsewhere.db"\n', "utf-8")
    with pytest.raises(ConfigurationError, match="ledger changes only with a restart"):
        _require_fixed(old, load(world.config, {}))


async def test_checkpoint_on_request(tmp_path: Path, stores: Addresses) -> None:
    """Beside a running gateway and without one: the note, a file, JSON, and who holds it."""
    async with running(tmp_path / "world", stores) as site:
        await site.ask(SAM, "/conversations/acme/7")
        beside = await asyncio.to_thread(command, site, "ledger", "checkpoint", "--push")
        assert (beside.returncode, beside.stderr) == (0, "state: holds it\n")
        await site.ask(SAM, "/conversations/acme/7")
        await taken(site)
        assert (await checks(site))[0] == 200
        path = site.world.settings.ledger.path
    with evidence(path, ORIGIN) as found:
        assert found.judge(beside.stdout).size < found.size
    file = tmp_path / "note"
    alone = await asyncio.to_thread(command, site, "ledger", "checkpoint", "--json", "-o", str(file))
    assert alone.returncode == 0, alone.stderr
    said = json.loads(alone.stdout)
    assert (said["origin"], said["note"]) == (ORIGIN, file.read_text("utf-8"))
    assert said["size"] == size_of(latest(path))
    copy_ledger(path, tmp_path / "backup.db")
    with LedgerWriter(path) as writer:
        writer.append(act())
    assert (await asyncio.to_thread(command, site, "ledger", "checkpoint", "--push")).returncode == 0
    copy_ledger(tmp_path / "backup.db", path)
    refused = await asyncio.to_thread(command, site, "ledger", "checkpoint", "--push", "--json")
    assert (refused.returncode, refused.stdout, "state: it is over" in refused.stderr) == (1, "", True)
    doctor = await asyncio.to_thread(command, site, "doctor", "--json")
    found_wrong = {json.loads(line)["subject"]: json.loads(line)["problem"] for line in doctor.stdout.splitlines()}
    assert "rolled back" in found_wrong["checkpoints held by state"]
    assert found_wrong["ledger's signing key"] == ""


async def test_another_key_is_refused_at_start(tmp_path: Path, stores: Addresses) -> None:
    """With the way to rotate."""
    async with running(tmp_path / "world", stores) as site:
        key = site.world.settings.ledger.path.with_name("ledger.db.key")
    key.unlink()
    world = make_world(tmp_path / "world", stores, clock=SystemClock(), ports=(0, 0))
    with pytest.raises(GatewayError, match=r"is not there, and the ledger names .*; put that key back"):
        async with build(world.settings):
            pass
    world.state.close()
    assert not key.exists()


def with_holder(site: Running, holder: str) -> None:
    """Name a file, ``f``, as another holder in the configuration that commands read."""
    with site.world.config.open("a", encoding="utf-8") as config:
        config.write(f'[[ledger.holder]]\nname = "f"\nkind = "file"\n{holder}\n')


@pytest.mark.parametrize("words", [("checkpoint",), ("checkpoint", "--push"), ("rotate-key", "--as", "dana")])
@pytest.mark.parametrize(
    ("holder", "status", "says"),
    [
        ('path = "held"', 1, "f: what stands there is no checkpoint"),
        ('path = "missing/held"\nrequired = true', 3, "f: "),
    ],
)
async def test_nothing_is_signed_that_a_holder_does_not_bear_out(
    tmp_path: Path, stores: Addresses, words: tuple[str, ...], holder: str, status: int, says: str
) -> None:
    """Contradicted, or a required one out of reach: as at a start, by any holder and not the state database alone."""
    async with running(tmp_path / "world", stores) as site:
        path = site.world.settings.ledger.path
    (site.world.directory / "held").write_text("somebody else's", "utf-8")
    with_holder(site, holder)
    with LedgerWriter(path) as writer:
        writer.append(act())
    before = latest(path)
    done = await asyncio.to_thread(command, site, "ledger", *words)
    assert (done.returncode, done.stdout, says in done.stderr) == (status, "", True), done.stderr
    with evidence(path, ORIGIN) as found:
        assert (found.latest(), len(found.keys)) == (before, 1)


async def test_holder_out_of_reach_that_is_not_required_is_told_beside(tmp_path: Path, stores: Addresses) -> None:
    """As at a start: a line, and the work is done."""
    async with running(tmp_path / "world", stores) as site:
        with_holder(site, 'path = "missing/held"')
    for words in (("checkpoint",), ("rotate-key",)):
        done = await asyncio.to_thread(command, site, "ledger", *words)
        assert (done.returncode, done.stderr.startswith("f: "), bool(done.stdout)) == (0, True, True)


async def test_emptied_holder_is_refused_until_it_is_accepted(tmp_path: Path, stores: Addresses) -> None:
    """A required one at a start; accepting is recorded, and only what was lost can be accepted."""
    async with running(tmp_path / "world", stores) as site:
        with_holder(site, 'path = "held"\nrequired = true')
    settings = load(site.world.config, {})
    held = site.world.directory / "held"
    accept = partial(command, site, "ledger", "accept-holder", "--reason", "new disk", "--as", "dana")
    async with build(settings) as gateway:
        await gateway.checkpoints.take()
    told = size_of(held.read_text("utf-8"))
    refused = await asyncio.to_thread(accept, "f")
    assert (refused.returncode, "f has what it was told of" in refused.stderr) == (2, True)
    held.unlink()
    says = f"f: it holds nothing, and was told of {told} entries: it was emptied or put back"
    with pytest.raises(HolderUnavailable, match=says):
        async with build(settings):
            raise AssertionError("it serves")
    assert not held.exists()
    assert (await asyncio.to_thread(accept, "g")).returncode == 1
    accepted = await asyncio.to_thread(accept, "f", "--json")
    assert json.loads(accepted.stdout) == {"holder": "f", "told": told}
    with LedgerReader(settings.ledger.path) as reader:
        said = json.loads(next(iter(reader.bodies(start=reader.size() - 1)))[1])
    assert (said["act"], said["actor"], said["object"]) == ("ledger.accept_holder", "dana", "f")
    assert (said["details"]["told"], said["details"]["reason"]) == (told, "new disk")
    async with build(settings) as gateway:
        await gateway.checkpoints.take()
    assert size_of(held.read_text("utf-8")) > told


async def test_holder_that_cannot_be_asked_is_not_accepted(tmp_path: Path, stores: Addresses) -> None:
    """Nor while another one contradicts."""
    async with running(tmp_path / "world", stores) as site:
        with_holder(site, 'path = "missing/held"')
    accept = partial(command, site, "ledger", "accept-holder", "f", "--reason", "new disk")
    assert (await asyncio.to_thread(accept)).returncode == 3
    path = site.world.settings.ledger.path
    copy_ledger(path, tmp_path / "backup.db")
    with LedgerWriter(path) as writer:
        writer.append(act())
    assert (await asyncio.to_thread(command, site, "ledger", "checkpoint", "--push")).returncode == 3
    copy_ledger(tmp_path / "backup.db", path)
    refused = await asyncio.to_thread(accept)
    assert (refused.returncode, "state: it is over" in refused.stderr) == (1, True)


async def test_required_witness_has_to_know_a_new_ledger(tmp_path: Path, stores: Addresses) -> None:
    """It is asked at the very first start, too, once there is a key to ask with; then it is given that."""
    witness = Witness()
    async with serving(witness) as url:
        given = {"kind": "witness", "url": url, "key": str(witness.key), "unsafe_plain_http": True, "required": True}
        path = tmp_path / "world" / "state" / "ledger.db"
        with pytest.raises(HolderUnavailable, match="h0: it does not know this ledger"):
            async with running(tmp_path / "world", stores, change=changed(given)):
                raise AssertionError("it serves")
        with evidence(path, ORIGIN) as found:
            assert found.key
            witness.known[ORIGIN] = found.key.verifier
        async with running(tmp_path / "world", stores, change=changed(given)) as site:
            await taken(site)
            assert witness.last[ORIGIN].size > 0


@pytest.mark.parametrize(
    ("holder", "status", "says"), [('path = "missing/held"', 3, "f: "), ('path = "fresh"', 0, "f: holds it")]
)
async def test_pushing_says_what_each_holder_makes_of_it(
    tmp_path: Path, stores: Addresses, holder: str, status: int, says: str
) -> None:
    """Out of reach: 3; the note is printed all the same, and each line is said once."""
    async with running(tmp_path / "world", stores) as site:
        with_holder(site, holder)
    done = await asyncio.to_thread(command, site, "ledger", "checkpoint", "--push", "--json")
    assert (done.returncode, done.stderr.count(says)) == (status, 1), done.stderr
    told = {one["holder"]: one["problem"] for one in json.loads(done.stdout)["holders"]}
    assert (told["state"], bool(told["f"])) == ("", status != 0)
