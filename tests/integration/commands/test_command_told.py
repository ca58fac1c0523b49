"""What commands say that they did, and what ``check`` and ``token`` say beside the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from gateway.cli.tickets import _standing
from gateway.justification import QUEUE_AT_HOME, Ticket, TicketKind
from tests.integration.commands.lines import CHECK, REQUEST, for_people, one


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("customers add initech --name Initech", "initech is added; it has no plan"),
        ("customers order globex --seats 5", "the plan of globex is ordered, and begins at"),
        ("customers enable acme", "the plan of acme is in effect"),
        ("customers seats acme 1", "the plan of acme has 1 seat"),
        ("customers seats acme 400", "the plan of acme has 400 seats already; nothing changed"),
        ("customers conditions acme --approvers 2 --consent", "needs 2 approvers and its consent"),
        ("tickets add T-1 --kind bug --customer acme --title x", "T-1 is open"),
        ("tickets widen INC-7 --customer globex", "INC-7 concerns acme, globex"),
        ("tickets assign CASE-5 --to sam --country US", "CASE-5 is with sam"),
        (REQUEST.removesuffix(" --json"), "waits for 1 more approver"),
    ],
)
def test_an_act_says_what_it_did(desk: Path, capsys: pytest.CaptureFixture[str], line: str, says: str) -> None:
    """In one line beside the table."""
    assert says in for_people(capsys, line)[1]


def test_an_answer_to_a_request_says_what_came_of_it(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grant that has begun, or what is still lacking; a no, and a request that is taken back."""
    one(capsys, "customers conditions acme --approvers 2 --json")
    first = one(capsys, REQUEST)["id"]
    assert "still waits for 1 more approver" in for_people(capsys, f"access approve {first} --as dana")[1]
    monkeypatch.setattr("gateway.cli.context.account", lambda: "erin")
    assert "of priya for acme has begun" in for_people(capsys, f"access approve {first} --as erin")[1]
    second = one(capsys, REQUEST.replace("--action read", "--action write"))["id"]
    assert f"{second} is denied" in for_people(capsys, f"access deny {second} --as dana --why no")[1]
    third = one(capsys, REQUEST.replace("--action read", "--action write"))["id"]
    assert f"{third} is withdrawn" in for_people(capsys, f"access withdraw {third} --as priya")[1]


def test_no_cap_is_no_number(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Null, and 0 is refused: it would say that nothing may be read."""
    assert one(capsys, REQUEST)["max_bytes"] is None
    assert "0 is not in the range" in for_people(capsys, f"{REQUEST} --max-bytes 0", 2)[1]


def test_a_ticket_that_somebody_holds_is_assigned_and_says_when_work_begins() -> None:
    """Also while the window is closed."""
    case = Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "x", 1, severity=3, holder="sam", queued_until_us=2_000_000)
    assert case.state(1_000_000) == "assigned"

    class Clock:
        def now_us(self) -> int:
            return 1_000_000

    class Operation:
        clock = Clock()

    told = _standing(Operation(), case)  # type: ignore[arg-type]
    assert told == "CASE-5 is with sam; work may begin at 1970-01-01T00:00:02.000000Z"
    assert replace(case, holder=QUEUE_AT_HOME).state(1_000_000) == "queued"


def test_check_shows_each_fact_and_the_way_on(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, and a dash where nothing is obliged; the way on as the denial has it."""
    out, _ = for_people(capsys, CHECK.removesuffix(" --json"), 1)
    lines = [line.split() for line in out.splitlines()]
    assert ["obligations", "–"] in lines
    assert ["principal", "personnel"] in lines
    [way] = [" ".join(line[1:]) for line in lines if line[:1] == ["request-access"]]
    asked = "--ticket BUG-9 --customer acme --data-class conversation --action read --for 4h --reason WHY"
    assert way == f"residency-gateway access request {asked}"


@pytest.mark.parametrize("line", ["token priya --roles engineeer", CHECK.replace("engineer", "engineeer")])
def test_a_role_that_the_policy_lacks_is_told(desk: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    """It would be denied, and nobody would know why."""
    _, told = for_people(capsys, line, 1 if line.startswith("check") else 0)
    assert "has no role engineeer, so it gives no data; did you mean engineer?" in told


@pytest.mark.parametrize(
    ("span", "lasts_s"), [("30m", 1_800), ("90", 90), ("1d", 86_400), ("2d", 0), ("86401", 0), ("0", 0), ("soon", 0)]
)
def test_a_token_lasts_for_a_span(desk: Path, capsys: pytest.CaptureFixture[str], span: str, lasts_s: int) -> None:
    """As a grant does, and a day at most; nothing is minted otherwise."""
    out, told = for_people(capsys, f"token priya --roles engineer --for {span}", 0 if lasts_s else 2)
    if not lasts_s:
        assert (out, "expected" in told, span in told) == ("", True, True)
        return
    claims = jwt.decode(out.strip(), options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["sub"]) == (lasts_s, "priya")


@pytest.mark.parametrize("ticket", ["'INC 10'", "INC/11", "INC-ä", "x" * 65, ".a"])
def test_a_new_ticket_has_an_id_as_trackers_have(desk: Path, capsys: pytest.CaptureFixture[str], ticket: str) -> None:
    """Nothing that would mean something in a path or a list."""
    _, told = for_people(capsys, f"tickets add {ticket} --kind bug --customer acme --title x", 2)
    assert "expected an id such as BUG-9" in told
