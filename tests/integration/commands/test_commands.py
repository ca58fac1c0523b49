"""The command line, line by line as the public interface has it, on an embedded state that begins empty."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gateway.cli import run
from tests.integration.commands.lines import CHECK, REQUEST, one, said


def test_a_request_and_its_approval_turn_a_denial_into_a_permit(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The engineer's way: denied, asked, approved by somebody else, permitted; revoked, denied again."""
    assert one(capsys, CHECK, 1)["rule"] == "outside-home"
    request = one(capsys, REQUEST)["id"]
    assert run(["access", "approve", str(request), "--as", "PRIYA"]) == 2
    assert "another approver" in capsys.readouterr().err
    grant = one(capsys, f"access approve {request} --as dana --json")
    answer = one(capsys, CHECK)
    assert (answer["effect"], answer["rule"], answer["grant"]) == ("permit", "code-level-bug", grant["id"])
    one(capsys, f"access revoke {request} --as dana --why done --json")
    assert one(capsys, CHECK, 1)["effect"] == "deny"


def test_every_administrative_act_is_in_the_ledger_with_who_did_it(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adding, requesting, approving and handing off leave an entry each, and the ledger verifies."""
    request = one(capsys, REQUEST)["id"]
    one(capsys, f"access approve {request} --as dana --json")
    acts = [(entry["act"], entry["actor"]) for entry in said(capsys, "ledger tail --json")]
    assert acts[-2:] == [("access.request", "priya"), ("access.approve", "dana")]
    assert [act for act, _ in acts[:5]] == ["customer.add", "customer.add", "ticket.open", "ticket.open", "ticket.open"]
    assert one(capsys, "ledger verify --json")["verified"] is True


def test_a_hand_off_moves_the_ticket_and_ends_its_grants(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Send to US Analyst: idempotent, and access granted for that ticket is over."""
    request = one(capsys, REQUEST)["id"]
    one(capsys, f"access approve {request} --as dana --json")
    assert one(capsys, CHECK)["effect"] == "permit"
    for _ in range(2):
        assert one(capsys, "tickets handoff BUG-9 --as priya --json")["holder"] == "us-queue"
    assert one(capsys, CHECK, 1)["effect"] == "deny"


def test_closing_the_ticket_ends_what_it_justified(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A closed bug justifies nothing, whatever the grant says."""
    request = one(capsys, REQUEST)["id"]
    one(capsys, f"access approve {request} --as dana --json")
    one(capsys, "tickets close BUG-9 --json")
    assert one(capsys, CHECK, 1)["rule"] == "outside-home"


def test_a_plan_is_ordered_enabled_and_ended(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing customer's plan waits to be enabled; ended, it no longer protects, and its history stays."""
    line = CHECK.replace("acme", "globex").replace(" --ticket BUG-9", "")
    assert one(capsys, line)["rule"] == "no-plan"
    assert one(capsys, "customers order globex --seats 334 --json")["state"] == "ordered"
    assert one(capsys, line)["rule"] == "no-plan"
    assert one(capsys, "customers enable globex --json")["state"] == "in effect"
    assert one(capsys, line, 1)["rule"] == "outside-home"
    one(capsys, "customers end globex --json")
    assert one(capsys, line)["rule"] == "no-plan"
    assert len(one(capsys, "customers show globex --json")["plans"]) == 1


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("customers show nobody", 1, "there is no customer 'nobody'"),
        ("customers add ACME --name x", 2, "expected a customer id of small letters"),
        ("customers add acme --name x", 2, "there is a customer acme already"),
        ("customers quote --seats 0", 2, "0 is not in the range"),
        ("tickets add X-1 --kind bug --customer nobody --title x", 1, "there is no customer 'nobody'"),
        ("tickets add X-1 --kind support --customer acme --title x", 2, "needs a severity of 1 to 4"),
        ("tickets add X-1 --kind bug --title x", 2, "no customer is named"),
        (
            "access request --ticket INC-7 --customer acme --data-class conversation --reason x",
            2,
            "is a security ticket",
        ),
        (
            "access request --ticket BUG-9 --customer globex --data-class conversation --reason x",
            2,
            "does not name globex",
        ),
        ("access request --ticket BUG-9 --customer acme --data-class x --reason x", 2, "unknown data class x"),
        (
            "access request --ticket BUG-9 --customer acme --data-class case --for soon --reason x",
            2,
            "not a span of time",
        ),
        ("access approve R-0 --as dana", 1, "there is no access request 'R-0'"),
        ("check --subject x --from 999.1.1.1 --path /x", 2, "expected an IP address"),
        ("geo lookup 010.0.0.1", 2, "010.0.0.1"),
        ("ledger show nothing", 1, "nothing"),
        ("--config /nowhere.toml customers list", 2, "no such file"),
        ("nonsense", 2, "No such command"),
    ],
)
def test_a_wrong_line_gets_one_line_that_says_what_to_do(
    desk: Path, capsys: pytest.CaptureFixture[str], line: str, status: int, says: str
) -> None:
    """Each wrong use: the exit status of the interface, one message, no traceback."""
    capsys.readouterr()
    assert run(shlex.split(line)) == status
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_the_token_command_refuses_without_the_sample_provider(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a configuration that uses the sample identity provider can mint."""
    config.write_text(config.read_text().replace("sample-identity-provider.invalid", "login.example.com"))
    assert run(["token", "priya"]) == 2
    assert "does not use the sample identity provider" in capsys.readouterr().err


def test_check_config_says_ok_or_names_every_fault(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``serve --check-config``: 0 for a good file; 2 and one line a fault for a bad one."""
    assert run(["serve", "--check-config", "--config", str(config)]) == 0
    config.write_text(config.read_text().replace('home = ["US"]', 'home = ["usa"]').replace("[state]", "[sate]"))
    assert run(["serve", "--check-config", "--config", str(config)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["policy.home[0]", "sate"]


def test_check_config_reads_the_files_of_stores_too(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would stop a start stops the check: one line each, with the store, the key and the file."""
    text = config.read_text()
    store = text.index('name = "crm"')
    secure = (
        text[store:]
        .replace("http://", "https://", 1)
        .replace("country", 'tls_ca = "nowhere.pem"\ntls_certificate = "gone.pem"\ntls_key = "gone.key"\ncountry', 1)
    )
    config.write_text(text[:store] + secure)
    assert run(["serve", "--check-config", "--config", str(config)]) == 2
    lines = capsys.readouterr().err.splitlines()
    for line, key in zip(lines, ("tls_ca", "tls_certificate", "tls_key"), strict=True):
        assert f"store crm: {key} " in line
        assert "cannot be used (No such file or directory)" in line
