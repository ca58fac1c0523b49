"""The transparency report: every access to a customer's data from outside home, with what proves that it is recorded.

Each row stands on *evidence*: the exact bytes of the decision and of its completion, their place in the tree, and the
hashes that lead from there to the root that a signed checkpoint names (RFC 6962 §2.1.1). Whoever holds the log's
public key can check all of that without the gateway. That nothing was left out cannot be shown by a list; it can be
seen in the whole ledger, which ``ledger export`` hands out. Entries of the period that were removed, since their time
was over, are in no row: which those are, ``removed`` says.

With pseudonyms nobody is named, and the bytes, which name them, are left out: the hashes still prove that there is such
an entry, and no longer what it says.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from gateway.clock import rfc3339
from gateway.ledger.entry import decode
from gateway.ledger.merkle import leaf_hash
from gateway.ledger.note import Checkpoint, NoteRefused, split
from gateway.ledger.proof import inclusion
from gateway.ledger.reader import LedgerReader, Projection, Query

FORMAT = "residency-gateway transparency report, version 1"
NO_CHECKPOINT = "no checkpoint yet; run ledger checkpoint"
NOT_YET = "recorded after the newest checkpoint; run ledger checkpoint, and then the report anew"

WORDS = {
    "crm-account": "Customer’s account information (examples: Customer contact name and email address) in"
    " [the vendor’s] customer relationship systems may be accessible by [the vendor’s] personnel outside of the"
    " United States.",
    "security-incident": "[The vendor’s] information security personnel located outside of the United States may access"
    " Customer Data as necessary to troubleshoot security-related issues, including Security Incidents.",
    "ftp-upload": "Any Customer Data uploaded by Customer to [the vendor’s] FTP site may be accessed by [the vendor’s]"
    " personnel outside of the United States.",
    "code-level-bug": "If [the service] experiences an issue that requires expertise of specific [vendor] technical"
    " personnel who are located outside of the United States (example: code-level software bug), such [vendor]"
    " personnel may access Customer Data solely to troubleshoot the specific issue.",
    "customer-authorized": "[The vendor] will provide support … in the United States only unless otherwise authorized"
    " by Customer.",
    "customer-own-data": "The plan binds the vendor’s personnel; these are the customer’s own users.",
    "no-plan": "No plan was in effect at that moment.",
}
"""What the contract says of each rule that permits access from outside home."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is about.

    Attributes:
        customer: whose data.
        since_us, until_us: the period, from and before.
        pseudonyms: whether to name nobody.
    """

    customer: str
    since_us: int
    until_us: int
    pseudonyms: bool = False


def report(reader: LedgerReader, asked: Asked, *, made_us: int, before: int) -> dict[str, Any]:
    """The report, as JSON has it.

    Args:
        reader: of the ledger.
        asked: what it is about.
        made_us: when it is made.
        before: only of entries with a smaller sequence.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    decisions = sorted(_accesses(reader, asked, before), key=lambda found: found[0])
    completions = reader.completions([decision["id"] for _, decision, _ in decisions])
    names = _Names(pseudonyms=asked.pseudonyms)
    evidence = _Evidence(reader, with_bytes=not asked.pseudonyms)
    rows = []
    for _, decision, body in decisions:
        completion = completions.get(decision["id"])
        completion = completion if completion and completion["sequence"] < before else None
        rows.append(
            _row(decision, completion or {}, names)
            | {"evidence": [evidence.of(decision["sequence"], body), *evidence.of_completion(completion)]}
        )
    return {
        "format": FORMAT,
        "customer": asked.customer,
        "since": rfc3339(asked.since_us),
        "until": rfc3339(asked.until_us),
        "made": rfc3339(made_us),
        "pseudonyms": asked.pseudonyms,
        "checkpoint": evidence.note,
        "origin": evidence.origin,
        "tree_size": evidence.size,
        "unproven": evidence.unproven(rows),
        "removed": _removed(reader, asked, before),
        "totals": totals(rows),
        "denied": _denied(reader, asked, before),
        "accesses": rows,
    }


def _removed(reader: LedgerReader, asked: Asked, before: int) -> dict[str, Any]:
    """What the report cannot tell of: entries that may have been of its period, of whomever."""
    found = reader.removed(before=before, since_us=asked.since_us, until_us=asked.until_us)
    ranges = [{"first": one.first, "last": one.last, "removed_by": one.removed_by} for one in found]
    return {"entries": sum(one.entries for one in found), "ranges": ranges}


