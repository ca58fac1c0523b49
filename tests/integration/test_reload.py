"""A changed configuration takes effect without a restart; a wrong one leaves the old one in force."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import reload
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader, Query
from gateway.policy import default_directory
from tests.integration.conftest import Running, running
from tests.integration.test_continuous import endless as endless
from tests.integration.test_continuous import is_cut, streaming

SUPPORT = """[role.support]
data_classes = ["crm_account", "case", "conversation", "ftp_upload", "configuration"]
"""

ROUTE = """
[[route]]
path = "/tapes/{customer}/{rest...}"
store = "conversations"
strip = "/tapes"
data_class = "conversation"
"""


async def reloaded(site: Running, change: Callable[[str], str]) -> None:
    """Change the configuration's text, and reload it."""
    site.world.config.write_text(change(site.world.config.read_text()))
    await site.gateway.reloader.reload()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def acts(site: Running) -> list[tuple[str, dict[str, str]]]:
    """What the ledger says of reloads."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        found = reader.search(Query(kind="administrative"))
        return [(entry["act"], entry["details"]) for entry in found if entry["act"].startswith("reload")]


async def test_a_route_that_was_added_is_served(tmp_path: Path, stores: Addresses) -> None:
    """What was refused before the reload is forwarded after it, and nothing else changed."""
    async with running(tmp_path / "world", stores, reloads=True) as site:
        engine = site.gateway.engine
        assert (await site.ask(SAM, "/tapes/acme/7"))[0] == 403
        await reloaded(site, lambda text: text + ROUTE)
        assert (await site.ask(SAM, "/tapes/acme/7"))[0] in (200, 404)
        assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 200
        assert site.gateway.engine is not engine
        assert site.gateway.engine.stores == engine.stores
        assert site.gateway.authenticator is engine.authenticator
        assert site.gateway.rooms.databases is engine.rooms.databases
        assert [act for act, _ in acts(site)] == ["reload"]


async def test_a_reload_takes_the_new_secret_of_a_store(tmp_path: Path, stores: Addresses) -> None:
    """From the file that its url names; the configuration itself stays as it is."""
    secret = tmp_path / "url"
    secret.write_text("ftp://gateway:old@127.0.0.1:1/folder")

    def named(text: str) -> str:
        store = re.search(r'name = "uploads"\n(url = .*)', text)
        assert store is not None
        return text.replace(store[1], f'url = {{ file = "{secret}" }}')

    async with running(tmp_path / "world", stores, reloads=True) as site:
        await reloaded(site, named)
        before = site.gateway.engine
        await reloaded(site, str)
        assert site.gateway.engine.stores["uploads"] is before.stores["uploads"]
        secret.write_text("ftp://gateway:new@127.0.0.1:1/folder")
        await reloaded(site, str)
        assert site.gateway.engine.gate("uploads").site is not before.gate("uploads").site
        assert site.gateway.engine.stores["crm"] is before.stores["crm"]


async def test_a_changed_file_is_noticed_by_itself(tmp_path: Path, stores: Addresses) -> None:
    """Nobody has to ask."""
    async with running(tmp_path / "world", stores, reloads=True) as site:
        engine = site.gateway.engine
        await asyncio.sleep(0.1)  # its first look
        with site.world.config.open("a") as file:
            file.write(ROUTE)
        async with asyncio.timeout(10):
            while site.gateway.engine is engine:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)


async def test_a_start_reloads_nothing(tmp_path: Path, stores: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is no change: nothing is put in force anew, and nothing is in the record."""
    monkeypatch.setattr(reload, "LOOK_S", 0.05)
    async with running(tmp_path / "world", stores, reloads=True) as site:
        engine = site.gateway.engine
        await asyncio.sleep(0.5)
        assert site.gateway.engine is engine
        assert acts(site) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text + "[", "not TOML"),
        (lambda text: text + "\n[unknown]\nkey = 1\n", "unknown"),
        (lambda text: text.replace('data_class = "case"', 'data_class = "nothing"'), "no role may use"),
        (lambda text: text.replace('node = "demo"', 'node = "other"'), "only with a restart"),
        (lambda text: text.replace("state/gateway.db", "state/other.db"), "only with a restart"),
        (lambda text: text.replace("127.0.0.1:0", "127.0.0.1:1", 1), "only with a restart"),
        (lambda text: text.replace("sample-jwks", "no-such"), ""),
        (lambda text: text + ROUTE.replace("/tapes/", "/crm/"), ""),
    ],
    ids=["syntax", "unknown key", "data class", "node", "state", "listen", "keys", "overlap"],
)
async def test_a_wrong_configuration_leaves_the_old_one_in_force(
    tmp_path: Path, stores: Addresses, change: Callable[[str], str], told: str
) -> None:
    """It is refused with its reason, in the log, in the ledger and in the metrics; mended, it is taken."""
    async with running(tmp_path / "world", stores, reloads=True) as site:
        engine, whole = site.gateway.engine, site.world.config.read_text()
        await reloaded(site, change)
        if told:
            assert site.gateway.engine is engine
            assert told in site.gateway.reloader.problem
            [(act, details)] = acts(site)
            assert act == "reload.refused"
            assert told in details["problem"]
            assert b"residency_reload_failed 1.0" in site.gateway.metrics.exposition()
        assert (await site.ask(SAM, "/conversations/acme/7"))[0] in (200, 401, 503)
        await reloaded(site, lambda _text: whole)
        assert site.gateway.reloader.problem == ""
        assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 200


