"""The transparency report: what stands in it, how it looks, and that tampering with it is found."""

from __future__ import annotations

import base64
import copy
import csv
import hashlib
import json
import re
from collections.abc import Callable
from contextlib import closing
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.clock import SECOND_US
from gateway.ledger import transparency_page
from gateway.ledger.file import LedgerFile
from gateway.ledger.note import Checkpoint, Signer
from gateway.ledger.reader import LedgerReader
from gateway.ledger.transparency import NO_CHECKPOINT, NOT_YET, Asked, report
from tests.unit.ledger.entries import completion, decision, write
from tests.unit.ledger.test_ocsf import FULL
from tests.verifier.verify import check_report
from tests.world.clock import NOW_S

SIGNER = Signer("gateway-1/ledger", Ed25519PrivateKey.from_private_bytes(b"k" * 32))
KEY = str(SIGNER.verifier)
PERIOD = {"since_us": NOW_S * SECOND_US, "until_us": (NOW_S + 100) * SECOND_US}
HOME = {"country": "US", "assured": True, "signals": []}


def permit(number: int, rule: str = "code-level-bug", **fields: Any) -> dict[str, Any]:
    return decision(number, **FULL | {"effect": "permit", "rule": rule, "rules": [rule], "grant": "G-1"} | fields)


def signed(path: Path, size: int | None = None) -> None:
    """Keep a checkpoint over what is there."""
    with closing(LedgerFile(path)) as file:
        file.open()
        assert size in (None, file._tree.size)
        note = Checkpoint(SIGNER.name, file._tree.size, file._tree.root()).signed(SIGNER)
        file.keep_checkpoint(file._tree.size, note)


def made(path: Path, *, customer: str = "acme", pseudonyms: bool = False) -> dict[str, Any]:
    with LedgerReader(path) as reader:
        asked = Asked(customer, **PERIOD, pseudonyms=pseudonyms)
        found = report(reader, asked, made_us=(NOW_S + 200) * SECOND_US, before=reader.size())
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]  # an object


@pytest.fixture
def accessed(path: Path) -> Path:
    """Two accesses from abroad, one with its completion; beside them what does not belong into the report."""
    first, second = permit(1), permit(5, "crm-account", subject="maria", location=HOME | {"assured": False})
    write(
        path,
        permit(-1),
        first,
        permit(2, "home-personnel", location=HOME),
        permit(3, customer="globex"),
        completion(first, bytes=12),
        decision(4, **FULL),
        second,
        decision(6, **FULL | {"subject": "sam"}),
        decision(7, **FULL | {"location": HOME, "rule": "role"}),
        permit(100),
    )
    signed(path)
    return path


def test_it_holds_every_access_from_outside_home_in_the_period_and_no_other(accessed: Path) -> None:
    """Of this customer: by clause and by country, with what came of it."""
    found = made(accessed)
    rows = found["accesses"]
    assert [(row["sequence"], row["rule"], row["country"], row["bytes"], row["outcome"]) for row in rows] == [
        (1, "code-level-bug", "IN", 12, "whole"),
        (6, "crm-account", "US", 0, "not completed"),
    ]
    totals = found["totals"]
    assert (totals["accesses"], totals["bytes"]) == (2, 12)
    assert [(group["rule"], group["accesses"], group["bytes"]) for group in totals["by_clause"]] == [
        ("code-level-bug", 1, 12),
        ("crm-account", 1, 0),
    ]
    assert totals["by_clause"][1]["words"].startswith("Customer’s account information")
    assert [(group["country"], group["accesses"]) for group in totals["by_country"]] == [("IN", 1), ("US", 1)]


def test_denied_attempts_are_summed_up_without_names(accessed: Path) -> None:
    """Nobody is named who got nothing."""
    found = made(accessed)
    [group] = found["denied"]
    assert (group["rule"], group["country"], group["attempts"]) == ("outside-home", "IN", 2)
    assert group["first"] < group["last"]
    assert "sam" not in json.dumps(found)


def test_a_request_that_covers_several_customers_stands_in_it_too(accessed: Path) -> None:
    """It may have covered this one."""
    write(accessed, permit(8, customer="", path="/crm/search"))
    signed(accessed)
    row = made(accessed)["accesses"][-1]
    assert (row["several_customers"], row["path"]) == (True, "/crm/search")
    assert check_report(made(accessed), KEY) == []


