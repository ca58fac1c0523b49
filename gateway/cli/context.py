"""What every command needs, opened when first asked for: settings, state, the ledger, and who is at the keyboard."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigurationError, UsageError
from gateway.ledger import LedgerWriter, administrative
from gateway.settings import Settings, load
from gateway.storage import StateStore

DEFAULT_CONFIG = Path("config/gateway.toml")
_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_SPAN_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
Command = TypeVar("Command", bound=Callable[..., Any])


class Operation:
    """One run of the command line.

    Args:
        config: the file named on the command line or in the environment, if any.
        environ: the environment, for secrets that the configuration takes from it.
    """

    def __init__(self, config: Path | None, environ: Mapping[str, str]) -> None:
        self.clock: Clock = SystemClock()
        self._config = config
        self._environ = environ
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
        return load(self.config_path, self._environ)

    @cached_property
    def state(self) -> StateStore:
        store = StateStore(self.settings.state.url.get_secret_value(), self.clock)
        self._closing.append(store.close)
        return store

    @cached_property
    def ledger(self) -> LedgerWriter:
        writer = LedgerWriter(self.settings.ledger.path)
        self._closing.append(writer.close)
        return writer

    def record(self, act: str, subject: str, *, actor: str, **details: str | int | bool | list[str]) -> None:
        """Write an administrative act down; done before the act itself, so that none is without a record.

        Args:
            act: such as ``grant.approve``.
            subject: what it is done to, by id.
            actor: who does it.
            details: what else evidence needs.
        """
        self.ledger.append(
            administrative(
                clock=self.clock,
                node=self.settings.gateway.node,
                actor=actor,
                act=act,
                subject=subject,
                details=details,
            )
        )

    def close(self) -> None:
        while self._closing:
            self._closing.pop()()


def acting(command: Command) -> Command:
    """``--as NAME``: for whom the operator acts; the operator's own name unless given."""
    return click.option("--as", "actor", default=getpass.getuser, show_default="you", help="For whom you act.")(command)


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
