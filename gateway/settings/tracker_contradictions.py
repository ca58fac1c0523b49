"""Faults between the keys of a ``[[tracker]]``, each of which is sound by itself."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.settings.urls import url_faults

MINIMUM_SECRET = 16
_ASKED_ONLY = ("url", "credential", "table", "tls_ca", "unsafe_plain_http", "max_age_s", "timeout_s", "handoff")


def tracker_contradictions(tracker: Mapping[str, Any], *, url_known: bool) -> Iterator[tuple[str, str]]:
    """The keys at fault, and what is wrong with each.

    Args:
        tracker: the table as it came.
        url_known: whether its url could be read.
    """
    kind = tracker.get("kind")
    if kind == "webhook":
        yield from _pushed(tracker)
    elif kind in ("jira", "servicenow"):
        yield from _asked(tracker, url_known=url_known)
    secret = tracker.get("webhook_secret")
    if isinstance(secret, str) and 0 < len(secret) < MINIMUM_SECRET:
        yield "webhook_secret", f"is shorter than {MINIMUM_SECRET} characters; expected a long random text"
    yield from _words(tracker)


def _pushed(tracker: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in _ASKED_ONLY:
        if key in tracker:
            yield key, "is set for a webhook, which is never asked; expected it only for jira and servicenow"
    if not tracker.get("webhook_secret"):
        yield "webhook_secret", "is missing; whoever pushes tickets has to sign"


def _asked(tracker: Mapping[str, Any], *, url_known: bool) -> Iterator[tuple[str, str]]:
    if url_known:
        yield from (("url", what) for what in _url_faults(tracker))
    fields = tracker.get("fields")
    if not (isinstance(fields, dict) and fields.get("customers")):
        yield "fields.customers", "is missing; expected the field that says which customers a ticket is about"
    if not tracker.get("kinds"):
        yield (
            "kinds",
            'is missing; expected the tracker\'s words for support, security and bug, such as { Bug = "bug" }',
        )
    if tracker.get("kind") == "jira" and "table" in tracker:
        yield "table", "is set for jira, which has none; expected it only for servicenow"
    if tracker.get("kind") == "servicenow" and tracker.get("table", "incident") != "incident" and "open" not in tracker:
        yield "open", "is missing; which values of the status mean open differs from table to table: expected them"
    yield from _handoff(tracker)
    age_s, timeout_s = tracker.get("max_age_s", 60.0), tracker.get("timeout_s", 3.0)
    if isinstance(age_s, int | float) and isinstance(timeout_s, int | float) and timeout_s * 2 > age_s:
        yield "timeout_s", f"got {timeout_s}; expected at most half of max_age_s ({age_s})"


def _handoff(tracker: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    handoff = tracker.get("handoff")
    if handoff is None:
        return
    if not tracker.get("home_queues"):
        yield "home_queues", "is missing, and handoff is set; expected who holds a ticket there once it was handed off"
    fields = handoff.get("fields") if isinstance(handoff, dict) else None
    if not _is_finite(fields):
        yield "handoff.fields", "holds inf or nan, which JSON has not; expected another number"
    for name, value in fields.items() if isinstance(fields, dict) else ():
        if tracker.get("kind") == "servicenow" and not isinstance(value, str):
            yield f"handoff.fields.{name}", 'got a value that is no text; expected one as the Table API takes it, or ""'


def _is_finite(value: object) -> bool:
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _url_faults(tracker: Mapping[str, Any]) -> Iterator[str]:
    url = tracker.get("url")
    example, within = "https://example.atlassian.net", "where the API begins"
    faults = list(url_faults(url, whose="the tracker", example=example, within=within))
    yield from faults
    if faults or not isinstance(url, str):
        return
    parts = urlsplit(url)
    if parts.scheme == "http" and not (tracker.get("unsafe_plain_http") is True or _is_loopback(parts.hostname or "")):
        yield "got http://; expected https:// (http only to this machine, or with unsafe_plain_http = true)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(tracker: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds, customers = tracker.get("kinds"), tracker.get("customers")
    asked = tracker.get("kind") != "webhook"
    if isinstance(kinds, dict) and "support" in kinds.values() and asked and not tracker.get("severities"):
        yield "severities", "is missing, and kinds names support; expected the words for 1 to 4, such as { High = 2 }"
    security = isinstance(kinds, dict) and "security" in kinds.values()
    if isinstance(customers, dict) and "*" in customers.values() and asked and not security:
        yield "customers", "maps to every customer, and no kind to security; only such a ticket may be about all"
