"""What is wrong with an address that the gateway itself asks, whoever is there."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit


def url_faults(url: object, *, whose: str, example: str, within: str) -> Iterator[str]:
    """What keeps an http(s) address from being used; its scheme is for others to judge.

    Args:
        url: as it came.
        whose: who answers there, in words.
        example: where somebody might answer.
        within: what a url names, in place of a query.
    """
    if not isinstance(url, str) or not url:
        yield f"is missing; expected where {whose} answers, such as {example}"
        return
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError:  # brackets that do not close, a port that is no number
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        yield "got a value that is no usable address; expected https:// with a host"
        return
    if "@" in parts.netloc:
        yield "holds credentials; expected them as credential"
    if parts.query or parts.fragment:
        yield f"holds a query or a fragment; expected only {within}"
