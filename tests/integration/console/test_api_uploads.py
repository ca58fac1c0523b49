"""Customers' accounts at the transfer doors, by the API: as by command, and within what each caller may see."""

from __future__ import annotations

import asyncssh
import pytest

from gateway.demo.world import ADA, MARIA
from gateway.identity import UploadAccount
from gateway.identity.passwords import HASHER
from tests.integration.console.callers import AUDREY, BO, Answered, Api

ALL, ONE = "/customers/acme/uploads", "/customers/acme/uploads/nightly"
KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


def kept(api: Api) -> UploadAccount:
    return api.site.world.state.get(UploadAccount, "acme/nightly")


@pytest.fixture
async def added(api: Api) -> Answered:
    return await api.done(MARIA, "POST", ALL, {"name": "nightly"})


async def test_an_account_is_added_shown_changed_closed_and_reopened(api: Api, added: Answered) -> None:
    """Its password is told once, its hash never, and each change stands in the record under its own name."""
    assert added.status == 201
    assert added.headers["Location"] == f"/api/v1{ONE}"
    assert HASHER.verify(kept(api).password, added.body["password"])
    shown = await api.done(AUDREY, "GET", added.headers["Location"].removeprefix("/api/v1"))
    assert (shown.body["id"], shown.body["name"], shown.body["state"]) == ("acme/nightly", "nightly", "open")
    assert [item["id"] for item in (await api.done(ADA, "GET", ALL)).body["items"]] == ["acme/nightly"]
    assert (await api.done(MARIA, "POST", f"{ONE}/keys", {"public_key": f"{KEY} me@laptop"})).body["keys"] == [
        " ".join(KEY.split()[:2])
    ]
    assert (await api.done(MARIA, "POST", f"{ONE}/keys/remove", {"public_key": KEY})).body["keys"] == []
    again = (await api.done(ADA, "POST", f"{ONE}/password", {})).body["password"]
    assert HASHER.verify(kept(api).password, again)
    assert (await api.done(MARIA, "POST", f"{ONE}/close")).body["state"] == "closed"
    assert (await api.done(MARIA, "POST", f"{ONE}/reopen")).body["state"] == "open"
    entries = api.entries()
    changes = [entry for entry in entries if entry["kind"] == "administrative" and "upload-" in entry["act"]]
    assert [(entry["act"], entry["object"]) for entry in changes] == [
        (f"customer.upload-{what}", "acme/nightly")
        for what in ("add", "key", "key-remove", "password", "close", "reopen")
    ]
    assert changes[3]["details"]["actor_customer"] == "acme"
    assert not any(secret in str(entries) for secret in (added.body["password"], again, kept(api).password))
    assert kept(api).password not in str(shown.body)


async def test_what_is_closed_already_is_left_and_recorded_as_such(api: Api, added: Answered) -> None:
    """With the whole id, of which the path has two parts."""
    assert added.status == 201
    await api.done(MARIA, "POST", f"{ONE}/close")
    await api.done(MARIA, "POST", f"{ONE}/close")
    last = api.last()
    assert (last["act"], last["object"], last["details"]["outcome"]) == (
        "api.uploads.close",
        "acme/nightly",
        "unchanged",
    )


async def test_another_customers_accounts_are_not_there(api: Api, added: Answered) -> None:
    """To see, to change, to begin a page with, or to add to."""
    assert added.status == 201
    calls = [("GET", ALL, None), ("GET", ONE, None), ("POST", ALL, {"name": "mine"})]
    calls += [("POST", f"{ONE}/{what}", {}) for what in ("password", "close", "reopen")]
    calls += [("POST", f"{ONE}/{what}", {"public_key": KEY}) for what in ("keys", "keys/remove")]
    before = kept(api)
    for method, path, body in calls:
        assert (await api(BO, method, path, body)).status == 404, path
    assert (await api(BO, "GET", "/customers/borealis/uploads?after=acme/nightly")).status == 422
    assert (await api(MARIA, "GET", "/customers/borealis/uploads/nightly")).status == 404
    assert (await api(MARIA, "GET", "/customers/acme%2Fnightly/uploads")).status == 404
    assert kept(api) == before


async def test_a_change_may_ask_for_the_version_that_was_read(api: Api, added: Answered) -> None:
    """Of the account; of the customer where one is added."""
    tag = added.headers["ETag"]
    await api.done(MARIA, "POST", f"{ONE}/keys", {"public_key": KEY}, If_Match=tag)
    assert (await api(MARIA, "POST", f"{ONE}/password", {}, If_Match=tag)).status == 412
    assert (await api(MARIA, "POST", ALL, {"name": "weekly"}, If_Match='"other"')).status == 412
    customer = (await api.done(MARIA, "GET", "/customers/acme")).headers["ETag"]
    assert (await api.done(MARIA, "POST", ALL, {"name": "weekly"}, If_Match=customer)).body["id"] == "acme/weekly"
    assert (await api(MARIA, "POST", ALL, {"name": "weekly"})).status == 409


async def test_what_tells_no_secret_may_be_made_again_with_its_key(api: Api, added: Answered) -> None:
    """As anywhere: it acts once."""
    assert added.status == 201
    for replayed in (None, "true"):
        answered = await api.done(MARIA, "POST", f"{ONE}/keys", {"public_key": KEY}, Idempotency_Key="k-1")
        assert answered.headers.get("Idempotency-Replayed") == replayed


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (ALL, {"name": "No"}),
        (ALL, {"name": "a/b"}),
        (f"{ONE}/keys", {"public_key": "ssh-rsa AAAA"}),
        (f"{ONE}/keys", {}),
    ],
)
async def test_what_cannot_be_is_refused(api: Api, added: Answered, path: str, body: object) -> None:
    """With what was expected."""
    assert added.status == 201
    answered = await api(MARIA, "POST", path, body)
    assert answered.status == 422
    assert "expected" in answered.text.decode() or answered.body["faults"]
