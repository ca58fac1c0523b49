"""The command line: one file for each noun, and one place that turns errors into exit statuses.

0 done; 1 the answer is "no" (denied, not verified, not found); 2 wrong use or wrong configuration; 3 something needed
is out of reach.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gateway.cli.context import Operation
from gateway.cli.lazy_group import LazyGroup
from gateway.errors import ConfigurationError, GatewayError, NotFound, Unavailable, UsageError
from gateway.letters import shown
from gateway.operations import configure_logging

CONFIG_VARIABLE = "RESIDENCY_GATEWAY_CONFIG"
COMMANDS = (
    "access",
    "authorizations",
    "check",
    "customers",
    "demo",
    "doctor",
    "feeds",
    "geo",
    "ledger",
    "notifications",
    "policy",
    "serve",
    "tickets",
    "token",
)


@click.group(
    cls=LazyGroup,
    modules=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--config",
    "config",
    envvar=CONFIG_VARIABLE,
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The configuration file; or set {CONFIG_VARIABLE}.",
)
@click.version_option(package_name="residency-gateway")
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """A data-residency access gateway: who, from where, for what and why; written down; and only then the bytes."""
    context.obj = Operation(config, os.environ)
    context.call_on_close(context.obj.close)


def main() -> None:
    """Run a command and exit with its status. What is logged meanwhile goes to stderr; ``serve`` says how much."""
    configure_logging("warning", "auto")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command; its exit status."""
    try:
        result = cli.main(arguments, prog_name="residency-gateway", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has read enough
        return 0
    except GatewayError as error:
        for line in str(error).splitlines():
            click.echo(f"residency-gateway: {shown(line)}", err=True)
        return status_of(error)


def status_of(error: GatewayError) -> int:
    """The exit status of an error."""
    if isinstance(error, (ConfigurationError, UsageError)):
        return 2
    if isinstance(error, NotFound):
        return 1
    return 3 if isinstance(error, Unavailable) else 1
