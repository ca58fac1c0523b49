"""``ledger checkpoint``, ``ledger key``, ``ledger rotate-key`` and ``ledger accept-holder``: signing the record, who
signs it, and who holds what was signed.

Each works beside a running gateway and without one. A checkpoint is no reading of the record, so taking one is not
recorded; a key is, for its entry is what makes it count, and so is a holder that counts as new.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import click

from gateway.cli.context import Operation, account, acting, as_json
from gateway.cli.values import LINE
from gateway.errors import ConfigurationError, GatewayError, HolderBehind, LedgerContradicted, NotFound, UsageError
from gateway.files import replace_file
from gateway.ledger.checkpoints import begin, examine, hand_out
from gateway.ledger.evidence import evidence
from gateway.ledger.keys import parse_private
from gateway.ledger.notary import size_of
from gateway.ledger.note import Checkpoint, split

Outcomes = Mapping[str, GatewayError | None]


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file, in place of stdout.")
@click.option("--push", is_flag=True, help="Hand it to every holder at once, and say which took it.")
@as_json
@click.pass_obj
def checkpoint(operation: Operation, output: Path | None, push: bool, as_json: bool) -> int:
    """Sign the record as it is now, and print the signed note.

    Every holder is asked first, as at a start: nothing is signed when one contradicts the ledger (exit status 1), or a
    required one cannot be asked (3). With --push, exit status 3 also when one cannot be told.
    """
    failing = _begin(operation, account())
    note = operation.notary.checkpoint()
    told = asyncio.run(operation.ask_holders(lambda found, ours: hand_out(found, note, ours))) if push else {}
    if output:
        _write(output, note)
    if as_json:
        click.echo(json.dumps(_described(note, told, output)))
    elif output:
        click.echo(f"{output}: a checkpoint over {size_of(note)} entries")
    else:
        click.echo(note, nl=False)
    for line in [str(error or f"{name}: holds it") for name, error in told.items()] if push else failing:
        click.echo(line, err=True)
    return _status(told)


@click.command("key")
@as_json
@click.pass_obj
def key(operation: Operation, as_json: bool) -> None:
    """The keys that sign the record, the present one last: what an auditor needs to verify checkpoints."""
    with evidence(operation.settings.ledger.path, operation.settings.ledger_origin) as found:
        keys = found.keys
    if not keys and not as_json:
        click.echo("the ledger names no key yet; start a gateway, or take a checkpoint", err=True)
    for one in keys:
        said = {"key": str(one.verifier), "sequence": one.sequence, "present": one is keys[-1]}
        click.echo(json.dumps(said) if as_json else str(one.verifier))


@click.command("rotate-key")
@click.option(
    "--new-key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The next key, in PEM; a new one is made unless given.",
)
@acting
@as_json
@click.pass_obj
def rotate_key(operation: Operation, new_key: Path | None, actor: str, as_json: bool) -> None:
    """Let another key sign the record from now on.

    An entry that both keys sign says so. The old key stays beside the new one; a running gateway takes the new one into
    use by itself. Every holder of checkpoints is asked first, as at a start.
    """
    by = operation.actor(actor).name
    for line in _begin(operation, by):
        click.echo(line, err=True)
    signing = operation.notary.key
    given = parse_private(_text(new_key), signing.origin, str(new_key)) if new_key else None
    old, new = operation.notary.rotate(by, given)
    if as_json:
        click.echo(json.dumps({"key": str(new.verifier), "previous": str(old)}))
        return
    click.echo(str(new.verifier))
    if signing.file:
        click.echo(f"it is in {signing.file}; the one before it is in {signing.former(old)}", err=True)
    else:
        click.echo("put it in the place of ledger.signing_key, and restart: nothing is signed until then", err=True)


@click.command("accept-holder")
@click.argument("name", type=LINE)
@click.option("--reason", required=True, type=LINE, help="Why it has less than it was told of.")
@acting
@as_json
@click.pass_obj
def accept_holder(operation: Operation, name: str, reason: str, actor: str, as_json: bool) -> None:
    """Take a holder that has lost what it was told of for a new one.

    It is told of the next checkpoint. Look first at why it is empty: it may be a disk that is not mounted, or somebody
    who takes away what shows that the record was put back. An entry says who accepted it, and why.
    """
    from gateway.holders import memory_of

    by = operation.actor(actor).name
    known = [holder.name for holder in operation.settings.ledger.holder]
    if name not in known:
        raise NotFound(f"there is no holder {name!r}; expected a [[ledger.holder]]: {', '.join(known) or 'none'}")
    _require_behind(name, asyncio.run(operation.ask_holders(examine)))
    memory = memory_of(operation.settings, operation.state, name)
    told = asyncio.run(memory.told())
    operation.record("ledger.accept_holder", name, actor=by, told=told, reason=reason)
    asyncio.run(memory.forget())
    if as_json:
        click.echo(json.dumps({"holder": name, "told": told}))
    else:
        click.echo(f"{name} counts as new; it was told of {told} entries, and is told of the next checkpoint")


def _require_behind(name: str, found: Outcomes) -> None:
    """Make sure that this holder has lost what it was told, and that nobody contradicts the ledger."""
    for error in found.values():
        if isinstance(error, LedgerContradicted):
            raise error
    if error := found[name]:
        if not isinstance(error, HolderBehind):
            raise error
    else:
        raise UsageError(f"{name} has what it was told of; there is nothing to accept")


def _begin(operation: Operation, actor: str) -> list[str]:
    """Sign nothing that contradicts what is held outside, and see to it that the ledger names its key, as a start does.

    Returns:
        Why holders that are not required cannot be asked.
    """

    async def establish() -> None:
        operation.notary.establish(actor)

    return list(asyncio.run(operation.ask_holders(lambda found, ours: begin(found, ours, establish))).values())


def _described(note: str, told: Outcomes, output: Path | None) -> dict[str, object]:
    text, signatures = split(note)
    found = Checkpoint.parse(text)
    described: dict[str, object] = {
        "origin": found.origin,
        "size": found.size,
        "root": found.root.hex(),
        "key": signatures[0][1].hex(),
        "note": note,
    }
    if output:
        described["output"] = str(output)
    if told:
        described["holders"] = [{"holder": name, "problem": str(error or "")} for name, error in told.items()]
    return described


def _status(told: Outcomes) -> int:
    if any(isinstance(error, LedgerContradicted) for error in told.values()):
        return 1
    return 3 if any(told.values()) else 0


def _write(output: Path, note: str) -> None:
    try:
        replace_file(output, note)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: the key cannot be read ({type(error).__name__})"]) from error
