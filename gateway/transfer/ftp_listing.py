"""How FTP tells of files: as ``ls -l`` does (LIST), and as facts (RFC 3659 §7)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from gateway.transfer.site import About

FACTS = ("type", "size", "modify")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_RECENT_S = 180 * 86_400


def listed(found: Iterable[About], now_s: float) -> bytes:
    """Lines as of ``ls -l``, in UTC; whose a file is and what may be done with it is not told that way."""
    return _lines(_listed(about, now_s) for about in found)


def named(found: Iterable[About]) -> bytes:
    """Names alone."""
    return _lines(about.name for about in found)


def with_facts(found: Iterable[About], facts: Collection[str]) -> bytes:
    """Lines of MLSD."""
    return _lines(f"{facts_of(about, facts)} {about.name}" for about in found)


def facts_of(about: About, facts: Collection[str]) -> str:
    """Those facts that were asked for and are known."""
    known = {"type": "dir" if about.is_folder else "file"}
    if not about.is_folder:
        known["size"] = str(about.size)
    if about.modified_s:
        known["modify"] = moment(about.modified_s)
    return "".join(f"{fact}={known[fact]};" for fact in FACTS if fact in facts and fact in known)


def moment(at_s: int) -> str:
    """An instant in UTC, as ``YYYYMMDDHHMMSS``."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(at_s))


def _listed(about: About, now_s: float) -> str:
    at = time.gmtime(about.modified_s)
    recent = 0 <= now_s - about.modified_s < _RECENT_S
    when = f"{at.tm_hour:02}:{at.tm_min:02}" if recent else f"{at.tm_year:5}"
    mode = "drwxr-x---" if about.is_folder else "-rw-r-----"
    return f"{mode}   1 site     site     {about.size:12} {_MONTHS[at.tm_mon - 1]} {at.tm_mday:2} {when} {about.name}"


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
