"""Passes of personnel for the transfer doors."""

from __future__ import annotations

from typing import Any

from gateway.acts.passes import MINT, READ, REVOKE, Wish, mint_pass, revoke_pass
from gateway.console import asked, shown, views
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation
from gateway.console.views import Snapshot
from gateway.identity import TransferPass

_NOBODYS = "\x00"


def _list(call: Call) -> Answer:
    query: asked.PassesQuery = call.query
    now_us = call.now_us
    with call.snapshot() as snapshot:
        after = call.after(snapshot, TransferPass, call.sight.transfer_pass)
        found = (
            given
            for given in snapshot.newest(TransferPass, by="made_us", after=after, equal=_equal(call, query))
            if query.state in (None, given.state(now_us))
        )
        return call.page(shown.TransferPasses, found, lambda given: views.transfer_pass(given, now_us))


def _equal(call: Call, query: asked.PassesQuery) -> dict[str, str]:
    """What is asked for, within what is seen."""
    limits = call.sight.pass_limits()
    asked_for = query.model_dump(include={"customer", "subject", "ticket"}, exclude_none=True)
    if asked_for.get("subject", limits.get("subject")) != limits.get("subject", asked_for.get("subject")):
        return {"subject": _NOBODYS}
    return asked_for | limits


def _show(call: Call) -> Answer:
    given = _seen(call)
    return Answer.of(views.transfer_pass(given, call.now_us), etag=call.version(given))


def _mint(call: Call) -> Answer:
    body: asked.NewTransferPass = call.body
    said = body.model_fields_set
    wish = Wish(
        customer=body.customer,
        ticket=body.ticket,
        reason=body.reason,
        lasts_s=body.duration_s if "duration_s" in said else 0,
        sessions=body.sessions if "sessions" in said else 0,
        public_key=body.public_key or "",
        source_addresses=body.source_addresses,
    )
    return call.tell(lambda office: mint_pass(office, call.actor, wish), views.minted_transfer_pass)


def _revoke(call: Call) -> Answer:
    body: asked.Ending = call.body
    given = _seen(call)
    expected = call.expected(given)
    return call.act(
        lambda office: revoke_pass(office, call.actor, given.id, why=body.why, expected=expected), _view
    )  # fmt: skip


def _seen(call: Call) -> TransferPass:
    with call.snapshot() as snapshot:
        return call.seen(snapshot, TransferPass, call.id, call.sight.transfer_pass)


def _view(_snapshot: Snapshot, given: TransferPass, now_us: int) -> tuple[Any, shown.Shown]:
    return given, views.transfer_pass(given, now_us)


OPERATIONS = (
    Operation(
        "passes.list", "GET", "/passes", "Passes for the transfer doors", READ, _list, shown.TransferPasses,
        query=asked.PassesQuery,
    ),
    Operation(
        "passes.mint", "POST", "/passes", "Mint one for yourself, by password or, with a public key, by certificate",
        MINT, _mint, shown.MintedTransferPass, body=asked.NewTransferPass, status=201, secret=True,
    ),
    Operation("passes.show", "GET", "/passes/{pass}", "A pass", READ, _show, shown.TransferPass),
    Operation(
        "passes.revoke", "POST", "/passes/{pass}/revoke", "End it now; what is under way is cut", REVOKE, _revoke,
        shown.TransferPass, body=asked.Ending,
    ),
)  # fmt: skip
