"""How a notice is written for a receiver: as a CloudEvent, or as Slack wants it.

Sources: CloudEvents 1.0.2, HTTP binding §3.2 (structured mode) and JSON format; Slack, *Formatting message text* and
*Text object* (at most 3,000 characters).

Invariants: the same notice is the same bytes at every attempt; in Slack's form nothing that somebody wrote can ping
anybody or pass for a link, there or in what understands the same form and reads more into text (Mattermost).
"""

from __future__ import annotations

import re

import orjson

from gateway.clock import rfc3339
from gateway.notification.notice import Notice

PREFIX = "dev.residency-gateway."
CLOUD_EVENT = "application/cloudevents+json; charset=utf-8"
JSON = "application/json; charset=utf-8"
BREAK = "\u200b"
"""A space of no width: what stands on both sides of it is no longer one word."""
_MENTION = re.compile(r"(?<![\w.+-])@(?=\w)|@(?=(?i:channel|here|everyone|all)\b)")
_LINK = re.compile(r"\](?=\()")


def cloud_event(notice: Notice) -> bytes:
    """The body of a CloudEvent in structured mode; ``source`` is the node that took the notice up."""
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": notice.id,
        "source": f"/residency-gateway/{notice.node}",
        "type": PREFIX + notice.type,
        "time": rfc3339(notice.at_us),
        "datacontenttype": "application/json",
        "data": {"summary": notice.summary, "customer": notice.customer, **notice.data},
    }
    if notice.subject:  # must not be empty (CloudEvents §3.1, subject)
        event["subject"] = notice.subject
    return orjson.dumps(event)


def slack(notice: Notice) -> bytes:
    """The body for an incoming webhook of Slack, or of what understands the same."""
    summary = escaped(notice.summary)
    facts = [notice.type, notice.customer, notice.subject, rfc3339(notice.at_us)[:19] + "Z", notice.node]
    blocks = [
        {"type": "section", "text": _text(summary)},
        {"type": "context", "elements": [_text(" · ".join(escaped(fact) for fact in facts if fact))]},
    ]
    return orjson.dumps({"text": summary, "blocks": blocks})


def escaped(text: str) -> str:
    """Text that Slack shows as it was written: ``&``, ``<`` and ``>`` escaped, mentions and links broken."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINK.sub("]" + BREAK, _MENTION.sub("@" + BREAK, plain))


def _text(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text or BREAK, "verbatim": True}  # verbatim: no names made into links
