"""``serve``: run the gateway from a configuration."""

from __future__ import annotations

import os

import click

from gateway import operations
from gateway.app import Gateway
from gateway.app import serve as run
from gateway.cli.context import Operation
from gateway.holders import holders
from gateway.identity.ssh_certificates import UserCa
from gateway.ledger.signing import SigningKey
from gateway.proxy.listener_tls import ListenerTls
from gateway.proxy.upstream_tls import require_files
from gateway.rooms import open_rooms, require_key_files, require_stores_at_home
from gateway.settings import Source
from gateway.trackers import tracked_tickets


@click.command()
@click.option("--check-config", is_flag=True, help="Validate everything that starting would need, and exit.")
@click.option("--config", "config", type=click.Path(dir_okay=False), help="The configuration file.")
@click.pass_obj
def serve(operation: Operation, check_config: bool, config: str | None) -> None:
    """Run the gateway until SIGTERM or SIGINT. SIGHUP, and a changed file, reload the configuration."""
    if config is not None:
        operation.use(config)
    settings = operation.settings
    if check_config:
        rooms = open_rooms(operation.settings_to_read, clock=operation.clock)
        require_stores_at_home(rooms)
        require_key_files(rooms)
        ListenerTls.of(settings.gateway.tls)
        require_files(settings.store)
        tracked_tickets(settings, operation.clock)
        holders(settings, rooms.state)
        SigningKey.of(settings.ledger, settings.ledger_origin).signer()
        if settings.doors.sftp and settings.doors.sftp.user_ca:
            UserCa.of(settings.doors.sftp.user_ca)
        rooms.state.close()
        click.echo(
            f"{operation.config_path}: ok "
            f"({rooms.policy.version}; {len(settings.route)} routes, {len(settings.store)} stores)"
        )
        return
    operations.configure_logging(settings.gateway.log_level, settings.gateway.log_format)
    source = Source(operation.config_path, os.environ)
    operations.run(run(settings, ready=_announce, clock=operation.clock, source=source))


def _announce(gateway: Gateway) -> None:
    settings = gateway.rooms.settings.gateway
    operations.log.info("listening", doors=settings.listen, control=settings.control, node=settings.node)
