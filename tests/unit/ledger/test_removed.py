"""Whoever looks at a stretch of the record of which something was removed is told so."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND_US, rfc3339
from gateway.ledger import retention, transparency_page
from gateway.ledger.entry import seal
from gateway.ledger.note import Checkpoint
from gateway.ledger.reader import LedgerReader
from gateway.ledger.transparency import Asked, report
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.entries import decision
from tests.unit.ledger.sealing_world import built, removed_entry, seal_all
from tests.unit.ledger.signed import FIRST, ROTATION, SECOND, key_entry
from tests.unit.ledger.test_ledger_command import Operation, run
from tests.unit.ledger.test_ocsf import FULL
from tests.verifier.verify import check_report
from tests.world.clock import NOW_S, FakeClock

GONE = "255 entries of these were removed when their time was over: 0 to 255\n"
ABROAD = FULL | {"effect": "permit", "rule": "code-level-bug", "rules": ["code-level-bug"], "customer": "acme"}


@pytest.fixture
def shortened(path: Path) -> Path:
    """600 accesses from abroad, one a second, of which 0 to 255 were removed; but for the key, which is kept."""
    found = [key_entry(FIRST), *(seal(decision(number, **ABROAD)) for number in range(1, 600))]
    found[ROTATION] = key_entry(SECOND, FIRST)
    built(path, found)
    seal_all(path, before_us=(NOW_S + 280) * SECOND_US)
    seal_all(path)
    with LedgerReader(path) as reader:
        oldest = reader._sealed.all()[0]
    with LedgerWriter(path) as writer:
        retention.remove(path, writer, oldest, removed_entry(oldest))
        size, root = writer.head()
        writer.keep_checkpoint(size, Checkpoint(SECOND.name, size, root).signed(SECOND))
    return path


@pytest.fixture
def operation(shortened: Path) -> Operation:
    return Operation(shortened, FakeClock(NOW_S + 700))


def at(second: int) -> str:
    return rfc3339((NOW_S + second) * SECOND_US)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("search", "--json"), True),
        (("search", "--customer", "acme", "--json"), True),
        (("search", "--since", at(200), "--json"), True),
        (("search", "--since", at(400), "--json"), False),
        (("search", "--until", at(100), "--json"), True),
        (("search", "--customer", "acme", "--limit", "10", "--json"), False),
        (("search", "--customer", "acme", "--limit", "400", "--json"), True),
        (("search", "--customer", "acme", "--limit", "10", "--oldest-first", "--json"), True),
        (("search", "--limit", "10", "--oldest-first", "--after", "300", "--json"), False),
        (("search", "--customer", "nobody", "--json"), True),
        (("tail", "--json"), False),
        (("tail", "-n", "400", "--json"), True),
        (("tail", "--customer", "nobody", "--json"), True),
        (("tail", "-n", "0"), False),
        (("export",), True),
        (("export", "--from", "256"), False),
        (("export", "--from", "255"), True),
        (("export", "--to", "300"), True),
        (("export", "--customer", "acme", "--since", at(400), "--format", "csv"), False),
        (("report", "--customer", "acme", "--since", at(100), "--format", "json"), True),
        (("report", "--customer", "acme", "--since", at(400), "--format", "json"), False),
    ],
)
def test_a_line_on_stderr_says_what_is_missing_of_a_stretch(
    operation: Operation, command: tuple[str, ...], told: bool
) -> None:
    """And only where the stretch touches it; what is printed stays what it was."""
    result = run(operation, *command)
    assert result.exception is None, result.exception
    assert result.stderr.count("removed when their time was over") == told
    assert result.stderr == (GONE if told else "")


def test_a_bundle_is_told_of_too(operation: Operation, tmp_path: Path) -> None:
    """It holds what is left."""
    assert run(operation, "export", "--bundle", str(tmp_path / "b")).stderr == GONE


def made(path: Path, since: int, until: int) -> dict[str, Any]:
    asked = Asked("acme", (NOW_S + since) * SECOND_US, (NOW_S + until) * SECOND_US)
    with LedgerReader(path) as reader:
        return json.loads(json.dumps(report(reader, asked, made_us=(NOW_S + 900) * SECOND_US, before=reader.size())))  # type: ignore[no-any-return]  # an object


def test_the_report_says_what_it_cannot_tell_of(shortened: Path) -> None:
    """How many, which, and the entry that says so; the verifier that shares no code takes it."""
    found = made(shortened, 100, 600)
    ranges = [{"first": 0, "last": 255, "removed_by": 602}]
    assert found["removed"] == {"entries": 255, "ranges": ranges}
    assert found["totals"]["accesses"] == 600 - 256 - 1
    assert check_report(found, str(SECOND.verifier)) == []
    page = "".join(transparency_page.as_html(found))
    assert "<strong>Not all is here:</strong> 255 entries of the record" in page
    assert "(0 to 255)" in page
    rows = list(csv.DictReader(StringIO("".join(transparency_page.as_csv(found)))))
    assert [(row["outcome"], row["sequence"], row["rule"]) for row in rows[-1:]] == [("removed", "0 to 255", "")]
    assert len(rows) == found["totals"]["accesses"] + 1


@pytest.mark.parametrize(("since", "until", "touches"), [(256, 600, False), (255, 600, True), (-900, -100, True)])
def test_the_report_says_so_of_its_period_alone(shortened: Path, since: int, until: int, touches: bool) -> None:
    """How old the oldest entries were cannot be told any more, so they may be of any time before."""
    found = made(shortened, since, until)
    assert bool(found["removed"]["ranges"]) == touches
    assert ("Not all is here" in "".join(transparency_page.as_html(found))) == touches
    assert ("removed" in "".join(transparency_page.as_csv(found))) == touches


def test_what_was_removed_later_is_not_of_an_earlier_period(shortened: Path) -> None:
    """A stretch begins where the one before it ends, give or take what clocks may differ."""
    with LedgerReader(shortened) as reader:
        second = reader._sealed.all()[1]
    with LedgerWriter(shortened) as writer:
        retention.remove(shortened, writer, second, removed_entry(second))
    assert [each["first"] for each in made(shortened, 0, 100)["removed"]["ranges"]] == [0]
    assert [each["first"] for each in made(shortened, 0, 400)["removed"]["ranges"]] == [0, 256]
    assert [each["first"] for each in made(shortened, 300, 400)["removed"]["ranges"]] == [256]
