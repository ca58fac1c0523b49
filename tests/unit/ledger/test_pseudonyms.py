"""Pseudonyms in the place of names: written before an entry is, turned back to be read, and void once a key is gone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND_US
from gateway.errors import ConfigurationError, LedgerUnavailable
from gateway.ledger import pseudonyms as module
from gateway.ledger import retention
from gateway.ledger.bundle import export_bundle
from gateway.ledger.entry import Entry, administrative, decode, seal
from gateway.ledger.erasure import Mentions
from gateway.ledger.hold import Hold
from gateway.ledger.pseudonyms import BEGIN_ACT, OBJECT, Pseudonyms, require_own
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.subject_keys import SubjectKeys
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from gateway.letters import is_pseudonym
from tests.unit.ledger.entries import decision
from tests.unit.ledger.sealing_world import built, seal_all
from tests.unit.ledger.signed import FIRST, entries
from tests.world.clock import NOW_S, FakeClock

VERIFIER = Path(__file__).parents[2] / "verifier" / "verify.py"


@pytest.fixture
def pseudonyms(tmp_path: Path) -> Pseudonyms:
    keys = SubjectKeys(tmp_path / "keys" / "k.db")
    keys.begin()
    return Pseudonyms(keys)


def elsewhere(pseudonyms: Pseudonyms) -> Pseudonyms:
    """The same, as another process has them."""
    return Pseudonyms(SubjectKeys(pseudonyms.keys.path))


def act(name: str = "access.request", actor: str = "ana", **details: Any) -> dict[str, Any]:
    return administrative(clock=FakeClock(), node="n", actor=actor, act=name, subject="R-1", details=details)


def by_ana(**fields: Any) -> dict[str, Any]:
    return decision(0, **{"subject": "ana", "client_address": "49.36.0.1", "reason": "so it is"} | fields)


def test_what_is_recorded_is_shown_again(pseudonyms: Pseudonyms) -> None:
    """By this process and by others; a person is the same wherever they stand."""
    fields, request = by_ana(acting_for="ana"), act(reason="so it is", via="cli:ana@n", client_address="::1")
    recorded, asked = pseudonyms.decision(fields), pseudonyms.act(request)
    assert "ana" not in json.dumps([recorded["subject"], asked["actor"], asked["details"]["via"]])
    assert recorded["subject"] == recorded["acting_for"] == asked["actor"] == pseudonyms.find("ana")
    assert recorded["reason"] == asked["details"]["reason"] != recorded["client_address"]
    assert asked["details"]["via"] == f"cli:{asked['actor']}@n"
    for each in (pseudonyms, elsewhere(pseudonyms)):
        assert each.shown(recorded) == fields
        assert each.shown(asked) == request


def test_what_has_no_pseudonyms_is_shown_without_a_look_at_keys(pseudonyms: Pseudonyms) -> None:
    """Entries from before the setting, completions, and what a gateway without keys reads."""
    pseudonyms.keys.path.unlink()
    for fields in (by_ana(), act(), {"kind": "completion", "id": "x"}, act(actor="gateway")):
        assert pseudonyms.shown(fields) == fields


def test_a_destroyed_key_makes_everything_remembered_void(pseudonyms: Pseudonyms) -> None:
    """Whichever process destroyed it, and however much was remembered of it here."""
    other = elsewhere(pseudonyms)
    before, ben = pseudonyms.decision(by_ana()), pseudonyms.decision(by_ana(subject="ben"))
    state = pseudonyms.state
    assert pseudonyms.shown(before)["subject"] == "ana"
    assert pseudonyms.knows("ana", "49.36.0.1", "so it is")
    assert other.keys.destroy("ana")
    assert not pseudonyms.knows("ana", "49.36.0.1", "so it is")
    assert pseudonyms.shown(before) == before
    assert pseudonyms.find("ana") == ""
    assert pseudonyms.shown(ben)["subject"] == "ben"
    after = pseudonyms.decision(by_ana())
    assert pseudonyms.state != state
    for name in ("subject", "client_address", "reason"):
        assert after[name] != before[name]
        assert is_pseudonym(after[name])
    assert pseudonyms.decision(by_ana(subject="ben")) | {"id": ben["id"]} == ben


def test_somebody_met_before_is_known_by_the_files_stamp_alone(
    pseudonyms: Pseudonyms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read or written for them; it is for somebody new, or a new reason."""
    asyncio.run(pseudonyms.meet("ana", "::1", "so"))
    monkeypatch.setattr(SubjectKeys, "_opened", None)
    assert pseudonyms.knows("ana", "::1", "so")
    assert pseudonyms.knows("ana", "", "")
    assert is_pseudonym(pseudonyms.decision(by_ana(client_address="::1", reason="so"))["reason"])
    for words in (("ana", "::2", "so"), ("ana", "::1", "other"), ("ben", "::1", "so")):
        assert not pseudonyms.knows(*words)