async def test_a_hundred_wrong_reloads_change_nothing_and_leave_nothing_open(tmp_path: Path, stores: Addresses) -> None:
    """The old configuration serves between them; no file or socket is left behind."""
    async with running(tmp_path / "world", stores, reloads=True) as site:
        engine, whole = site.gateway.engine, site.world.config.read_text()
        await site.ask(SAM, "/conversations/acme/7")
        before = open_files()
        for number in range(100):
            wrong = whole.replace('data_class = "case"', 'data_class = "nothing"') if number % 2 else whole + "["
            site.world.config.write_text(wrong)
            await site.gateway.reloader.reload()
            if not number % 10:
                assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 200
        assert site.gateway.engine is engine
        assert open_files() <= before + 2


async def test_a_new_policy_denies_the_next_request_and_cuts_what_is_in_flight(
    tmp_path: Path, endless: Addresses
) -> None:
    """Policies are files: one that lets support see less is in force as soon as it is read."""
    policies = tmp_path / "policies"
    shutil.copytree(default_directory(), policies)
    async with running(tmp_path / "world", endless, reloads=True) as site:
        await reloaded(site, lambda text: text.replace(str(default_directory()), str(policies)))
        assert site.gateway.reloader.problem == ""
        version = site.gateway.rooms.policy.version
        async with streaming(site, SAM, "/conversations/acme/7") as response:
            roles = policies / "roles.toml"
            text = roles.read_text()
            assert SUPPORT in text
            roles.write_text(text.replace(SUPPORT, SUPPORT.replace('"conversation", ', "")))
            await site.gateway.reloader.reload()
            assert site.gateway.reloader.problem == ""
            assert site.gateway.rooms.policy.version != version
            assert (await is_cut(site, response))["outcome"] == "ended"
        assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 403


async def test_a_policy_with_a_fault_leaves_the_old_one_in_force(tmp_path: Path, stores: Addresses) -> None:
    """Half a file, as an editor leaves it for a moment."""
    policies = tmp_path / "policies"
    shutil.copytree(default_directory(), policies)
    async with running(tmp_path / "world", stores, reloads=True) as site:
        await reloaded(site, lambda text: text.replace(str(default_directory()), str(policies)))
        cedar = policies / "us_only.cedar"
        cedar.write_text(cedar.read_text()[:-40])
        await site.gateway.reloader.reload()
        assert "us_only.cedar" in site.gateway.reloader.problem
        assert (await site.ask(SAM, "/conversations/acme/7"))[0] == 200
