"""What every command needs, opened when first asked for: settings, state, the ledger, and who is at the keyboard.

What few commands need and takes long to import, such as Cedar and aiohttp, is imported where it is needed.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import tempfile
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import SecretStr

from gateway.acts import Actor, Homeward, Office
from gateway.cli.values import LINE
from gateway.clock import SECOND_US, Clock, SystemClock, parse_rfc3339
from gateway.errors import ConfigurationError, LedgerUnavailable, NotFound, StateUnavailable, UsageError
from gateway.justification import Answer, Ticket, owners
from gateway.justification.requests import COMMAND_LINE
from gateway.ledger.entry import administrative
from gateway.ledger.pseudonyms import BEGIN_ACT, OBJECT, Pseudonyms, require_own
from gateway.ledger.writer import LedgerWriter
from gateway.settings import Settings, load
from gateway.storage import StateStore

if TYPE_CHECKING:
    from gateway.ledger.checkpoints import Voucher
    from gateway.ledger.holding import Holder
    from gateway.ledger.notary import Notary

DEFAULT_CONFIG = Path("config/gateway.toml")
SQLITE = "sqlite:///"
_BEGIN = "name a configuration (--config FILE or RESIDENCY_GATEWAY_CONFIG), and begin with `customers add` or `serve`"
_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_SPAN_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
Answers = TypeVar("Answers")
Command = TypeVar("Command", bound=Callable[..., Any])


class Operation:
    """One run of the command line.

    It makes neither a state nor a ledger, but for a command that :meth:`begin` lets.

    Args:
        config: the file named on the command line or in the environment, if any.
        environ: the environment, for secrets that the configuration takes from it.
        tells: whether it says which file it uses where none is named.

    Attributes:
        written: the administrative entries that this run wrote down.
    """

    def __init__(self, config: Path | None, environ: Mapping[str, str], *, tells: bool = True) -> None:
        self.clock: Clock = SystemClock()
        self._tells = tells
        self._begins = False
        self._config = config
        self._environ = environ
        self.written: list[Mapping[str, Any]] = []
        self._closing: list[Callable[[], None]] = []

    def use(self, config: str) -> None:
        """Name the configuration file, in place of what the environment said."""
        self._config = Path(config)

    @property
    def config_path(self) -> Path:
        """The configuration file in use.

        Raises:
            ConfigurationError: none is named, and none stands in the usual place.
        """
        path = self._config or DEFAULT_CONFIG
        if self._config is None and not path.exists():
            how = "name one with --config FILE or RESIDENCY_GATEWAY_CONFIG"
            raise ConfigurationError([f"no configuration: {how} ({path} does not exist here)"])
        return path

    @cached_property
    def settings(self) -> Settings:
        path = self.config_path
        if self._config is None and self._tells:
            click.echo(f"using {path}", err=True)
        return load(path, self._environ)

    @cached_property
    def settings_to_read(self) -> Settings:
        """The settings for whoever only reads: in place of a state that is not there yet, an empty one, soon gone."""
        settings = self.settings
        if self._state_path.exists() or self._begins:
            return settings
        nowhere = tempfile.TemporaryDirectory(prefix="residency-gateway-")
        self._closing.append(nowhere.cleanup)
        empty = settings.state.model_copy(update={"url": SecretStr(f"{SQLITE}{nowhere.name}/gateway.db")})
        return settings.model_copy(update={"state": empty})

    @property
    def _state_path(self) -> Path:
        return Path(self.settings.state.url.get_secret_value().removeprefix(SQLITE))

    def begin(self) -> None:
        """Let this command make a state and a ledger where there are none.

        Raises:
            UsageError: there is none, and no configuration is named: it would be that of the example.
        """
        if self._config is None and not self._state_path.exists():
            raise UsageError(f"{self.config_path} has no state yet; {_BEGIN}")
        self._begins = True

    @cached_property
    def state(self) -> StateStore:
        store = StateStore(self.settings_to_read.state.url.get_secret_value(), self.clock)
        self._closing.append(store.close)
        return store

    @cached_property
    def ledger(self) -> LedgerWriter:
        """The ledger, to write.

        Raises:
            LedgerUnavailable: there is none, or it cannot be opened.
        """
        path = self.settings.ledger.path
        if not path.exists() and not self._begins:
            raise LedgerUnavailable(f"there is no ledger at {path} yet; {_BEGIN}")
        pseudonyms = Pseudonyms.of(self.settings.ledger)
        writer = LedgerWriter(path, pseudonyms)
        self._closing.append(writer.close)
        if pseudonyms:
            self._begin_pseudonyms(pseudonyms, writer)
        return writer

    def _begin_pseudonyms(self, pseudonyms: Pseudonyms, writer: LedgerWriter) -> None:
        """See :func:`gateway.ledger.pseudonyms.require_own`."""
        new = require_own(pseudonyms, self.settings.ledger.path)
        if new:
            node = self.settings.gateway.node
            writer.append(
                administrative(
                    clock=self.clock, node=node, actor="gateway", act=BEGIN_ACT, subject=OBJECT, details={"keys": new}
                )
            )

    @cached_property
    def pseudonyms(self) -> Pseudonyms | None:
        """To read the ledger with; None where nobody ever had one."""
        return Pseudonyms.to_read(self.settings.ledger)

    @cached_property
    def notary(self) -> Notary:
        """Who signs the ledger; blocking, and for the thread that opened it."""
        from gateway.ledger.notary import Notary
        from gateway.ledger.signing import SigningKey

        settings = self.settings
        key = SigningKey.of(settings.ledger, settings.ledger_origin)
        node = settings.gateway.node
        return Notary(settings.ledger.path, self.ledger, key, clock=self.clock, node=node, said=self._said)

    async def ask_holders(self, ask: Callable[[Sequence[Holder], Voucher], Awaitable[Answers]]) -> Answers:
        """Ask whoever holds checkpoints outside."""
        from gateway.holders import holders
        from gateway.ledger.checkpoints import Voucher

        async def keep(size: int, name: str, line: str) -> None:
            self.ledger.keep_cosignature(size, name, line)

        found = holders(self.settings, self.state)
        try:
            return await ask(found, Voucher(self.notary, keep))
        finally:
            for holder in found:
                await holder.close()

    @cached_property
    def office(self) -> Office:
        """What acts work with.

        Raises:
            StateUnavailable: there is no state yet.
        """
        from gateway.policy.roles import load_roles

        settings = self.settings
        if not self._state_path.exists() and not self._begins:
            raise StateUnavailable(f"there is no state at {self._state_path} yet; {_BEGIN}")
        return Office.of(
            settings,
            state=self.state,
            record=self._write_down,
            clock=self.clock,
            roles=load_roles(settings.policy.directory / "roles.toml"),
            country_of=_work_countries(settings.identity.workforce),
            elsewhere=lambda ticket: self.ticket(ticket) if self.owner(ticket) else None,
            homeward=self._homeward,
        )

    def actor(self, name: str) -> Actor:
        """The operator, for whom they act.

        Raises:
            UsageError: for nobody.
        """
        if not name.strip():
            raise UsageError("--as names nobody; expected for whom you act")
        return Actor(unicodedata.normalize("NFC", name), operator=True, via=self.via)

    @property
    def via(self) -> str:
        """Whose account really acts: ``--as`` may name anybody, so the record tells."""
        return f"{COMMAND_LINE}{account()}@{self.settings.gateway.node}"

    @property
    def _said(self) -> dict[str, str]:
        """What the record tells of whoever is at the keyboard, beside for whom they act."""
        return Actor("", operator=True, via=self.via).said()

    def owners(self, ticket: str) -> list[str]:
        """The trackers that an id belongs to."""
        if not self.settings.tracker:
            return []
        return owners(self.settings, ticket)

    def owner(self, ticket: str) -> str:
        """The tracker that is asked for this id; "" where it is a ticket of the embedded desk, or pushed to it.

        Raises:
            UsageError: it belongs to several trackers.
        """
        found = self.owners(ticket)
        if len(found) > 1:
            raise UsageError(f"{ticket} belongs to several trackers ({', '.join(found)}); make their patterns differ")
        return next((one.name for one in self.settings.tracker if [one.name] == found and one.kind != "webhook"), "")

    def said(self, tracker: str, ticket: str) -> Answer:
        """What a tracker says of an id at this moment; nothing of it is kept.

        Raises:
            TrackerUnavailable: it does not say.
            UsageError: the embedded desk has a ticket with this id, too.
        """
        from gateway.trackers import find

        if self.state.find(Ticket, ticket):
            raise UsageError(f"{ticket} is a ticket both here and of the tracker {tracker}, so it justifies nothing")
        return find(self.settings, self.clock, tracker, ticket)

    def ticket(self, ticket: str) -> Ticket:
        """A ticket, as it is here or, where it belongs to a tracker, there.

        Raises:
            NotFound: there is none, or none that can be used.
            TrackerUnavailable: its tracker does not say.
        """
        tracker = self.owner(ticket)
        if not tracker:
            return self.state.get(Ticket, ticket)
        answer = self.said(tracker, ticket)
        if answer.ticket is None:
            raise NotFound(answer.problem)
        return answer.ticket

    def _homeward(self, ticket: str) -> Homeward | None:
        from gateway.trackers import hand_off, require_handed_off

        tracker = self.owner(ticket)
        if not tracker or self.state.find(Ticket, ticket) is not None:
            return None
        require_handed_off(self.settings, tracker, ticket)
        return Homeward(lambda: self.ticket(ticket), lambda: hand_off(self.settings, self.clock, tracker, ticket))

    def own_ticket(self, ticket: str) -> Ticket:
        """A ticket that can be changed here.

        Raises:
            NotFound: there is none.
            UsageError: it belongs to a tracker.
        """
        tracker = self.owner(ticket)
        if tracker:
            raise UsageError(f"{ticket} is a ticket of the tracker {tracker}; change it there")
        return self.state.get(Ticket, ticket)

    def record(self, act: str, subject: str, *, actor: str, **details: str | int | bool | list[str]) -> None:
        """Write down that the record is read, before it is.

        Args:
            act: such as ``ledger.search``.
            subject: what is read, by id.
            actor: who reads.
            details: what else evidence needs.
        """
        self._write_down(self.entry(act, subject, actor=actor, **details))

    def entry(
        self, act: str, subject: str, *, actor: str, **details: str | int | bool | list[str]
    ) -> Mapping[str, object]:
        """The entry of an act by the operator, for whom they act."""
        node = self.settings.gateway.node
        return administrative(
            clock=self.clock, node=node, actor=actor, act=act, subject=subject, details={**details, **self._said}
        )

    def _write_down(self, entry: Mapping[str, object]) -> None:
        self.ledger.append(entry)
        self.written.append(entry)

    def close(self) -> None:
        while self._closing:
            self._closing.pop()()


def account() -> str:
    """The operating system's name of whoever runs this; the environment, which anybody sets, has no say."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def acting(command: Command) -> Command:
    """``--as NAME``: for whom the operator acts; the operator's own name unless given."""
    return click.option(
        "--as", "actor", type=LINE, default=getpass.getuser, show_default="you", help="For whom you act."
    )(command)


