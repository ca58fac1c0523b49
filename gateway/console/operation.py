"""What can be called: one :class:`Operation` for each method of each path, from which routes and document are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from gateway.console.asked import Asked
from gateway.console.shown import Shown

if TYPE_CHECKING:
    from gateway.console.call import Call

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call that succeeded is answered with.

    Attributes:
        body: JSON.
        etag: the version of the single thing that is shown, or "".
        location: where what was made can be read, or "".
        next: where a list goes on, or "".
        count: how many things are shown.
        replayed: it was given before, to a call with the same idempotency key.
    """

    body: bytes
    etag: str = ""
    location: str = ""
    next: str = ""
    count: int = 1
    replayed: bool = False

    @classmethod
    def of(cls, body: Shown, *, etag: str = "", location: str = "", next_: str = "", count: int = 1) -> Answer:
        """The answer that shows this."""
        return cls(orjson.dumps(body.model_dump()), etag, location, next_, count)

    def kept(self) -> str:
        """As it is kept for a call that is made again."""
        return orjson.dumps({"body": self.body.decode(), "etag": self.etag, "location": self.location}).decode()

    @classmethod
    def again(cls, kept: str) -> Answer:
        """What :meth:`kept` kept."""
        fields = orjson.loads(kept)
        return cls(fields["body"].encode(), fields["etag"], fields["location"], replayed=True)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be called.

    Attributes:
        name: such as ``tickets.close``; the record has it as ``api.tickets.close``.
        method, path: the path is behind :data:`PREFIX`, with the names of ids in braces.
        summary: one line for people.
        act: what of the permissions it takes; "" for everybody who is authenticated.
        handler: does it, in a thread. What changes something goes through :meth:`Call.act`.
        answer: what it shows.
        body, query: what it asks for.
        status: of success.
        public: whether nobody has to say who they are.
        secret: whether its answer tells a secret. Such an answer is kept nowhere, so that the call takes no idempotency
            key, and refuses one; its handler answers by :meth:`Call.tell`.
        cites: the ticket that it rests on, or "", where another system may have it; in a thread.
        sends: the ticket that it sends home, or "", likewise.
    """

    name: str
    method: str
    path: str
    summary: str
    act: str
    handler: Callable[[Call], Answer]
    answer: type[Shown] | None
    body: type[Asked] | None = None
    query: type[Asked] | None = None
    status: int = 200
    public: bool = False
    secret: bool = False
    cites: Callable[[Call], str] | None = None
    sends: Callable[[Call], str] | None = None

    @property
    def acts(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"

    @property
    def is_repeatable(self) -> bool:
        """Whether it takes an idempotency key."""
        return self.method == "POST" and not self.secret

    @property
    def is_conditional(self) -> bool:
        """Whether it changes a thing that there is already, so that ``If-Match`` has a meaning."""
        return self.acts and "{" in self.path

    @property
    def is_single(self) -> bool:
        """Whether it shows a single thing, which has a version."""
        return self.acts or self.path.endswith("}")
