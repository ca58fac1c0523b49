"""``tickets``: kinds, holders, the queue at home, history, and who read what."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gateway.cli import run
from gateway.cli.context import Operation
from gateway.clock import rfc3339
from gateway.support import SupportWindow
from tests.integration.commands.lines import REQUEST, for_people, is_refused, one, said


def test_a_protected_customers_case_goes_to_the_queue_at_home(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Severity 3 waits for the next opening, severity 1 for nothing; an unprotected customer's is merely open."""
    case = one(capsys, "tickets show CASE-5 --json")
    assert (case["holder"], case["state"]) == ("us-queue", "queued")
    opens_us = SupportWindow().next_opening_us(case["opened_us"])
    assert case["queued_until_us"] == (opens_us if opens_us > case["opened_us"] else 0)
    urgent = one(capsys, "tickets add CASE-1 --kind support --severity 1 --customer acme --title Down --json")
    assert (urgent["state"], urgent["queued_until_us"]) == ("queued", 0)
    other = one(capsys, "tickets add CASE-2 --kind support --severity 3 --customer globex --title Slow --json")
    assert (other["holder"], other["state"]) == ("", "open")


def test_a_case_of_another_severity_waits_as_that_says(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More severe, it is to be taken at once, and the record says why; a second time nothing changes."""
    told = "tickets severity CASE-5 --to 1 --reason 'all lines down' --as sam"
    case = one(capsys, f"{told} --json")
    assert (case["severity"], case["state"], case["queued_until_us"]) == (1, "queued", 0)
    [entry] = [entry for entry in said(capsys, "ledger tail --json") if entry["act"] == "ticket.severity"]
    assert (entry["actor"], entry["details"]["previous"], entry["details"]["why"]) == ("sam", 3, "all lines down")
    assert "CASE-5 has severity 1 already; nothing changed" in for_people(capsys, told)[1]
    less = "tickets severity CASE-5 --to 2 --reason 'half of them are back'"
    assert "CASE-5 has severity 2\n" in for_people(capsys, less)[1]


def test_only_an_analyst_with_a_known_work_country_at_home_gets_a_protected_case(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``us-assignment``: nobody unknown, nobody abroad; somebody at home, said by the command."""
    assert "us-assignment" in for_people(capsys, "tickets assign CASE-5 --to raj", 2)[1]
    assert "works in IN" in for_people(capsys, "tickets assign CASE-5 --to raj --country in", 2)[1]
    case = one(capsys, "tickets assign CASE-5 --to sam --country us --json")
    assert (case["holder"], case["holder_country"], case["state"]) == ("sam", "US", "assigned")
    opened = "tickets add CASE-6 --kind support --severity 2 --customer acme --title x --holder sam"
    assert "us-assignment" in for_people(capsys, opened, 2)[1]
    assert one(capsys, f"{opened} --holder-country US --json")["state"] == "assigned"


def test_the_workforce_directory_says_where_somebody_works(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its word is enough, and beats what the command says."""
    (tmp_path / "workforce.toml").write_text('sam = "US"\nraj = "IN"\n')
    desk.write_text(desk.read_text().replace("[identity]", '[identity]\nworkforce = "workforce.toml"'))
    assert "works in IN" in for_people(capsys, "tickets assign CASE-5 --to raj --country US", 2)[1]
    assert one(capsys, "tickets assign CASE-5 --to sam --json")["holder_country"] == "US"


def test_a_security_ticket_is_an_incident_or_an_investigation_and_may_be_widened(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Widening adds customers, once; every customer takes in all of them."""
    assert one(capsys, "tickets show INC-7 --json")["nature"] == "incident"
    line = 'tickets add INC-8 --kind security --nature investigation --customer acme --title "A look"'
    assert one(capsys, f"{line} --json")["nature"] == "investigation"
    for _ in range(2):
        assert one(capsys, "tickets widen INC-7 --customer globex --json")["customers"] == ["acme", "globex"]
    assert one(capsys, "tickets widen INC-8 --all-customers --json")["customers"] == ["*"]
    acts = [entry["act"] for entry in said(capsys, "ledger tail --json")]
    assert acts.count("ticket.widen") == 2


def test_a_ticket_is_shown_with_its_history(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who did what to it and when, oldest first; for people as a table below it."""
    one(capsys, "tickets assign BUG-9 --to priya --as dana --json")
    one(capsys, "tickets close BUG-9 --as dana --json")
    history = one(capsys, "tickets show BUG-9 --json")["history"]
    assert [(event["act"], event["actor"]) for event in history][1:] == [
        ("ticket.assign", "dana"),
        ("ticket.close", "dana"),
    ]
    assert all(rfc3339(event["at_us"]) == event["at"] for event in history)
    assert all(event["via"].startswith("cli:") for event in history)
    shown, _ = for_people(capsys, "tickets show BUG-9")
    assert "history" in shown
    assert "holder priya" in shown


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", ["BUG-9", "CASE-5", "INC-7"]),
        ("--all", ["BUG-9", "CASE-5", "INC-7", "INC-8"]),
        ("--kind security", ["INC-7"]),
        ("--kind security --all", ["INC-7", "INC-8"]),
        ("--customer globex --all", ["INC-8"]),
        ("--customer globex", []),
        ("--state queued", ["CASE-5"]),
        ("--state closed", ["INC-8"]),
        ("--state open", ["INC-7"]),
        ("--state assigned", ["BUG-9"]),
        ("--holder us-queue", ["CASE-5"]),
        ("--holder priya --kind bug", ["BUG-9"]),
    ],
)
def test_tickets_are_listed_by_kind_customer_state_and_holder(
    desk: Path, capsys: pytest.CaptureFixture[str], options: str, found: list[str]
) -> None:
    """Each filter, and several together; closed ones only where they are asked for."""
    one(capsys, "tickets assign BUG-9 --to priya --json")
    one(capsys, "tickets add INC-8 --kind security --all-customers --title Key --json")
    one(capsys, "tickets close INC-8 --json")
    assert [row["id"] for row in said(capsys, f"tickets list {options} --json")] == found


def test_closing_and_handing_off_say_what_ended(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names every grant that ended; a second time nothing changed."""
    grant = one(capsys, f"access approve {one(capsys, REQUEST)['id']} --as dana --json")["id"]
    assert f"ended with it: {grant}" in for_people(capsys, "tickets handoff BUG-9 --as priya")[1]
    assert "already; nothing changed" in for_people(capsys, "tickets handoff BUG-9 --as priya")[1]
    assert "nothing else ended" in for_people(capsys, "tickets close BUG-9")[1]
    assert "already; nothing changed" in for_people(capsys, "tickets close BUG-9")[1]
    assert one(capsys, "tickets close BUG-9 --json")["state"] == "closed"


def test_somebody_elses_case_takes_its_grants_along(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug that goes to somebody else ends what it gave whoever held it."""
    one(capsys, "tickets assign BUG-9 --to priya --json")
    grant = one(capsys, f"access approve {one(capsys, REQUEST)['id']} --as dana --json")["id"]
    assert f"BUG-9 is with omar; ended with it: {grant}" in for_people(capsys, "tickets assign BUG-9 --to omar")[1]


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("tickets add INC-9 --kind bug --nature incident --customer acme --title x", 2, "only a security ticket"),
        ("tickets add INC-9 --kind bug --all-customers --title x", 2, "only a security ticket may"),
        ("tickets add BUG-9 --kind bug --customer acme --title x", 2, "there is a ticket BUG-9 already"),
        ("tickets add B-1 --kind bug --customer acme --title x --holder-country US", 2, "without --holder"),
        ("tickets widen BUG-9 --customer globex", 2, "only a security ticket is widened"),
        ("tickets widen INC-7", 2, "no customer is named"),
        ("tickets severity BUG-9 --to 1 --reason x", 2, "only a support ticket has a severity"),
        ("tickets severity CASE-5 --to 5 --reason x", 2, "5 is not in the range"),
        ("tickets severity CASE-5 --to 1", 2, "Missing option '--reason'"),
        ("tickets severity CASE-5 --to 1 --reason ' '", 2, "expected 1 to 4, and a reason"),
        ("tickets severity NO-1 --to 1 --reason x", 1, "there is no ticket 'NO-1'"),
        ("tickets show NO-1", 1, "there is no ticket 'NO-1'"),
        ("tickets handoff", 2, "no ticket is named"),
        ("tickets handoff NO-1", 1, "there is no ticket 'NO-1'"),
        ("tickets handoff CASE-5 --decision 019", 1, "no entry '019'"),
        ("tickets report NO-1", 1, "there is no ticket 'NO-1'"),
        ("tickets list --state lost", 2, "'lost' is not one of"),
    ],
)
def test_a_wrong_ticket_line_says_what_to_do(
    desk: Path, capsys: pytest.CaptureFixture[str], line: str, status: int, says: str
) -> None:
    """Each wrong use once: its exit status, one message, and no act in the record."""
    is_refused(capsys, line, status, says)


def test_what_cannot_be_recorded_does_not_happen(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger out of reach: exit 3, and the ticket is as it was."""
    ledger = Operation(desk, {}).settings.ledger.path
    for file in ledger.parent.glob(f"{ledger.name}*"):
        file.rename(tmp_path / f"kept-{file.name}")
    ledger.mkdir()
    assert run(shlex.split("tickets close BUG-9")) == 3
    assert one(capsys, "tickets show BUG-9 --json")["state"] == "open"
