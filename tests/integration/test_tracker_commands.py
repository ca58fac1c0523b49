"""The command line over tickets of another system: what it said, and nothing that is its to do."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import run
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import make_world
from gateway.justification import Ticket, TicketKind
from gateway.ledger.writer import LedgerWriter
from tests.world.trackers import Served, issue, jira

TABLE = """
[[tracker]]
name = "jira"
kind = "jira"
url = "{url}"
pattern = "(SEC|BUG)-[0-9]+"
fields.customers = "customfield_10050"
kinds = {{ "Security Incident" = "security", Bug = "bug" }}
[[tracker]]
name = "pager"
kind = "webhook"
pattern = "PAGE-[0-9]+"
webhook_secret = "0123456789abcdef"
"""
Said = Callable[..., Any]
CHECK = "check --subject liam --roles infosec --from 87.32.0.1 --path /conversations/acme/7 --json --ticket "


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs lines on the sample world with a Jira: asynchronously, since that answers from the same loop."""
    url = "http://127.0.0.1:9"
    world = make_world(tmp_path, Addresses(url, url, url, "ftp://127.0.0.1:9/"), clock=SystemClock(), ports=(1, 2))
    world.state.put(Ticket("BUG-1", TicketKind.BUG, ("acme",), "Here, too", 1))
    world.state.close()
    LedgerWriter(world.settings.ledger.path).close()
    monkeypatch.setenv("RESIDENCY_GATEWAY_CONFIG", str(world.config))
    sample = world.config.read_text()

    async def run_line(served: Served, line: str, status: int = 0) -> Any:
        world.config.write_text(sample + TABLE.format(url=served.url))
        capsys.readouterr()
        found = await asyncio.to_thread(run, shlex.split(line))
        out, err = capsys.readouterr()
        assert found == status, out + err
        return [json.loads(text) for text in out.splitlines()] if "--json" in line else out + err

    return run_line


async def test_show_says_what_the_tracker_says(said: Said) -> None:
    """The ticket as the gateway understands it, and the words that it was made of; nothing is stored."""
    async with jira(issue("SEC-7"), issue("SEC-8", issuetype={"name": "Task"})) as served:
        [found] = await said(served, "tickets show SEC-7 --json")
        assert (found["kind"], found["customers"], found["problem"]) == ("security", ["acme"], "")
        assert found["jira.status"] == ["indeterminate"]
        [unmapped] = await said(served, "tickets show SEC-8 --json", 1)
        assert unmapped["jira.kind"] == ["Task"]
        assert "its kind (field issuetype.name)" in unmapped["problem"]
        assert "knows no SEC-9" in await said(served, "tickets show SEC-9", 1)
        assert [ticket["id"] for ticket in await said(served, "tickets list --json") if "SEC" in ticket["id"]] == []
        served.misbehave = "401"
        assert "answered 401; check its credential" in await said(served, "tickets show SEC-7", 3)
        assert "both here and of the tracker jira" in await said(served, "tickets show BUG-1", 2)


async def test_report_of_a_trackers_incident(said: Said) -> None:
    """Who read what under it stands in the record here, whoever's the ticket is."""
    async with jira(issue("SEC-7")) as served:
        told = await said(served, "tickets report SEC-7 --as liam")
        assert "SEC-7 is still open" in told
        assert "nobody read anything under SEC-7" in told
        assert "knows no SEC-8" in await said(served, "tickets report SEC-8 --as liam", 1)


async def test_what_is_the_trackers_is_changed_there(said: Said) -> None:
    """Neither opened, closed, assigned nor handed off here; nor is one that is pushed opened here."""
    async with jira(issue("SEC-7")) as served:
        add = "--kind security --customer acme --title Odd"
        assert "of the tracker jira; open it there" in await said(served, f"tickets add SEC-9 {add}", 2)
        assert "of the tracker pager; open it there" in await said(served, f"tickets add PAGE-9 {add}", 2)
        for line in ("close SEC-7", "assign SEC-7 --to sam", "handoff SEC-7", "severity SEC-7 --to 1 --reason x"):
            assert "of the tracker jira; change it there" in await said(served, f"tickets {line}", 2)
        assert served.asked == []


HANDOFF = """
home_queues = ["us-desk"]
handoff.fields = { assignee = { accountId = "us-desk" } }
"""


async def test_hand_off_is_written_to_the_tracker(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the key it is refused and names it; with it the ticket moves, once; a tracker that fails is told of."""
    async with jira(issue("SEC-7"), issue("SEC-8")) as served:
        refusal = await said(served, "tickets handoff SEC-7 --as liam", 2)
        assert "set handoff.fields in its [[tracker]]" in refusal
        assert served.asked == []
        table = TABLE.replace('kind = "jira"\n', 'kind = "jira"' + HANDOFF.replace("{", "{{").replace("}", "}}"))
        monkeypatch.setattr("tests.integration.test_tracker_commands.TABLE", table)
        [moved] = await said(served, "tickets handoff SEC-7 --as liam --json")
        assert (moved["id"], moved["holder"]) == ("SEC-7", "us-queue")
        assert served.tickets["SEC-7"]["fields"]["assignee"] == {"accountId": "us-desk"}
        assert "already; nothing changed" in await said(served, "tickets handoff SEC-7 --as liam")
        assert len(served.written) == 1
        [found] = await said(served, CHECK + "SEC-7")
        assert found["rule"] == "security-incident", "the incident is whoever's business it was before"
        served.misbehave_writing = "500"
        failure = await said(served, "tickets handoff SEC-8 --as liam", 3)
        assert "SEC-8 is handed off here" in failure
        assert "hand it off again" in failure
        served.misbehave_writing = ""
        await said(served, "tickets handoff SEC-8 --as liam")
        assert served.tickets["SEC-8"]["fields"]["assignee"] == {"accountId": "us-desk"}


async def test_access_is_requested_and_approved_for_a_bug_of_the_tracker(said: Said) -> None:
    """As for one of the embedded desk: it has to be a bug, open, and of that customer, both times."""
    ask = "access request --as priya --customer acme --data-class conversation --reason why --json --ticket "
    async with jira(issue("BUG-19", issuetype={"name": "Bug"}), issue("SEC-7")) as served:
        [asked] = await said(served, ask + "BUG-19")
        [grant] = await said(served, f"access approve {asked['id']} --as dana --json")
        assert grant["ticket"] == "BUG-19"
        await said(served, ask + "SEC-7", 2)
        await said(served, ask + "BUG-18", 1)
        served.misbehave = "500"
        await said(served, ask + "BUG-19", 3)


async def test_check_and_doctor_ask_the_tracker(said: Said) -> None:
    """What would be answered, and what is wrong."""
    async with jira(issue("SEC-7")) as served:
        [found] = await said(served, CHECK + "SEC-7")
        assert (found["effect"], found["rule"]) == ("permit", "security-incident")
        findings = {one["subject"]: one["problem"] for one in await said(served, "doctor --json")}
        assert (findings["tracker jira"], findings["tracker pager"]) == ("", "")
        served.misbehave = "401"
        [found] = await said(served, CHECK + "SEC-7", 1)
        assert "the tracker jira answered 401" in found["detail"]
        findings = {one["subject"]: one["problem"] for one in await said(served, "doctor --json", 1)}
        assert findings["tracker jira"].startswith("the tracker jira answered 401")
        await said(served, "serve --check-config")
