"""A document over HTTP that keeps the last checkpoint: GET with an ETag, PUT with a condition (RFC 9110 §13.1)."""

from __future__ import annotations

from gateway.errors import HolderUnavailable
from gateway.holders.client import Answer, HolderClient
from gateway.ledger.holding import Held
from gateway.settings import HolderSettings

CONTENT_TYPE = "text/plain; charset=utf-8"
_STORED = frozenset({200, 201, 204})
_CHANGED = frozenset({409, 412})  # 409: some stores say so when two write at once


class Document:
    """A :class:`gateway.ledger.holding.Place` at an address."""

    def __init__(self, settings: HolderSettings) -> None:
        self._client = HolderClient(settings)

    async def read(self) -> Held | None:
        """See :class:`gateway.ledger.holding.Place`."""
        answer = await self._client.exchange("GET")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise _unusable(answer)
        tag = answer.headers.get("ETag", "")
        if not tag.startswith('"'):
            raise HolderUnavailable("it answered without a strong ETag, so that no write can depend on what was read")
        return Held(answer.text, tag)

    async def swap(self, held: Held | None, note: str) -> bool:
        """See :class:`gateway.ledger.holding.Place`."""
        condition = {"If-Match": held.tag} if held else {"If-None-Match": "*"}
        answer = await self._client.exchange("PUT", headers=condition | {"Content-Type": CONTENT_TYPE}, body=note)
        if answer.status in _CHANGED:
            return False
        if answer.status not in _STORED:
            raise _unusable(answer)
        return True

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()


def _unusable(answer: Answer) -> HolderUnavailable:
    mend = "; check its credential and what that may do" if answer.status in (401, 403) else ""
    return HolderUnavailable(f"it answered {answer.status}{mend}")
