"""An entry as a syslog message: RFC 5424 to the letter, whatever stands in the entry."""

from __future__ import annotations

import pytest

from gateway.feeds import Facts, Item
from gateway.feeds.syslog_sink import frame, message
from tests.world.feeds import feed, parsed

BODY = '{"sequence":7,"reason":"Grüße"}'.encode()


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        (Facts(kind="decision", effect="permit"), 6),
        (Facts(kind="decision", effect="deny"), 4),
        (Facts(kind="completion", effect="permit"), 6),
        (Facts(kind="administrative"), 5),
    ],
)
def test_severity_is_by_effect_and_facility_as_configured(facts: Facts, severity: int) -> None:
    """A denial is a warning, an act a notice."""
    item = Item(7, "id-7", BODY, facts._replace(time="2026-03-02T14:00:00.000001Z"))
    found = parsed(message(item, feed(kind="syslog", facility=16), node="gateway-1"))
    assert (found.facility, found.severity) == (16, severity)
    assert (found.host, found.app, found.kind) == ("gateway-1", "residency-gateway", facts.kind)
    assert found.time == "2026-03-02T14:00:00.000001Z"
    assert found.body == BODY


def test_facts_are_structured_data_and_escaped() -> None:
    """No value ends its quotes or the element; what is empty is left out."""
    facts = Facts("2026-03-02T14:00:00.000000Z", "decision", 'a"b', "r\\", "deny", "x]y")
    said = message(Item(7, "id-7", BODY, facts), feed(kind="syslog", enterprise=99), node="gateway-1")
    assert b"[residency@99 " in said
    expected = {"sequence": "7", "id": "id-7", "decision": 'a"b', "rule": "r\\", "effect": "deny", "customer": "x]y"}
    assert parsed(said).facts == expected
    bare = message(Item(7, "id-7", BODY, facts._replace(rule="", effect="")), feed(kind="syslog"), node="n")
    assert set(parsed(bare).facts) == {"sequence", "id", "decision", "customer"}


def test_frame_counts_octets() -> None:
    """Not characters (RFC 5425 §4.3.1)."""
    assert frame("Grüße".encode()) == "7 Grüße".encode()
