"""OCSF events: what becomes of each kind of entry, and that the schema allows it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.entry import administrative
from gateway.ledger.exporting import Export
from gateway.ledger.ocsf import lines
from gateway.ledger.reader import LedgerReader, Query
from gateway.policy.rules import FORBIDS, PERMITS, REASONS
from tests.unit.ledger.entries import completion, decision, write
from tests.world.clock import NOW_S, FakeClock
from tests.world.ocsf import faults

FULL: dict[str, Any] = {
    "clause": "Special terms, consent 4",
    "obligations": ["no-store"],
    "roles": ["engineer", "support"],
    "acting_for": "",
    "actor": "",
    "issuer": "https://login.example.com/",
    "location": {"country": "IN", "assured": False, "signals": []},
    "client_address": "49.36.0.1",
    "plan": "P-1",
    "data_class": "conversation",
    "action": "read",
    "authorization": "",
    "support_window": "",
    "problem": "",
    "policy_version": "sha256:0f34",
    "geo_version": "country 2026-11-01",
    "node": "gateway-1",
}


def events(path: Path, *entries: dict[str, Any], query: Query | None = None) -> list[dict[str, Any]]:
    """The events of a ledger, all of them as the schema wants them."""
    write(path, *entries)
    query = query or Query()
    with LedgerReader(path) as reader:
        found = [json.loads(line) for line in lines(reader, query, reader.find(query))]
    assert [fault for event in found for fault in faults(event)] == []
    return found


def act(name: str, *, actor: str = "dana", subject: str = "G-1", **details: Any) -> dict[str, Any]:
    return administrative(clock=FakeClock(), node="n", actor=actor, act=name, subject=subject, details=details)


@pytest.mark.parametrize(
    ("fields", "kind", "activity"),
    [
        ({"action": "read"}, 6001, 2),
        ({"action": "read", "method": "POST"}, 6001, 2),
        ({"action": "write", "method": "POST"}, 6001, 1),
        ({"action": "write", "method": "MKCOL"}, 6001, 1),
        ({"action": "write", "method": "PUT"}, 6001, 3),
        ({"action": "write", "method": "PATCH"}, 6001, 3),
        ({"action": "delete", "method": "DELETE"}, 6001, 4),
        ({"action": "export"}, 6001, 7),
        ({"action": "read", "door": "envoy"}, 6001, 2),
        ({"door": "ftp", "method": "STOR", "action": "write"}, 4008, 1),
        ({"door": "ftp", "method": "RETR"}, 4008, 2),
        ({"door": "ftps", "method": "DELE", "action": "delete"}, 4008, 4),
        ({"door": "ftp", "method": "RNTO", "action": "write"}, 4008, 5),
        ({"door": "ftp", "method": "MLSD"}, 4008, 6),
        ({"door": "sftp", "method": "open", "action": "read"}, 4008, 2),
        ({"door": "sftp", "method": "open", "action": "write"}, 4008, 1),
        ({"door": "sftp", "method": "remove", "action": "delete"}, 4008, 4),
    ],
    ids=str,
)
def test_a_decision_has_the_class_of_its_door_and_the_activity_of_its_action(
    path: Path, fields: dict[str, Any], kind: int, activity: int
) -> None:
    """Where the command says more than the action, it counts."""
    [event] = events(path, decision(**FULL | fields))
    assert (event["class_uid"], event["activity_id"], event["type_uid"]) == (kind, activity, kind * 100 + activity)
    assert event["category_uid"] == kind // 1000


@pytest.mark.parametrize(
    ("name", "activity"),
    [
        ("access.request", 1),
        ("authorization.record", 1),
        ("customer.add", 1),
        ("ticket.open", 1),
        ("api.tickets.list", 2),
        ("ledger.export", 2),
        ("ledger.report", 2),
        ("ledger.search", 2),
        ("access.approve", 3),
        ("plan.enable", 3),
        ("reload", 3),
        ("access.revoke", 4),
        ("authorization.withdraw", 4),
        ("ticket.close", 4),
    ],
)
def test_an_act_is_api_activity(path: Path, name: str, activity: int) -> None:
    """By the last word of its name."""
    [event] = events(path, act(name, customer="acme"))
    assert (event["class_uid"], event["activity_id"], event["api"]["operation"]) == (6003, activity, name)
    assert (event["actor"]["user"]["name"], event["resources"]) == ("dana", [{"uid": "G-1"}])
    assert (event["src_endpoint"], event["metadata"]["tenant_uid"]) == ({"name": "n"}, "acme")


def test_a_call_that_was_refused_says_so(path: Path) -> None:
    """With the address it came from; whoever could not be told has no name."""
    [event] = events(
        path, act("api.tickets.list", actor="", subject="", outcome="forbidden", status=403, client_address="::1")
    )
    assert (event["status_id"], event["action_id"], event["status_code"]) == (2, 2, "forbidden")
    assert (event["src_endpoint"], event["actor"]["user"]["name"]) == ({"ip": "::1"}, "unknown")


def test_a_decision_says_who_from_where_for_what_and_by_which_rule(path: Path) -> None:
    """Every field that an investigator joins on."""
    permit = decision(**FULL | {"effect": "permit", "rule": "code-level-bug", "rules": ["code-level-bug", "no-plan"]})
    [event] = events(path, permit, completion(permit, status=206, bytes=12, bytes_in=3, duration_ms=7))
    metadata = event["metadata"]
    assert metadata["product"].pop("version")
    assert metadata == {
        "version": "1.9.0",
        "product": {"name": "Residency Gateway", "vendor_name": "Residency Gateway"},
        "profiles": ["security_control", "network_proxy", "host"],
        "uid": permit["id"],
        "correlation_uid": permit["id"],
        "event_code": "decision",
        "sequence": 0,
        "log_name": "residency-ledger",
        "logged_time": NOW_S * 1_000,
        "original_time": permit["time"],
        "tenant_uid": "acme",
    }
    assert event["time"] == NOW_S * 1_000
    assert (event["action_id"], event["disposition"], event["status_id"]) == (1, "Allowed", 1)
    assert event["status_code"] == "code-level-bug"
    assert event["policy"] == {"uid": "code-level-bug", "name": FULL["clause"], "version": "sha256:0f34"}
    assert [(one["decision"], one["policy"]["uid"]) for one in event["authorizations"]] == [
        ("permit", "code-level-bug"),
        ("permit", "no-plan"),
    ]
    assert event["actor"] == {
        "user": {"name": "priya", "uid": "priya", "groups": [{"name": "engineer"}, {"name": "support"}]},
        "session": {"issuer": FULL["issuer"]},
        "idp": {"name": FULL["issuer"]},
    }
    assert event["src_endpoint"] == {"ip": "49.36.0.1", "location": {"country": "IN"}}
    assert event["web_resources"] == [
        {"name": "/crm/acme/accounts/7", "uid": "/crm/acme/accounts/7", "type": "conversation"}
    ]
    assert event["http_request"] == {"http_method": "GET", "url": {"path": "/crm/acme/accounts/7"}}
    assert event["http_response"] == {"code": 206, "length": 12}
    assert event["proxy_traffic"] == {"bytes": 15, "bytes_out": 12, "bytes_in": 3}
    assert (event["duration"], event["dst_endpoint"]) == (7, {"name": "crm"})
    assert (event["unmapped"]["ticket"], event["unmapped"]["obligations"]) == ("BUG-9", ["no-store"])


def test_an_event_holds_the_exact_entry_and_its_leaf_hash(path: Path) -> None:
    """So that whoever has the event can ask for a proof of the entry."""
    [event] = events(path, decision(**FULL))
    leaf = hashlib.sha256(b"\0" + event["raw_data"].encode()).hexdigest()
    assert event["unmapped"]["ledger"] == {"index": 0, "leaf_hash": leaf}
    with LedgerReader(path) as reader:
        assert [(0, event["raw_data"].encode())] == list(reader.bodies())


def test_a_permit_that_was_cut_is_allowed_and_failed(path: Path) -> None:
    """What was decided and what came of it are two things."""
    permit = decision(**FULL | {"effect": "permit"})
    [event] = events(path, permit, completion(permit, outcome="ended", status=0, why="revoked"))
    assert (event["action_id"], event["status_id"], event["status_detail"]) == (1, 2, "ended revoked")
    assert "http_response" not in event


def test_a_completion_stands_alone_only_without_its_decision(path: Path) -> None:
    """An export that begins behind the decision tells what came of it, under the decision's id."""
    permit = decision(**FULL | {"effect": "permit"})
    done = completion(permit)
    write(path, permit, done, completion({"id": "nobody", "time_us": 0}))
    for query in (Query(after=0), Query(kind="completion"), Query(since_us=permit["time_us"] + 1)):
        [event] = events(path, query=query)
        assert (event["metadata"]["uid"], event["metadata"]["correlation_uid"]) == (done["id"], permit["id"])
        assert (event["metadata"]["event_code"], event["metadata"]["sequence"]) == ("completion", 1)
        assert json.loads(event["raw_data"]) == done
    [event] = events(path, query=Query(before=1))
    assert "http_response" not in event
    assert len(events(path)) == 1


