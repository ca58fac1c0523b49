"""Pseudonyms: put in the place of who asked and who acted before an entry is written, and turned back to be read.

An entry is final; what it says of a person can be erased all the same, by destroying the key that its pseudonyms were
made with (:mod:`gateway.ledger.subject_keys`). Invariants: no entry is written with a name in the clear because a key
could not be had; what a running gateway remembers of a key is forgotten before the first decision after its
destruction.

For a person met before, nothing is read but the file's stamp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from gateway.errors import ConfigurationError, LedgerUnavailable
from gateway.files import Stamp, stamp
from gateway.ledger.personal import Swaps, in_act, in_decision, is_by_program, is_program
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.subject_keys import ADDRESS, NAME, TEXT, State, SubjectKeys, Word, pseudonym
from gateway.letters import is_pseudonym
from gateway.settings import LedgerSettings

REMEMBERED = 20_000
BEGIN_ACT = "ledger.subject_keys"
OBJECT = "subject-keys"
NO_STATE = State("", 0)


class Pseudonyms:
    """Those of one file of keys. Every method but :meth:`knows` and :meth:`meet` may block; for any thread.

    Args:
        keys: where the keys are.

    Attributes:
        state: the file's, as this process last saw it: another one makes everything remembered void.
    """

    def __init__(self, keys: SubjectKeys) -> None:
        self.keys = keys
        self.state = NO_STATE
        self._path = str(keys.path)
        self._stamp: Stamp | None = None
        self._keys: dict[str, bytes] = {}
        self._kept: set[tuple[str, Word]] = set()
        self._shown: dict[str, str] = {}
        self._lock = Lock()
        self._failure = ""

    @classmethod
    def of(cls, settings: LedgerSettings) -> Pseudonyms | None:
        """To write entries with; None where the setting is off."""
        return cls(SubjectKeys(settings.subject_keys)) if settings.pseudonymise else None

    @classmethod
    def to_read(cls, settings: LedgerSettings) -> Pseudonyms | None:
        """To read entries with: as long as there are keys, whether or not new entries have pseudonyms."""
        there = settings.pseudonymise or settings.subject_keys.exists()
        return cls(SubjectKeys(settings.subject_keys)) if there else None

    @property
    def problem(self) -> str:
        """Why no decision about a person can be recorded now, or ""."""
        if stamp(self.keys.path) is None:
            return f"the subject keys {self.keys.path} are not there, or cannot be looked at; put the file back"
        return self._failure

    def knows(self, name: str, address: str, reason: str) -> bool:
        """Whether a decision about somebody can be recorded without waiting. Every request passes here."""
        kept = self._kept
        return (
            name in self._keys
            and (not address or (name, (ADDRESS, address)) in kept)
            and (not reason or (name, (TEXT, reason)) in kept)
            and self._is_as_it_was()
        )

    async def meet(self, name: str, address: str, reason: str) -> None:
        """Make sure of that.

        Raises:
            LedgerUnavailable: their key cannot be had, so nothing about them can be recorded.
        """
        await asyncio.to_thread(self._learn, name, _words(address, reason))

    def decision(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A decision about a person, as it is recorded."""
        name = str(fields["subject"])
        return in_decision(
            fields, self._swaps(name, _words(str(fields.get("client_address", "")), str(fields.get("reason", ""))))
        )

    def act(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """An administrative act, as it is recorded. What a program says stays as it is, but for whom it names."""
        if is_by_program(fields):
            return in_act(fields, Swaps(self._of, self._of_known, _same, _same))
        return in_act(fields, self._swaps(str(fields["actor"]), ()))

    def shown(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of any entry, with names, addresses and reasons as far as they were not erased."""
        asked: set[str] = set()
        _read(fields, partial(_noted, asked))
        if not asked:
            return dict(fields)
        known = self._turned_back(asked)
        return _read(fields, lambda text: known.get(text, text))

    def find(self, name: str) -> str:
        """Somebody's pseudonym; "" where they have none: they were never met, or are erased."""
        key = None if is_program(name) else self.keys.find(name)
        return pseudonym(key, NAME, name) if key else ""

    def _swaps(self, name: str, words: Collection[Word]) -> Swaps:
        """Those of an entry by somebody."""
        kept = name in self._keys and all((name, word) in self._kept for word in words)
        if not (kept and self._is_as_it_was()):
            self._learn(name, words)
        of_own = partial(self._word, name)
        return Swaps(self._of, partial(self._of_asked, name), partial(of_own, ADDRESS), partial(of_own, TEXT))

    def _of(self, name: str) -> str:
        """Somebody's pseudonym; they get a key if they have none."""
        if is_program(name) or is_pseudonym(name):
            return name
        return self._word(name, NAME, name)

    def _of_asked(self, by: str, name: str) -> str:
        """The pseudonym of somebody who is asked about. To be asked about makes nobody known: who has no key is named
        by the key of whoever asks, and nothing turns that back."""
        known = self._of_known(name)
        return known if known != name or is_program(name) else pseudonym(self._key(by), NAME, name)

    def _of_known(self, name: str) -> str:
        return self.find(name) or name

    def _word(self, name: str, kind: str, text: str) -> str:
        """The pseudonym of a word of somebody, which is kept."""
        if (name, (kind, text)) not in self._kept:
            self._learn(name, () if kind == NAME else [(kind, text)])
        return pseudonym(self._key(name), kind, text)

    def _key(self, name: str) -> bytes:
        found = self._keys.get(name)
        return found or self._learn(name, ())

    def _is_as_it_was(self) -> bool:
        """Whether nothing has happened to the file since it was looked into."""
        now = stamp(self._path)
        return now is not None and now == self._stamp

    def _learn(self, name: str, words: Collection[Word]) -> bytes:
        with self._lock:
            try:
                self._look()
                key = self.keys.key(name, words)
                self._remember(name, key, words)
                self._look()  # what was written just now is no news to the next one
            except LedgerUnavailable as error:
                self._failure = str(error)
                raise
            self._failure = ""
            return key

    def _remember(self, name: str, key: bytes, words: Collection[Word]) -> None:
        if len(self._keys) + len(self._kept) >= REMEMBERED:
            self._forget()
        self._keys[name] = key
        self._kept.update((name, word) for word in ((NAME, name), *words))

    def _look(self) -> None:
        """Forget what is remembered, if a key was destroyed since, or another file is there.

        Raises:
            LedgerUnavailable: another file is there: what it pseudonymises would not be one with what is recorded.
        """
        now = stamp(self.keys.path)  # before the state: a change in between is seen next time
        if now is not None and now == self._stamp:
            return
        state = self.keys.state()
        if self.state.id not in ("", state.id):
            told = f"the subject keys {self.keys.path}: another file was put in their place"
            raise LedgerUnavailable(f"{told}; put the right one back, or restart")
        if state != self.state:
            self._forget()
            self.state = state
        self._stamp = now

    def _forget(self) -> None:
        self._keys.clear()
        self._kept.clear()
        self._shown.clear()

    def _turned_back(self, pseudonyms: Collection[str]) -> dict[str, str]:
        with self._lock:
            self._look()
            unknown = [each for each in pseudonyms if each not in self._shown]
            if unknown:
                if len(self._shown) >= REMEMBERED:
                    self._shown.clear()
                self._shown |= dict.fromkeys(unknown, "") | self.keys.words(unknown)
            return {each: text for each in pseudonyms if (text := self._shown.get(each))}


def announced(reader: LedgerReader) -> str:
    """The id of the keys that a ledger's pseudonyms were made with last; "" where it has none."""
    newest = Query(kind="administrative", object=OBJECT, newest_first=True, limit=1)
    return next((str(entry["details"].get("keys", "")) for entry in reader.search(newest)), "")


def require_own(pseudonyms: Pseudonyms, ledger: Path) -> str:
    """Make sure that a ledger's pseudonyms go on with the keys that they were begun with; the file is made, if this is
    the first time.

    Returns:
        The id of keys that the ledger has yet to name; "" where it does.

    Raises:
        ConfigurationError: they are lost, or those of another ledger.
        LedgerUnavailable: the file cannot be read or made.
    """
    with LedgerReader(ledger) as reader:
        named = announced(reader)
    keys = pseudonyms.keys
    if not named:
        keys.begin()
        return keys.state().id
    found = keys.state().id if keys.path.exists() else ""
    if found == named:
        return ""
    told = f"has keys {found}" if found else "is not there"
    mend = (
        "put that file back; if it is lost for good, `ledger replace-subject-keys` begins another, and erases for good"
    )
    raise ConfigurationError(
        [f"ledger.subject_keys: {keys.path} {told}, and the ledger's pseudonyms are by the keys {named}; {mend}"]
    )


def _words(address: str, reason: str) -> list[Word]:
    return [word for word in ((ADDRESS, address), (TEXT, reason)) if word[1]]


def _read(fields: Mapping[str, Any], swap: Callable[[str], str]) -> dict[str, Any]:
    swaps = Swaps(swap, swap, swap, swap)
    match fields.get("kind"):
        case "decision":
            return in_decision(fields, swaps)
        case "administrative":
            return in_act(fields, swaps)
    return dict(fields)


def _noted(found: set[str], text: str) -> str:
    if is_pseudonym(text):
        found.add(text)
    return text


def _same(text: str) -> str:
    return text
