"""What in an entry tells of a person: the fields that pseudonyms take the place of. ``docs/ledger.md`` has the table.

Of a decision: who asked, for whom, from which address, and the reason they gave. Of an administrative act: who acted
and by which account, whom it names or was done to, from which address, and the reason. All else stays as it is: what
happened, to whose data, by which rule, from which country.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Swap = Callable[[str], str]

PROGRAMS = frozenset({"", "gateway", "us-queue", "workforce directory"})
"""What stands where a name could, and is nobody's: the gateway itself, the queue at home, the directory."""
PROGRAM_PREFIXES = ("gateway:", "operator:", "tracker:")
NAMES = frozenset(
    {
        "approved_by",
        "asked_by",
        "barred",
        "consented_by",
        "country_by",
        "given_by",
        "grantee",
        "holder",
        "previous",
        "requester",
    }
)
"""Details of an act that name a person."""
ASKED = frozenset({"subject"})
"""Details of an act that name whom somebody asked about."""
ADDRESSES = frozenset({"client_address"})
TEXTS = frozenset({"reason", "why"})
KEY_ACT = "ledger.key"
ERASE_ACT = "ledger.erase"

_BETWEEN = ", "  # approvers, as a grant names them
_LISTED = "subject="  # a choice, as a search is recorded
_ACCOUNT = re.compile(r"^(cli:)(.+)(@[^@]*)$")
_REVOCATION = re.compile(r"^(subject:)(.+?)(:(?:https?://.*)?:\d+)$")
_REVOKED = ("access.revoke-subject", "access.end-revocation")


@dataclass(frozen=True, slots=True)
class Swaps:
    """What takes the place of what.

    Attributes:
        name: of somebody.
        asked: of somebody whom another asks about.
        address, text: of whoever the entry is by.
    """

    name: Swap
    asked: Swap
    address: Swap
    text: Swap


def is_program(name: str) -> bool:
    """Whether this names no person."""
    return name in PROGRAMS or name.startswith(PROGRAM_PREFIXES)


def is_by_program(act: Mapping[str, Any]) -> bool:
    """Whether nobody did an act, or a program."""
    details = act.get("details")
    kind = details.get("actor_kind", "") if isinstance(details, Mapping) else ""
    return kind == "service" or is_program(str(act.get("actor", "")))


def in_decision(fields: Mapping[str, Any], swaps: Swaps) -> dict[str, Any]:
    """A decision with what tells of a person swapped."""
    places = {
        "subject": swaps.name,
        "acting_for": swaps.name,
        "client_address": swaps.address,
        "reason": swaps.text,
    }
    return {**fields, **{key: _swapped(fields[key], swap) for key, swap in places.items() if key in fields}}


def in_act(fields: Mapping[str, Any], swaps: Swaps) -> dict[str, Any]:
    """An administrative act with what tells of a person swapped."""
    details = fields.get("details")
    told = details if isinstance(details, Mapping) else {}
    swapped = dict(fields)
    if not is_by_program(fields):
        swapped["actor"] = _swapped(fields.get("actor", ""), swaps.name)
    if "object" in fields:
        swapped["object"] = _object(fields, told, swaps.name)
    if told and fields.get("act") != KEY_ACT:
        swapped["details"] = {key: _detail(key, value, swaps) for key, value in told.items()}
    return swapped


def _detail(key: str, value: Any, swaps: Swaps) -> Any:
    if key in NAMES:
        return _swapped(value, lambda names: _BETWEEN.join(map(swaps.name, names.split(_BETWEEN))))
    if key in ASKED:
        return _swapped(value, swaps.asked)
    if key in ADDRESSES:
        return _swapped(value, swaps.address)
    if key in TEXTS:
        return _swapped(value, swaps.text)
    if key == "asked" and isinstance(value, list):
        return [_swapped_behind(_LISTED, each, swaps.asked) for each in value]
    if key == "via":
        return _swapped_within(_ACCOUNT, value, swaps.name)
    return _swapped_within(_REVOCATION, value, swaps.name) if key == "revocation" else value


def _object(fields: Mapping[str, Any], details: Mapping[str, Any], swap: Swap) -> Any:
    act, thing = str(fields.get("act", "")), fields.get("object", "")
    of_token = str(details.get("revocation", "")).startswith("token:")
    if act.startswith(_REVOKED) and not of_token:
        return _swapped(thing, swap)
    return _swapped_within(_REVOCATION, thing, swap)


def _swapped(value: Any, swap: Swap) -> Any:
    return swap(value) if isinstance(value, str) and value else value


def _swapped_behind(start: str, value: Any, swap: Swap) -> Any:
    is_one = isinstance(value, str) and value.startswith(start) and len(value) > len(start)
    return start + swap(value[len(start) :]) if is_one else value


def _swapped_within(form: re.Pattern[str], value: Any, swap: Swap) -> Any:
    found = form.match(value) if isinstance(value, str) else None
    return f"{found[1]}{swap(found[2])}{found[3]}" if found else value
