"""Where: signals, and the assurance that they add up to.

The rule (contract reading, *Location*): a location is *assured home* only if at least one signal that rests on the
client's address (``network`` or ``site``) says home, no signal that is present says otherwise, and the network is not
anonymised. The most restrictive signal always wins; what cannot be told is never home.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

UNKNOWN = ""


class Source(StrEnum):
    """What a signal rests on."""

    NETWORK = "network"  # the country database
    ANONYMITY = "anonymity"  # the anonymous-IP database
    SITE = "site"  # the vendor's own networks
    TOKEN = "token"  # noqa: S105  a claim of the token; no secret
    WORKFORCE = "workforce"  # the workforce directory


class Assurance(StrEnum):
    """What the signals add up to, for one home jurisdiction."""

    HOME = "home"
    OUTSIDE = "outside"
    UNASSURED = "unassured"


@dataclass(frozen=True, slots=True)
class Signal:
    """What one source said.

    Attributes:
        source: which one.
        country: ISO 3166-1 alpha-2, or "" where the source does not know.
        detail: for people: the site's name, "vpn", "no record", "database too old (built 2026-01-02)".
        adverse: the source says that the address hides where its user is, or that the source itself cannot be
            trusted now (a missing or outdated database): never assured, whatever the others say.
    """

    source: Source
    country: str = UNKNOWN
    detail: str = ""
    adverse: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """Where a request came from.

    Attributes:
        address: the client's address in its canonical text, or "" when it cannot be established.
        signals: every signal that is present, in the order of :class:`Source`.
        version: which databases were asked, such as ``"country 2026-11-01"``.
        presenter: where the request was sent from, if that was not by the one whose location this is, and nothing
            shows who it was: then it has to be at home by itself, too.
    """

    address: str
    signals: tuple[Signal, ...]
    version: str = ""
    presenter: Location | None = None
    _judged: dict[frozenset[str], tuple[Assurance, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def heard(self) -> tuple[Signal, ...]:
        """Every signal that counted: of the location itself, and of whoever presented it."""
        if self.presenter is None:
            return self.signals
        return self.signals + tuple(signal for signal in self.presenter.signals if signal not in self.signals)

    def judge(self, home: frozenset[str]) -> tuple[Assurance, str]:
        """The assurance and the country to show for a plan whose jurisdiction is ``home``; remembered.

        A locator hands the same location out again and again, and there are only as many homes as plans name.
        """
        found = self._judged.get(home)
        if found is None:
            found = self._judged[home] = (self.assurance(home), self.country(home))
        return found

    def assurance(self, home: frozenset[str]) -> Assurance:
        """The assurance of the contract for a plan whose jurisdiction is ``home``."""
        own = self._own_assurance(home)
        return self.presenter.assurance(home) if self.presenter and own is Assurance.HOME else own

    def _own_assurance(self, home: frozenset[str]) -> Assurance:
        if any(signal.adverse for signal in self.signals):
            return Assurance.UNASSURED
        said = [signal for signal in self.signals if signal.country]
        at_home = [signal for signal in said if signal.country in home]
        if not said or (at_home and len(at_home) < len(said)):
            return Assurance.UNASSURED
        if not at_home:
            return Assurance.OUTSIDE
        grounded = any(signal.source in (Source.NETWORK, Source.SITE) for signal in at_home)
        return Assurance.HOME if grounded else Assurance.UNASSURED

    def country(self, home: frozenset[str]) -> str:
        """The country to show: the first that is not home, else the first known, else ""."""
        said = [signal.country for signal in self.heard if signal.country]
        return next((country for country in said if country not in home), said[0] if said else UNKNOWN)
