"""OCSF 1.9.0: entries as a security data lake wants them, one event a line.

A projection: what an entry is does not depend on it. ``raw_data`` holds the entry's exact bytes, and
``unmapped.ledger`` its leaf hash, by which it is found in the tree. The profile ``record_integrity`` is left out: its
fingerprint would be of the event, and what the ledger vouches for is the entry.

============================  ========================================  ==============================================
entry                         event                                     activity
============================  ========================================  ==============================================
decision at an FTP door       FTP Activity (4008)                       1 put, 2 get, 4 delete, 5 rename, 6 list
decision at any other         Web Resources Activity (6001)             1 create, 2 read, 3 update, 4 delete, 7 export
administrative act            API Activity (6003)                       1 create, 2 read, 3 update, 4 delete
completion                    that of its decision, which it is told    as its decision
                              with; an event of its own only where the
                              decision is not in the export
============================  ========================================  ==============================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from typing import Any, NamedTuple

import orjson

from gateway.ledger.entry import decode
from gateway.ledger.export import Found
from gateway.ledger.merkle import leaf_hash
from gateway.ledger.reader import LedgerReader, Projection, Query

VERSION = "1.9.0"
LOG_NAME = "residency-ledger"
FTP_DOORS = frozenset({"ftp", "ftps", "sftp"})
_BUNCH = 500


class Class(NamedTuple):
    """A class of events, with the names of its activities by number."""

    uid: int
    name: str
    category: str
    profiles: tuple[str, ...]
    activities: Mapping[int, str]


WEB = Class(
    6001,
    "Web Resources Activity",
    "Application Activity",
    ("security_control", "network_proxy", "host"),
    {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 7: "Export"},
)
FTP = Class(
    4008,
    "FTP Activity",
    "Network Activity",
    ("security_control", "network_proxy", "host"),
    {1: "Put", 2: "Get", 4: "Delete", 5: "Rename", 6: "List"},
)
API = Class(
    6003,
    "API Activity",
    "Application Activity",
    ("security_control", "host"),
    {1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
)

_WEB_ACTIVITIES = {"read": 2, "write": 3, "delete": 4, "export": 7}
_FTP_ACTIVITIES = {"read": 2, "write": 1, "delete": 4, "export": 2}
_FTP_COMMANDS = {
    **dict.fromkeys(("STOR", "STOU", "APPE", "MKD"), 1),
    "RETR": 2,
    **dict.fromkeys(("DELE", "RMD"), 4),
    **dict.fromkeys(("RNFR", "RNTO"), 5),
    **dict.fromkeys(("LIST", "NLST", "MLSD", "MLST"), 6),
}
_VERBS = {
    **dict.fromkeys(("add", "consent", "open", "order", "record", "report_incident", "request"), 1),
    **dict.fromkeys(
        ("export", "list", "matrix", "me", "prove", "quote", "read", "report", "search", "show", "tail"), 2
    ),
    **dict.fromkeys(("close", "deny", "end", "expire", "revoke", "withdraw"), 4),
}
"""What an act does, by the last word of its name; any other changes something."""

_METHODS = frozenset({"OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH"})
_WHOLE = frozenset({"whole", "delegated"})
_DONE = frozenset({"", "done", "shown", "unchanged", "replayed"})
_UNMAPPED = (
    "kind",
    "door",
    "plan",
    "data_class",
    "action",
    "ticket",
    "grant",
    "authorization",
    "acting_for",
    "actor",
    "reason",
    "problem",
    "obligations",
    "support_window",
    "geo_version",
    "details",
)


def lines(reader: LedgerReader, query: Query, entries: Found) -> Iterator[str]:
    """An event for each entry that a query found, a line each, in the order of the record.

    Args:
        reader: for the completions of decisions, and the decisions of completions.
        query: what all of the export is of, of which the entries may be the rest.
        entries: sequence and exact bytes.
    """
    rest = iter(entries)
    while bunch := list(islice(rest, _BUNCH)):
        for found in _events(reader, query, bunch):
            yield orjson.dumps(found).decode() + "\n"


def _events(reader: LedgerReader, query: Query, bunch: list[tuple[int, bytes]]) -> Iterator[dict[str, Any]]:
    projections: list[tuple[Projection, bytes]] = [
        ({"sequence": sequence, **decode(body)}, body) for sequence, body in bunch
    ]
    ids = [entry["id"] for entry, _ in projections if entry["kind"] == "decision"]
    completions = {
        key: done
        for key, done in reader.completions(ids).items()
        if query.before is None or done["sequence"] < query.before
    }
    for entry, body in projections:
        if entry["kind"] != "completion":
            yield event(entry, body, completions.get(entry["id"]))
            continue
        decision = reader.decision_of(entry)
        if decision is not None and not _is_among(decision, query):
            yield event(decision, body, entry, told_of=entry)


def _is_among(decision: Projection, query: Query) -> bool:
    """Whether the export that has the completion of a decision has the decision as well."""
    return (
        query.kind in ("", "decision")
        and (query.after is None or decision["sequence"] > query.after)
        and (query.since_us is None or decision["time_us"] >= query.since_us)
        and (query.until_us is None or decision["time_us"] < query.until_us)
    )


def event(
    entry: Projection, body: bytes, completion: Projection | None = None, *, told_of: Projection | None = None
) -> dict[str, Any]:
    """The event of an entry.

    Args:
        entry: a decision or an administrative act.
        body: the exact bytes of the entry that the event stands for.
        completion: how a decision ended, where that is recorded.
        told_of: the entry that the event stands for, where that is not ``entry``.
    """
    told = told_of or entry
    if entry["kind"] == "administrative":
        kind, specific = API, _act(entry)
    elif entry.get("door") in FTP_DOORS:
        kind, specific = FTP, _decision(entry, completion) | _transfer(entry, completion)
    else:
        kind, specific = WEB, _decision(entry, completion) | _web(entry, completion)
    return _head(kind, specific.pop("activity_id"), entry, told, body) | _without_empty(specific)


def _head(kind: Class, activity: int, entry: Projection, told: Projection, body: bytes) -> dict[str, Any]:
    details = entry.get("details", {})
    metadata = {
        "version": VERSION,
        "product": _product(),
        "profiles": list(kind.profiles),
        "uid": told["id"],
        "correlation_uid": entry["id"] if entry["kind"] == "decision" else "",
        "event_code": told["kind"],
        "sequence": told["sequence"],
        "log_name": LOG_NAME,
        "logged_time": told["time_us"] // 1_000,
        "original_time": told["time"],
        "tenant_uid": _text(entry.get("customer") or details.get("customer")),
    }
    ledger = {"index": told["sequence"], "leaf_hash": leaf_hash(body).hex()}
    return {
        "activity_id": activity,
        "activity_name": kind.activities[activity],
        "category_uid": kind.uid // 1_000,
        "category_name": kind.category,
        "class_uid": kind.uid,
        "class_name": kind.name,
        "type_uid": kind.uid * 100 + activity,
        "type_name": f"{kind.name}: {kind.activities[activity]}",
        "time": told["time_us"] // 1_000,
        "metadata": _without_empty(metadata),
        "device": {"type_id": 1, "type": "Server", "name": _text(entry.get("node")) or "unknown"},
        "raw_data": body.decode(),
        "unmapped": {"ledger": ledger, **_without_empty({name: entry.get(name) for name in _UNMAPPED})},
    }


def _decision(entry: Projection, completion: Projection | None) -> dict[str, Any]:
    """What every decision says, at whichever door."""
    permitted = entry["effect"] == "permit"
    rule, clause = _text(entry.get("rule")), _text(entry.get("clause"))
    policy = {"uid": rule, "name": clause or rule, "version": _text(entry.get("policy_version"))}
    outcome = completion["outcome"] if completion else ""
    done = permitted and (not outcome or outcome in _WHOLE)
    detail = " ".join(filter(None, (outcome, completion.get("why", "")))) if completion else ""
    issuer, country = _text(entry.get("issuer")), _text(entry.get("location", {}).get("country"))
    return {
        "severity_id": 1 if permitted else 2,
        "severity": "Informational" if permitted else "Low",
        "action_id": 1 if permitted else 2,
        "action": "Allowed" if permitted else "Denied",
        "disposition_id": 1 if permitted else 2,
        "disposition": "Allowed" if permitted else "Blocked",
        "status_id": 1 if done else 2,
        "status": "Success" if done else "Failure",
        "status_code": rule,
        "status_detail": detail if permitted else _text(entry.get("problem")) or clause,
        "policy": _without_empty(policy),
        "authorizations": [
            {"decision": entry["effect"], "policy": _without_empty({"uid": each, "version": policy["version"]})}
            for each in entry.get("rules", [rule])
            if each
        ],
        "actor": _without_empty(
            {
                "user": _user(_text(entry.get("subject")), entry.get("roles", [])),
                "session": _without_empty({"issuer": issuer}),
                "idp": _without_empty({"name": issuer}),
            }
        ),
        "src_endpoint": _without_empty(
            {"ip": _text(entry.get("client_address")), "location": _without_empty({"country": country})}
        ),
        "dst_endpoint": {"name": _text(entry.get("store")) or "unknown"},
        "proxy_endpoint": {"name": _text(entry.get("node")) or "unknown"},
        "duration": completion.get("duration_ms") if completion else None,
    }


def _web(entry: Projection, completion: Projection | None) -> dict[str, Any]:
    method, path = _text(entry.get("method")), _text(entry.get("path"))
    activity = _WEB_ACTIVITIES.get(_text(entry.get("action")), 2)
    status = completion.get("status") if completion else 0
    resource = {"name": path or "unknown", "uid": path, "type": _text(entry.get("data_class"))}
    return {
        "activity_id": 1 if activity == 3 and method in ("POST", "MKCOL") else activity,
        "web_resources": [_without_empty(resource)],
        "http_request": _without_empty(
            {"http_method": method if method in _METHODS else "", "url": _without_empty({"path": path})}
        ),
        "http_response": {"code": status, "length": completion.get("bytes", 0)} if completion and status else None,
        "proxy_traffic": _traffic(completion),
    }


def _transfer(entry: Projection, completion: Projection | None) -> dict[str, Any]:
    method, path = _text(entry.get("method")), _text(entry.get("path"))
    activity = _FTP_COMMANDS.get(method) or _FTP_ACTIVITIES.get(_text(entry.get("action")), 2)
    return {
        "activity_id": activity,
        "command": method,
        "name": path,
        "file": {"name": path.rpartition("/")[2] or path, "path": path, "type_id": 2 if activity == 6 else 1}
        if path
        else None,
        "codes": [completion["status"]] if completion and completion.get("status") else None,
        "traffic": _traffic(completion),
    }


def _act(entry: Projection) -> dict[str, Any]:
    details, act = entry.get("details", {}), _text(entry.get("act"))
    outcome = _text(details.get("outcome"))
    done = outcome in _DONE
    thing = _text(entry.get("object"))
    address = _text(details.get("client_address"))
    return {
        "activity_id": _VERBS.get(act.rpartition(".")[2], 3),
        "severity_id": 1,
        "severity": "Informational",
        "action_id": 1 if done else 2,
        "action": "Allowed" if done else "Denied",
        "disposition_id": 1 if done else 2,
        "disposition": "Allowed" if done else "Blocked",
        "status_id": 1 if done else 2,
        "status": "Success" if done else "Failure",
        "status_code": _text(details.get("rule")) or outcome,
        "actor": {"user": _user(_text(entry.get("actor")) or "unknown", [])},
        "api": {"operation": act, "service": {"name": "residency-gateway"}},
        "src_endpoint": {"ip": address} if address else {"name": _text(entry.get("node")) or "unknown"},
        "resources": [{"uid": thing}] if thing else None,
    }


def _user(name: str, roles: list[str]) -> dict[str, Any]:
    return {"name": name, "uid": name, "groups": [{"name": role} for role in roles]} if name else {}


def _traffic(completion: Projection | None) -> dict[str, int] | None:
    if completion is None:
        return None
    out, into = completion.get("bytes", 0), completion.get("bytes_in", 0)
    return {"bytes": out + into, "bytes_out": out, "bytes_in": into}


@lru_cache(maxsize=1)
def _product() -> dict[str, str]:
    return {"name": "Residency Gateway", "vendor_name": "Residency Gateway", "version": version("residency-gateway")}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is absent is left out: OCSF has no empty values."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
