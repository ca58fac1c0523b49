"""A tool that acts for a person: whoever sends a token that says so does not choose where the person is."""

from __future__ import annotations

import pytest

from gateway.demo.world import RAJ, SAM
from tests.integration.conftest import Running

TOOL = "10.20.0.77"


@pytest.mark.parametrize(
    ("hops", "status"),
    [
        (f"{SAM.address}, {TOOL}", 200),
        (f"{RAJ.address}, {TOOL}", 403),
        (f"{SAM.address}, {RAJ.address}", 403),
        (f"{SAM.address}, 198.51.100.7", 403),
        (TOOL, 403),
    ],
    ids=["both at home", "the person abroad", "the sender abroad", "the sender nowhere", "no person's address"],
)
async def test_a_token_with_an_actor_needs_both_at_home(site: Running, hops: str, status: int) -> None:
    """The person's address is what the sender says; the sender's is what the proxy saw."""
    token = site.world.provider.mint("raj", ["support"], act={"sub": "helpdesk"})
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": hops}
    found, answered, _ = await site.ask(None, "/crm/acme/cases/1", headers=headers)
    assert found == status
    entry = site.entry(answered["Residency-Decision"])
    assert (entry["subject"], entry["actor"]) == ("raj", "helpdesk")


async def test_a_tool_that_shows_its_own_token_hands_the_address_over(site: Running) -> None:
    """``On-Behalf-Of``: the bearer is the tool, wherever it runs, and is trusted to say where the person is."""
    tool = site.world.provider.mint("helpdesk", ["service"])
    for address, status in ((SAM.address, 200), (RAJ.address, 403)):
        headers = {
            "Authorization": f"Bearer {tool}",
            "On-Behalf-Of": f"Bearer {site.world.token(SAM)}",
            "X-Forwarded-For": f"{address}, 198.51.100.7",
        }
        assert (await site.ask(None, "/crm/acme/cases/1", headers=headers))[0] == status
