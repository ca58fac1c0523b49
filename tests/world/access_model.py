"""What the contract says of access requests and grants, kept in plain lists: a model, written from its words.

It knows nothing of the code: people are whoever they are however a name is spelled, time is whatever clock somebody
acts by, and each thing that happens is one line of the log: who, what, to what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SECOND_US = 1_000_000
ANSWER_WITHIN_US = 3 * 86_400 * SECOND_US
SPELLINGS = (
    lambda name: name,
    str.upper,
    lambda name: f" {name}\t",
    lambda name: name[0] + "\u200b" + name[1:],
    lambda name: chr(ord(name[0]) + 0xFEE0) + name[1:],  # full width
)
WHO = {spell(name): name for spell in SPELLINGS for name in ("priya", "pavel", "dana", "dave", "drew", "sam")}


class Refused(Exception):
    """The contract does not allow it."""


@dataclass
class Bug:
    """A bug ticket."""

    id: str
    customers: tuple[str, ...]
    holder: str = ""
    country: str = ""
    is_open: bool = True
    handed_off: bool = False
    held_by: set[str] = field(default_factory=set)

    def was_held_by(self, name: str) -> bool:
        """Now, or at any time before."""
        return WHO.get(name, name) in self.held_by

    def is_held_by(self, name: str) -> bool:
        return bool(self.holder) and WHO.get(self.holder, self.holder) == WHO.get(name, name)


@dataclass
class Asked:
    """A request, and who said what to it."""

    id: str
    who: str
    bug: Bug
    customer: str
    data_classes: frozenset[str]
    actions: frozenset[str]
    duration_s: int
    max_requests: int
    answer_by_us: int
    approvers: int
    consent: bool
    approved: list[str] = field(default_factory=list)
    consented: str = ""
    state: str = "requested"


@dataclass
class Granted:
    """A grant."""

    id: str
    of: Asked
    starts_us: int
    began_s: float
    over: str = ""
    used: int = 0

    @property
    def ends_us(self) -> int:
        return self.starts_us + self.of.duration_s * SECOND_US

    @property
    def is_used_up(self) -> bool:
        return bool(self.of.max_requests) and self.used >= self.of.max_requests

    def counts(self, now_us: int) -> bool:
        in_time = self.starts_us <= now_us < self.ends_us
        return in_time and not self.over and not self.is_used_up and self.of.bug.is_open

    def may_be_ended(self, now_us: int) -> bool:
        return not self.over and now_us < self.ends_us


@dataclass
class Model:
    """Everything that happened."""

    conditions: dict[str, tuple[int, bool]]
    bugs: dict[str, Bug] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    granted: dict[str, Granted] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)

    def may_ask(self, who: str, bug: Bug, customer: str, wanted: Asked, now_us: int) -> None:
        """For an open bug that names the customer; not for what is granted for as long, nor for what was asked for."""
        if not bug.is_open or customer not in bug.customers:
            raise Refused
        for grant in self.granted.values():
            same = (grant.of.who, grant.of.bug.id, grant.of.customer) == (who, bug.id, customer)
            within = wanted.data_classes <= grant.of.data_classes and wanted.actions <= grant.of.actions
            cap = grant.of.max_requests
            enough = not cap or 0 < wanted.max_requests <= cap
            long = grant.ends_us >= now_us + wanted.duration_s * SECOND_US
            if same and within and enough and long and grant.counts(now_us):
                raise Refused
        for other in self.asked.values():
            scope = (other.who, other.bug.id, other.customer, other.data_classes, other.actions)
            same = scope == (who, bug.id, customer, wanted.data_classes, wanted.actions)
            if same and other.state == "requested" and now_us < other.answer_by_us:
                raise Refused

    def _undecided(self, asked: Asked, now_us: int) -> None:
        if asked.state != "requested" or now_us >= asked.answer_by_us:
            raise Refused

    def approve(self, asked: Asked, by: str, now_us: int, now_s: float) -> None:
        """By somebody who neither made it, nor ever held its ticket, nor spoke before; two where two are wanted."""
        self._undecided(asked, now_us)
        spoke = {WHO.get(name, name) for name in (asked.who, asked.consented, *asked.approved)}
        if WHO[by] in spoke or asked.bug.was_held_by(by) or not asked.bug.is_open:
            raise Refused
        asked.approved.append(by)
        self._complete(asked, by, "access.approve", now_us, now_s)

    def consent(self, asked: Asked, by: str, actor: str, now_us: int, now_s: float) -> None:
        """By somebody of the customer, once, where the customer wants to be asked."""
        self._undecided(asked, now_us)
        wanted = asked.consent or self.conditions[asked.customer][1]
        spoke = {WHO.get(name, name) for name in (asked.who, *asked.approved)}
        if not wanted or asked.consented or WHO.get(by, by) in spoke or not asked.bug.is_open:
            raise Refused
        asked.consented = by
        self._complete(asked, actor, "access.consent", now_us, now_s)

    def _complete(self, asked: Asked, by: str, act: str, now_us: int, now_s: float) -> None:
        approvers, consent = self.conditions[asked.customer]
        asked.approvers, asked.consent = max(asked.approvers, approvers), asked.consent or consent
        asked.approved = [name for name in asked.approved if not asked.bug.was_held_by(name)]
        if len(asked.approved) < asked.approvers or (asked.consent and not asked.consented):
            self.log.append((by, act, asked.id))
            return
        asked.state = "approved"
        grant = Granted(f"G-{asked.id[2:]}", asked, now_us, now_s)
        self.granted[grant.id] = grant
        self.log.append((by, act, grant.id))

    def deny(self, asked: Asked, by: str, now_us: int) -> None:
        """By somebody else than who made it."""
        self._undecided(asked, now_us)
        if WHO[by] == asked.who:
            raise Refused
        asked.state = "denied"
        self.log.append((by, "access.deny", asked.id))

    def withdraw(self, asked: Asked, by: str, now_us: int) -> None:
        """By who made it."""
        if by != asked.who:
            raise Refused
        self._undecided(asked, now_us)
        asked.state = "withdrawn"
        self.log.append((by, "access.withdraw", asked.id))

    def revoke(self, grant: Granted, by: str, now_us: int) -> None:
        """At once; one that somebody ended stays ended, one that ended by itself cannot be."""
        if grant.over == "revoked":
            return
        if not grant.may_be_ended(now_us):
            raise Refused
        grant.over = "revoked"
        self.log.append((by, "access.revoke", grant.id))

    def assign(self, bug: Bug, holder: str, country: str, by: str, now_us: int) -> None:
        """Whoever held it before loses what was granted for it."""
        if not bug.is_open or "\u200b" in holder:
            raise Refused
        if (bug.holder, bug.country) == (holder, country):
            return
        if bug.holder not in ("", "us-queue") and not bug.is_held_by(holder):
            self._end(by, [grant for grant in self.of(bug, now_us) if bug.is_held_by(grant.of.who)])
        bug.holder, bug.country = holder, country
        bug.held_by.add(WHO[holder])
        self.log.append((by, "ticket.assign", bug.id))

    def hand_off(self, bug: Bug, by: str, now_us: int) -> None:
        """All that was granted or asked for it ends, and all that its holder was granted or asked for of its customers.

        Who holds it at home goes on holding it, and loses only what was for this bug.
        """
        if not bug.is_open:
            raise Refused
        at_home = bug.country == "US"

        def ends(asked: Asked) -> bool:
            theirs = not at_home and bug.is_held_by(asked.who) and asked.customer in bug.customers
            return asked.bug is bug or theirs

        grants = [grant for grant in self.granted.values() if grant.may_be_ended(now_us) and ends(grant.of)]
        waiting = [asked for asked in self.asked.values() if asked.state == "requested" and ends(asked)]
        stays = at_home or bug.holder == "us-queue"
        if bug.handed_off and stays and not grants and not waiting:
            return
        self._end(by, grants)
        self._withdraw(by, waiting)
        bug.handed_off = True
        if not stays:
            bug.holder, bug.country = "us-queue", ""
        self.log.append((by, "ticket.handoff", bug.id))

    def close(self, bug: Bug, by: str, now_us: int) -> None:
        """What hangs on it ends, and it never opens again."""
        if not bug.is_open:
            return
        bug.is_open = False
        self._end(by, list(self.of(bug, now_us)))
        self._withdraw(by, [asked for asked in self.asked.values() if asked.bug is bug and asked.state == "requested"])
        self.log.append((by, "ticket.close", bug.id))

    def attend(self, now_us: int) -> None:
        """What is over by time or by its cap, and what nobody answered, is so for good."""
        for key in sorted(self.granted):
            grant = self.granted[key]
            if not grant.over and (grant.is_used_up or now_us >= grant.ends_us):
                grant.over = "exhausted" if grant.is_used_up else "expired"
                self.log.append(("gateway", f"grant.{grant.over}", key))
        for key in sorted(self.asked):
            asked = self.asked[key]
            if asked.state == "requested" and now_us >= asked.answer_by_us:
                asked.state = "expired-unanswered"
                self.log.append(("gateway", "access.expire", key))

    def of(self, bug: Bug, now_us: int) -> Iterator[Granted]:
        """The grants for a bug that somebody may end."""
        return (grant for grant in self.granted.values() if grant.of.bug is bug and grant.may_be_ended(now_us))

    def speaking(
        self, who: str, cited: str, customer: str, data_class: str, action: str, now_us: int
    ) -> frozenset[str]:
        """The grants that let somebody do this, citing a bug, or none: then only if there is a single one."""
        found = frozenset(
            grant.id
            for grant in self.granted.values()
            if grant.counts(now_us)
            and (grant.of.who, grant.of.customer) == (who, customer)
            and data_class in grant.of.data_classes
            and action in grant.of.actions
            and cited in ("", grant.of.bug.id)
        )
        return found if cited or len(found) == 1 else frozenset()

    def _end(self, by: str, grants: list[Granted]) -> None:
        """Each is a line of its own."""
        for grant in sorted(grants, key=lambda grant: grant.id):
            grant.over = "revoked"
            self.log.append((by, "access.revoke", grant.id))

    def _withdraw(self, by: str, waiting: list[Asked]) -> None:
        for asked in sorted(waiting, key=lambda asked: asked.id):
            asked.state = "withdrawn"
            self.log.append((by, "access.withdraw", asked.id))
