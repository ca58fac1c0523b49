"""The ids that there are, for whoever completes one at a keyboard; nothing is made, migrated or waited for."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from gateway.catalog.customers import Customer
from gateway.storage import tables

MAX_IDS = 50
WAIT_S = 0.2


def known_ids(
    url: str, kind: type[Any], prefix: str, equal: Mapping[str, str | int] = MappingProxyType({})
) -> list[str]:
    """At most :data:`MAX_IDS` ids of a kind of noun that begin so.

    Args:
        url: of the state database; ``sqlite:///path``.
        equal: fields, and what each has to be.

    Raises:
        sqlite3.Error: it cannot be read, or not within :data:`WAIT_S` seconds.
    """
    name = (tables.customer if kind is Customer else tables.NOUNS[kind]).name
    fitting = "".join(f" AND {field} = ?" for field in equal)
    query = f"SELECT id FROM {name} WHERE substr(id, 1, ?) = ?{fitting} ORDER BY id LIMIT ?"  # noqa: S608  our own names
    path = quote(str(Path(url.removeprefix("sqlite:///")).absolute()))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=WAIT_S)) as connection:
        return [key for [key] in connection.execute(query, (len(prefix), prefix, *equal.values(), MAX_IDS))]