def test_who_holds_the_key_can_check_it(accessed: Path) -> None:
    """With the report alone."""
    assert check_report(made(accessed), KEY) == []
    assert made(accessed)["unproven"] == ""
    other = str(Signer(SIGNER.name, Ed25519PrivateKey.from_private_bytes(b"o" * 32)).verifier)
    assert "not signed by" in check_report(made(accessed), other)[0]


def test_without_a_checkpoint_it_says_so(path: Path) -> None:
    """In the report, on the page and when it is checked."""
    write(path, permit(1))
    found = made(path)
    assert (found["unproven"], found["accesses"][0]["evidence"][0]["proof"]) == (NO_CHECKPOINT, None)
    assert NO_CHECKPOINT in "".join(transparency_page.as_html(found))
    assert check_report(found, KEY) == ["it has no checkpoint, so nothing in it is proven"]


def test_what_is_newer_than_the_checkpoint_is_said_to_be(accessed: Path) -> None:
    """The rest is proven all the same."""
    write(accessed, permit(9))
    found = made(accessed)
    assert found["unproven"] == NOT_YET
    assert check_report(found, KEY) == ["entry 10: entry 10 is not proven: it is newer than the checkpoint"]


def test_a_checkpoint_that_cannot_be_read_proves_nothing(path: Path) -> None:
    """The report is made all the same, and whoever checks it is told."""
    write(path, permit(1))
    with closing(LedgerFile(path)) as file:
        file.open()
        file.keep_checkpoint(1, "no note\n")
    found = made(path)
    assert found["origin"] == ""
    assert check_report(found, KEY)[0].startswith("the report cannot be read")


def test_with_pseudonyms_nobody_is_named(accessed: Path) -> None:
    """Nor are the bytes there, which name them; one person has one number, and the hashes are proven."""
    write(accessed, permit(10))
    signed(accessed)
    found = made(accessed, pseudonyms=True)
    assert [row["subject"] for row in found["accesses"]] == ["person 1", "person 2", "person 1"]
    for form in map("".join, (json.dumps(found), transparency_page.as_html(found), transparency_page.as_csv(found))):
        assert "priya" not in form
        assert "maria" not in form
    assert all("entry" not in each for row in found["accesses"] for each in row["evidence"])
    assert check_report(found, KEY) == []


def edited(row: dict[str, Any], place: int = 0, **fields: Any) -> None:
    """An entry of the evidence with other fields, its hash made to fit."""
    each = row["evidence"][place]
    entry = json.loads(base64.b64decode(each["entry"])) | fields
    body = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    each["entry"] = base64.b64encode(body).decode()
    each["leaf_hash"] = base64.b64encode(hashlib.sha256(b"\0" + body).digest()).decode()


