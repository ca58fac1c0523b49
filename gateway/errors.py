"""Everything that can go wrong, as one tree.

    GatewayError
    ├── ConfigurationError      the operator wrote something impossible (exit 2)
    ├── PolicyError             the policy directory cannot be used (exit 2)
    ├── UsageError              a command was asked for something impossible (exit 2)
    ├── NotFound                the thing named does not exist (exit 1)
    ├── Unauthenticated         no principal can be established from what was sent (401)
    ├── Malformed               the request cannot be given one meaning (400)
    └── Unavailable             something needed is out of reach (503, exit 3)
        ├── KeySetUnavailable   an issuer's keys cannot be had
        ├── LocationUnavailable a location database cannot be read
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
    """A command or call was asked for something impossible."""


class NotFound(GatewayError):
    """What was named does not exist."""


class Unauthenticated(GatewayError):
    """The credentials do not establish a principal. The message is safe to show."""


class Malformed(GatewayError):
    """The request can be read in more than one way, so it is not read at all."""


class Unavailable(GatewayError):
    """Something that a decision needs is out of reach: nothing may pass."""


class KeySetUnavailable(Unavailable):
    """No usable key set of an issuer is at hand."""


class LocationUnavailable(Unavailable):
    """A location database is missing, damaged or of the wrong kind."""


class StateUnavailable(Unavailable):
    """The state database cannot be read or written."""


class LedgerUnavailable(Unavailable):
    """The ledger did not confirm that an entry is durable."""


class LedgerFull(LedgerUnavailable):
    """The ledger's queue or disk has no room."""
