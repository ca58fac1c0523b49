"""An independent oracle: the contract's reading as plain Python, written without the Cedar file at hand.

It follows the reading's tables from top to bottom. It shares nothing with the policy but the nouns.
"""

from __future__ import annotations

from gateway.policy.facts import Facts

PERMIT_PRIORITY = [
    "customer-own-data", "no-plan", "home-personnel", "crm-account",
    "ftp-upload", "code-level-bug", "security-incident", "customer-authorized",
]  # fmt: skip
DENY_PRIORITY = [
    "other-customer", "role", "unclassified", "storage-home",
    "support-hours", "location-unassured", "outside-home", "many-customers",
]  # fmt: skip


def judge(facts: Facts) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Effect, rules in the order to show them, obligations."""
    permits, forbids = _permits(facts), _forbids(facts)
    if permits and not forbids:
        return "permit", _in_order(permits, PERMIT_PRIORITY), _obligations(facts)
    reasons = set() if permits else _reasons(facts)
    return "deny", _in_order(forbids | reasons, DENY_PRIORITY), ()


def _protected(facts: Facts) -> bool:
    return str(facts.plan) in ("in_effect", "unknown")  # what is not known is judged as in effect


def _at_home(facts: Facts) -> bool:
    return str(facts.location) == "home"  # unassured is never treated as home


def _permits(facts: Facts) -> set[str]:
    who, reading, found = str(facts.principal), str(facts.action) == "read", set()
    if who == "customer":
        return {"customer-own-data"} if facts.own_customer else set()
    if not _protected(facts) and str(facts.scope) in ("one", "many"):
        found.add("no-plan")
    if _at_home(facts) and str(facts.role) != "denied":
        found.add("home-personnel")
    if who == "service":
        return found  # the consents speak of personnel
    if reading and str(facts.data) == "crm_account":
        found.add("crm-account")
    if reading and str(facts.data) == "ftp_upload":
        found.add("ftp-upload")
    if not _at_home(facts):
        if reading and facts.infosec and facts.incident:
            found.add("security-incident")
        if facts.engineer and facts.grant:
            found.add("code-level-bug")
    if facts.authorization:
        found.add("customer-authorized")
    return found


def _forbids(facts: Facts) -> set[str]:
    found = set()
    if str(facts.principal) == "customer" and not facts.own_customer:
        found.add("other-customer")
    named_action = facts.grant or facts.authorization
    if str(facts.role) == "denied" or (str(facts.role) == "by_grant" and not named_action):
        found.add("role")
    if str(facts.scope) == "unrouted" or (str(facts.scope) == "unknown" and not _at_home(facts)):
        found.add("unclassified")
    if str(facts.action) == "write" and _protected(facts) and not facts.storage_home:
        found.add("storage-home")
    if str(facts.principal) == "personnel" and _protected(facts) and facts.support_closed:
        found.add("support-hours")
    return found


def _reasons(facts: Facts) -> set[str]:
    if str(facts.principal) == "customer" or _at_home(facts):
        return set()
    place = "location-unassured" if str(facts.location) == "unassured" else "outside-home"
    return {place, "many-customers"} if str(facts.scope) == "many" else {place}


def _obligations(facts: Facts) -> tuple[str, ...]:
    if _at_home(facts) or not _protected(facts):
        return ()
    return ("no-store", "read-cap") if str(facts.principal) == "personnel" else ("no-store",)


def _in_order(rules: set[str], priority: list[str]) -> tuple[str, ...]:
    return tuple(rule for rule in priority if rule in rules)
