"""A person is erased: through the door, beside a gateway that runs, and out of everything that reads the record."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner, Result

from gateway.app import build
from gateway.cli import run as command_line
from gateway.cli.context import Operation
from gateway.cli.erasing import erase_subject
from gateway.demo.stores import Addresses
from gateway.demo.world import LIAM, MARIA, PRIYA, RAJ, SAM
from gateway.errors import ConfigurationError
from gateway.ledger.reader import LedgerReader
from gateway.ledger.subject_keys import SubjectKeys
from gateway.ledger.verification import verify
from gateway.letters import is_pseudonym
from gateway.settings import Settings
from tests.integration.conftest import Running, running

PATH = "/conversations/acme/7"
REASON = "the crash of Mrs Canary's export"
VERIFIER = Path(__file__).parents[1] / "verifier" / "verify.py"


def pseudonymised(settings: Settings) -> Settings:
    return settings.model_copy(update={"ledger": settings.ledger.model_copy(update={"pseudonymise": True})})


@asynccontextmanager
async def erasing(directory: Path, stores: Addresses) -> AsyncIterator[Running]:
    """A gateway with pseudonyms, whose configuration file says so, too."""
    async with running(directory, stores, change=pseudonymised) as site:
        text = site.world.config.read_text("utf-8")
        site.world.config.write_text(f"{text}\n[ledger]\npseudonymise = true\n", "utf-8")
        yield site


@pytest.fixture
async def site(tmp_path: Path, stores: Addresses) -> AsyncIterator[Running]:
    async with erasing(tmp_path / "world", stores) as site:
        yield site


async def command(site: Running, *arguments: str) -> int:
    return await asyncio.to_thread(command_line, ["--config", str(site.world.config), *arguments])


async def said(site: Running, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints, on both streams."""
    capfd.readouterr()
    await command(site, *arguments)
    out, err = capfd.readouterr()
    return out + err