def test_to_be_asked_about_makes_nobody_known(pseudonyms: Pseudonyms) -> None:
    """A search for somebody without a key is recorded by the key of whoever searches, and not turned back."""
    search = pseudonyms.act(act("ledger.search", actor="dana", asked=["subject=eve"]))
    assert pseudonyms.find("eve") == ""
    assert "eve" not in json.dumps(search)
    assert (
        pseudonyms.act(search | {"details": {"asked": ["subject=eve"]}, "actor": "dana"})["details"]
        == search["details"]
    )
    shown = pseudonyms.shown(search)
    assert shown["actor"] == "dana"
    assert shown["details"] == search["details"]
    pseudonyms.decision(by_ana())
    known = pseudonyms.act(act("ledger.search", actor="dana", asked=["subject=ana"]))
    assert known["details"]["asked"] == [f"subject={pseudonyms.find('ana')}"]
    assert pseudonyms.shown(known)["details"]["asked"] == ["subject=ana"]


def test_what_is_remembered_is_bounded(pseudonyms: Pseudonyms, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many people and reasons come, and they keep their pseudonyms."""
    monkeypatch.setattr(module, "REMEMBERED", 10)
    first = [pseudonyms.decision(by_ana(subject=f"person-{number}")) for number in range(30)]
    assert len(pseudonyms._keys) + len(pseudonyms._kept) <= 14
    said = {"client_address": "49.36.0.1", "reason": "so it is"}
    again = [pseudonyms.decision(each | said | {"subject": f"person-{number}"}) for number, each in enumerate(first)]
    assert again == first
    assert [pseudonyms.shown(each)["subject"] for each in first] == [f"person-{number}" for number in range(30)]
    assert len(pseudonyms._shown) <= 13


def test_keys_that_are_gone_or_exchanged_are_an_error(pseudonyms: Pseudonyms, tmp_path: Path) -> None:
    """Nothing is recorded by others; with the right file it goes on."""
    before = pseudonyms.decision(by_ana())
    aside = pseudonyms.keys.path.rename(tmp_path / "aside")
    for _ in range(2):
        assert not pseudonyms.knows("ana", "", "")
        assert "are not there" in pseudonyms.problem
        with pytest.raises(LedgerUnavailable):
            asyncio.run(pseudonyms.meet("ana", "", ""))
        with pytest.raises(LedgerUnavailable):
            pseudonyms.decision(by_ana())
        with pytest.raises(LedgerUnavailable):
            pseudonyms.act(act())
    pseudonyms.keys.begin()
    with pytest.raises(LedgerUnavailable, match="another file was put in their place"):
        pseudonyms.decision(by_ana())
    assert "another file" in pseudonyms.problem
    aside.rename(pseudonyms.keys.path)
    assert pseudonyms.decision(by_ana()) | {"id": before["id"]} == before
    assert pseudonyms.problem == ""


async def test_a_running_ledger_has_pseudonyms_in_acts(path: Path, pseudonyms: Pseudonyms) -> None:
    """And without keys the act is not recorded, so it is not done; what a program does goes on."""
    from gateway.ledger.appender import Ledger

    async with Ledger.open(path, pseudonyms=pseudonyms) as ledger:
        await ledger.append(act(reason="so it is"))
        pseudonyms.keys.path.unlink()
        with pytest.raises(LedgerUnavailable, match="subject keys"):
            await ledger.append(act(actor="ben"))
        await ledger.append(act("start", actor="gateway"))
    with LedgerReader(path) as reader:
        first, second = reader.tail(5)
    assert is_pseudonym(first["actor"])
    assert is_pseudonym(first["details"]["reason"])
    assert second["actor"] == "gateway"


def test_a_reader_finds_people_by_name_in_clear_and_by_pseudonym(path: Path, pseudonyms: Pseudonyms) -> None:
    """In lists of full segments and in the rest; one without keys finds what stands in the clear."""
    old, new = by_ana(), by_ana()
    bulk = [decision(number, subject="ben") for number in range(5_000)]
    with LedgerWriter(path, pseudonyms) as writer:
        for fields in (old, pseudonyms.decision(new)):
            writer.append(fields)
        writer._file.commit([seal(each) for each in bulk])
        writer._file._index(writer._file._connection)  # type: ignore[arg-type]
        writer.append(act())
    with LedgerReader(path, pseudonyms) as reader:
        found = list(reader.search(Query(subject="ana")))
        assert [each["id"] for each in found[:2]] == [old["id"], new["id"]]
        assert len(found) == 3
        assert {each.get("subject", each.get("actor")) for each in found} == {"ana"}
        assert [each["id"] for each in reader.search(Query(subject="ana", newest_first=True))][1:] == [
            new["id"],
            old["id"],
        ]
    with LedgerReader(path) as reader:
        assert [each["id"] for each in reader.search(Query(subject="ana"))] == [old["id"]]
        by_pseudonym = Query(subject="ana", pseudonym=pseudonyms.find("ana"))
        assert [body for _, body in reader.find(by_pseudonym)][1] == seal(pseudonyms.decision(new)).body


def test_a_ledger_goes_on_with_its_own_keys_alone(path: Path, pseudonyms: Pseudonyms, tmp_path: Path) -> None:
    """The first time it is to name them; then a missing file, or another, is refused in one line."""
    with LedgerWriter(path) as writer:
        new = require_own(pseudonyms, path)
        assert new == pseudonyms.keys.state().id
        begun = administrative(
            clock=FakeClock(), node="n", actor="gateway", act=BEGIN_ACT, subject=OBJECT, details={"keys": new}
        )
        writer.append(begun)
    assert require_own(pseudonyms, path) == ""
    pseudonyms.keys.path.unlink()
    with pytest.raises(ConfigurationError, match=f"is not there, and the ledger's pseudonyms are by the keys {new}"):
        require_own(pseudonyms, path)
    assert not pseudonyms.keys.path.exists()
    pseudonyms.keys.begin()
    with pytest.raises(ConfigurationError, match=r"has keys [0-9a-f]{32}, and"):
        require_own(pseudonyms, path)


def written(pseudonyms: Pseudonyms) -> Sequence[Entry]:
    """The entries of the signed world, with a pseudonym in every decision."""
    found = []
    for entry in entries():
        fields = decode(entry.body)
        found.append(seal(pseudonyms.decision(fields)) if fields["kind"] == "decision" else entry)
    return found


def test_a_sealed_ledger_verifies_before_and_after_and_is_counted(
    path: Path, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """Segments and bundles, to the byte; the verifier in one file says the same."""
    built(path, written(pseudonyms))
    seal_all(path)
    token, before = pseudonyms.find("priya"), verify(path, processes=1)
    assert before.verified, before.problems
    found = Mentions()
    with LedgerReader(path, pseudonyms) as reader:
        found.read(reader, "priya", token, lambda _done: None)
        decisions = len(list(reader.search(Query(kind="decision", subject="priya"))))
        export_bundle(reader, tmp_path / "before", lambda _done, _of: None)
    assert len(found.by_pseudonym) == decisions > 256
    assert found.in_clear == 0
    assert pseudonyms.keys.destroy("priya")
    after = verify(path, processes=1)
    assert after == before
    with LedgerReader(path, pseudonyms) as reader:
        assert list(reader.search(Query(subject="priya"))) == []
        assert all(is_pseudonym(each["subject"]) for each in reader.search(Query(kind="decision")))
        export_bundle(reader, tmp_path / "after", lambda _done, _of: None)
    bundles = [{each.relative_to(top): each.read_bytes() for each in top.rglob("*") if each.is_file()}
               for top in (tmp_path / "before", tmp_path / "after")]  # fmt: skip
    assert bundles[0] == bundles[1]
    command = [sys.executable, str(VERIFIER), str(tmp_path / "after"), "--key", str(FIRST.verifier)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


HOLDS = [
    Hold("all", "", 0, 0, "r", "dana", 0),
    Hold("acme", "acme", 0, 0, "r", "dana", 0),
    Hold("globex", "globex", 0, 0, "r", "dana", 0),
    Hold("early", "", 0, NOW_S * SECOND_US, "r", "dana", 0),
    Hold("late", "acme", (NOW_S + 100) * SECOND_US, 0, "r", "dana", 0),
    Hold("between", "acme", NOW_S * SECOND_US, (NOW_S + 100) * SECOND_US, "r", "dana", 0),
]


def test_a_hold_covers_of_a_person_what_it_covers_of_a_segment(path: Path, pseudonyms: Pseudonyms) -> None:
    """One meaning for both: ``ledger retain`` and ``ledger erase-subject``."""
    built(path, written(pseudonyms))
    seal_all(path)
    found = Mentions()
    with LedgerReader(path) as reader:
        found.read(reader, "priya", pseudonyms.find("priya"), lambda _done: None)
    old = retention.over(path, before_us=(NOW_S + 10**6) * SECOND_US)
    segments = [retention.judge(path, one, HOLDS) for one in old]
    assert set(found.held_by(HOLDS)) == {"all", "acme", "late", "between"}
    assert {name for segment in segments for name in segment.holds} <= set(found.held_by(HOLDS))
    several = act(customer="globex,acme", actor="ben")
    with LedgerWriter(path, pseudonyms) as writer:
        writer.append(several)
    ben = Mentions()
    with LedgerReader(path) as reader:
        ben.read(reader, "ben", pseudonyms.find("ben"), lambda _done: None)
    assert set(ben.held_by(HOLDS)) == {"all", "acme", "globex", "between"}
