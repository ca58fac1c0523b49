"""A call under way: who calls, what they ask for, and what it is answered from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from gateway.acts import Actor, Change, Office, Replayed, version_of
from gateway.console import shown
from gateway.console.asked import Asked, PageQuery
from gateway.console.operation import PREFIX, Answer, Operation
from gateway.console.problems import INVALID, Refused
from gateway.console.sight import Sight
from gateway.console.views import Snapshot
from gateway.errors import NotFound
from gateway.identity import UploadAccount
from gateway.justification import Usage
from gateway.ledger.reader import LedgerReader
from gateway.storage.store import Transaction

Noun = TypeVar("Noun")
NEVER = "-"
"""No version of anything: what was expected is not there any more."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a call asks for, as it was read.

    Attributes:
        path: the ids in the path.
        body, query: as the operation says.
        tags: of ``If-Match``; None where any version will do.
        key: of ``Idempotency-Key``, or "".
        fingerprint: all that was asked for, for telling two calls with one key apart.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    query: Any = None
    tags: frozenset[str] | None = None
    key: str = ""
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """See the module. Everything here is for a thread: it reads the state, and waits.

    Attributes:
        office: what acts work with; what it records is counted as this call's.
        usage: what was read under a grant.
        ledger: opens the ledger for reading.
    """

    operation: Operation
    actor: Actor
    asking: Asking
    office: Office
    usage: Callable[[str], Usage]
    ledger: Callable[[], LedgerReader]

    @property
    def id(self) -> str:
        """The id in the path, whatever parts it is of."""
        return "/".join(self.asking.path.values())

    @property
    def body(self) -> Any:
        return self.asking.body

    @property
    def query(self) -> Any:
        return self.asking.query

    @property
    def sight(self) -> Sight:
        return Sight(self.actor, self.office.permissions)

    @property
    def now_us(self) -> int:
        return self.office.clock.now_us()

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """The state as it is at this moment."""
        with self.office.state.transaction() as transaction:
            yield transaction

    def seen(self, snapshot: Transaction, kind: type[Noun], key: str, is_seen: Callable[[Noun], bool]) -> Noun:
        """The noun with this id.

        Raises:
            NotFound: there is none that whoever calls may see.
        """
        found = snapshot.find(kind, key)
        if found is None or not is_seen(found):
            raise self.unseen(key)
        return found

    @staticmethod
    def unseen(key: str) -> NotFound:
        """What is not there, and what somebody may not see, look the same."""
        return NotFound(f"there is nothing with the id {key!r} here that you may see")

    @staticmethod
    def version(noun: Any) -> str:
        """The version that the answer carries."""
        return version_of(noun)

    def expected(self, noun: Any) -> str:
        """The version that ``If-Match`` asks for, as acts take it.

        Args:
            noun: as it is now. Where it is none of the versions asked for, the act finds it outdated.
        """
        if self.asking.tags is None:
            return ""
        version = version_of(noun)
        return version if version in self.asking.tags else NEVER

    def act(
        self, run: Callable[[Office], object], view: Callable[[Snapshot, Any, int], tuple[Any, shown.Shown]]
    ) -> Answer:
        """Do an act, once where the call has a key.

        Args:
            run: the act.
            view: gives the thing whose version the answer carries, and what is shown, from the act's result; what it
                raises undoes the act.
        """
        answers: list[Answer] = []

        def put_into_words(change: Change) -> str:
            thing, words = view(change, change.result, change.now_us)
            answers.append(Answer.of(words, etag=version_of(thing), location=self._location(thing)))
            return answers[-1].kept()

        office = self.office.showing(put_into_words)
        if self.asking.key:
            office = office.once(self.actor, self.asking.key, self.asking.fingerprint)
        try:
            run(office)
        except Replayed as before:
            return Answer.again(before.answer)
        return answers[-1]

    def tell(self, run: Callable[[Office], tuple[Noun, str]], view: Callable[[Noun, str], shown.Shown]) -> Answer:
        """Do an act whose answer tells a secret, which nothing keeps.

        Args:
            run: the act; gives the noun that it was about, and the secret.
            view: what is shown of both.
        """
        noun, secret = run(self.office)
        return Answer.of(view(noun, secret), etag=version_of(noun), location=self._location(noun))

    def page(
        self,
        page: Callable[..., shown.Page[Any]],
        found: Iterator[Any],
        view: Callable[[Any], shown.Shown],
        key: Callable[[Any], object] = lambda noun: noun.id,
    ) -> Answer:
        """The part of a list that was asked for.

        Args:
            found: from where it begins on; no more is taken than is shown, and one.
        """
        limit = self.query.limit
        nouns = list(islice(found, limit + 1))
        goes_on = self._link(after=str(key(nouns[limit - 1]))) if len(nouns) > limit else ""
        items = [view(noun) for noun in nouns[:limit]]
        return Answer.of(page(items=items, next=goes_on or None), next_=goes_on, count=len(items))

    def after(self, snapshot: Transaction, kind: type[Noun], is_seen: Callable[[Noun], bool]) -> str:
        """Behind which one the list begins, or "".

        Raises:
            Refused: one that whoever calls may not see, or none.
        """
        query: PageQuery = self.query
        if query.after is None:
            return ""
        found = snapshot.find(kind, query.after)
        if found is None or not is_seen(found):
            fault = shown.Fault(field="after", problem="names nothing of this list; take it from next")
            raise Refused(INVALID, f"{fault.field}: {fault.problem}", faults=[fault])
        return query.after

    def _link(self, *, after: str) -> str:
        asked: Asked = self.query
        values = asked.model_dump(exclude_none=True, mode="json") | {"after": after}
        pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
        return f"{self._address()}?{urlencode(pairs)}"

    def _address(self) -> str:
        path = self.operation.path
        for name, value in self.asking.path.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return PREFIX + path

    def _location(self, thing: Any) -> str:
        if self.operation.status != 201:
            return ""
        name = thing.name if isinstance(thing, UploadAccount) else thing.id  # it stands below its customer
        return f"{self._address()}/{quote(name, safe='')}"
