"""Commands as processes of their own: two at once, beside a gateway that runs, and as a shell asks them to complete."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from gateway.cli.context import Operation
from gateway.demo.world import PRIYA, SAM
from gateway.justification import Grant
from gateway.ledger.reader import LedgerReader
from tests.integration.commands.lines import REQUEST, in_a_process, one
from tests.integration.conftest import Running

PATIENCE_S = 10.0
COMPLETE = "_RESIDENCY_GATEWAY_COMPLETE"


def environment(config: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "RESIDENCY_GATEWAY_CONFIG": str(config)}


async def test_two_approvers_at_once_make_exactly_one_grant(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them is told that it is decided; there is one grant and one entry of it."""
    request = one(capsys, REQUEST)["id"]
    lines = [f"access approve {request} --as {name} --json" for name in ("dana", "erin", "finn")]
    done = await asyncio.gather(*(in_a_process(line, **environment(desk)) for line in lines))
    assert sorted(status for status, _, _ in done) == [0, 2, 2]
    assert all("a decided request stays decided" in errors for status, _, errors in done if status == 2)
    operation = Operation(desk, {})
    [grant] = operation.state.all(Grant)
    operation.close()
    with LedgerReader(operation.settings.ledger.path) as reader:
        entries = [entry for entry in reader.tail(20) if entry["act"] == "access.approve"]
    assert [entry["details"]["grant"] for entry in entries] == [grant.id]


async def denial(site: Running, ticket: str = "", customer: str = "acme") -> tuple[int, str]:
    """Priya asks for a transcript from abroad: the status, and the decision's id."""
    status, headers, _ = await site.ask(PRIYA, f"/conversations/{customer}/7", ticket=ticket)
    return status, headers["Residency-Decision"]


async def test_a_gateway_that_runs_beside_notices_what_a_command_did(site: Running) -> None:
    """The grant that let somebody in is revoked by another process: soon nobody passes by it."""
    assert (await denial(site, "BUG-9"))[0] == 200
    status, _, errors = await in_a_process("access revoke G-1 --as dana --why done", **environment(site.world.config))
    assert (status, "G-1 of priya for acme has ended" in errors) == (0, True)
    async with asyncio.timeout(PATIENCE_S):
        while (await denial(site, "BUG-9"))[0] != 403:  # noqa: ASYNC110  what is awaited is another process's doing
            await asyncio.sleep(0.05)


async def test_a_report_says_who_read_what_under_a_ticket(site: Running) -> None:
    """Permitted accesses that cited it, with their bytes; not the denied ones, nor those of other tickets."""
    _, headers, body = await site.ask(PRIYA, "/conversations/acme/7", ticket="BUG-9")
    await site.ask(PRIYA, "/conversations/borealis/7", ticket="BUG-9")
    await site.ask(SAM, "/crm/acme/cases/1", ticket="CASE-1")
    await _completed(site, headers["Residency-Decision"])
    around = environment(site.world.config)
    assert (await in_a_process("tickets close BUG-9 --as priya", **around))[0] == 0
    status, output, _ = await in_a_process("tickets report BUG-9 --json --as liam", **around)
    [access] = [json.loads(line) for line in output.splitlines()]
    assert status == 0
    assert access["decision"] == headers["Residency-Decision"]
    assert (access["subject"], access["country"], access["customer"]) == ("priya", "IN", "acme")
    assert (access["data_class"], access["action"], access["path"]) == ("conversation", "read", "/conversations/acme/7")
    assert (access["bytes"], access["rule"], access["grant"]) == (len(body), "code-level-bug", "G-1")
    shown = await in_a_process("tickets report BUG-9", **around)
    assert "/conversations/acme/7" in shown[1]
    assert f"1 access by 1 person or service, {len(body)} bytes" in shown[2]
    with LedgerReader(site.world.settings.ledger.path) as reader:
        asked = [entry["actor"] for entry in reader.tail(9) if entry.get("act") == "ticket.report"]
    assert asked[0] == "liam"


