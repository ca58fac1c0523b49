"""What a shell offers when an id is begun: those of the state at hand, a bounded number of them, and never an error."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from gateway.cli.context import Operation
from gateway.errors import GatewayError
from gateway.storage.ids import MAX_IDS, known_ids

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def ids(*kinds: type[Any], **equal: str | int) -> Completer:
    """Completes ids of these kinds of nouns, of those whose fields equal these."""

    def known(operation: Operation, begun: str) -> list[str]:
        url = operation.settings.state.url.get_secret_value()
        return [key for kind in kinds for key in known_ids(url, kind, begun, equal)]

    return _completer(known)


def data_classes() -> Completer:
    """Completes the data classes that routes name."""
    return _completer(lambda operation, begun: _begun((route.data_class for route in operation.settings.route), begun))


def channels() -> Completer:
    """Completes the channels that notices go to."""
    return _completer(lambda operation, begun: _begun((one.name for one in operation.settings.notification), begun))


def _begun(names: Iterable[str], begun: str) -> list[str]:
    return sorted({name for name in names if name.startswith(begun)})


def _completer(known: Callable[[Operation, str], list[str]]) -> Completer:
    """Nothing is offered where the configuration or the state cannot be read."""

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        try:
            found = known(Operation(context.find_root().params.get("config"), os.environ, tells=False), begun)
        except (GatewayError, sqlite3.Error, OSError, ValueError):
            return []
        return [CompletionItem(key) for key in found[:MAX_IDS]]

    return complete
