"""Certificates of passes: of all that could be signed, the one that was given out holds, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncssh
import pytest

from gateway.clock import SECOND_US
from gateway.identity import TransferPass
from gateway.identity.ssh_certificates import UserCa, kept_form, serial_of

ID, OTHER = "pass-0123456789ab", "pass-0123456789ac"
NOW_S = 1_768_320_000
CA_KEY, OTHER_CA_KEY, HOLDER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
CA = UserCa(CA_KEY)
PUBLIC_KEY = HOLDER.export_public_key().decode()
GIVEN = TransferPass(
    ID, "sam", "https://idp", ("support",), "US", "t-1", 1, "acme", "", "", "", NOW_S * SECOND_US,
    (NOW_S + 600) * SECOND_US, sessions=0,
)  # fmt: skip
PEER = "198.51.100.7"


def signed(ca: asyncssh.SSHKey = CA_KEY, *, host: bool = False, key_id: str = ID, **changes: Any) -> str:
    """A certificate like one that is given out, but for what a test changes."""
    given: dict[str, Any] = {
        "serial": serial_of(ID),
        "principals": [ID],
        "valid_after": NOW_S,
        "valid_before": NOW_S + 600,
    }
    if host:
        made = ca.generate_host_certificate(HOLDER, key_id, **given | changes)
    else:
        permits = ("x11_forwarding", "agent_forwarding", "port_forwarding", "pty", "user_rc")
        given |= {f"permit_{name}": False for name in permits}
        made = ca.generate_user_certificate(HOLDER, key_id, **given | changes)
    return made.export_certificate().decode().strip()


def vouched(line: str, *, peer: str = PEER, now_s: float = NOW_S, given: TransferPass = GIVEN, ca: UserCa = CA) -> bool:
    """Whether it holds for a pass that keeps this very certificate: what else is wrong has to be seen."""
    return ca.vouches_for(line, replace(given, secret=kept_form(line)), peer, int(now_s * SECOND_US))


def test_the_certificate_that_was_given_out_holds_from_its_beginning_to_its_end() -> None:
    """And not a moment before or after."""
    line = CA.sign(GIVEN, PUBLIC_KEY)
    assert [vouched(line, now_s=NOW_S + at_s) for at_s in (-1, 0, 599.9, 600)] == [False, True, True, False]


WRONG: dict[str, Callable[[], str]] = {
    "another authority": lambda: signed(OTHER_CA_KEY),
    "of a host": lambda: signed(host=True),
    "over": lambda: signed(valid_after=NOW_S - 600, valid_before=NOW_S),
    "not yet": lambda: signed(valid_after=NOW_S + 1),
    "another principal": lambda: signed(principals=[OTHER]),
    "a principal more": lambda: signed(principals=[ID, OTHER]),
    "no principal, which is all of them": lambda: signed(principals=[]),
    "another serial": lambda: signed(serial=serial_of(OTHER)),
    "no serial": lambda: signed(serial=0),
    "another key id": lambda: signed(key_id=OTHER),
    "a forced command": lambda: signed(force_command="sh"),
    "a terminal": lambda: signed(permit_pty=True),
    "forwarding": lambda: signed(permit_port_forwarding=True),
    "for elsewhere": lambda: signed(source_address=["203.0.113.0/24"]),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_one_wrong_thing_is_enough(wrong: Callable[[], str]) -> None:
    """Even where the pass kept just that certificate."""
    assert vouched(signed())
    assert not vouched(wrong())


def test_of_two_that_say_the_same_the_one_that_was_given_out_holds() -> None:
    """The authority may have signed another for another key, or for the same: its pass does not know it."""
    given = replace(GIVEN, secret=kept_form(CA.sign(GIVEN, PUBLIC_KEY)))
    again = CA.sign(GIVEN, PUBLIC_KEY)
    other = CA.sign(GIVEN, asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode())
    assert not CA.vouches_for(again, given, PEER, given.made_us)
    assert not CA.vouches_for(other, given, PEER, given.made_us)


def test_a_certificate_is_bound_to_addresses_where_that_is_asked_for() -> None:
    """IPv4 that comes by an IPv6 socket is IPv4 all the same."""
    line = CA.sign(GIVEN, PUBLIC_KEY, ["198.51.100.0/24", "2001:db8::/32"])
    peers = ("198.51.100.7", "::ffff:198.51.100.7", "2001:db8::1", "198.51.101.7", "2001:db9::1", "::1")
    assert [vouched(line, peer=peer) for peer in peers] == [True, True, True, False, False, False]


def test_what_is_no_certificate_is_nobodys() -> None:
    """A key, half a certificate, one whose signature does not verify, nothing."""
    whole = CA.sign(GIVEN, PUBLIC_KEY)
    kind, encoded, *_ = whole.split()
    damaged = encoded[:-12] + ("AAAA" if encoded[-12:-8] != "AAAA" else "BBBB") + encoded[-8:]
    given = replace(GIVEN, secret=kept_form(whole))
    for line in ("", PUBLIC_KEY, f"{kind} {encoded[:64]}", f"{kind} {damaged}", kind, "\0"):
        assert not CA.vouches_for(line, given, PEER, given.made_us), line
