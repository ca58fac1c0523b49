"""``demo``: the whole thing on one machine, with sample data and nothing to set up."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from gateway import operations
from gateway.app import Gateway, build
from gateway.cli.context import Operation
from gateway.clock import Clock
from gateway.demo.stores import sample_stores
from gateway.demo.tour import STEPS, Outcome, walk
from gateway.demo.world import PRIYA, World, make_world
from gateway.errors import UsageError
from gateway.ledger import LedgerReader, verify

DOOR_PORT, CONTROL_PORT = 8080, 8081


@click.command()
@click.option("--once", is_flag=True, help="Exit after the tour.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the sample world here; a new temporary folder, removed at the end, unless given.",
)
@click.pass_obj
def demo(operation: Operation, once: bool, directory: Path | None) -> int:
    """The whole thing on one machine, with sample data: a tour through every rule, then it stays up to be tried."""
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty; name a new folder, or leave --directory out")
    operations.configure_logging("warning", "auto")
    place = directory or Path(tempfile.mkdtemp(prefix="residency-gateway-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        return operations.run(_demo(place, operation.clock, once=once))
    finally:
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)


async def _demo(directory: Path, clock: Clock, *, once: bool) -> int:
    console = Console()
    ports = (0, 0) if once else (_port(DOOR_PORT), _port(CONTROL_PORT))
    async with sample_stores(directory / "ftp-site") as addresses:
        world = make_world(directory, addresses, clock=clock, ports=ports)
        async with build(world.settings, clock=clock) as gateway:
            outcomes = await _tour(world, gateway, console)
            verified = _report(outcomes, world, console)
            if not once:
                _invite(world, gateway, console)
                await _until_interrupted()
        world.state.close()
    return 0 if verified and all(outcome.as_expected for outcome in outcomes) else 1


async def _tour(world: World, gateway: Gateway, console: Console) -> list[Outcome]:
    base_url = f"http://127.0.0.1:{gateway.door_port}"
    outcomes = []
    with (
        LedgerReader(world.settings.ledger.path) as reader,
        Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress,
    ):
        task = progress.add_task("", total=len(STEPS))
        steps = walk(
            world,
            base_url,
            lambda decision: next(iter(reader.show(decision)), None),
            changed=gateway.rooms.follower.poll,
            now_us=gateway.rooms.clock.now_us,
        )
        async for outcome in steps:
            outcomes.append(outcome)
            progress.update(task, advance=1, description=outcome.step.title)
    return outcomes


def _report(outcomes: list[Outcome], world: World, console: Console) -> bool:
    table = Table(title="Real requests through the gateway; people, customers and data are samples", title_style="bold")
    for column in ("", "who", "from", "what", "ticket", "status", "verdict", "rule"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    console.print(table)
    report = verify(world.settings.ledger.path)
    mark = "[green]verified[/]" if report.verified else "[red]NOT verified[/]"
    console.print(f"Ledger: {report.entries} entries, {mark}, root {report.root[:16]}…")
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    for outcome in wrong:
        console.print(
            f"[red]unexpected:[/] {outcome.step.title}: {outcome.rule}, expected {', '.join(outcome.step.expected)}"
        )
    console.print(f"{len(outcomes) - len(wrong)} of {len(outcomes)} requests were answered as the contract says.")
    return report.verified


def _cells(outcome: Outcome) -> tuple[str, ...]:
    step = outcome.step
    colour = "green" if outcome.entry.get("effect") == "permit" else "red"
    return (
        step.title,
        f"{step.person.name} ({', '.join(step.person.roles) or step.person.customer})" if step.signed_in else "–",
        step.person.place,
        f"{step.method} {step.path}",
        step.ticket,
        str(outcome.status),
        f"[{colour}]{outcome.entry.get('effect', '?')}[/]",
        outcome.rule if outcome.as_expected else f"[bold red]{outcome.rule}[/]",
    )


def _invite(world: World, gateway: Gateway, console: Console) -> None:
    door, control = f"http://127.0.0.1:{gateway.door_port}", f"http://127.0.0.1:{gateway.control_port}"
    console.print(f"\n[bold]It stays up.[/] Doors {door}   control {control}/readyz   {control}/metrics\n")
    console.print("Try it from another terminal (the forwarding header stands for where the caller is):\n")
    lines = (
        *_path_line(),
        f"export RESIDENCY_GATEWAY_CONFIG={world.config}",
        f"TOKEN=$(residency-gateway token {PRIYA.name} --roles {','.join(PRIYA.roles)})",
        f'curl -i -H "Authorization: Bearer $TOKEN" -H "X-Forwarded-For: {PRIYA.address}" {door}/conversations/acme/7',
        f'curl -i -H "Authorization: Bearer $TOKEN" -H "X-Forwarded-For: 10.20.0.7" {door}/conversations/acme/7',
        "residency-gateway ledger tail",
        "residency-gateway check --subject priya --roles engineer --from 49.36.0.1 --path /conversations/acme/7",
    )
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print("\nCtrl-C ends it.")


def _path_line() -> tuple[str, ...]:
    """What makes a shell find this command, where it does not yet."""
    return () if shutil.which("residency-gateway") else (f'export PATH="{Path(sys.executable).parent}:$PATH"',)


async def _until_interrupted() -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()


def _port(wanted: int) -> int:
    """The usual port, or 0 for any when somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted
