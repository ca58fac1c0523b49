"""``ledger erase-subject`` and ``ledger replace-subject-keys``: a person is erased, and no entry changes."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import click

from gateway.acts.holds import holds_fixed
from gateway.cli.context import Operation, acting, as_json
from gateway.cli.ledger_choices import progress
from gateway.cli.output import tell
from gateway.cli.values import LINE
from gateway.errors import UsageError
from gateway.justification.requests import is_same
from gateway.ledger.entry import administrative
from gateway.ledger.erasure import Mentions, similar
from gateway.ledger.personal import ERASE_ACT
from gateway.ledger.pseudonyms import BEGIN_ACT, OBJECT, Pseudonyms, announced
from gateway.ledger.reader import LedgerReader
from gateway.ledger.writer import LedgerWriter
from gateway.letters import is_pseudonym, shown

ELSEWHERE = "the state, tickets' texts, notices, logs, exports and backups may name them still; see docs/ledger.md"


@click.command("erase-subject")
@click.argument("subject", type=LINE)
@click.option("--yes", is_flag=True, help="Without asking.")
@acting
@as_json
@click.pass_obj
def erase_subject(operation: Operation, subject: str, yes: bool, actor: str, as_json: bool) -> int:
    """Erase a person from the record, by destroying the key of their pseudonyms. It cannot be taken back.

    No entry changes, and everything verifies as before; nothing turns their pseudonyms back any more. What was
    recorded without pseudonyms names them for ever, and how much that is is said. Whoever comes again is somebody new.
    Exit status 1 when a legal hold covers an entry of theirs: then nothing is erased.
    """
    name = unicodedata.normalize("NFC", subject)
    if is_pseudonym(name):
        raise UsageError(f"{name} is a pseudonym; expected the person's name, as tokens have it")
    pseudonyms = operation.pseudonyms
    if pseudonyms is None:
        where = operation.settings.ledger.subject_keys
        raise UsageError(f"nobody has a pseudonym: ledger.pseudonymise is off, and there are no keys at {where}")
    by = operation.actor(actor).name
    token = pseudonyms.find(name)
    found = Mentions()
    _read(operation, found, name, token)
    others = similar(name, pseudonyms.keys.names(), is_same)
    if token and not yes:
        _confirm(name, found)
    holds: list[str] = []
    if token:
        with holds_fixed(operation.office.state) as in_force:  # none is placed meanwhile
            _read(operation, found, name, token)
            holds = found.held_by(in_force)
            if not holds:
                entries, in_clear = len(found.by_pseudonym), found.in_clear
                operation.record(ERASE_ACT, token, actor=by, entries=entries, in_clear=in_clear)
                pseudonyms.keys.destroy(name)
    _tell(name, token, found, holds, others, as_json=as_json)
    return 1 if holds else 0


@click.command("replace-subject-keys")
@acting
@as_json
@click.pass_obj
def replace_subject_keys(operation: Operation, actor: str, as_json: bool) -> None:
    """Begin another file of keys, in place of one that is lost: everybody whose key was in it is erased by that."""
    settings = operation.settings
    pseudonyms = Pseudonyms.of(settings.ledger)
    if pseudonyms is None:
        raise UsageError("ledger.pseudonymise is off, so no keys are needed; turn it on first")
    with LedgerReader(settings.ledger.path) as reader:
        lost = announced(reader)
    pseudonyms.keys.begin()
    new = pseudonyms.keys.state().id
    if new == lost or not lost:
        raise UsageError(f"the keys at {pseudonyms.keys.path} are the ledger's own; nothing is lost")
    who = operation.actor(actor)
    details: dict[str, Any] = {"keys": new, "lost": lost, **who.said()}
    entry = administrative(
        clock=operation.clock,
        node=settings.gateway.node,
        actor=who.name,
        act=BEGIN_ACT,
        subject=OBJECT,
        details=details,
    )
    with LedgerWriter(settings.ledger.path, pseudonyms) as writer:
        writer.append(entry)
    tell(f"{pseudonyms.keys.path}: new keys {new}, in place of {lost}", as_json=as_json)


def _read(operation: Operation, found: Mentions, name: str, token: str) -> None:
    with LedgerReader(operation.settings.ledger.path) as reader, progress() as bar:
        task = bar.add_task("reading", total=reader.size())
        found.read(reader, name, token, lambda done: bar.update(task, completed=done))


def _confirm(name: str, found: Mentions) -> None:
    told = f"{len(found.by_pseudonym)} entries tell of {shown(name)} by a pseudonym that nothing will turn back"
    click.confirm(f"{told}; it cannot be taken back. Go on?", abort=True, err=True)


def _tell(name: str, token: str, found: Mentions, holds: list[str], others: list[str], *, as_json: bool) -> None:
    entries, erased = len(found.by_pseudonym), bool(token) and not holds
    if as_json:
        told = {"erased": erased, "pseudonym": token, "entries": entries, "in_clear": found.in_clear}
        click.echo(
            json.dumps({**told, "holds": holds, "other_spellings": others, "note": ELSEWHERE}, ensure_ascii=False)
        )
        return
    who = shown(name)
    if holds:
        click.echo(f"not erased: the hold {', '.join(holds)} covers entries of {who}; end it first: ledger hold end")
    elif erased:
        click.echo(f"erased: {entries} entries tell of {token}, and nothing turns that back")
    else:
        click.echo(f"{who} has no key: never recorded by a pseudonym, or erased already")
    if found.in_clear:
        click.echo(f"{found.in_clear} entries have {who} in the clear; an entry is final, so these cannot be erased")
    if others:
        click.echo(f"other spellings have keys of their own: {', '.join(map(shown, others))}; erase each")
    click.echo(ELSEWHERE)
