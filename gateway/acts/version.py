"""The version of a noun: what tells whether it has changed since somebody read it (an entity tag, RFC 9110 §8.8.3)."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from typing import Any

import orjson

DIGITS = 24


def version_of(noun: Any) -> str:
    """Differs between two states of a dataclass, and is the same for equal ones."""
    return sha256(orjson.dumps(asdict(noun), option=orjson.OPT_SORT_KEYS)).hexdigest()[:DIGITS]