def raw(site: Running, decision: str) -> dict[str, Any]:
    """An entry as its bytes have it."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        found: dict[str, Any] = json.loads(reader.named(decision)[1])
    return found


async def asked(site: Running, reason: str = REASON) -> dict[str, Any]:
    """Priya asks, and the entry of what was decided."""
    _, headers, _ = await site.ask(PRIYA, PATH, ticket="BUG-9", headers={"Access-Reason": reason})
    return raw(site, headers["Residency-Decision"])


def bytes_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


async def report(site: Running) -> Any:
    found = await asyncio.to_thread(verify, site.world.settings.ledger.path, processes=1)
    assert found.verified, found.problems
    return found


async def test_a_decision_names_a_person_by_pseudonym_alone(site: Running) -> None:
    """Who, from which address and why; the country, and what was done, stay as they are."""
    first, second = await asked(site), await asked(site)
    assert is_pseudonym(first["subject"])
    assert first["subject"] == second["subject"]
    assert is_pseudonym(first["client_address"])
    assert is_pseudonym(first["reason"])
    assert len({first["subject"], first["client_address"], first["reason"]}) == 3
    assert (first["location"]["country"], first["path"], first["ticket"]) == ("IN", PATH, "BUG-9")
    _, headers, _ = await site.ask(SAM, PATH)
    assert raw(site, headers["Residency-Decision"])["subject"] != first["subject"]


async def test_people_are_found_and_shown_by_name_as_long_as_they_have_a_key(
    site: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """Search, show and tail say name, address and reason; the API shows people their own."""
    entry = await asked(site)
    found = await said(site, capfd, "ledger", "search", "--subject", PRIYA.name, "--kind", "decision", "--json")
    assert json.loads(found.splitlines()[-1])["id"] == entry["id"]
    for arguments in (("search", "--subject", PRIYA.name), ("show", entry["id"]), ("tail",)):
        shown = await said(site, capfd, "ledger", *arguments, "--json")
        assert [each for each in (PRIYA.name, PRIYA.address, REASON) if each not in shown] == [], arguments
    exported = await said(site, capfd, "ledger", "export", "--subject", PRIYA.name)
    assert entry["id"] in exported
    assert f'"{PRIYA.name}"' not in exported


async def test_whoever_was_denied_is_known_by_the_api(site: Running) -> None:
    """Send to US Analyst is for the person who was denied: the record has a pseudonym, and the API their name."""
    _, headers, _ = await site.ask(RAJ, PATH)
    decision = headers["Residency-Decision"]
    assert is_pseudonym(raw(site, decision)["subject"])
    url = f"{site.control}/api/v1/decisions/{decision}/handoff"
    for person, expected in ((MARIA, 404), (RAJ, 200)):
        bearer = {"Authorization": f"Bearer {site.world.token(person)}", "X-Forwarded-For": person.address}
        async with site.client.post(url, headers=bearer) as response:
            assert response.status == expected, await response.text()
    await site.gateway.ledger.flush()
    with LedgerReader(site.world.settings.ledger.path) as reader:
        acts = [json.loads(body) for _, body in reader.bodies() if b'"administrative"' in body]
    assert "raj" not in json.dumps(acts)
    assert RAJ.address not in json.dumps(acts)
    assert any(act["act"] == "ticket.handoff" and is_pseudonym(act["actor"]) for act in acts)


READERS = (
    ("ledger", "tail", "-n", "100"),
    ("ledger", "tail", "-n", "100", "--json"),
    ("ledger", "search", "--json"),
    ("ledger", "search", "--customer", "acme"),
    ("ledger", "export", "--format", "jsonl"),
    ("ledger", "export", "--format", "csv"),
    ("ledger", "export", "--format", "ocsf"),
    ("ledger", "export", "--format", "ocsf", "--kind", "completion"),
    ("ledger", "report", "--customer", "acme", "--since", "1h", "--format", "json"),
    ("ledger", "report", "--customer", "acme", "--since", "1h", "--format", "html"),
    ("ledger", "report", "--customer", "acme", "--since", "1h", "--format", "csv"),
    ("ledger", "prove", "0", "--json"),
    ("ledger", "verify", "--json"),
    ("tickets", "report", "BUG-9", "--json"),
)


async def test_nothing_that_reads_the_record_holds_who_was_erased(
    site: Running, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before, some do; after, none, nor do the bytes of ledger and keys; and no entry changed."""
    entry = await asked(site)
    request = ("access", "request", "--as", PRIYA.name, "--ticket", "BUG-9", "--customer", "acme")
    what = ("--data-class", "conversation", "--action", "export", "--for", "1h", "--reason", REASON)
    assert await command(site, *request, *what) == 0
    assert await command(site, "access", "revoke", "G-1", "--why", "done", "--as", "dana") == 0
    assert await command(site, "tickets", "assign", "BUG-9", "--to", "erin", "--as", PRIYA.name) == 0
    assert await command(site, "access", "revoke-subject", PRIYA.name, "--sign-in-again") == 0
    await site.gateway.checkpoints.take()
    canaries = [PRIYA.name, PRIYA.address, "Canary"]
    before = "".join([await said(site, capfd, *arguments) for arguments in READERS])
    assert [canary in before for canary in canaries] == [True] * 3
    assert PRIYA.name in await api_report(site)
    for arguments in READERS:
        if arguments[0] == "ledger" and arguments[1] in (
            "export",
            "report",
            "prove",
        ):  # what is handed out outlives an erasure
            handed = await said(site, capfd, *arguments)
            assert [canary for canary in canaries if canary in handed] == [], arguments
    assert await command(site, "ledger", "export", "--bundle", str(tmp_path / "before")) == 0
    root = (await report(site)).root

    told = json.loads(await said(site, capfd, "ledger", "erase-subject", PRIYA.name, "--yes", "--json", "--as", "dana"))
    assert (told["erased"], told["pseudonym"], told["in_clear"]) == (True, entry["subject"], 0)
    assert told["entries"] >= 3
    for arguments in READERS:
        shown = await said(site, capfd, *arguments)
        assert [canary for canary in canaries if canary in shown] == [], arguments
    assert PRIYA.name not in await api_report(site)
    folder = site.world.settings.ledger.path.parent
    ledger_bytes = b"".join(path.read_bytes() for path in folder.glob("ledger.db*"))
    kept = bytes_of(site.world.settings.ledger.subject_keys.parent)
    for canary in map(str.encode, canaries):
        assert canary not in ledger_bytes
        assert canary not in kept

    assert (await report(site)).root != root  # more entries
    with LedgerReader(site.world.settings.ledger.path) as reader:
        [*_, erased] = [each for each in reader.tail(100) if each.get("act") == "ledger.erase"]
    assert (erased["object"], erased["details"]["entries"]) == (entry["subject"], told["entries"])
    assert raw(site, entry["id"]) == entry
    await site.gateway.checkpoints.take()
    bundle = tmp_path / "after"
    assert await command(site, "ledger", "export", "--bundle", str(bundle)) == 0
    kept_outside = tmp_path / "before" / "checkpoint"
    checked = await asyncio.to_thread(
        verified_by_itself, bundle, kept_outside, await said(site, capfd, "ledger", "key")
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def api_report(site: Running) -> str:
    """Who read what under BUG-9, as the API tells somebody who may see it."""
    headers = {"Authorization": f"Bearer {site.world.token(LIAM)}"}
    async with site.client.get(f"{site.control}/api/v1/tickets/BUG-9/report", headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.text()


def verified_by_itself(bundle: Path, kept: Path, key: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(bundle), "--key", key.split()[-1], "--checkpoint", str(kept)]
    return subprocess.run([sys.executable, str(VERIFIER), *arguments], capture_output=True, text=True, check=False)


async def test_whoever_comes_again_is_somebody_new(site: Running, capfd: pytest.CaptureFixture[str]) -> None:
    """The gateway that runs learns of it before its next decision; what was before is not found by name any more."""
    before = await asked(site)
    assert await command(site, "ledger", "erase-subject", PRIYA.name, "--yes") == 0
    after, again = await asked(site), await asked(site)
    assert after["subject"] == again["subject"] != before["subject"]
    assert after["client_address"] != before["client_address"]
    assert after["reason"] != before["reason"]
    found = await said(site, capfd, "ledger", "search", "--subject", PRIYA.name, "--kind", "decision", "--json")
    ids = [json.loads(line)["id"] for line in found.splitlines() if line.startswith("{")]
    assert ids == [again["id"], after["id"]]
    told = json.loads(await said(site, capfd, "ledger", "erase-subject", "nobody", "--yes", "--json"))
    assert (told["erased"], told["pseudonym"], told["entries"]) == (False, "", 0)


@pytest.mark.parametrize("how", ["missing", "damaged", "another"])
async def test_without_keys_nothing_passes(site: Running, how: str) -> None:
    """503 and nothing recorded, for people known and new; who cannot be told at all is denied, on record, as before."""
    await asked(site)
    keys = site.world.settings.ledger.subject_keys
    sound = keys.read_bytes()
    await site.gateway.ledger.flush()
    size = site.gateway.ledger.size
    if how == "missing":
        keys.unlink()
    elif how == "damaged":
        keys.write_bytes(b"x" * len(sound))
    else:
        with sqlite3.connect(keys) as connection:
            connection.execute("UPDATE about SET id = 'another'")
        connection.close()
    for person in (PRIYA, SAM):
        status, _, body = await site.ask(person, PATH, ticket="BUG-9")
        assert status == 503
        assert b"conversation" not in body
    assert site.gateway.ledger.size == size
    async with site.client.get(f"{site.control}/readyz") as response:
        assert response.status == 503
        assert "subject keys" in await response.text()
    assert (await site.ask(None, PATH))[0] == 401
    keys.write_bytes(sound)
    assert (await site.ask(SAM, PATH))[0] in (200, 403)


async def test_a_start_without_the_keys_of_its_pseudonyms_is_refused(tmp_path: Path, stores: Addresses) -> None:
    """No new keys come in silently; a command begins others, on record."""
    async with erasing(tmp_path / "world", stores) as site:
        before = await asked(site)
    keys = site.world.settings.ledger.subject_keys
    keys.unlink()
    settings = pseudonymised(site.world.settings)
    with pytest.raises(ConfigurationError, match="replace-subject-keys"):
        async with build(settings):
            pass
    assert await command(site, "ledger", "erase-subject", PRIYA.name, "--yes") == 3
    assert await command(site, "ledger", "replace-subject-keys", "--as", "dana") == 0
    assert await command(site, "ledger", "replace-subject-keys", "--as", "dana") == 2
    async with build(settings):
        pass
    with LedgerReader(settings.ledger.path) as reader:
        acts = [entry for entry in reader.tail(100) if entry.get("act") == "ledger.subject_keys"]
    assert [is_pseudonym(act["actor"]) for act in acts] == [False, True]
    assert acts[1]["details"]["lost"] == acts[0]["details"]["keys"]
    assert raw(site, before["id"]) == before


async def test_erasing_asks_unless_told_not_to(site: Running) -> None:
    """How many entries tell of them; a no, or no answer, erases nobody."""
    await asked(site)
    keys = SubjectKeys(site.world.settings.ledger.subject_keys)
    for answer, left in (("n\n", True), ("", True), ("y\n", False)):
        result = await asyncio.to_thread(asked_whether, site.world.config, answer)
        assert "entries tell of priya by a pseudonym" in result.stderr
        assert (keys.find(PRIYA.name) is not None) == left
        assert (result.exit_code == 0) == (not left)


def asked_whether(config: Path, answer: str) -> Result:
    operation = Operation(config, {})
    try:
        return CliRunner().invoke(erase_subject, [PRIYA.name], obj=operation, input=answer)
    finally:
        operation.close()


async def test_a_hold_keeps_a_person_from_being_erased(site: Running, capfd: pytest.CaptureFixture[str]) -> None:
    """As long as it is in force, and covers an entry of theirs."""
    entry = await asked(site)
    hold = ("ledger", "hold", "add", "--reason", "Acme v. Globex", "--as", "dana", "--name")
    assert await command(site, *hold, "other", "--customer", "globex") == 0
    assert await command(site, *hold, "case-17", "--customer", "acme") == 0
    told = json.loads(await said(site, capfd, "ledger", "erase-subject", PRIYA.name, "--yes", "--json"))
    assert (told["erased"], told["holds"]) == (False, ["case-17"])
    assert await command(site, "ledger", "erase-subject", PRIYA.name, "--yes") == 1
    assert PRIYA.name in await said(site, capfd, "ledger", "show", entry["id"])
    assert await command(site, "ledger", "hold", "end", "case-17", "--reason", "settled") == 0
    assert await command(site, "ledger", "erase-subject", PRIYA.name, "--yes") == 0


async def test_what_was_recorded_in_the_clear_is_told_and_stays(
    tmp_path: Path, stores: Addresses, capfd: pytest.CaptureFixture[str]
) -> None:
    """A search by name finds both; an erasure says how many entries it cannot reach."""
    async with running(tmp_path / "world", stores) as site:
        await site.ask(PRIYA, PATH, ticket="BUG-9")
    text = site.world.config.read_text("utf-8")
    site.world.config.write_text(f"{text}\n[ledger]\npseudonymise = true\n", "utf-8")
    async with build(pseudonymised(site.world.settings)) as gateway:
        site.gateway = gateway
        async with aiohttp.ClientSession() as site.client:
            await site.ask(PRIYA, PATH, ticket="BUG-9")
        by_name = ("ledger", "search", "--subject", PRIYA.name, "--kind", "decision", "--json")
        found = (await said(site, capfd, *by_name)).splitlines()
        assert len([line for line in found if line.startswith("{")]) == 2
        told = json.loads(await said(site, capfd, "ledger", "erase-subject", PRIYA.name, "--yes", "--json"))
        assert (told["erased"], told["in_clear"]) == (True, 1)
        assert "1 entries have" in await said(site, capfd, "ledger", "erase-subject", PRIYA.name, "--yes")
