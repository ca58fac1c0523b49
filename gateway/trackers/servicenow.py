"""ServiceNow, Table API: ``GET /api/now/table/{table}?sysparm_query=number=…``; to hand off, ``PATCH …/{sys_id}``.

With ``sysparm_display_value=all`` a field is ``{"value": …, "display_value": …}``: the value is what the database holds
(a choice's number, a reference's sys_id, instants in UTC), the display value what people see. An instance ignores the
part of a query that it does not understand and answers with *other* records (API reference, ``sysparm_query``), so only
a record with the very number that was asked for is believed. An ``error`` beside a result is an incomplete answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.clock import Clock
from gateway.errors import TrackerUnavailable
from gateway.justification import Answer, FieldMapping
from gateway.settings import TrackerSettings
from gateway.trackers.client import TrackerClient

_SELECTORS = ("value", "display_value")
_SYS_ID = re.compile(r"[0-9a-f]{32}")


class ServiceNowTracker:
    """A :class:`gateway.justification.Tracker`."""

    def __init__(self, settings: TrackerSettings, clock: Clock) -> None:
        self.name = settings.name
        self.pattern = re.compile(settings.pattern)
        self.max_age_s, self.timeout_s = settings.max_age_s, settings.timeout_s
        self._clock = clock
        self._client = TrackerClient(settings)
        self._handoff = settings.handoff.fields if settings.handoff else {}
        self._mapping = FieldMapping.of(settings)
        self._path = f"/api/now/table/{settings.table}"
        self._lists = self._mapping.fields["customers"]
        self._fields = ",".join(sorted({"number"} | {_field(path)[0] for path in self._mapping.fields.values()}))

    async def find(self, ticket: str) -> Answer:
        """See :class:`gateway.justification.Tracker`."""
        found = await self._ask(f"number={ticket}", self._fields, limit=2)
        if not found:
            return Answer(problem=f"the tracker {self.name} knows no {ticket}, or does not show it to the gateway")
        if len(found) > 1 or self._words(found[0], "number") != [ticket]:
            return Answer(problem=f"the tracker {self.name} answered with other tickets than {ticket}")
        return self._mapping.answer(ticket, partial(self._words, found[0]), now_us=self._clock.now_us())

    async def hand_off(self, ticket: str) -> None:
        """See :class:`gateway.justification.Tracker`: only the record with this very number is written to."""
        found = await self._ask(f"number={ticket}", "number,sys_id", limit=2) or []
        ids = [self._words(one, "sys_id") for one in found if self._words(one, "number") == [ticket]]
        if len(found) != 1 or len(ids) != 1 or len(ids[0]) != 1 or not _SYS_ID.fullmatch(ids[0][0]):
            raise TrackerUnavailable(f"the tracker {self.name} does not say which record {ticket} is")
        answered = {"sysparm_fields": "number", "sysparm_exclude_reference_link": "true"}
        await self._client.write("PATCH", f"{self._path}/{ids[0][0]}", answered, self._handoff)

    async def probe(self) -> None:
        """See :class:`gateway.justification.Tracker`: any one record."""
        if await self._ask("", "number", limit=1) is None:
            raise TrackerUnavailable(f"the tracker {self.name} answered 404 for its own API; check its url and table")

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, query: str, fields: str, *, limit: int) -> list[Any] | None:
        asked = {
            "sysparm_query": query,
            "sysparm_fields": fields,
            "sysparm_display_value": "all",
            "sysparm_exclude_reference_link": "true",
            "sysparm_limit": str(limit),
        }
        found = await self._client.get(self._path, asked)
        if found is None:  # the older version of the API, where no record matches
            return None
        result = found.get("result")
        if "error" in found or not isinstance(result, list):
            raise TrackerUnavailable(f"the tracker {self.name} answered with an error, or without a result")
        return result

    def _words(self, record: Any, path: str) -> list[str]:
        """The words of a field; a list of references holds their sys_ids, with commas between."""
        name, selector = _field(path)
        node = record.get(name) if isinstance(record, Mapping) else None
        text = node.get(selector) if isinstance(node, Mapping) else node
        if text is None or text == "":
            return []
        if not isinstance(text, str):
            return [""]
        return text.split(",") if path == self._lists and selector == "value" else [text]


def _field(path: str) -> tuple[str, str]:
    """A field and which side of it: ``company.display_value`` is what people see of ``company``."""
    name, _, last = path.rpartition(".")
    return (name, last) if name and last in _SELECTORS else (path, "value")
