"""How a notice looks to a receiver: as a CloudEvent, and to Slack."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notification import notice
from gateway.notification.formats import BREAK, cloud_event, escaped, slack
from gateway.notification.notice import MAX_TEXT

NOTICE = replace(
    notice(
        "access.requested",
        subject="R-1",
        customer="acme",
        summary="priya asks for access",
        at_us=1_700_000_000_000_001,
        data={"ticket": "BUG-9", "actions": ["read"]},
    ),
    node="gateway-1",
)


def test_cloud_event_has_every_attribute() -> None:
    """Those that CloudEvents 1.0 requires, and those that a receiver routes by."""
    assert json.loads(cloud_event(NOTICE)) == {
        "specversion": "1.0",
        "id": NOTICE.id,
        "source": "/residency-gateway/gateway-1",
        "type": "dev.residency-gateway.access.requested",
        "subject": "R-1",
        "time": "2023-11-14T22:13:20.000001Z",
        "datacontenttype": "application/json",
        "data": {
            "summary": "priya asks for access",
            "customer": "acme",
            "ticket": "BUG-9",
            "actions": ["read"],
        },
    }


def test_cloud_event_about_nothing_has_no_subject() -> None:
    """An empty one is not allowed."""
    assert "subject" not in json.loads(cloud_event(replace(NOTICE, subject="")))


@pytest.mark.parametrize("write", [cloud_event, slack])
def test_same_notice_is_the_same_bytes(write: object) -> None:
    """A second attempt says what the first did."""
    assert write(NOTICE) == write(replace(NOTICE))  # type: ignore[operator]  # either writes


def test_slack_gets_text_and_blocks() -> None:
    """One sentence, and beneath it what, whose and when."""
    assert json.loads(slack(NOTICE)) == {
        "text": "priya asks for access",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": "priya asks for access", "verbatim": True}},
            {
                "type": "context",
                "elements": [
                    {
                        "type": "mrkdwn",
                        "text": "access.requested · acme · R-1 · 2023-11-14T22:13:20Z · gateway-1",
                        "verbatim": True,
                    }
                ],
            },
        ],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a & b", "a &amp; b"),
        ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U123> <#C1|x> <https://evil.example|here>", f"&lt;@{BREAK}U123&gt; &lt;#C1|x&gt; &lt;https://evil.example|here&gt;"),
        ("@channel", f"@{BREAK}channel"),
        ("x@here", f"x@{BREAK}here"),
        ("ada@acme.example", "ada@acme.example"),
        ("(@sam)", f"(@{BREAK}sam)"),
        ("[click](https://evil.example)", f"[click]{BREAK}(https://evil.example)"),
        ("a @ b", "a @ b"),
    ],
)  # fmt: skip
def test_text_for_slack_is_escaped(text: str, expected: str) -> None:
    """As Slack wants it, and for those who understand the same and more."""
    assert escaped(text) == expected


PIECES = st.sampled_from(
    ["<", ">", "&", "!", "@", "channel", "here", "EVERYONE", "all", "|", "]", "(", "a", " ", ";", "lt"]
)


@given(st.lists(PIECES).map("".join))
def test_nothing_anybody_writes_can_ping(text: str) -> None:
    """No control sequence, no group, no link: neither in the text nor in a block."""
    message = json.loads(slack(replace(NOTICE, summary=text, subject=text)))
    shown = [message["text"], message["blocks"][0]["text"]["text"], message["blocks"][1]["elements"][0]["text"]]
    for found in shown:
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", found)
        assert not re.search(r"(?i)@(channel|here|everyone|all)\b|\]\(|(?<![\w.+-])@\w", found)


def test_longest_text_fits_into_a_block() -> None:
    """Slack refuses a text of more than 3,000 characters, and an empty one."""
    for summary in ("&" * MAX_TEXT, ""):
        for block in json.loads(slack(replace(NOTICE, summary=summary)))["blocks"]:
            for text in block.get("elements") or [block["text"]]:
                assert 1 <= len(text["text"]) <= 3_000
