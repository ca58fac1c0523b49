"""A group of commands of which only the one that is called is imported: the whole gateway takes longer than most of
them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """See the module.

    Args:
        modules: of this package; each has a command of its own name.
    """

    def __init__(self, *arguments: Any, modules: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._modules = sorted(modules)

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return self._modules

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in self._modules:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{name}"), name)
        _take_config(command)
        return command


def _take_config(command: click.Command) -> None:
    """``--config`` after a command, too, and after those within it."""
    if not any("--config" in parameter.opts for parameter in command.params):
        path = click.Path(dir_okay=False)
        how = "The configuration file; before the command it says the same."
        command.params.append(
            click.Option(["--config"], type=path, expose_value=False, callback=_use, is_eager=True, help=how)
        )
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        _take_config(inner)


def _use(context: click.Context, _parameter: click.Parameter, config: str | None) -> None:
    if config is not None:
        context.obj.use(config)
