"""Which data, and to do what with it: the same options wherever access is asked for or given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.catalog import Action
from gateway.cli.completion import data_classes

Command = TypeVar("Command", bound=Callable[..., Any])


def scope_options(command: Command) -> Command:
    """``--data-class`` and ``--action``, each as often as is needed."""
    for option in (
        click.option(
            "--action",
            "actions",
            multiple=True,
            type=click.Choice([action.value for action in Action]),
            default=["read"],
            show_default=True,
            help="To do what; several may be given.",
        ),
        click.option(
            "--data-class",
            "data_classes",
            multiple=True,
            required=True,
            help="Which data; several may be given.",
            shell_complete=data_classes(),
        ),
    ):
        command = option(command)
    return command