def _accesses(reader: LedgerReader, asked: Asked, before: int) -> Iterator[tuple[int, Projection, bytes]]:
    """What was permitted from outside home: of this customer, and of several customers at once."""
    period = {"since_us": asked.since_us, "until_us": asked.until_us, "before": before}
    permitted: dict[str, Any] = {"kind": "decision", "effect": "permit", **period}
    queries = (Query(customer=asked.customer, **permitted), Query(of_no_customer=True, **permitted))
    for sequence, body in chain.from_iterable(map(reader.find, queries)):
        decision = decode(body)
        if is_outside_home(decision):
            yield sequence, {"sequence": sequence, **decision}, body


def is_outside_home(decision: Projection) -> bool:
    """Whether nobody could be sure that a decision was on somebody at home."""
    return decision["location"]["assured"] is not True


_TEXTS = ("time", "rule", "clause", "ticket", "grant", "authorization", "data_class", "action", "method", "path")


def _row(decision: Projection, completion: Projection, names: _Names) -> dict[str, Any]:
    """What a decision and its completion say; "" where an entry of an earlier build has no such field."""
    return {
        "sequence": decision["sequence"],
        **{name: decision.get(name, "") for name in _TEXTS},
        "words": WORDS.get(decision["rule"], ""),
        "subject": names.of(decision["subject"]),
        "roles": decision.get("roles", []),
        "country": decision["location"]["country"],
        "several_customers": decision["customer"] == "",
        "bytes": completion.get("bytes", 0),
        "bytes_in": completion.get("bytes_in", 0),
        "outcome": completion.get("outcome", "not completed"),
    }


class _Names:
    """The names in a report: as they are, or numbered in the order in which they come."""

    def __init__(self, *, pseudonyms: bool) -> None:
        self._numbers: dict[str, int] | None = {} if pseudonyms else None

    def of(self, subject: str) -> str:
        if self._numbers is None or not subject:
            return subject
        return f"person {self._numbers.setdefault(subject, len(self._numbers) + 1)}"


class _Evidence:
    """Proofs against the newest checkpoint that the ledger keeps.

    Attributes:
        note: the checkpoint; "" where there is none.
        origin, size: of its tree.
    """

    def __init__(self, reader: LedgerReader, *, with_bytes: bool) -> None:
        self._reader = reader
        self._with_bytes = with_bytes
        self.size, self.note = reader.newest_checkpoint()
        self.origin = _origin(self.note)

    def of(self, index: int, body: bytes) -> dict[str, Any]:
        """What proves an entry: its bytes, its place, and the hashes from there to the root; none where it is newer."""
        proven = index < self.size
        proof = inclusion(self._reader, index, self.size) if proven else []
        return {
            "index": index,
            **({"entry": _base64(body)} if self._with_bytes else {}),
            "leaf_hash": _base64(leaf_hash(body)),
            "proof": [_base64(node) for node in proof] if proven else None,
        }

    def of_completion(self, completion: Projection | None) -> list[dict[str, Any]]:
        if completion is None:
            return []
        [(_, body)] = self._reader.bodies(start=completion["sequence"], before=completion["sequence"] + 1)
        return [self.of(completion["sequence"], body)]

    def unproven(self, rows: list[dict[str, Any]]) -> str:
        """Why some evidence has no proof; "" where all has one."""
        if not self.note:
            return NO_CHECKPOINT
        return NOT_YET if any(each["proof"] is None for row in rows for each in row["evidence"]) else ""


def totals(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """How many accesses and bytes: in all, by clause and by country, the most first."""
    rows = list(rows)
    return {
        **_sum(rows),
        "by_clause": _grouped(rows, ("rule", "clause", "words")),
        "by_country": _grouped(rows, ("country",)),
    }


def _grouped(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """By the first of these; the others are as its first row has them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[names[0]], []).append(row)
    found = [{name: group[0][name] for name in names} | _sum(group) for group in groups.values()]
    return sorted(found, key=lambda each: (-each["accesses"], each[names[0]]))


def _sum(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {"accesses": len(rows), "bytes": sum(row["bytes"] for row in rows)}


def _denied(reader: LedgerReader, asked: Asked, before: int) -> list[dict[str, Any]]:
    """What was refused from outside home, summed up: nobody is named who got nothing."""
    query = Query(
        kind="decision",
        effect="deny",
        customer=asked.customer,
        since_us=asked.since_us,
        until_us=asked.until_us,
        before=before,
    )
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for decision in filter(is_outside_home, reader.search(query)):
        rule, country, time = decision["rule"], decision["location"]["country"], decision["time"]
        new = {"rule": rule, "clause": decision.get("clause", ""), "country": country, "attempts": 0, "first": time}
        group = groups.setdefault((rule, country), new)
        group["attempts"] += 1
        group["last"] = time
    return sorted(groups.values(), key=lambda each: (-each["attempts"], each["rule"], each["country"]))


def _origin(note: str) -> str:
    try:
        return Checkpoint.parse(split(note)[0]).origin if note else ""
    except NoteRefused:
        return ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
