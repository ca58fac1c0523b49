"""``access`` and ``authorizations``: who needs whom, what ends, and what is shown of it."""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
from pathlib import Path

import pytest

from gateway.acts.customers import set_conditions
from gateway.catalog.customers import Customer
from gateway.cli import run
from gateway.cli.context import Operation
from gateway.clock import SECOND_US, parse_rfc3339, rfc3339
from gateway.demo.identity_provider import ISSUER
from gateway.justification import Authorization, Grant, Ticket, Usage
from tests.integration.commands.lines import CHECK, REQUEST, for_people, is_refused, one, said

LETTER = b"We agree. (sample)"
RECORD = 'authorizations record --customer acme --given-by "Ada Lovelace" --received letter --data-class conversation'
HOUR_US = 3_600 * SECOND_US


@pytest.fixture
def granted(desk: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The id of priya's grant for BUG-9."""
    request = one(capsys, REQUEST)["id"]
    return str(one(capsys, f"access approve {request} --as dana --json")["id"])


def test_where_a_customer_requires_two_one_approval_is_not_enough(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request says what it lacks; the same person's second approval is none, nor the same account's for another;
    somebody else's begins the grant."""
    one(capsys, "customers conditions acme --approvers 2 --json")
    request = one(capsys, REQUEST)["id"]
    assert one(capsys, f"access approve {request} --as dana --json")["missing"] == "1 more approver"
    assert one(capsys, CHECK, 1)["effect"] == "deny"
    assert run(["access", "approve", request, "--as", "Dana"]) == 2
    assert one(capsys, f"access show {request} --json")["missing"] == "1 more approver"
    assert run(["access", "approve", request, "--as", "erin"]) == 2
    assert "at the command line already, as dana" in capsys.readouterr().err
    monkeypatch.setattr("gateway.cli.context.account", lambda: "erin")
    grant = one(capsys, f"access approve {request} --as erin --json")
    assert (grant["approved_by"], grant["state"]) == ("dana, erin", "active")
    ways = [way.partition("@")[0] for way in one(capsys, f"access show {grant['id']} --json")["approved_via"]]
    assert ways == [f"cli:{pwd.getpwuid(os.getuid()).pw_name}", "cli:erin"]
    assert one(capsys, CHECK)["grant"] == grant["id"]


def test_where_a_customer_wants_to_be_asked_its_own_yes_is_needed_too(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No grant before the consent is recorded, with who in the customer gave it."""
    shown = one(capsys, "customers conditions acme --consent --json")
    assert (shown["approvers"], shown["consent"]) == (1, True)
    request = one(capsys, REQUEST)["id"]
    waiting = one(capsys, f"access approve {request} --as dana --json")
    assert (waiting["state"], waiting["missing"]) == ("requested", "the consent of acme")
    grant = one(capsys, f'access consent {request} --by "Ada Lovelace" --as dana --json')
    assert grant["request"] == request
    assert one(capsys, f"access show {request} --json")["consented_by"] == "Ada Lovelace"


def test_a_condition_that_is_not_named_stays(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each condition by itself; what somebody changed in between is not overwritten unseen."""
    one(capsys, "customers conditions acme --approvers 2 --consent --json")
    shown = one(capsys, "customers conditions acme --no-consent --json")
    assert (shown["approvers"], shown["consent"]) == (2, False)
    one(capsys, "customers enable acme --json")
    assert one(capsys, "customers show acme --json")["approvers"] == 2


def test_conditions_that_changed_meanwhile_are_not_overwritten(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else is quicker between reading and writing: exit 2, read again."""
    operation = Operation(desk, {})
    read = Operation.state.func(operation).get

    class Slow:
        """A state whose reader is overtaken."""

        def __init__(self, store: object) -> None:
            self.store = store

        def __getattr__(self, name: str) -> object:
            return getattr(self.store, name)

        def get(self, kind: type, key: str) -> object:
            found = read(kind, key)
            if kind is Customer:
                set_conditions(operation.office, operation.actor("quick"), key, approvers=2, consent=False)
            return found

    original = Operation.state.func
    monkeypatch.setattr(Operation, "state", property(lambda self: Slow(original(self))))
    try:
        assert run(shlex.split("customers conditions acme --consent")) == 2
        assert "has changed since it was read" in capsys.readouterr().err
    finally:
        operation.close()


def test_a_grant_is_shown_with_its_state_and_what_was_used_of_it(
    granted: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Active, exhausted by its cap, expired by time, revoked by somebody: each is said."""
    operation = Operation(desk, {})
    grant = operation.state.get(Grant, granted)
    shown = one(capsys, f"access show {granted} --json")
    assert (shown["state"], shown["used_requests"], shown["used_bytes"]) == ("active", 0, 0)
    variants = {
        "G-used": {"max_requests": 2},
        "G-past": {"starts_us": grant.starts_us - 9 * HOUR_US, "ends_us": grant.starts_us - HOUR_US},
    }
    fields = {name: getattr(grant, name) for name in grant.__dataclass_fields__}
    operation.state.put(*(Grant(**(fields | {"id": key} | changed)) for key, changed in variants.items()))
    operation.state.put(Usage("G-used", requests=2, bytes=7))
    operation.close()
    one(capsys, f"access revoke {granted} --as dana --why done --json")
    states = {row["id"]: row["state"] for row in said(capsys, "access list --grants --all --json")}
    assert states == {granted: "revoked", "G-used": "exhausted", "G-past": "expired"}
    assert one(capsys, f"access show {granted} --json")["why"] == "done"
    assert one(capsys, "access show G-used --json")["used_bytes"] == 7
    assert said(capsys, "access list --grants --json") == []


def test_an_instant_is_text_and_microseconds(granted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts both; for people one, to the second."""
    shown = one(capsys, f"access show {granted} --json")
    assert parse_rfc3339(str(shown["ends"])) == shown["ends_us"] == shown["starts_us"] + 4 * HOUR_US
    assert (shown["revoked"], shown["revoked_us"]) == ("", 0)
    spoken, _ = for_people(capsys, f"access show {granted}")
    assert str(shown["ends"])[:19].replace("T", " ") + "Z" in spoken
    assert "_us" not in spoken
    assert " us " not in spoken


def test_a_request_is_withdrawn_or_denied_and_then_settled(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who made it withdraws it; somebody else denies another, with a reason; neither is approved afterwards."""
    first = one(capsys, REQUEST)["id"]
    assert one(capsys, f"access withdraw {first} --as priya --json")["state"] == "withdrawn"
    second = one(capsys, REQUEST)["id"]
    denied = one(capsys, f'access deny {second} --as dana --why "not needed" --json')
    assert (denied["state"], denied["why"]) == ("denied", "not needed")
    assert said(capsys, "access list --json") == []
    assert [row["state"] for row in said(capsys, "access list --all --json")] == ["withdrawn", "denied"]
    for request in (first, second):
        assert run(["access", "approve", request, "--as", "dana"]) == 2


def test_access_may_be_asked_for_until_a_time(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A span and a time say the same; a time that is over is refused."""
    assert one(capsys, REQUEST.replace("4h", "1h30m"))["duration_s"] == 5_400
    now_us = Operation(desk, {}).clock.now_us()
    asked = one(capsys, REQUEST.replace("4h", rfc3339(now_us + 2 * HOUR_US)).replace("priya", "omar"))
    assert asked["duration_s"] in range(7_200 - 60, 7_201)  # less what the command took to begin
    assert run(shlex.split(REQUEST.replace("4h", "2000-01-01T00:00:00Z"))) == 2


def test_revoking_says_what_ended_and_twice_says_so(granted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for people; a second time nothing changes, and nothing more is recorded."""
    assert (
        f"{granted} of priya for acme has ended"
        in for_people(capsys, f"access revoke {granted} --as dana --why done")[1]
    )
    assert "nothing changed" in for_people(capsys, f"access revoke {granted} --as dana --why done")[1]
    acts = [entry["act"] for entry in said(capsys, "ledger tail --json")]
    assert acts.count("access.revoke") == 1


def test_whoever_is_revoked_stands_in_the_record(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person and a token that no longer count leave an entry each, under the acts that they always had."""
    one(capsys, "access revoke-subject priya --sign-in-again --as dana --json")
    one(capsys, f"access revoke-token t-1 --issuer {ISSUER} --as dana --json")
    entries = said(capsys, "ledger tail -n 2 --json")
    assert [(entry["act"], entry["object"]) for entry in entries] == [
        ("access.revoke-subject", "priya"),
        ("access.revoke-token", "t-1"),
    ]
    assert run(["access", "revoke-subject", " "]) == 2


def test_an_issuer_that_nobody_configured_is_refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip in its spelling would revoke nothing; the known ones are named."""
    for line in ("revoke-subject pryia --issuer https://typo/", "revoke-token t-1 --issuer https://typo/"):
        _, told = for_people(capsys, f"access {line}", 2)
        assert f"got 'https://typo/'; expected one of the configuration: {ISSUER}" in told
    assert said(capsys, "access revocations --json") == []


def test_a_revocation_is_listed_and_taken_back(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its id, with an entry; a second time changes nothing."""
    _, told = for_people(capsys, "access revoke-subject pryia --as dana")
    assert told == "tokens about pryia are no longer believed\n"
    [revoked] = said(capsys, "access revocations --json")
    assert (revoked["value"], revoked["issuer"], revoked["state"]) == ("pryia", "", "in force")
    _, told = for_people(capsys, f"access revocations end {revoked['id']} --as dana")
    assert told == "the revocation of the subject pryia is taken back\n"
    assert said(capsys, "access revocations --json") == []
    assert "nothing changed" in for_people(capsys, f"access revocations end {revoked['id']}")[1]
    entries = [entry for entry in said(capsys, "ledger tail --json") if entry["act"] == "access.end-revocation"]
    assert [(entry["actor"], entry["object"]) for entry in entries] == [("dana", "pryia")]


def test_whoever_has_to_sign_in_again_is_told_so(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another thing than to be believed no more."""
    _, told = for_people(capsys, "access revoke-subject priya --sign-in-again")
    assert told == "tokens about priya that were issued until now are no longer believed; signing in again works\n"


def test_an_authorization_of_a_ticket_lets_its_holder_in_until_it_is_withdrawn(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recorded with who gave it and the hash of what came, never the document; withdrawn it ends at once."""
    letter = tmp_path / "letter.txt"
    letter.write_bytes(LETTER)
    asked = CHECK.replace("BUG-9", "CASE-5")
    critical_only = one(capsys, f"{RECORD} --ticket CASE-5 --as maria --json")
    assert (critical_only["any_severity"], one(capsys, asked, 1)["rule"]) == (False, "outside-home")
    given = one(capsys, f"{RECORD} --ticket CASE-5 --any-severity --document {letter} --as maria --json")
    assert [row["any_severity"] for row in said(capsys, "authorizations list --json")] == [False, True]
    assert given["document_sha256"] == hashlib.sha256(LETTER).hexdigest()
    assert (given["given_by"], given["received"], given["recorded_by"]) == ("Ada Lovelace", "letter", "maria")
    assert LETTER not in b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir() if file.is_file())
    assert one(capsys, asked)["rule"] == "customer-authorized"
    assert (
        f"{given['id']} of acme has ended" in for_people(capsys, f"authorizations withdraw {given['id']} --by Ada")[1]
    )
    assert "nothing changed" in for_people(capsys, f"authorizations withdraw {given['id']}")[1]
    assert one(capsys, asked, 1)["rule"] == "outside-home"
    assert "while they are of severity 1" in for_people(capsys, f"{RECORD} --ticket CASE-5")[1]


def test_a_standing_authorization_needs_an_end(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a ticket nor an end: refused. With an end it is listed while it holds."""
    assert run(shlex.split(RECORD)) == 2
    assert "needs an end" in capsys.readouterr().err
    given = one(capsys, f"{RECORD} --until 30d --action read --action write --json")
    assert given["ends_us"] - given["starts_us"] in range(30 * 24 * HOUR_US - SECOND_US, 30 * 24 * HOUR_US + SECOND_US)
    assert [row["id"] for row in said(capsys, "authorizations list --customer acme --json")] == [given["id"]]
    assert said(capsys, "authorizations list --customer globex --json") == []
    one(capsys, f"authorizations withdraw {given['id']} --json")
    assert said(capsys, "authorizations list --json") == []
    assert [row["state"] for row in said(capsys, "authorizations list --all --json")] == ["withdrawn"]


def test_an_authorization_that_ran_out_or_has_not_begun_says_so(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither is listed as holding."""
    operation = Operation(desk, {})
    now_us = operation.clock.now_us()
    common = {"customer": "acme", "given_by": "Ada", "ticket": "", "data_classes": ("case",), "actions": ("read",)}
    operation.state.put(
        Authorization(id="A-old", starts_us=now_us - 2 * HOUR_US, ends_us=now_us - HOUR_US, **common),
        Authorization(id="A-new", starts_us=now_us + HOUR_US, ends_us=now_us + 2 * HOUR_US, **common),
    )
    operation.close()
    states = {row["id"]: row["state"] for row in said(capsys, "authorizations list --all --json")}
    assert states == {"A-old": "expired", "A-new": "to come"}
    assert said(capsys, "authorizations list --json") == []


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("access show R-0", 1, "no access request and no grant 'R-0'"),
        ("access revoke G-0 --why done", 1, "no grant 'G-0'"),
        ("access revoke G-0", 2, "got no reason; expected why it is revoked"),
        ("access deny R-0", 2, "got no reason; expected why it is denied"),
        ("access consent R-0", 2, "Missing option '--by'"),
        ("access approve R-0 --as ' '", 2, "--as names nobody"),
        (f"{RECORD} --until 1999-01-01T00:00:00Z", 2, "is not after its beginning"),
        (f"{RECORD} --until 2099-99-01T00:00:00Z", 2, "expected a span such as 4h, or a time"),
        (f"{RECORD} --ticket BUG-0", 1, "there is no ticket 'BUG-0'"),
        (f"{RECORD} --ticket CASE-5 --document /nowhere/letter.txt", 2, "does not exist"),
        (f"{RECORD} --ticket CASE-5 --document /dev/null", 2, "is no ordinary file"),
        (f"{RECORD} --ticket CASE-5 --data-class nonsense", 2, "unknown data class nonsense"),
        (RECORD.replace("acme", "globex") + " --ticket CASE-5", 2, "does not name globex"),
        (f"{RECORD} --ticket BUG-9", 2, "BUG-9 is a bug ticket"),
        ("authorizations withdraw A-0", 1, "there is no authorization 'A-0'"),
        ("customers conditions acme --approvers 3", 2, "3 is not in the range"),
    ],
)
def test_a_wrong_line_says_what_to_do(
    desk: Path, capsys: pytest.CaptureFixture[str], line: str, status: int, says: str
) -> None:
    """Each wrong use once: its exit status, one message, and no act in the record."""
    is_refused(capsys, line, status, says)


def test_the_holder_of_a_ticket_does_not_approve_for_it(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Separation of duties: whoever works on the bug alone does not decide who sees data for it."""
    one(capsys, "tickets assign BUG-9 --to dana --json")
    request = one(capsys, REQUEST)["id"]
    assert "dana holds BUG-9" in for_people(capsys, f"access approve {request} --as dana", 2)[1]
    operation = Operation(desk, {})
    assert operation.state.get(Ticket, "BUG-9").holder == "dana"
    operation.close()