TAMPERING: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a row is left out": (lambda found: found["accesses"].pop(), "totals"),
    "a row is doubled": (lambda found: found["accesses"].append(found["accesses"][-1]), "twice"),
    "another person": (lambda found: found["accesses"][0].update(subject="sam"), "subject"),
    "another country": (lambda found: found["accesses"][0].update(country="US"), "country"),
    "another rule": (lambda found: found["accesses"][0].update(rule="no-plan"), "rule"),
    "fewer bytes": (lambda found: found["accesses"][0].update(bytes=1), "than the completion"),
    "no completion": (lambda found: found["accesses"][0]["evidence"].pop(), "not in evidence"),
    "a completion of another": (
        lambda found: found["accesses"][1]["evidence"].append(found["accesses"][0]["evidence"][1]),
        "of another decision",
    ),
    "another entry": (lambda found: edited(found["accesses"][0], path="/other"), "does not lead to the root"),
    "another hash": (
        lambda found: found["accesses"][0]["evidence"][0].update(leaf_hash=base64.b64encode(b"x" * 32).decode()),
        "not that of its bytes",
    ),
    "another place": (lambda found: found["accesses"][0]["evidence"][0].update(index=2), "of another entry"),
    "a place that is not": (
        lambda found: (found["accesses"][1].update(sequence=99), found["accesses"][1]["evidence"][0].update(index=99)),
        "does not lead to the root",
    ),
    "a shorter proof": (lambda found: found["accesses"][0]["evidence"][0]["proof"].pop(), "does not lead"),
    "a longer proof": (
        lambda found: found["accesses"][0]["evidence"][0]["proof"].append(base64.b64encode(b"x" * 32).decode()),
        "does not lead",
    ),
    "no proof": (lambda found: found["accesses"][0]["evidence"][0].update(proof=None), "not proven"),
    "another customer": (lambda found: found.update(customer="globex"), "of another customer"),
    "another period": (lambda found: found.update(since=found["until"]), "of another time"),
    "other totals": (lambda found: found["totals"].update(bytes=0), "totals"),
    "another tree": (lambda found: found.update(tree_size=9), "another tree"),
    "another checkpoint": (
        lambda found: found.update(checkpoint=found["checkpoint"].replace("\n10\n", "\n11\n")),
        "signature",
    ),
    "no checkpoint": (lambda found: found.update(checkpoint=""), "no checkpoint"),
    "a field is gone": (lambda found: found["accesses"][0].pop("evidence"), "cannot be read"),
    "another format": (lambda found: found.update(format="?"), "it says that it is"),
    "no base64": (lambda found: found["accesses"][0]["evidence"][0].update(entry="?"), "cannot be read"),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_a_tampered_report_is_found(accessed: Path, how: str) -> None:
    """Whatever was changed, in words that say where."""
    found = copy.deepcopy(made(accessed))
    tamper, told = TAMPERING[how]
    tamper(found)
    faults = check_report(found, KEY)
    assert any(told in fault for fault in faults), faults


class Page(HTMLParser):
    """What tags and attributes a page has, and whether they are closed."""

    VOID = frozenset({"meta", "br", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


HOSTILE = '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>=1+1'


def test_the_page_stands_alone_and_holds_no_markup_of_strangers(path: Path) -> None:
    """Every text of the record is escaped: nothing runs, nothing is fetched, and each tag is closed."""
    strangers = dict.fromkeys(("subject", "path", "method", "ticket", "grant", "clause", "rule", "customer"), HOSTILE)
    write(
        path, permit(1, **strangers | {"roles": [HOSTILE], "location": {**HOME, "country": HOSTILE, "assured": False}})
    )
    write(path, decision(2, **FULL | strangers))
    page = Page("".join(transparency_page.as_html(made(path, customer=HOSTILE))))
    assert page.open == []
    assert not {"script", "img", "link", "iframe", "a", "form", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "action")]


def test_the_page_can_be_read_without_seeing_it(accessed: Path) -> None:
    """A language, one heading, a caption and scopes for each table, words for each picture."""
    text = "".join(transparency_page.as_html(made(accessed)))
    page = Page(text)
    assert ("lang", "en") in page.attributes
    assert page.tags.count("h1") == 1
    assert page.tags.count("table") == page.tags.count("caption") == 4
    assert page.tags.count("svg") == page.tags.count("desc") == 2
    assert page.tags.count("th") == sum(name == "scope" for name, _ in page.attributes)
    assert "code-level-bug: 1; crm-account: 1" in text
    assert "India (IN): 1" in text
    assert "@media print" in text


def test_an_empty_report_says_so(path: Path) -> None:
    """Nothing happened, and that is worth a page."""
    write(path, decision(1, customer="globex"))
    signed(path)
    found = made(path)
    text = "".join(transparency_page.as_html(found))
    assert "There was none." in text
    assert "No attempt from outside home was denied." in text
    assert check_report(found, KEY) == []


def test_a_spreadsheet_runs_nothing_of_it(path: Path) -> None:
    """Text that looks like a formula is defused, as in every CSV here."""
    write(path, permit(1, path="=1+1", ticket="@x", roles=["=a", "b"], grant="+1"), completion(permit(1)))
    [row] = csv.DictReader(StringIO("".join(transparency_page.as_csv(made(path)))))
    assert (row["path"], row["ticket"], row["roles"], row["grant"]) == ("'=1+1", "'@x", "'=a b", "'+1")
    assert re.fullmatch(r"[A-Za-z0-9+/=']+", row["leaf_hash"])
    assert row["proof"] == "none"
