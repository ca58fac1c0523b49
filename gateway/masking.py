"""What looks like a credential in text, and the text without it: for the log and for the record alike."""

from __future__ import annotations

import re

MASK = "***"

_JWS = r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWS in compact form begins with a JSON object in base64url
_SECRET = re.compile(rf"(?i)\b(?:bearer|basic)\s+\S+|{_JWS}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def masked(text: str) -> str:
    """The text with every credential in it replaced: tokens, ``Bearer`` and ``Basic`` values, user names in URLs."""
    return _SECRET.sub(MASK, text)


def holds_token(text: str) -> bool:
    """Whether a token stands in it."""
    return "eyJ" in text and re.search(_JWS, text) is not None