async def test_a_denial_leads_to_the_hand_off_of_its_ticket(site: Running) -> None:
    """The decision's id is enough: its ticket is handed off, or a case is opened; another kind of entry will not do."""
    around = environment(site.world.config)
    status, decision = await denial(site, "CASE-5")
    assert status == 403
    done, output, errors = await in_a_process(f"tickets handoff --decision {decision} --as priya --json", **around)
    assert done == 0, errors
    ticket = json.loads(output)
    assert (ticket["id"], ticket["holder"], ticket["state"]) == ("CASE-5", "us-queue", "queued")
    with LedgerReader(site.world.settings.ledger.path) as reader:
        [entry] = [entry for entry in reader.tail(9) if entry.get("act") == "ticket.handoff"]
    assert entry["details"]["denial"] == decision
    _, uncited = await denial(site, customer="borealis")
    done, output, errors = await in_a_process(f"tickets handoff --decision {uncited} --as priya --json", **around)
    assert done == 0, errors
    case = json.loads(output)
    assert (case["id"].startswith("CASE-"), case["customers"], case["holder"]) == (True, ["borealis"], "us-queue")
    _, permit = await denial(site, "BUG-9")
    done, _, errors = await in_a_process(f"tickets handoff --decision {permit}", **around)
    assert (done, "is a permit" in errors) == (2, True), errors


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tickets show B", ["BUG-9"]),
        ("tickets close ", ["BUG-9", "CASE-5", "INC-7"]),
        ("customers show g", ["globex"]),
        ("access request --ticket BUG", ["BUG-9"]),
        ("access request --customer ac", ["acme"]),
        ("access approve R-", ["R-"]),
        ("access revoke G-", []),
        ("tickets show Z", []),
        ("tickets severity C", ["CASE-5"]),
        ("customers uploads pass mint g", ["globex"]),
    ],
)
async def test_a_shell_completes_ids_of_the_state_at_hand(
    desk: Path, capsys: pytest.CaptureFixture[str], words: str, offered: list[str]
) -> None:
    """Tickets, customers, requests and grants that begin so; no more, and nothing else."""
    request = one(capsys, REQUEST)["id"]
    found = await _completions(environment(desk), words)
    assert found == [request if word == "R-" else word for word in offered]


LOGGING = """
import logging, structlog
from gateway.cli.context import Operation

closing = Operation.close

def close(operation):
    structlog.get_logger("gateway").info("no_news")
    structlog.get_logger("gateway").warning("something_is_odd", token="t0p")
    logging.getLogger("elsewhere").warning("odd there, too")
    closing(operation)

Operation.close = close
"""


def test_what_a_command_logs_is_beside_what_it_prints(desk: Path) -> None:
    """A script that reads JSON reads nothing else; the log has no credential, and no news."""
    status, output, errors = asyncio.run(in_a_process("tickets list --json", first=LOGGING, **environment(desk)))
    assert (status, [json.loads(line)["id"] for line in output.splitlines()]) == (0, ["BUG-9", "CASE-5", "INC-7"])
    logged = [json.loads(line) for line in errors.splitlines()]
    assert [entry["event"] for entry in logged] == ["something_is_odd", "odd there, too"]
    assert "t0p" not in errors


IMPORTED = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"


@pytest.mark.parametrize("line", ["tickets list --json", "customers list --json", "access list --json"])
def test_a_command_imports_only_what_it_needs(desk: Path, line: str) -> None:
    """A list waits for no server, no Cedar, no migration, and for none of the other commands."""
    status, _, errors = asyncio.run(in_a_process(line, first=IMPORTED, **environment(desk)))
    slow = {"aiohttp", "alembic", "cedarpy", "maxminddb", "prometheus_client", "gateway.app", "gateway.cli.serve"}
    assert (status, slow & {*errors.split()}) == (0, set())


@pytest.mark.parametrize("damage", ["no configuration", "no state", "no database"])
def test_completing_is_silent_and_makes_nothing_where_there_is_no_state(
    desk: Path, tmp_path: Path, damage: str
) -> None:
    """Nothing is offered, nothing is said, and no database comes into being."""
    state = tmp_path / "state" / "gateway.db"
    if damage == "no configuration":
        desk.unlink()
    else:
        state.unlink()
    if damage == "no database":
        state.write_text("not a database, and long enough to be none " * 9)
    assert asyncio.run(_completions(environment(desk), "tickets show B")) == []
    assert state.exists() == (damage != "no state")


async def _completions(around: dict[str, str], words: str) -> list[str]:
    """What bash would be offered for the last of these words."""
    asked = {"COMP_WORDS": f"residency-gateway {words}", "COMP_CWORD": str(len(words.split(" ")))}
    _, output, errors = await in_a_process("", **around, **asked, **{COMPLETE: "bash_complete"})
    assert errors == ""
    return [line.removeprefix("plain,") for line in output.splitlines() if line]


async def _completed(site: Running, decision: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with LedgerReader(site.world.settings.ledger.path) as reader:
                if decision in reader.completions([decision]):
                    return
            await asyncio.sleep(0.02)
