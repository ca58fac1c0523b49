"""Customers' accounts at the transfer doors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.acts import Office
from gateway.acts.transfers import (
    ACT,
    add_upload_account,
    add_upload_key,
    close_upload_account,
    remove_upload_key,
    reopen_upload_account,
    set_upload_password,
)
from gateway.catalog.customers import Customer
from gateway.console import asked, shown, views
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation
from gateway.console.views import Snapshot
from gateway.identity import UploadAccount
from gateway.identity.passwords import hashed

_ALL, _ONE = "/customers/{customer}/uploads", "/customers/{customer}/uploads/{name}"


def _list(call: Call) -> Answer:
    with call.snapshot() as snapshot:
        customer = call.seen(snapshot, Customer, call.id, call.sight.customer)
        after = call.after(snapshot, UploadAccount, lambda account: account.customer == customer.id)
        found = snapshot.newest(UploadAccount, by="made_us", after=after, equal={"customer": customer.id})
        return call.page(shown.Uploads, found, views.upload)


def _show(call: Call) -> Answer:
    account = _seen(call)
    return Answer.of(views.upload(account), etag=call.version(account))


def _add(call: Call) -> Answer:
    body: asked.NewUpload = call.body
    with call.snapshot() as snapshot:
        customer = call.seen(snapshot, Customer, call.id, call.sight.customer)
    expected = call.expected(customer)
    return call.tell(
        lambda office: add_upload_account(
            office, call.actor, customer.id, body.name, hashed=hashed, expected=expected
        ),
        views.upload_with_password,
    )  # fmt: skip


def _set_password(call: Call) -> Answer:
    account = _seen(call)
    expected = call.expected(account)
    return call.tell(
        lambda office: set_upload_password(office, call.actor, account.id, hashed=hashed, expected=expected),
        views.upload_with_password,
    )


def _add_key(call: Call) -> Answer:
    body: asked.PublicKey = call.body
    return _change(
        call,
        lambda office, id_, expected: add_upload_key(office, call.actor, id_, body.public_key, expected=expected),
    )


def _remove_key(call: Call) -> Answer:
    body: asked.PublicKey = call.body
    return _change(
        call,
        lambda office, id_, expected: remove_upload_key(office, call.actor, id_, body.public_key, expected=expected),
    )


def _close(call: Call) -> Answer:
    return _change(call, lambda office, id_, expected: close_upload_account(office, call.actor, id_, expected=expected))


def _reopen(call: Call) -> Answer:
    return _change(
        call, lambda office, id_, expected: reopen_upload_account(office, call.actor, id_, expected=expected)
    )


def _seen(call: Call) -> UploadAccount:
    with call.snapshot() as snapshot:
        return call.seen(snapshot, UploadAccount, call.id, call.sight.upload)


def _change(call: Call, run: Callable[[Office, str, str], object]) -> Answer:
    account = _seen(call)
    return call.act(lambda office: run(office, account.id, call.expected(account)), _view)


def _view(_snapshot: Snapshot, account: UploadAccount, _now_us: int) -> tuple[Any, shown.Shown]:
    return account, views.upload(account)


OPERATIONS = (
    Operation(
        "uploads.list", "GET", _ALL, "A customer's accounts at the transfer doors", "customer.read", _list,
        shown.Uploads, query=asked.PageQuery,
    ),
    Operation(
        "uploads.add", "POST", _ALL, "Add one; its password is told this once", ACT, _add, shown.UploadWithPassword,
        body=asked.NewUpload, status=201, secret=True,
    ),
    Operation("uploads.show", "GET", _ONE, "Such an account", "customer.read", _show, shown.Upload),
    Operation(
        "uploads.password", "POST", _ONE + "/password", "Give it another password, which is told this once", ACT,
        _set_password, shown.UploadWithPassword, body=asked.Nothing, secret=True,
    ),
    Operation(
        "uploads.add-key", "POST", _ONE + "/keys", "Let it sign in with an SSH key", ACT, _add_key, shown.Upload,
        body=asked.PublicKey,
    ),
    Operation(
        "uploads.remove-key", "POST", _ONE + "/keys/remove", "Take an SSH key from it", ACT, _remove_key, shown.Upload,
        body=asked.PublicKey,
    ),
    Operation(
        "uploads.close", "POST", _ONE + "/close", "Close it: nobody signs in, and what is under way is cut", ACT,
        _close, shown.Upload, body=asked.Nothing,
    ),
    Operation(
        "uploads.reopen", "POST", _ONE + "/reopen", "Open it again, with the password and keys that it had", ACT,
        _reopen, shown.Upload, body=asked.Nothing,
    ),
)  # fmt: skip
