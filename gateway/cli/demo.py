"""``demo``: the whole thing on one machine, with sample data and nothing to set up."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from gateway import operations
from gateway.acts import Office
from gateway.app import Gateway, build
from gateway.cli.context import Operation
from gateway.cli.output import print_rows
from gateway.clock import Clock, rfc3339
from gateway.demo import transfers
from gateway.demo.stores import sample_stores
from gateway.demo.tour import STEPS, Outcome, walk
from gateway.demo.world import PRIYA, World, make_world
from gateway.errors import UsageError
from gateway.justification import QUEUE_AT_HOME, Ticket
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify
from gateway.settings import Source

DOOR_PORT, CONTROL_PORT, FTP_PORT, SFTP_PORT = 8080, 8081, 2121, 2222


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
    place = directory or Path(tempfile.mkdtemp(prefix="residency-gateway-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        return operations.run(_demo(place, operation.clock, once=once))
    finally:
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)


async def _demo(directory: Path, clock: Clock, *, once: bool) -> int:
    console = Console()
    door, control, ftp, sftp = (0 if once else _port(port) for port in (DOOR_PORT, CONTROL_PORT, FTP_PORT, SFTP_PORT))
    async with sample_stores(directory / "ftp-site") as addresses:
        world = make_world(directory, addresses, clock=clock, ports=(door, control))
        world = transfers.with_doors(world, (ftp, sftp))
        source = Source(world.config, os.environ)
        async with build(world.settings, clock=clock, source=source) as gateway:
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
        task = progress.add_task("", total=len(STEPS) + len(transfers.STEPS))
        office = _office(world, gateway)
        requests = walk(
            world,
            base_url,
            lambda decision: next(iter(reader.show(decision)), None),
            office=office,
            changed=gateway.rooms.follower.poll,
        )
        await asyncio.to_thread(transfers.sample_account, office)
        control = f"http://127.0.0.1:{gateway.control_port}"
        moved = transfers.walk(world, gateway.transfer_ports, control, lambda method: _last(reader, method))
        for steps in (requests, moved):
            async for outcome in steps:
                outcomes.append(outcome)
                progress.update(task, advance=1, description=outcome.step.title)
    return outcomes


def _last(reader: LedgerReader, method: str) -> dict[str, object] | None:
    latest = reader.search(Query(kind="decision", customer="acme", newest_first=True))
    return next((entry for entry in latest if entry["method"] == method), None)


def _office(world: World, gateway: Gateway) -> Office:
    """For acts in a thread, beside the loop in which the gateway runs."""
    loop = asyncio.get_running_loop()

    def record(entry: Mapping[str, object]) -> object:
        appending = asyncio.run_coroutine_threadsafe(gateway.ledger.append(entry), loop)
        return appending.result(world.settings.ledger.commit_timeout_s)

    return Office.of(
        world.settings,
        state=world.state,
        record=record,
        clock=gateway.rooms.clock,
        roles=gateway.rooms.policy.roles,
        country_of=lambda _subject: "",
    )


def _report(outcomes: list[Outcome], world: World, console: Console) -> bool:
    console.print("Real requests through the gateway; people, customers and data are samples\n", style="bold")
    print_rows(("", "status", "who", "from", "request", "rule", "ticket"), [_cells(outcome) for outcome in outcomes])
    console.print()
    for ticket in world.state.all(Ticket):
        if ticket.holder == QUEUE_AT_HOME:
            when = f"from {rfc3339(ticket.queued_until_us)}" if ticket.queued_until_us else "at once"
            console.print(
                f"In the queue of US analysts: {ticket.id}, severity {ticket.severity}, to be taken {when}.",
                soft_wrap=True,
            )
    report = verify(world.settings.ledger.path)
    mark = "[green]verified[/]" if report.verified else "[red]NOT verified[/]"
    console.print(f"Ledger: {report.entries} entries, {mark}, root {report.root[:16]}…", soft_wrap=True)
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    for outcome in wrong:
        console.print(
            f"[red]unexpected:[/] {outcome.step.title}: {outcome.rule}, expected {', '.join(outcome.step.expected)}",
            soft_wrap=True,
        )
    console.print(f"{len(outcomes) - len(wrong)} of {len(outcomes)} requests were answered as the contract says.")
    return report.verified


def _cells(outcome: Outcome) -> tuple[Text | str, ...]:
    """One line for each request: whether it passed, who asked from where, what for, and the rule that was shown."""
    step, passed = outcome.step, outcome.entry.get("effect") == "permit"
    return (
        Text("✓", style="green") if passed else Text("✗", style="red"),
        str(outcome.status or ""),
        step.person.name if step.signed_in else "nobody",
        step.person.place,
        f"{step.method} {step.path}",
        outcome.rule if outcome.as_expected else Text(outcome.rule, style="bold red"),
        step.ticket,
    )


def _invite(world: World, gateway: Gateway, console: Console) -> None:
    door, control = f"http://127.0.0.1:{gateway.door_port}", f"http://127.0.0.1:{gateway.control_port}"
    console.print(f"\n[bold]It stays up.[/] Doors {door}   control {control}/readyz   {control}/metrics\n")
    console.print("Try it from another terminal (the forwarding header stands for where the caller is):\n")
    for line in _lines(world.config, door):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print("\nThe files that customers put, by SFTP and by FTP over TLS:\n")
    for line in _transfer_lines(gateway.transfer_ports):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print("\nCtrl-C ends it.")


def _lines(config: Path, door: str) -> tuple[str, ...]:
    """What to try: denied abroad, permitted at home, and abroad with a bug's ticket."""
    ask = f'curl -i -H "Authorization: Bearer $TOKEN" -H "X-Forwarded-For: {PRIYA.address}"'
    who = f"--subject {PRIYA.name} --roles {','.join(PRIYA.roles)}"
    return (
        *_path_line(),
        f"export RESIDENCY_GATEWAY_CONFIG={config}",
        f"TOKEN=$(residency-gateway token {PRIYA.name} --roles {','.join(PRIYA.roles)})",
        f"{ask} {door}/conversations/acme/7",
        f"{ask.replace(PRIYA.address, '10.20.0.7')} {door}/conversations/acme/7",
        f'{ask} -H "Access-Ticket: BUG-9" {door}/conversations/acme/7    # its grant was revoked',
        f'{ask} -H "Access-Ticket: BUG-11" {door}/conversations/borealis/7    # two people approved',
        "residency-gateway ledger tail",
        f"residency-gateway check {who} --from {PRIYA.address} --path /conversations/acme/7 --ticket BUG-9",
    )


def _transfer_lines(ports: Mapping[str, int]) -> tuple[str, ...]:
    """What to try at the transfer doors, whose certificate and key nobody knows."""
    ask = f"curl --insecure --user {transfers.NIGHTLY.name}:{transfers.PASSWORD}"
    return (
        f"{ask} sftp://127.0.0.1:{ports['sftp']}/nightly.csv",
        f"{ask} --ssl-reqd ftp://127.0.0.1:{ports['ftp']}/",
    )


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
