"""Who calls the control API in the tests, and how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDictProxy

from gateway.demo.world import ADA, DANA, LIAM, MARIA, PRIYA, SAM, Person
from gateway.ledger.reader import LedgerReader
from tests.integration.conftest import Running

ANN = Person("ann", "Indianapolis", "10.20.0.11", ("admin",))
AUDREY = Person("audrey", "Indianapolis", "10.20.0.12", ("auditor",))
ETL = Person("etl", "Indianapolis", "10.20.0.13", ("service",))
NIL = Person("nil", "Indianapolis", "10.20.0.14", ())
BO = Person("bo@borealis", "Boston", "81.2.69.143", customer="borealis")
EVE = Person("eve", "Indianapolis", "10.20.0.15", ("engineer",))
DEE = Person("dee", "Indianapolis", "10.20.0.16", ("approver",))
EVERY_ROLE = Person(
    "all",
    "Indianapolis",
    "10.20.0.17",
    ("support", "account_manager", "infosec", "engineer", "approver", "auditor", "admin"),
)
BY_ROLE = {
    "support": SAM,
    "account_manager": MARIA,
    "infosec": LIAM,
    "engineer": PRIYA,
    "approver": DANA,
    "auditor": AUDREY,
    "admin": ANN,
    "customer": ADA,
    "service": ETL,
    "": NIL,
}
ASKED = {
    "ticket": "BUG-9",
    "customer": "acme",
    "data_classes": ["configuration"],
    "actions": ["read"],
    "reason": "the crash depends on a setting",
    "duration_s": 3_600,
}


@dataclass(frozen=True)
class Answered:
    """An answer."""

    status: int
    headers: CIMultiDictProxy[str]
    text: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Api:
    """The control API of a running gateway."""

    site: Running

    async def __call__(
        self, who: Person | None, method: str, path: str, body: object = None, **headers: str
    ) -> Answered:
        """Make a call as somebody; header names with ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent.setdefault("Authorization", f"Bearer {self.site.world.token(who)}")
            sent.setdefault("X-Forwarded-For", who.address)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.site.control}/api/v1{path}"
        async with self.site.client.request(method, url, headers=sent, data=data) as response:
            return Answered(response.status, response.headers, await response.read())

    async def done(self, who: Person | None, method: str, path: str, body: object = None, **headers: str) -> Answered:
        """Make a call that succeeds."""
        answered = await self(who, method, path, body, **headers)
        assert answered.status in (200, 201), answered.text
        return answered

    def entries(self, since: int = 0) -> list[dict[str, Any]]:
        """What the ledger holds, from this sequence on."""
        with LedgerReader(self.site.world.settings.ledger.path) as reader:
            return list(reader.after(since - 1))

    def last(self) -> dict[str, Any]:
        """The newest entry."""
        return self.entries()[-1]
