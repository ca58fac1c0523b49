"""Jira Cloud, REST API v3: ``GET`` and, to hand off, ``PUT /rest/api/3/issue/{key}``.

An issue has ``key`` and ``fields``; a status has a category (``new``, ``indeterminate``, ``done``), a select field is
an option with ``value``, and one that is not set is null. A key that is spelled otherwise, or that moved, is answered
with the issue as it is called now (API reference, *Get issue*): such an answer is about another id, and not believed.
"""

from __future__ import annotations

import re
from functools import partial
from urllib.parse import quote

from gateway.clock import Clock
from gateway.errors import TrackerUnavailable
from gateway.justification import Answer, FieldMapping
from gateway.justification.mapping import words_at
from gateway.settings import TrackerSettings
from gateway.trackers.client import TrackerClient


class JiraTracker:
    """A :class:`gateway.justification.Tracker`."""

    def __init__(self, settings: TrackerSettings, clock: Clock) -> None:
        self.name = settings.name
        self.pattern = re.compile(settings.pattern)
        self.max_age_s, self.timeout_s = settings.max_age_s, settings.timeout_s
        self._clock = clock
        self._client = TrackerClient(settings)
        self._handoff = settings.handoff.fields if settings.handoff else {}
        self._mapping = FieldMapping.of(settings)
        self._fields = ",".join(sorted({path.partition(".")[0] for path in self._mapping.fields.values()}))

    async def find(self, ticket: str) -> Answer:
        """See :class:`gateway.justification.Tracker`."""
        found = await self._client.get(_path(ticket), {"fields": self._fields})
        if found is None:
            return Answer(problem=f"the tracker {self.name} knows no {ticket}, or does not show it to the gateway")
        if found.get("key") != ticket:
            return Answer(
                problem=f"{ticket} has another key at the tracker {self.name}: it moved, or is spelled otherwise"
            )
        fields = found.get("fields")
        if not isinstance(fields, dict):
            raise TrackerUnavailable(f"the tracker {self.name} answered with an issue without fields; check its url")
        return self._mapping.answer(ticket, partial(words_at, fields), now_us=self._clock.now_us())

    async def hand_off(self, ticket: str) -> None:
        """See :class:`gateway.justification.Tracker`."""
        await self._client.write("PUT", _path(ticket), {}, {"fields": self._handoff})

    async def probe(self) -> None:
        """See :class:`gateway.justification.Tracker`: who am I?"""
        if await self._client.get("/rest/api/3/myself", {}) is None:
            raise TrackerUnavailable(f"the tracker {self.name} answered 404 for its own API; check its url")

    async def close(self) -> None:
        await self._client.close()


def _path(ticket: str) -> str:
    return f"/rest/api/3/issue/{quote(ticket, safe='')}"
