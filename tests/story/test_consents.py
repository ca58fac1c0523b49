"""The four consents of the special terms, and the customer's own authorization: what each allows, and what not."""

from __future__ import annotations

from gateway.acts import Actor
from gateway.acts.access import approve_access, request_access
from gateway.acts.authorizations import record_authorization, withdraw_authorization
from gateway.acts.tickets import change_severity, close_ticket, open_ticket
from gateway.demo.world import LIAM, MARIA, PRIYA, RAJ, SAM, VIC, Person
from gateway.justification import Grant, Nature, TicketKind
from tests.story.conftest import Story

ARUN = Person("arun", "Chennai", "49.36.0.3", ("engineer",))
BY_PRIYA = Actor("priya", frozenset({"engineer"}))
BY_DANA = Actor("dana", frozenset({"approver"}))


async def granted(story: Story, ticket: str, data_class: str) -> Grant:
    """Priya asks for an hour of Acme's data, and Dana approves."""
    asked = await story.does(
        request_access,
        by=BY_PRIYA,
        ticket=ticket,
        customer="acme",
        data_classes=[data_class],
        actions=["read"],
        reason="the export crashes on this customer's data",
        duration_s=3_600,
    )
    grant = await story.does(approve_access, asked.id, by=BY_DANA)
    assert isinstance(grant, Grant)
    return grant


async def test_contact_names_may_be_seen_abroad_and_support_cases_may_not(story: Story) -> None:
    """Consent 1: "account information (examples: Customer contact name and email address)", and nothing else."""
    assert await story.asks(MARIA, "/crm/acme/accounts/7") == (200, "crm-account")
    assert await story.asks(RAJ, "/crm/acme/accounts/7") == (200, "crm-account")
    assert await story.asks(MARIA, "/crm/acme/cases/7") == (403, "outside-home")
    assert await story.asks(MARIA, "/crm/acme/accounts/7", method="PUT", data=b"{}") == (403, "outside-home")


async def test_security_staff_abroad_read_what_an_open_security_issue_concerns(story: Story) -> None:
    """Consent 2: "as necessary to troubleshoot security-related issues, including Security Incidents"."""
    assert await story.asks(LIAM, "/conversations/acme/7", ticket="INC-7") == (200, "security-incident")
    await story.does(
        open_ticket,
        id="INV-1",
        kind=TicketKind.SECURITY,
        nature=Nature.INVESTIGATION,
        customers=["borealis"],
        title="Odd tokens (sample)",
    )
    assert await story.asks(LIAM, "/conversations/borealis/7", ticket="INV-1") == (200, "security-incident")

    # not another customer's, not without a reason, not by somebody else, not to change anything, not once it is over
    assert await story.asks(LIAM, "/conversations/borealis/7", ticket="INC-7") == (403, "outside-home")
    assert await story.asks(LIAM, "/conversations/acme/7") == (403, "outside-home")
    assert await story.asks(RAJ, "/conversations/acme/7", ticket="INC-7") == (403, "outside-home")
    assert (await story.asks(LIAM, "/conversations/acme/7", ticket="INC-7", method="DELETE"))[0] == 403
    await story.does(close_ticket, "INV-1")
    assert await story.asks(LIAM, "/conversations/borealis/7", ticket="INV-1") == (403, "outside-home")


async def test_files_that_the_customer_uploaded_may_be_read_abroad_and_not_replaced(story: Story) -> None:
    """Consent 3: "Any Customer Data uploaded by Customer to … FTP site may be accessed"."""
    assert await story.asks(RAJ, "/uploads/acme/call-log.csv") == (200, "ftp-upload")
    assert await story.asks(VIC, "/uploads/acme/call-log.csv") == (200, "ftp-upload")
    assert await story.asks(RAJ, "/uploads/acme/call-log.csv", method="PUT", data=b"x") == (403, "outside-home")
    assert await story.asks(RAJ, "/conversations/acme/7") == (403, "outside-home")


async def test_the_engineer_who_is_named_may_and_her_colleague_may_not(story: Story) -> None:
    """Consent 4: "expertise of specific … technical personnel … (example: code-level software bug)"."""
    assert await story.asks(PRIYA, "/conversations/acme/7", ticket="BUG-9") == (200, "code-level-bug")
    assert await story.asks(ARUN, "/conversations/acme/7", ticket="BUG-9") == (403, "outside-home")


async def test_access_is_solely_to_troubleshoot_the_specific_issue(story: Story) -> None:
    """ "… may access Customer Data solely to troubleshoot the specific issue": cited, or in no doubt, and open."""
    bug = TicketKind.BUG
    await story.does(open_ticket, id="BUG-10", kind=bug, customers=["acme"], title="Slow search (sample)")
    assert await story.asks(PRIYA, "/conversations/acme/7") == (200, "code-level-bug")
    assert await story.asks(PRIYA, "/conversations/acme/7", ticket="BUG-10") == (403, "outside-home")
    assert await story.asks(PRIYA, "/crm/acme/cases/7", ticket="BUG-9") == (403, "outside-home")
    assert (await story.asks(PRIYA, "/conversations/acme/7", ticket="BUG-9", method="DELETE"))[0] == 403

    # with access for two issues she has to say which one it is for
    await granted(story, "BUG-10", "conversation")
    assert await story.asks(PRIYA, "/conversations/acme/7") == (403, "outside-home")
    assert await story.asks(PRIYA, "/conversations/acme/7", ticket="BUG-10") == (200, "code-level-bug")

    # an issue that is resolved needs no more troubleshooting, however long the grant would have lasted
    await story.does(close_ticket, "BUG-9")
    assert await story.asks(PRIYA, "/conversations/acme/7", ticket="BUG-9") == (403, "outside-home")


