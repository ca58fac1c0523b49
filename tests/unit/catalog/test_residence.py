"""Where stores really are."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.catalog import StoreResidence
from gateway.errors import LocationUnavailable
from gateway.settings import StoreSettings

HOME = frozenset({"US"})
COUNTRIES = {"8.8.8.8": "US", "9.9.9.9": "US", "1.1.1.1": "AU", "4.4.4.4": ""}


def residence(country: str, resolved: Iterable[str] | Exception, *, broken: bool = False) -> StoreResidence:
    def resolve(host: str) -> Iterable[str]:
        assert host == "store.test"
        if isinstance(resolved, Exception):
            raise resolved
        return resolved

    def country_of(address: object) -> str:
        if broken:
            raise LocationUnavailable("no database")
        return COUNTRIES[str(address)]

    store = StoreSettings(name="crm", url="http://store.test:8080", country=country)  # type: ignore[arg-type]
    known = StoreResidence([store], resolve=resolve, country_of=country_of)
    known.refresh()
    return known


@pytest.mark.parametrize(
    ("country", "resolved", "home"),
    [
        ("US", ["8.8.8.8"], True),
        ("US", ["8.8.8.8", "9.9.9.9"], True),
        ("US", ["10.0.0.1"], True),  # a private address says nothing
        ("US", ["10.0.0.1", "8.8.8.8"], True),
        ("US", ["1.1.1.1"], False),
        ("US", ["8.8.8.8", "1.1.1.1"], False),
        ("US", ["10.0.0.1", "1.1.1.1"], False),
        ("US", ["4.4.4.4"], False),  # a public one that no database places
        ("US", [], False),
        ("US", OSError("no such name"), False),
        ("US", ["not an address"], False),
        ("IN", ["8.8.8.8"], False),
        ("IN", ["10.0.0.1"], False),
    ],
)
def test_store_is_home_only_as_declared_and_resolved(country: str, resolved: list[str] | Exception, home: bool) -> None:
    """Declared at home, and no address that lies elsewhere or nowhere."""
    assert residence(country, resolved).is_home("crm", HOME) is home


@pytest.mark.parametrize(
    ("addresses", "home"),
    [
        (["8.8.8.8:443"], True),
        (["8.8.8.8:443", "10.0.0.1:9101", "[fd00::1]:9101"], True),
        (["8.8.8.8:443", "1.1.1.1:443"], False),
        (["[fd00::1]:9101", "[2606:4700::1111]:443"], False),
        (["at-home.test:443"], True),
        (["10.0.0.1:1", "abroad.test:443"], False),
        (["10.0.0.1:1", "nowhere.test:443"], False),
    ],
)
def test_addresses_of_its_own_decide_where_a_store_is(addresses: list[str], home: bool) -> None:
    """They are what is connected to, each of them; the url's host, at home here, is only a name then."""
    names = {"store.test": "8.8.8.8", "at-home.test": "9.9.9.9", "abroad.test": "1.1.1.1"}
    placed = COUNTRIES | {"2606:4700::1111": "AU"}

    def resolve(host: str) -> list[str]:
        if host == "nowhere.test":
            raise OSError("no such name")
        return [names.get(host, host)]

    given = {"name": "crm", "url": "http://store.test:8080", "country": "US", "addresses": addresses}
    known = StoreResidence(
        [StoreSettings.model_validate(given)], resolve=resolve, country_of=lambda address: placed[str(address)]
    )
    known.refresh()
    assert known.is_home("crm", HOME) is home


def test_database_out_of_reach_is_not_home() -> None:
    """A place that cannot be looked up is not home."""
    assert not residence("US", ["8.8.8.8"], broken=True).is_home("crm", HOME)


def test_store_that_was_never_located_is_not_home() -> None:
    """Neither an unknown name nor a store before the first refresh is home."""
    known = residence("US", ["8.8.8.8"])
    assert not known.is_home("other", HOME)


@pytest.mark.parametrize(
    ("country", "resolved", "why"),
    [
        ("IN", ["8.8.8.8"], "declared in IN"),
        ("US", ["1.1.1.1"], "resolves to AU"),
        ("US", ["4.4.4.4"], "cannot be placed"),
    ],
)
def test_reason_names_what_puts_a_store_outside(country: str, resolved: list[str], why: str) -> None:
    """An operator is told what to change."""
    assert why in residence(country, resolved).why_not_home("crm", HOME)


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("8.8.8.8", True),
        ("10.0.0.1", True),
        ("::1", True),
        ("1.1.1.1", False),
        ("4.4.4.4", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:1.1.1.1", False),  # the same place in another spelling
        ("2002:101:101::", False),  # what leads through a relay is nowhere
        ("2001:0:808:808::1", False),
        ("", False),
        ("fe80::1%eth0", True),
        ("not an address", False),
    ],
)
def test_a_peer_is_home_only_as_it_is_found(address: str, home: bool) -> None:
    """Whatever the store's name resolved to when that was asked."""
    assert residence("US", ["8.8.8.8"]).is_peer_home("crm", address, HOME) is home
    assert not residence("IN", ["8.8.8.8"]).is_peer_home("crm", address, HOME)
    assert not residence("US", ["8.8.8.8"]).is_peer_home("other", address, HOME)


@pytest.mark.parametrize("wrapped", ["::ffff:1.1.1.1", "2002:101:101::", "2001:0:808:808::1"])
def test_a_name_that_resolves_to_a_wrapped_address_abroad_is_not_home(wrapped: str) -> None:
    """None of these is private, although Python says so of some."""
    assert not residence("US", [wrapped]).is_home("crm", HOME)
