"""The contract, told as requests: each test is one sentence of the special terms, with the people it speaks of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.demo.stores import sample_stores
from gateway.demo.world import ADA, LIAM, MARIA, PRIYA, RAJ, SAM, VIC, Person, revoke_grant
from tests.integration.conftest import Running, running

TRANSCRIPT = "/conversations/acme/7"


@pytest.fixture
async def site(tmp_path: Path):
    """A gateway over the sample world."""
    async with sample_stores(tmp_path / "ftp-site") as stores, running(tmp_path / "world", stores) as site:
        yield site


async def answered(site: Running, person: Person, path: str, **options: object) -> tuple[int, str]:
    """The status, and the rule that the ledger names for it."""
    status, headers, _ = await site.ask(person, path, **options)  # type: ignore[arg-type]
    return status, str(site.entry(headers["Residency-Decision"])["rule"])


async def test_support_is_provided_in_the_united_states_only(site: Running) -> None:
    """ "… will provide support … in the United States only": an analyst at home may, one abroad may not."""
    assert await answered(site, SAM, TRANSCRIPT) == (200, "home-personnel")
    assert await answered(site, RAJ, TRANSCRIPT) == (403, "outside-home")


async def test_account_information_may_be_read_abroad_and_nothing_else_of_the_same_store(site: Running) -> None:
    """Consent 1: "account information … may be accessible by … personnel outside of the United States"."""
    assert await answered(site, MARIA, "/crm/acme/accounts/7") == (200, "crm-account")
    assert await answered(site, MARIA, "/crm/acme/cases/7") == (403, "outside-home")
    assert await answered(site, MARIA, "/crm/acme/accounts/7", method="PUT", data=b"{}") == (403, "outside-home")


async def test_security_staff_abroad_may_troubleshoot_an_incident_that_names_the_customer(site: Running) -> None:
    """Consent 2: "information security personnel … may access Customer Data … to troubleshoot security"."""
    assert await answered(site, LIAM, TRANSCRIPT, ticket="INC-7") == (200, "security-incident")
    assert await answered(site, LIAM, "/conversations/borealis/7", ticket="INC-7") == (403, "outside-home")
    assert await answered(site, LIAM, TRANSCRIPT) == (403, "outside-home")


async def test_what_the_customer_uploaded_by_ftp_may_be_fetched_abroad(site: Running) -> None:
    """Consent 3: "any Customer Data uploaded … to … FTP site may be accessed by … personnel outside"."""
    assert await answered(site, VIC, "/uploads/acme/call-log.csv") == (200, "ftp-upload")
    assert await answered(site, VIC, "/uploads/acme/call-log.csv", method="DELETE") == (403, "role")


async def test_a_named_engineer_abroad_may_troubleshoot_the_specific_issue_and_no_other(site: Running) -> None:
    """Consent 4: "solely to troubleshoot the specific issue": this bug, this customer, while the grant lasts."""
    assert await answered(site, PRIYA, TRANSCRIPT, ticket="BUG-9") == (200, "code-level-bug")
    assert await answered(site, PRIYA, TRANSCRIPT, ticket="BUG-10") == (403, "outside-home")
    assert await answered(site, PRIYA, "/conversations/borealis/7", ticket="BUG-9") == (403, "outside-home")
    revoke_grant(site.world, now_us=site.gateway.rooms.clock.now_us())
    await site.gateway.rooms.follower.poll()
    assert await answered(site, PRIYA, TRANSCRIPT, ticket="BUG-9") == (403, "outside-home")


async def test_the_customer_may_authorise_more(site: Running) -> None:
    """ "… unless otherwise authorized by Customer": the case that the customer named, and no other."""
    assert await answered(site, RAJ, "/crm/acme/cases/1", ticket="CASE-1") == (200, "customer-authorized")
    assert (await answered(site, RAJ, "/crm/acme/cases/5", ticket="CASE-5"))[0] == 403


async def test_the_plan_binds_personnel_and_not_the_customer(site: Running) -> None:
    """The customer's own users reach their own data from anywhere, and never another customer's."""
    assert await answered(site, ADA, TRANSCRIPT) == (200, "customer-own-data")
    assert await answered(site, ADA, "/conversations/borealis/7") == (403, "other-customer")


async def test_a_hidden_place_is_not_home(site: Running) -> None:
    """Who comes out of a VPN's exit in the United States may be anywhere."""
    assert await answered(site, VIC, TRANSCRIPT) == (403, "location-unassured")


async def test_a_customer_without_a_plan_is_served_by_role_alone_and_recorded_all_the_same(site: Running) -> None:
    """What was not bought is not promised; a plan that is ordered protects when it is enabled."""
    assert await answered(site, PRIYA, "/conversations/delta/7") == (200, "no-plan")
    assert await answered(site, PRIYA, "/conversations/cascade/7") == (200, "no-plan")


async def test_a_denial_says_which_rule_where_you_are_and_what_to_do(site: Running) -> None:
    """The answer to somebody abroad: the rule, the place, the ways on, and the decision's id."""
    status, headers, body = await site.ask(PRIYA, "/crm/acme/cases/7")
    problem = json.loads(body)
    assert (status, headers["Content-Type"].partition(";")[0]) == (403, "application/problem+json")
    assert problem["rule"] == "outside-home"
    assert "India (network)" in problem["detail"]
    assert {step["rel"] for step in problem["next"]} == {"send-to-us-analyst", "request-access"}
    assert problem["decision"] == headers["Residency-Decision"]


async def test_a_tool_does_not_lend_its_own_location_to_the_person_it_acts_for(site: Running) -> None:
    """The person and the person's address are judged, as handed over by a tool that is trusted to say so."""
    tool = Person("helpdesk", "Indianapolis", "10.20.0.50", ("service",))

    async def on_behalf(handed_over: str) -> str:
        headers = {
            "On-Behalf-Of": f"Bearer {site.world.token(RAJ)}",
            "X-Forwarded-For": f"{handed_over}{tool.address}",
        }
        _, answered, _ = await site.ask(tool, TRANSCRIPT, headers=headers)
        entry = site.entry(answered["Residency-Decision"])
        assert (entry["subject"], entry["acting_for"], entry["actor"]) == ("raj", "raj", "helpdesk")
        return str(entry["rule"])

    assert await on_behalf("") == "location-unassured"
    assert await on_behalf("49.36.0.1, ") == "outside-home"
    assert await on_behalf("10.20.0.7, ") == "home-personnel"
