"""What the record holds of a decision and of its completion.

The fields are those of the public interface; what is absent is an empty text. A query is never kept: it may hold
credentials, and no rule reads it. What the same judgement gives again and again is encoded once: only the fields named
in :data:`VARYING` differ.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

import uuid_utils

from gateway.attempt import MAX_REASON, MAX_TICKET, Approach, Decision
from gateway.clock import rfc3339
from gateway.justification import Justification
from gateway.ledger.entry import Entry, Template  # not the package, which knows the database
from gateway.location import Assurance
from gateway.masking import masked

MAX_PATH = 2_048
MAX_NAME = 256
_QUERY = re.compile(r"[?#]|%3f|%23", re.IGNORECASE)
_USER = re.compile(r"^([^/]*//)[^/]*@")
VARYING = ("id", "path", "time", "time_us")
"""The fields in which the entries of two decisions on the same attempt differ."""


def varying(decision: Decision) -> tuple[str, str, str, int]:
    """The values of :data:`VARYING`, in its order, of a decision whose target is known."""
    time_us = decision.attempt.time_us
    return decision.id, _judged_path(decision), rfc3339(time_us), time_us


def fields_of(decision: Decision, approach: Approach, *, node: str) -> dict[str, object]:
    """The entry of a decision, with the fields of the public interface; absent values are empty texts."""
    attempt, verdict = decision.attempt, decision.verdict
    principal, location = attempt.principal, attempt.location
    resource, why = attempt.resource, attempt.justification
    assurance, country = location.judge(attempt.home)
    return {
        "kind": "decision",
        "version": 1,
        "id": decision.id,
        "time": rfc3339(attempt.time_us),
        "time_us": attempt.time_us,
        "door": approach.door,
        "effect": verdict.effect.value,
        "rule": verdict.rules[0],
        "rules": list(verdict.rules),
        "clause": verdict.clause,
        "obligations": list(verdict.obligations),
        "subject": principal.subject,
        "roles": sorted(_printable(role, MAX_NAME) for role in principal.roles),
        "acting_for": principal.subject if principal.actor else "",
        "actor": principal.actor,
        "issuer": principal.issuer,
        "location": {
            "country": country,
            "assured": assurance is Assurance.HOME,
            "signals": [
                {"source": signal.source.value, "country": signal.country, "detail": signal.detail}
                for signal in location.heard
            ],
        },
        "client_address": location.address,
        "customer": _printable(resource.customer, MAX_NAME),
        "plan": attempt.plan_id or attempt.plan.value,
        "store": resource.store,
        "data_class": resource.data_class,
        "action": resource.action.value,
        "method": _printable(approach.method, 32),
        "path": _judged_path(decision) if attempt.target else _unread_path(approach.target),
        "ticket": _printable(masked(why.cited), MAX_TICKET),
        "grant": why.grant.id if why.grant else "",
        "authorization": why.authorization.id if why.authorization else "",
        "support_window": "closed" if attempt.out_of_hours else "",
        "reason": recorded_reason(why),
        "problem": decision.problem or _printable(why.problem, MAX_REASON),
        "policy_version": decision.policy_version,
        "geo_version": location.version,
        "node": node,
    }


def recorded_reason(why: Justification) -> str:
    """The reason that somebody gave, as it is recorded."""
    return _printable(masked(why.reason), MAX_REASON)


def completion(
    decision: Decision,
    *,
    node: str,
    now_us: int,
    outcome: str,
    status: int,
    why: str = "",
    bytes_in: int = 0,
    bytes_out: int = 0,
    frames: tuple[int, int] | None = None,
    file: tuple[int, str] | None = None,
) -> Entry:
    """The entry of how a permitted decision ended; ``file``: where its bytes begin in the file, and their SHA-256."""
    return _completions(node, tunnel=frames is not None, file=file is not None).fill(
        (
            bytes_out,
            bytes_in,
            decision.id,
            max(0, now_us - decision.attempt.time_us) // 1_000,
            *(frames or ()),
            str(uuid_utils.uuid7()),
            *(file[:1] if file else ()),
            outcome,
            *(file[1:] if file else ()),
            status,
            rfc3339(now_us),
            now_us,
            why,
        )
    )


@lru_cache(maxsize=4)
def _completions(node: str, *, tunnel: bool, file: bool) -> Template:
    """What completions share; the others stand in the order of their names, as their values do above."""
    values: dict[str, str | int] = {
        "bytes": 0,
        "bytes_in": 0,
        "decision": "?",
        "duration_ms": 0,
        **({"frames": 0, "frames_in": 0} if tunnel else {}),
        "id": "?",
        **({"offset": 0} if file else {}),
        "outcome": "?",
        **({"sha256": "?"} if file else {}),
        "status": 0,
        "time": "?",
        "time_us": 0,
        "why": "",
    }
    return Template({"kind": "completion", "version": 1, "node": node, **values}, tuple(values))


def _judged_path(decision: Decision) -> str:
    """The path that was judged: whole where it was permitted, and else as much of it as evidence needs."""
    target = decision.attempt.target
    path = target.path if target else ""
    if decision.permitted:
        return path
    path = masked(path)
    if len(path) <= MAX_PATH:
        return path
    return f"{path[:MAX_PATH]}… (SHA-256 of the whole: {sha256(path.encode()).hexdigest()})"


def _unread_path(target: str) -> str:
    """What a target that cannot be read begins with: neither its query, however that is spelled, nor who it names."""
    path = _QUERY.split(target, maxsplit=1)[0]
    return _printable(masked(_USER.sub(r"\1", path)), MAX_PATH)


def _printable(text: str, limit: int) -> str:
    """Text of a client as it may stand in the record: bounded, every control and surrogate character escaped."""
    if text.isascii() and text.isprintable():
        return text[:limit]
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text[:limit])[:limit]
