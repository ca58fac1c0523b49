"""Acts on who may sign in at the transfer doors: customers' upload accounts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import asyncssh

from gateway.acts.actor import Actor
from gateway.acts.office import Change, Office
from gateway.catalog.customers import Customer
from gateway.errors import Contradicted, Forbidden, UsageError
from gateway.identity import UploadAccount
from gateway.identity.ssh_certificates import MAX_RSA_BITS, MIN_RSA_BITS

ACT = "customer.change"
ACCOUNT_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
_KEY_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
SECRET_BYTES = 24


def add_upload_account(
    office: Office, actor: Actor, customer: str, name: str, *, hashed: Callable[[str], str], expected: str = ""
) -> tuple[UploadAccount, str]:
    """Give a customer an account at the transfer doors.

    Args:
        name: of the account, among the customer's own.
        hashed: the hash of a password.
        expected: the customer's version, or "" for whichever it is.

    Returns:
        The account, and its password, which nothing keeps.

    Raises:
        NotFound: there is no such customer.
        Forbidden: the actor may not, or not this customer's.
        Contradicted: it has an account of that name.
        UsageError: the name is none.
    """
    if not re.fullmatch(ACCOUNT_NAME, name):
        raise UsageError(
            f"got {name[:64]!r}; expected a name of small letters, digits, '.', '_' and '-', at most 63 long"
        )
    password = secrets.token_urlsafe(SECRET_BYTES)
    digest = hashed(password)
    with office.change(actor, ACT) as change:
        _require_own(actor, customer)
        change.get(Customer, customer, expected=expected)
        id_ = f"{customer}/{name}"
        if change.find(UploadAccount, id_):
            raise Contradicted(f"{customer} has an account {id_} already; choose another name, or reopen it")
        account = UploadAccount(id_, customer, digest, (), change.now_us)
        _keep(change, account, "customer.upload-add")
        return account, password


def set_upload_password(
    office: Office, actor: Actor, id: str, *, hashed: Callable[[str], str], password: str = "", expected: str = ""
) -> tuple[UploadAccount, str]:
    """Give an account another password; a new one is made unless given. What was signed in with stays signed in."""
    password = password or secrets.token_urlsafe(SECRET_BYTES)
    digest = hashed(password)
    with _changing(office, actor, id, expected) as (change, account):
        changed = replace(account, password=digest)
        _keep(change, changed, "customer.upload-password")
        return changed, password


def add_upload_key(office: Office, actor: Actor, id: str, key: str, *, expected: str = "") -> UploadAccount:
    """Let an account sign in with an SSH key.

    Raises:
        UsageError: it is no public key of a kind that is taken.
    """
    plain = public_key_line(key)
    with _changing(office, actor, id, expected) as (change, account):
        changed = replace(account, keys=tuple(dict.fromkeys((*account.keys, plain))))
        _keep(change, changed, "customer.upload-key")
        return changed


def remove_upload_key(office: Office, actor: Actor, id: str, key: str, *, expected: str = "") -> UploadAccount:
    """Take an SSH key from an account.

    Raises:
        UsageError: it has no such key.
    """
    plain = public_key_line(key)
    with _changing(office, actor, id, expected) as (change, account):
        if plain not in account.keys:
            raise UsageError(f"{id} has no such key; it has {len(account.keys)}")
        changed = replace(account, keys=tuple(kept for kept in account.keys if kept != plain))
        _keep(change, changed, "customer.upload-key-remove")
        return changed


def close_upload_account(office: Office, actor: Actor, id: str, *, expected: str = "") -> UploadAccount:
    """Close an account: nobody signs in with it, and what is under way is cut. Idempotent."""
    with _changing(office, actor, id, expected) as (change, account):
        if account.closed_us:
            return account
        changed = replace(account, closed_us=change.now_us)
        _keep(change, changed, "customer.upload-close")
        return changed


def reopen_upload_account(office: Office, actor: Actor, id: str, *, expected: str = "") -> UploadAccount:
    """Open an account again, with the password and keys that it had. Idempotent."""
    with _changing(office, actor, id, expected) as (change, account):
        if not account.closed_us:
            return account
        changed = replace(account, closed_us=0)
        _keep(change, changed, "customer.upload-reopen")
        return changed


@contextmanager
def _changing(office: Office, actor: Actor, id: str, expected: str) -> Iterator[tuple[Change, UploadAccount]]:
    with office.change(actor, ACT) as change:
        _require_own(actor, id.partition("/")[0])
        account = change.get(UploadAccount, id, expected=expected)
        change.result = account
        yield change, account


def _keep(change: Change, account: UploadAccount, act: str) -> None:
    change.put(account)
    change.note(account.id, act=act, customer=account.customer, keys=len(account.keys))
    change.result = account


def public_key_line(text: str) -> str:
    """A public key as OpenSSH writes it, without a comment.

    Raises:
        UsageError: it is none of a kind that is taken.
    """
    kinds = ", ".join(_KEY_KINDS)
    wrong = UsageError(f"got {text.strip()[:24]!r}…; expected a line of a .pub file, its kind one of {kinds}")
    kind = text.strip().partition(" ")[0]
    if kind not in _KEY_KINDS:
        raise wrong
    try:
        key = asyncssh.import_public_key(text.strip())
        line = key.export_public_key("openssh").decode("ascii")
    except (asyncssh.KeyImportError, UnicodeError, ValueError):
        raise wrong from None
    bits = getattr(key.pyca_key, "key_size", MIN_RSA_BITS) if kind == "ssh-rsa" else MIN_RSA_BITS
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise UsageError(f"got an RSA key of {bits} bits; expected {MIN_RSA_BITS} to {MAX_RSA_BITS}, or ssh-ed25519")
    return " ".join(line.split()[:2])


def _require_own(actor: Actor, customer: str) -> None:
    if actor.customer not in ("", customer):
        raise Forbidden(f"this is about another customer than {actor.customer}")
