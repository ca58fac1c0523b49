"""What a channel wants, and what is sent to it."""

from __future__ import annotations

import pytest

from gateway.clock import SECOND_US
from gateway.errors import ConfigurationError
from gateway.notification import notice, require_known_types
from gateway.notification.formats import cloud_event, slack
from gateway.notification.signature import signature
from tests.unit.notification.samples import SECRET, channel, channel_settings
from tests.unit.notification.test_signature import KEY

NOTICE = notice("access.requested", subject="R-1", customer="acme", summary="priya asks", at_us=1)


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["*"], True),
        (["access.*"], True),
        (["grant.*", "access.requested"], True),
        (["grant.*"], False),
        (["access.denied"], False),
    ],
)
def test_types_choose(types: list[str], wanted: bool) -> None:
    """Any of the patterns."""
    assert channel(types=types).wants(NOTICE) is wanted


@pytest.mark.parametrize(
    ("customers", "about", "wanted"),
    [
        ([], "acme", True),
        ([], "", True),
        (["acme"], "acme", True),
        (["globex", "acme"], "acme", True),
        (["globex"], "acme", False),
        (["globex"], ("acme", "globex"), True),
        (["globex"], "*", True),
        (["globex"], "", False),
    ],
)
def test_customers_choose(customers: list[str], about: str | tuple[str, ...], wanted: bool) -> None:
    """A channel for one customer's notices gets no other's, and what concerns all."""
    told = notice("access.requested", subject="R-1", customer=about, summary="", at_us=1)
    assert channel(customers=customers).wants(told) is wanted


def test_message_is_signed_with_the_time_of_the_attempt() -> None:
    """Standard Webhooks: the id stays, the time is the attempt's."""
    message = channel().message(NOTICE, now_us=1_614_265_330 * SECOND_US + 999_999)
    assert message.body == cloud_event(NOTICE)
    assert message.headers == {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": NOTICE.id,
        "webhook-timestamp": "1614265330",
        "webhook-signature": signature(KEY, message_id=NOTICE.id, timestamp_s=1_614_265_330, body=message.body),
    }


def test_slack_needs_no_signature() -> None:
    """Its address is the secret; a receiver that verifies may have one."""
    plain = channel(format="slack", secret=None).message(NOTICE, now_us=1)
    assert plain.body == slack(NOTICE)
    assert (plain.headers["Content-Type"], "webhook-signature" in plain.headers) == (
        "application/json; charset=utf-8",
        False,
    )
    assert "webhook-signature" in channel(format="slack").message(NOTICE, now_us=1).headers


def test_neither_address_nor_secret_is_shown() -> None:
    """Not even by whoever logs the objects."""
    shown = repr(channel()) + repr(channel().message(NOTICE, now_us=1)) + str(channel_settings())
    assert "canary-url" not in shown
    assert SECRET not in shown


def test_pattern_that_stands_for_nothing_is_told() -> None:
    """A typing mistake would be silence for ever."""
    require_known_types([channel_settings(types=["access.*", "*", "grant.ending"])])
    with pytest.raises(ConfigurationError) as caught:
        require_known_types([channel_settings(), channel_settings(types=["acces.*", "grant.*"])])
    [line] = caught.value.problems
    assert line.startswith("notification[1].types: got 'acces.*', which is no type of notice; expected some of access.")