@pytest.mark.parametrize("rule", [*PERMITS, *FORBIDS, *REASONS, "malformed", "unauthenticated", "unavailable"])
def test_every_rule_makes_an_event_that_the_schema_allows(path: Path, rule: str) -> None:
    """Also with everything absent that may be."""
    nothing = {name: "" for name, value in FULL.items() if isinstance(value, str)}
    bare = {"roles": [], "obligations": [], "subject": "", "customer": "", "store": "", "path": "", "method": ""}
    effect = "permit" if rule in PERMITS else "deny"
    common = {"effect": effect, "rule": rule, "rules": [rule]}
    location = {"location": {"country": "", "assured": False, "signals": []}}
    full = decision(**FULL | common)
    found = events(path, full, decision(**FULL | nothing | bare | location | common), completion(full))
    assert [event["status_code"] for event in found] == [rule, rule]
    ftp = decision(**FULL | nothing | bare | location | common | {"door": "ftp"})
    assert events(path, ftp)[-1]["class_uid"] == 4008


def test_the_command_line_of_events_is_json_lines(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One event a line, on stdout."""
    write(path, decision(**FULL), act("access.approve"))
    with LedgerReader(path) as reader:
        Export("ocsf", None, ()).run(reader, Query(before=2), lambda entries, _total: iter(entries))
    assert [json.loads(line)["class_uid"] for line in capsys.readouterr().out.splitlines()] == [6001, 6003]
