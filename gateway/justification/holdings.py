"""What people were granted and asked for, so kept that nobody's past makes a look at it take longer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

from gateway.justification.nouns import AccessRequest, Grant

MOST = 100
"""How many of each sort are looked at to say why none of them helps: the last that changed."""

Key = TypeVar("Key", bound=Hashable)
Noun = TypeVar("Noun", Grant, AccessRequest)


class Holdings:
    """Grants by subject, by ticket and by customer, and the requests that wait; of those, all that there are now."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self._going_on: dict[str, dict[str, Grant]] = {}
        self._under: dict[tuple[str, str], dict[str, Grant]] = {}
        self._of: dict[tuple[str, str], dict[str, Grant]] = {}
        self._waiting: dict[str, dict[str, AccessRequest]] = {}

    def put_grant(self, grant: Grant, *, goes_on: bool) -> None:
        """Take a grant in; one that does not go on counts for nothing more."""
        self._grants[grant.id] = grant
        _keep(self._under, (grant.subject, grant.ticket), grant)
        _keep(self._of, (grant.subject, grant.customer), grant)
        _keep(self._going_on, grant.subject, grant, goes_on)

    def put_request(self, asked: AccessRequest, *, goes_on: bool) -> None:
        """Take a request in; one that was decided is kept no longer."""
        _keep(self._waiting, asked.subject, asked, goes_on)

    def grants(self) -> Iterable[Grant]:
        """All of everybody's."""
        return list(self._grants.values())

    def candidates(self, subject: str, counted: str) -> Iterator[Grant]:
        """The grants of somebody that may count, and ``counted``, which may have been used up by what it counts for."""
        going_on = self._going_on.get(subject, {})
        yield from going_on.values()
        grant = self._grants.get(counted)
        if grant is not None and grant.subject == subject and counted not in going_on:
            yield grant

    def near(self, subject: str, *, customer: str, ticket: str) -> list[Grant]:
        """The grants of somebody that go on, and what they had for a ticket or a customer: :data:`MOST` of each."""
        found = chain(
            _last(self._going_on.get(subject, {})),
            _last(self._under.get((subject, ticket), {})),
            _last(self._of.get((subject, customer), {})),
        )
        return list({grant.id: grant for grant in found}.values())

    def waiting(self, subject: str) -> list[AccessRequest]:
        """The requests of somebody that nobody decided on: :data:`MOST` of them."""
        return list(_last(self._waiting.get(subject, {})))


def _keep(index: dict[Key, dict[str, Noun]], key: Key, noun: Noun, is_kept: bool = True) -> None:
    """Put a noun last, in place of an earlier state of it, or take it out."""
    nouns = index.setdefault(key, {})
    nouns.pop(noun.id, None)
    if is_kept:
        nouns[noun.id] = noun
    elif not nouns:
        del index[key]


def _last(nouns: dict[str, Noun]) -> Iterator[Noun]:
    return islice(reversed(nouns.values()), MOST)
