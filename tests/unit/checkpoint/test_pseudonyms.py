"""The checkpoint with pseudonyms: people are met before they are judged, and nothing remembered outlives a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.checkpoint import Checkpoint
from gateway.clock import SECOND_US
from gateway.errors import LedgerUnavailable, Unauthenticated
from gateway.identity import Kind
from gateway.justification import Grant, Ticket, TicketKind
from gateway.ledger.entry import decode
from gateway.ledger.pseudonyms import Pseudonyms
from gateway.ledger.subject_keys import SubjectKeys
from gateway.letters import is_pseudonym
from tests.unit.checkpoint.test_checkpoint import SAM, World, approach

NAMING = ("subject", "client_address", "reason")


@pytest.fixture
def world() -> World:
    return World()


class Slow(Pseudonyms):
    """Whom it does not know it meets slowly; ``meanwhile`` happens while that is waited for."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    async def meet(self, name: str, address: str, reason: str) -> None:
        await asyncio.sleep(0.01)
        self.meanwhile()
        await super().meet(name, address, reason)


@pytest.fixture
def pseudonyms(tmp_path: Path) -> Slow:
    keys = SubjectKeys(tmp_path / "keys" / "k.db")
    keys.begin()
    return Slow(keys)


def with_pseudonyms(world: World, pseudonyms: Pseudonyms) -> Checkpoint:
    return world.checkpoint(pseudonyms=pseudonyms)


def recorded(world: World) -> list[dict[str, Any]]:
    return [decode(entry.body) for entry in world.entries]


async def test_what_is_judged_is_the_person_and_what_is_recorded_a_pseudonym(world: World, pseudonyms: Slow) -> None:
    """From memory, too; the same but for these fields."""
    checkpoint = with_pseudonyms(world, pseudonyms)
    for _ in range(3):
        decision = await checkpoint.decide(approach(reason="so it is"))
        assert decision.attempt.principal.subject == "sam"
    await world.checkpoint().decide(approach(reason="so it is"))
    *with_keys, plain = recorded(world)
    assert len(world.asked) == 2  # the second and third were remembered
    for name in NAMING:
        assert {is_pseudonym(entry[name]) for entry in with_keys} == {True}
        assert len({entry[name] for entry in with_keys}) == 1
    unlike = {*NAMING, "id"}
    assert all({name: entry[name] for name in entry if name not in unlike}
               == {name: plain[name] for name in plain if name not in unlike} for entry in with_keys)  # fmt: skip
    assert {entry.columns[5] for entry in world.entries[:3]} == {with_keys[0]["subject"]}


async def test_what_was_remembered_is_void_with_the_key(world: World, pseudonyms: Slow) -> None:
    """Another process destroys it; the next decision is by another pseudonym."""
    checkpoint = with_pseudonyms(world, pseudonyms)
    for _ in range(2):
        await checkpoint.decide(approach())
    SubjectKeys(pseudonyms.keys.path).destroy("sam")
    for _ in range(2):
        await checkpoint.decide(approach())
    first, second, third, fourth = (entry["subject"] for entry in recorded(world))
    assert (first, third) == (second, fourth)
    assert first != third


async def test_whoever_is_nobody_or_a_program_stands_in_the_clear(world: World, pseudonyms: Slow) -> None:
    """A program is no person; nobody has no key, and none is made."""
    world.principal = replace(SAM, subject="robot", kind=Kind.SERVICE)
    await with_pseudonyms(world, pseudonyms).decide(approach())
    world.failing["authenticator"] = Unauthenticated("no")
    await with_pseudonyms(world, pseudonyms).decide(approach())
    assert [(entry["subject"], entry["client_address"]) for entry in recorded(world)] == [
        ("robot", "10.20.0.5"),
        ("", "10.20.0.5"),
    ]
    assert pseudonyms.keys.names() == []


async def test_without_keys_nothing_is_decided_about_people(world: World, pseudonyms: Slow) -> None:
    """Known or new: no decision, no entry."""
    checkpoint = with_pseudonyms(world, pseudonyms)
    await checkpoint.decide(approach())
    pseudonyms.keys.path.unlink()
    for principal in (SAM, replace(SAM, subject="ana")):
        world.principal = principal
        with pytest.raises(LedgerUnavailable, match="subject keys"):
            await checkpoint.decide(approach())
    assert len(world.entries) == 1


async def test_who_asks_is_established_again_after_waiting_for_a_key(world: World, pseudonyms: Slow) -> None:
    """A token that was revoked meanwhile is revoked, and one entry says so."""
    pseudonyms.meanwhile = lambda: world.failing.update(authenticator=Unauthenticated("revoked"))
    decision = await with_pseudonyms(world, pseudonyms).decide(approach())
    assert not decision.permitted
    assert [entry["problem"] for entry in recorded(world)] == ["revoked"]


async def test_a_cap_on_requests_holds_among_people_who_are_met_at_once(world: World, pseudonyms: Slow) -> None:
    """Waiting for keys comes before judging, so nobody else is counted in between."""
    now_us = world.clock.now_us()
    world.desk.put(Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash", 1))
    ends_us = now_us + 3_600 * SECOND_US
    grant = Grant("G-1", "R-1", "sam", "BUG-9", "acme", ("crm_account",), ("read",), now_us - 1, ends_us, "dana")
    world.desk.put(replace(grant, max_requests=2))
    checkpoint = with_pseudonyms(world, pseudonyms)
    asked = [checkpoint.decide(approach(ticket="BUG-9", reason=f"reason {number}")) for number in range(8)]
    decisions = await asyncio.gather(*asked)
    assert sum(decision.attempt.justification.grant is not None for decision in decisions) == 2
