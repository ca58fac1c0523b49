"""What is wrong with how a store is reached over SSH, whatever its files hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult


def ssh_contradictions(store: Mapping[str, Any], url: SplitResult) -> Iterator[tuple[str, str]]:
    """Keys of a store that its url asks for, or has no use for.

    Args:
        store: as it came.
        url: its, which can be read.
    """
    if url.scheme != "sftp":
        for key in ("ssh_key", "ssh_known_hosts"):
            if store.get(key):
                yield key, "is set for a store that is not reached over SSH; expected an sftp:// url beside it"
        return
    if not store.get("ssh_known_hosts"):
        yield (
            "ssh_known_hosts",
            "is missing; expected a known_hosts file with the key of the server, never trusted unseen",
        )
    if not url.username:
        yield "url", "names nobody to sign in as; expected sftp://user@host/folder"
    if bool(url.password) == bool(store.get("ssh_key")):
        yield "ssh_key", "is there beside a password in the url, or neither is; expected one of them"