async def test_a_grant_ends_when_it_said_it_would(story: Story) -> None:
    """The last microsecond of the hour is in it; the next one is not."""
    await story.does(open_ticket, id="BUG-11", kind=TicketKind.BUG, customers=["acme"], title="Crash (sample)")
    await granted(story, "BUG-11", "case")
    await story.it_is("2027-01-12 11:00", off_by_us=-1)
    assert await story.asks(PRIYA, "/crm/acme/cases/7", ticket="BUG-11") == (200, "code-level-bug")
    await story.it_is("2027-01-12 11:00")
    assert await story.asks(PRIYA, "/crm/acme/cases/7", ticket="BUG-11") == (403, "outside-home")


async def test_the_customer_authorizes_more_for_one_case_and_takes_it_back(story: Story) -> None:
    """ "unless otherwise authorized by Customer": what Acme named, for any severity, until it withdraws it."""
    assert await story.asks(RAJ, "/crm/acme/cases/5", ticket="CASE-5") == (403, "outside-home")
    given = await story.does(
        record_authorization,
        customer="acme",
        given_by="Ada Moss, head of IT (sample)",
        received="letter",
        data_classes=["case"],
        ticket="CASE-5",
        any_severity=True,
    )
    entry, status = await story.recorded(RAJ, "/crm/acme/cases/5", ticket="CASE-5")
    assert (status, entry["rule"], entry["authorization"]) == (200, "customer-authorized", given.id)
    assert await story.asks(RAJ, "/conversations/acme/5", ticket="CASE-5") == (403, "outside-home")
    assert await story.asks(RAJ, "/crm/acme/cases/5", ticket="CASE-5", method="PUT", data=b"{}") == (
        403,
        "outside-home",
    )
    assert await story.asks(RAJ, "/crm/borealis/cases/5", ticket="CASE-5") == (403, "outside-home")

    await story.does(withdraw_authorization, given.id, by=Actor("ada@acme", frozenset({"customer"}), customer="acme"))
    assert await story.asks(RAJ, "/crm/acme/cases/5", ticket="CASE-5") == (403, "outside-home")
    assert await story.asks(SAM, "/crm/acme/cases/5", ticket="CASE-5") == (200, "home-personnel")


async def test_an_authorization_is_for_a_case_while_it_is_critical_unless_it_says_more(story: Story) -> None:
    """ "Critical Severity 1 issues … in the United States only unless otherwise authorized by Customer"."""
    await story.does(
        record_authorization,
        customer="acme",
        given_by="Ada Moss, head of IT (sample)",
        received="letter",
        data_classes=["case"],
        ticket="CASE-5",
    )
    assert await story.asks(RAJ, "/crm/acme/cases/5", ticket="CASE-5") == (403, "outside-home")
    for severity, answer in ((1, (200, "customer-authorized")), (2, (403, "outside-home"))):
        await story.does(change_severity, "CASE-5", severity=severity, why="as it is now (sample)")
        assert await story.asks(RAJ, "/crm/acme/cases/5", ticket="CASE-5") == answer


async def test_nobody_uses_what_they_recorded_themselves(story: Story) -> None:
    """It takes two people at the vendor: one who has it from the customer, and one who needs it."""
    await story.does(open_ticket, id="CASE-6", kind=TicketKind.SUPPORT, customers=["acme"], title="Down", severity=1)
    await story.does(
        record_authorization,
        by=Actor("Raj", operator=True),
        customer="acme",
        given_by="Ada Moss, head of IT (sample)",
        received="letter",
        data_classes=["case"],
        ticket="CASE-6",
    )
    assert await story.asks(RAJ, "/crm/acme/cases/6", ticket="CASE-6") == (403, "outside-home")
    assert await story.asks(VIC, "/crm/acme/cases/6", ticket="CASE-6") == (200, "customer-authorized")


async def test_a_standing_authorization_is_for_critical_issues_only_and_has_an_end(story: Story) -> None:
    """ "Critical Severity 1 issues … in the United States only unless otherwise authorized by Customer"."""
    for key, severity in (("CASE-30", 1), ("CASE-31", 2)):
        await story.does(
            open_ticket,
            id=key,
            kind=TicketKind.SUPPORT,
            customers=["borealis"],
            title="All lines down (sample)",
            severity=severity,
        )
    await story.does(
        record_authorization,
        customer="borealis",
        given_by="Bea Holt, operations (sample)",
        received="signed order",
        data_classes=["case"],
        ends_us=story.clock.now_us() + 24 * 3_600_000_000,
    )
    assert await story.asks(RAJ, "/crm/borealis/cases/30", ticket="CASE-30") == (200, "customer-authorized")
    assert await story.asks(RAJ, "/crm/borealis/cases/31", ticket="CASE-31") == (403, "outside-home")
    await story.it_is("2027-01-13 10:00")
    assert await story.asks(RAJ, "/crm/borealis/cases/30", ticket="CASE-30") == (403, "outside-home")