def as_json(command: Command) -> Command:
    """``--json``: for scripts."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)


def seconds(text: str) -> int:
    """A span such as ``4h`` or ``1d12h`` in seconds.

    Raises:
        UsageError: it is not one.
    """
    parts = _SPAN.findall(text)
    if not parts or _SPAN.sub("", text).strip():
        raise UsageError(f"{text!r} is not a span of time; expected one such as 30m, 4h or 2d")
    return sum(int(count) * _SPAN_S[unit] for count, unit in parts)


def later_us(text: str, now_us: int) -> int:
    """The instant that a span from now (``4h``) or a time (RFC 3339) names.

    Raises:
        UsageError: it is neither.
    """
    try:
        return parse_rfc3339(text) if "T" in text else now_us + seconds(text) * SECOND_US
    except ValueError:
        expected = "expected a span such as 4h, or a time such as 2026-03-01T09:00:00Z"
        raise UsageError(f"got {text!r}; {expected}") from None


def instant_us(text: str) -> int:
    """The instant that a time (RFC 3339) names.

    Raises:
        UsageError: it is none.
    """
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise UsageError(f"got {text!r}; expected a time such as 2026-03-01T09:00:00Z") from None


def _work_countries(directory: Path | None) -> Callable[[str], str]:
    if directory is None:
        return lambda _subject: ""
    from gateway.identity import Workforce

    return Workforce(directory).country_of
