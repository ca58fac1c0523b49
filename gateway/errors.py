"""Everything that can go wrong, as one tree.

    GatewayError
    ├── ConfigurationError      the operator wrote something impossible (exit 2)
    ├── PolicyError             the policy directory cannot be used (exit 2)
    ├── UsageError              a command was asked for something impossible (exit 2)
    │   ├── Contradicted        … that does not fit what is there now (409)
    │   └── Outdated            … of something that has changed since it was read (412)
    ├── NotFound                the thing named does not exist (exit 1)
    ├── Forbidden               whoever acts may not do this (403, exit 1)
    ├── Unauthenticated         no principal can be established from what was sent (401)
    ├── Malformed               the request cannot be given one meaning (400)
    │   └── MethodNotAllowed    its method has none there (405)
    ├── LedgerContradicted      a checkpoint that stands outside is not of this ledger's past (exit 1)
    └── Unavailable             something needed is out of reach (503, exit 3)
        ├── KeySetUnavailable   an issuer's keys cannot be had
        ├── LocationUnavailable a location database cannot be read
        ├── TrackerUnavailable  a ticket system cannot be asked, or its answer cannot be used
        │   └── HandOffUnfinished   … or does not take what is in force here already
        ├── HolderUnavailable   a place that keeps checkpoints cannot be asked, or its answer cannot be used
        │   └── HolderBehind    … or has lost what it was told
        ├── FeedUnavailable     a feed's receiver is not known to have taken what it was sent
        ├── StateUnavailable    the state database cannot be read or written
        └── LedgerUnavailable   a decision cannot be written down
            └── LedgerFull      … because too many are waiting, or the disk is low

A message says what came, what was expected and what to do, in one line, and never holds a token, a credential or a
body.
"""

from __future__ import annotations

from collections.abc import Sequence


class GatewayError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(GatewayError):
    """The configuration is wrong. ``problems`` has one line for each fault, naming file and key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class PolicyError(ConfigurationError):
    """The policy directory does not parse, does not fit its schema, or names what nothing knows."""


class UsageError(GatewayError):
    """A command or call was asked for something impossible. ``rule`` is the contract's that forbids it, or ""."""

    def __init__(self, message: str, *, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class Contradicted(UsageError):
    """What was asked for does not fit the state of what it was asked of."""


class Outdated(UsageError):
    """What was to be changed has changed since whoever asks read it."""


class Forbidden(GatewayError):
    """Whoever acts may not do this. The message is safe to show."""


class NotFound(GatewayError):
    """What was named does not exist."""


class Unauthenticated(GatewayError):
    """The credentials do not establish a principal. The message is safe to show."""


class Malformed(GatewayError):
    """The request can be read in more than one way, so it is not read at all."""


class MethodNotAllowed(Malformed):
    """The method has no meaning for what is asked for. ``allowed`` are those that have one (RFC 9110 §15.5.6)."""

    def __init__(self, message: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class LedgerContradicted(GatewayError):
    """The ledger was rolled back, changed or forked, or a checkpoint that stands outside is another ledger's."""


class Unavailable(GatewayError):
    """Something that a decision needs is out of reach: nothing may pass."""


class KeySetUnavailable(Unavailable):
    """No usable key set of an issuer is at hand."""


class LocationUnavailable(Unavailable):
    """A location database is missing, damaged or of the wrong kind."""


class TrackerUnavailable(Unavailable):
    """A ticket system did not answer, refused, or said what cannot be used.

    ``retry_after_s``: it asked to be left alone for so long; 0 where it did not.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class HandOffUnfinished(TrackerUnavailable):
    """A hand-off is in force here, and its ticket system did not take it. The message is safe to show."""


class HolderUnavailable(Unavailable):
    """A place outside that keeps checkpoints did not answer, refused, or said what cannot be used."""


class HolderBehind(HolderUnavailable):
    """A place that keeps checkpoints holds nothing, or an older one than it was told of."""


class FeedUnavailable(Unavailable):
    """What a feed sent is not known to have arrived, so it is sent again.

    ``retry_after_s``: the receiver asked to be left alone for so long; 0 where it did not.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StateUnavailable(Unavailable):
    """The state database cannot be read or written."""


class LedgerUnavailable(Unavailable):
    """The ledger did not confirm that an entry is durable."""


class LedgerFull(LedgerUnavailable):
    """The ledger's queue or disk has no room."""
