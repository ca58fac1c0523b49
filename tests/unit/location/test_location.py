"""The assurance, against an oracle written from the contract reading and not from the code."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from gateway.location import Assurance, Location, Signal, Source

HOME = frozenset({"US"})
COUNTRIES = {"home": "US", "outside": "IN", "unknown": "", "absent": None}
SPACE = list(
    product(
        ("home", "outside", "unknown"),  # network
        (False, True),  # the network's source cannot be trusted
        (False, True),  # anonymised
        ("absent", "home", "outside"),  # site
        ("absent", "home", "outside"),  # token
        ("absent", "home", "outside"),  # workforce
    )
)


def oracle(network: str, distrusted: bool, anonymised: bool, site: str, token: str, workforce: str) -> str:
    """*Location*: home only if a signal says so, none says otherwise, and the network is not anonymised.

    What a person or a directory claims is not where the person is: one signal must rest on the address.
    """
    words = (network, site, token, workforce)
    if anonymised or distrusted:
        return "unassured"
    if "outside" in words:
        return "unassured" if "home" in words else "outside"
    return "home" if "home" in (network, site) else "unassured"


def location(network: str, distrusted: bool, anonymised: bool, site: str, token: str, workforce: str) -> Location:
    signals = [Signal(Source.NETWORK, COUNTRIES[network] or "", adverse=distrusted)]
    if anonymised:
        signals.append(Signal(Source.ANONYMITY, detail="vpn", adverse=True))
    for source, word in ((Source.SITE, site), (Source.TOKEN, token), (Source.WORKFORCE, workforce)):
        if (country := COUNTRIES[word]) is not None:
            signals.append(Signal(source, country))
    return Location("8.8.8.8", tuple(signals))


def test_every_combination_of_signals_agrees_with_the_contract() -> None:
    """The truth table, row by row."""
    wrong = [row for row in SPACE if location(*row).assurance(HOME) != oracle(*row)]
    assert len(SPACE) == 324
    assert not wrong


def test_one_more_adverse_or_foreign_signal_never_makes_home() -> None:
    """The most restrictive signal wins: adding one against home takes home away."""
    for row in SPACE:
        there = location(*row)
        for against in (Signal(Source.TOKEN, "IN"), Signal(Source.ANONYMITY, detail="tor", adverse=True)):
            assert Location(there.address, (*there.signals, against)).assurance(HOME) is not Assurance.HOME


def test_no_signal_at_all_is_unassured() -> None:
    """An empty location is not home."""
    assert Location("", ()).assurance(HOME) is Assurance.UNASSURED


def test_territory_with_its_own_code_is_outside_unless_listed() -> None:
    """Puerto Rico is not home for a plan that lists the United States alone."""
    there = Location("136.145.0.1", (Signal(Source.NETWORK, "PR"),))
    assert there.assurance(HOME) is Assurance.OUTSIDE
    assert there.assurance(HOME | {"PR"}) is Assurance.HOME


def test_empty_home_is_nobodys_home() -> None:
    """A plan without a jurisdiction assures nothing."""
    assert Location("", (Signal(Source.NETWORK, "US"),)).assurance(frozenset()) is Assurance.OUTSIDE


@pytest.mark.parametrize(("said", "shown"), [(["US", "IN"], "IN"), (["US", ""], "US"), (["", ""], ""), ([], "")])
def test_country_shown_is_the_first_that_is_not_home(said: list[str], shown: str) -> None:
    """People see what speaks against them."""
    signals = tuple(Signal(Source.NETWORK, country) for country in said)
    assert Location("", signals).country(HOME) == shown


@pytest.mark.parametrize("own", SPACE[:: len(SPACE) // 40])
@pytest.mark.parametrize("presenter", SPACE[:: len(SPACE) // 40])
def test_whoever_presents_what_cannot_be_shown_to_be_theirs_has_to_be_at_home_too(
    own: tuple[str, bool, bool, str, str, str], presenter: tuple[str, bool, bool, str, str, str]
) -> None:
    """Never more than either of them alone; without a presenter, the location alone."""
    found = replace(location(*own), presenter=location(*presenter)).assurance(HOME)
    alone, beside = oracle(*own), oracle(*presenter)
    assert found == (beside if alone == "home" else alone)
    if found is Assurance.HOME:
        assert (alone, beside) == ("home", "home")
