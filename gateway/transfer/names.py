"""Names within a customer's tree, in their one form: what is judged is what is recorded and what the site is asked for.

A name is a text such as ``/2026/calls.csv``; ``/`` is the root of the tree, which nothing leads out of: ``..`` at the
root stays there (RFC 959 leaves it open; chroot does so). Letters keep their case, and nothing is normalised.

Invariants: whatever two sites could read in two ways raises :class:`Malformed`; ``resolve("/", name) == name`` for
every name in this form; no segment is ``.``, ``..`` or empty, in Unicode's compatibility form either.
"""

from __future__ import annotations

import unicodedata

from gateway.catalog.target import quoted, require_plain
from gateway.errors import Malformed

MAX_NAME_BYTES = 2_048
MAX_SEGMENT_BYTES = 255 - 40  # room for what a file is called until it is whole
PARTIAL = ".partial-"
"""Begins what a file is called until it is whole; no client names one."""


def resolve(folder: str, given: str) -> str:
    """The name that somebody in a folder means.

    Args:
        folder: a name; where they are.
        given: as it came; octets that are no UTF-8 as surrogates (PEP 383).

    Raises:
        Malformed: it could be read in two ways, or is too long.
    """
    path = given if given.startswith("/") else f"{folder}/{given}"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(_checked(segment))
    name = "/" + "/".join(kept)
    if len(name.encode()) > MAX_NAME_BYTES:
        raise Malformed(f"the name is longer than {MAX_NAME_BYTES} bytes")
    return name


def folder_of(name: str) -> str:
    """The folder that a name stands in; the root stands in itself."""
    return name.rpartition("/")[0] or "/"


def below(folder: str, segment: str) -> str:
    """The name of what a folder holds."""
    return f"{folder.rstrip('/')}/{segment}"


def target_of(prefix: str, name: str) -> str:
    """The request target under which the checkpoint judges a name.

    Args:
        prefix: the path of the tree's root, such as ``/uploads/acme``.
    """
    return prefix + quoted(name) if name != "/" else prefix


def is_nameable(segment: str) -> bool:
    """Whether a client could ask for what a site calls this; else it is not listed."""
    try:
        return bool(segment) and _checked(segment) == segment and segment not in (".", "..") and "/" not in segment
    except Malformed:
        return False


def _checked(segment: str) -> str:
    if not segment.isprintable():
        raise Malformed("the name holds a control character, or octets that are not UTF-8")
    if "\\" in segment:
        raise Malformed("the name holds a backslash, which sites read in different ways")
    if not unicodedata.is_normalized("NFC", segment):
        raise Malformed("the name is not in Unicode's composed form (NFC), so that two spellings would look alike")
    plain = unicodedata.normalize("NFKC", segment)
    if "/" in plain or "\\" in plain or not plain.strip(". "):
        raise Malformed("the name holds what looks like a separator, or nothing but dots and spaces")
    if segment[-1] in ". " or segment[0] == " ":
        raise Malformed("a part of the name begins with a space, or ends with a dot or a space, which some sites drop")
    if segment.lower().startswith(PARTIAL):
        raise Malformed(f"a name that begins with {PARTIAL} is of a file that is not whole")
    require_plain(segment)
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        raise Malformed(f"a part of the name is longer than {MAX_SEGMENT_BYTES} bytes")
    return segment
