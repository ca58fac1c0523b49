"""The office: what acts work with, and how each of them takes effect.

An act is a :class:`Change`: under a lock that no other writer passes it reads what is there, decides, writes nouns and
says what the record has to hold. At its end the entries become durable in the ledger, and only then is the state
committed. Where that commit fails, or it is not known whether an entry landed, another entry says that nothing came of
it. A crash between the two leaves an entry of an act that did not take effect: whoever acted had no answer, and finds
the state as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any, TypeVar

import orjson
import uuid_utils

from gateway.acts.actor import Actor
from gateway.acts.permissions import Permissions
from gateway.acts.version import version_of
from gateway.catalog.customers import Customer, CustomerPlan, shared_home
from gateway.clock import Clock
from gateway.errors import Contradicted, GatewayError, LedgerFull, NotFound, Outdated, StateUnavailable, UsageError
from gateway.justification import Ticket, owners
from gateway.ledger.entry import administrative
from gateway.notification import notice
from gateway.notification.notice import MAX_ITEMS
from gateway.policy import RoleTable
from gateway.settings import Secret, Settings
from gateway.storage import KEPT_US, Replay, StateStore
from gateway.storage.store import Transaction
from gateway.support import SupportWindow

Noun = TypeVar("Noun")
Detail = str | int | bool | Sequence[str]
ID_ATTEMPTS = 100


def random_tail() -> str:
    """What ends an id, without a promise that nothing has it: 48 random bits, as hexadecimal digits."""
    return str(uuid_utils.uuid7())[-12:]


def sees_all(_ticket: Ticket) -> bool:
    """Of whoever may see every ticket."""
    return True


class Replayed(Exception):
    """This call was made before; ``answer`` is what it was answered then, as JSON."""

    def __init__(self, answer: str) -> None:
        super().__init__("the call was made before")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Homeward:
    """How a ticket of another system is sent home. Both may wait, and raise TrackerUnavailable.

    Attributes:
        find: the ticket, as that system says it is; raises NotFound where it has none that can be used.
        send: writes it there.
    """

    find: Callable[[], Ticket]
    send: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Office:
    """What acts work with.

    Attributes:
        record: writes an administrative entry down, and returns once it is durable.
        home: where analysts have to be, unless a customer's plan says otherwise.
        roles: the most that each role may use.
        country_of: where somebody works, by subject in any spelling, or "" where that is not known.
        elsewhere: a ticket of another system, as that says it is now; None where it has none; may wait.
        homeward: how a ticket of another system is sent home, None where it is of none that is asked; raises
            Contradicted where that system is not told so.
        owners: the other systems that an id belongs to, by name: no ticket here may have it.
        longest_grant_s, longest_pass_s: how long a grant, and a pass for the transfer doors, may last.
        answer_within_s: how long a request may wait for its answer.
        user_ca: the key that signs SSH certificates of passes, if there is one.
        tail: ends a new id, if nothing has it yet; see :meth:`Change.new_id`.
    """

    state: StateStore
    record: Callable[[Mapping[str, object]], object]
    clock: Clock
    node: str
    permissions: Permissions
    window: SupportWindow
    home: frozenset[str]
    roles: RoleTable
    country_of: Callable[[str], str]
    longest_grant_s: int
    answer_within_s: int
    longest_pass_s: int = 3_600
    user_ca: Secret | None = None
    elsewhere: Callable[[str], Ticket | None] = lambda _id: None
    tail: Callable[[], str] = random_tail
    homeward: Callable[[str], Homeward | None] = lambda _id: None
    owners: Callable[[str], Sequence[str]] = lambda _id: ()
    _call: tuple[str, str] | None = None
    _shown: Callable[[Change], str] | None = None

    @property
    def data_classes(self) -> frozenset[str]:
        """Those that the role table knows."""
        return self.roles.known_data_classes

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        state: StateStore,
        record: Callable[[Mapping[str, object]], object],
        clock: Clock,
        roles: RoleTable,
        country_of: Callable[[str], str],
        permissions: Permissions | None = None,
        elsewhere: Callable[[str], Ticket | None] = lambda _id: None,
        homeward: Callable[[str], Homeward | None] = lambda _id: None,
    ) -> Office:
        """The office of a configuration.

        Args:
            permissions: read from the policy directory unless given.

        Raises:
            PolicyError: they cannot be read.
        """
        return cls(
            state=state,
            record=record,
            clock=clock,
            node=settings.gateway.node,
            permissions=permissions or Permissions.load(settings.policy.directory),
            window=SupportWindow(settings.support.fixed_offset, settings.support.closed_on_holidays),
            home=frozenset(settings.policy.home),
            roles=roles,
            country_of=country_of,
            elsewhere=elsewhere,
            homeward=homeward,
            owners=partial(owners, settings),
            longest_grant_s=settings.access.longest_grant_s,
            answer_within_s=settings.access.answer_within_s,
            longest_pass_s=settings.access.longest_pass_s,
            user_ca=settings.doors.sftp.user_ca if settings.doors.sftp else None,
        )

    def once(self, actor: Actor, key: str, asked: bytes) -> Office:
        """The same office, for a call that may be made again with the same key and is to act only once.

        Args:
            key: an idempotency key.
            asked: all that was asked for: another call may not have the same key.
        """
        mine = orjson.dumps([actor.name, actor.customer, key])
        return replace(self, _call=(sha256(mine).hexdigest(), sha256(asked).hexdigest()))

    def showing(self, shown: Callable[[Change], str]) -> Office:
        """The same office, where what an act led to is put into words before it takes effect.

        Args:
            shown: gives the answer, as JSON; a call that is made again is answered with it. What it raises undoes the
                act.
        """
        return replace(self, _shown=shown)

    @contextmanager
    def change(self, actor: Actor, act: str) -> Iterator[Change]:
        """An act under way; it takes effect at the end of the block.

        Raises:
            Forbidden: the actor may not.
            Replayed: it was done before.
            LedgerUnavailable: it cannot be written down, so it does not take effect.
            StateUnavailable: it did not take effect.
        """
        self.permissions.require(actor, act)
        change: Change | None = None
        try:
            with self.state.transaction(exclusive=True) as transaction:
                self._require_first(transaction)
                change = Change(self, actor, act, transaction, self.clock.now_us())
                yield change
                self._keep(transaction, change)
                self._record(change)
        except BaseException:  # whatever it is: what was written down did not happen
            if change:
                self._undo(change)
            raise

    def _record(self, change: Change) -> None:
        for entry in change.entries:
            change.recorded.append(entry)  # from here on it may stand in the ledger, even if that is not known
            try:
                self.record(entry)
            except (LedgerFull, UsageError):  # it certainly does not
                change.recorded.remove(entry)
                raise

    def _undo(self, change: Change) -> None:
        """Say of each entry that may stand in the ledger that nothing came of it; as well as that can be said now."""
        for entry in change.recorded:
            with suppress(GatewayError):
                self.record(change.undone(entry))

    def _require_first(self, transaction: Transaction) -> None:
        if self._call is None:
            return
        before = transaction.find(Replay, self._call[0])
        if before is None or before.at_us < self.clock.now_us() - KEPT_US:
            return
        if before.fingerprint != self._call[1]:
            raise Contradicted("the idempotency key was used for another call; make a new key for each call")
        raise Replayed(before.answer)

    def _keep(self, transaction: Transaction, change: Change) -> None:
        if self._shown is not None:
            answer = self._shown(change)
        else:
            answer = orjson.dumps(asdict(change.result) if change.result is not None else None).decode()
        if self._call is not None:
            transaction.put(Replay(*self._call, answer, change.now_us))


@dataclass(slots=True)
class Change:
    """One act under way; made by :meth:`Office.change`.

    Attributes:
        result: the noun that the act was about, as it is afterwards.
        entries: what the ledger will hold of it.
        recorded: those of them that it may hold already.
    """

    office: Office
    actor: Actor
    act: str
    transaction: Transaction
    now_us: int
    result: Any = None
    entries: list[Mapping[str, object]] = field(default_factory=list)
    recorded: list[Mapping[str, object]] = field(default_factory=list)

    def get(self, kind: type[Noun], key: str, *, expected: str = "") -> Noun:
        """The noun with this id.

        Args:
            expected: its version as whoever acts read it, or "" for whichever it is.

        Raises:
            NotFound: there is none.
            Outdated: it has another version now.
        """
        found = self.transaction.get(kind, key)
        if expected and version_of(found) != expected:
            raise Outdated(f"{key} has changed since it was read; read it again")
        return found

    def ticket(self, key: str, there: Ticket | None = None, *, sees: Callable[[Ticket], bool] = sees_all) -> Ticket:
        """A ticket of the embedded desk, or ``there``, as another system said it is.

        Args:
            sees: whether the actor may see a ticket. One that they may not see is not there for them.

        Raises:
            NotFound: there is none.
            Contradicted: both have one, so it is of neither.
        """
        found = [ticket for ticket in (there, self.find(Ticket, key)) if ticket is not None]
        if not found or not all(map(sees, found)):
            raise NotFound(f"there is no ticket {key!r}")
        if len(found) > 1:
            raise Contradicted(f"{key} is a ticket both here and of another system, so of neither")
        return found[0]

    def find(self, kind: type[Noun], key: str) -> Noun | None:
        return self.transaction.find(kind, key)

    def all(self, kind: type[Noun], **equal: str) -> list[Noun]:
        return self.transaction.all(kind, **equal)

    def new_id(self, kind: type[Any], initial: str, *wished: str) -> str:
        """An id that no noun of this kind has; nobody else takes it before the end of the change.

        Args:
            initial: what such ids begin with, such as ``R``.
            wished: how it should end: the first of these that is not taken, else at random.

        Raises:
            StateUnavailable: all that were tried are taken.
        """
        tails = chain(wished, (self.office.tail() for _ in range(ID_ATTEMPTS)))
        free = (key for tail in tails if self.find(kind, key := f"{initial}-{tail}") is None)
        found = next(free, "")
        if not found:
            raise StateUnavailable(f"{ID_ATTEMPTS} new ids were all taken; see whether random numbers are random here")
        return found

    def put(self, *nouns: Any) -> None:
        for noun in nouns:
            self.transaction.put(noun)

    def note(self, subject: str, *, act: str = "", **details: Detail) -> None:
        """Say what the ledger has to hold: of this act, or of another that follows from it."""
        self.entries.append(self.entry(act or self.act, subject, details))

    def entry(self, act: str, subject: str, details: dict[str, Detail]) -> dict[str, object]:
        """An administrative entry by whoever acts."""
        office, actor = self.office, self.actor
        return administrative(
            clock=office.clock, node=office.node, actor=actor.name, act=act, subject=subject,
            details=details | actor.said(),
        )  # fmt: skip

    def undone(self, entry: Mapping[str, object]) -> dict[str, object]:
        """An entry that says that another one did not come true."""
        about: dict[str, Detail] = {"undone": str(entry["id"]), "problem": "the state was not written"}
        return self.entry(f"{entry['act']}.undone", str(entry["object"]), about)

    def tell(
        self, type_: str, subject: str, customer: str | Sequence[str], summary: str, **data: str | int | list[str]
    ) -> None:
        """Leave a notice for whoever is not looking; of a long list it says the beginning.

        Args:
            customer: whose data it concerns; of several each, of all ``"*"``.
        """
        told_of = {name: value[:MAX_ITEMS] if isinstance(value, list) else value for name, value in data.items()}
        told = notice(
            type_,
            subject=subject,
            customer=customer,
            summary=summary,
            at_us=self.now_us,
            data={"actor": self.actor.name, **told_of},
        )
        self.transaction.put(told)

    def plan(self, customer: str) -> CustomerPlan | None:
        """The plan in effect for a customer now."""
        found = self.find(Customer, customer)
        return found.plan_at(self.now_us) if found else None

    def home(self, customers: Sequence[str]) -> frozenset[str] | None:
        """Where an analyst for these customers has to be; None where none of them is protected now."""
        everyone = {customer.id: customer for customer in self.all(Customer)} if "*" in customers else {}
        plans = [plan for customer in everyone or customers if (plan := self.plan(customer))]
        if not plans:
            return None
        return shared_home((plan.home_or(self.office.home) for plan in plans), self.office.home)
