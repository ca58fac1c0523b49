"""The space: everything possible once, nothing impossible."""

from __future__ import annotations

from dataclasses import replace

from gateway.catalog.resource import Scope
from gateway.identity.principal import Kind
from gateway.policy import Facts
from gateway.policy.engine import key_of
from gateway.policy.space import DOMAIN, EXCLUSIONS, NAMES, Row, count, every_fact, impossible


def test_every_possible_row_once(rows: list[Row]) -> None:
    """No row twice, none that an exclusion rules out, as many as the count says, below two hundred thousand."""
    assert len({key_of(facts) for facts, _ in rows}) == len(rows) == count() < 200_000
    assert not any(impossible(facts) for facts, _ in rows)


def test_space_is_the_whole_product_less_the_exclusions(facts: Facts) -> None:
    """What is not listed is ruled out by an exclusion: shown on all one-fact neighbours of every 500th row."""
    listed = {key_of(each) for each in every_fact()}
    for key in list(listed)[::500]:
        for index, name in enumerate(NAMES):
            for value in DOMAIN[name]:
                neighbour = Facts(*key[:index], value, *key[index + 1 :])
                assert (key_of(neighbour) in listed) == (not impossible(neighbour))


def test_impossible_says_why(facts: Facts) -> None:
    """The reason names the fact."""
    assert impossible(replace(facts, own_customer=True)).startswith("own_customer cannot be True: the vendor's people")
    assert impossible(facts) == ""


def test_exclusions_have_reasons_and_say_something() -> None:
    """Each speaks about some principal and scope, and holds a reason."""
    for each in EXCLUSIONS:
        assert each.why
        assert any(each.holds(principal, scope) for principal in Kind for scope in Scope)
        assert each.only in DOMAIN[each.fact]
