"""Who should know? Notices of what happened, and their way to whoever is not looking.

A :class:`Notice` is written in the same transaction as the change that it tells of, so that neither exists without the
other. The :class:`Courier` takes it to each :class:`Channel` that wants it: as a CloudEvent signed as Standard
Webhooks says, or in a form that Slack understands. What nobody does but time, :func:`reminders.due` tells of.

Promised: at least once, for as long as the channel's settings say; never a credential, a token or a body; nothing else
waits for it.
"""

from gateway.notification.channel import Channel, Message, channels, require_known_types
from gateway.notification.courier import Counts, Courier, Outbox, Poster
from gateway.notification.notice import Delivery, Notice, NoticeType, notice
from gateway.notification.reminders import Outlook
from gateway.notification.retry import Answer, Backoff

__all__ = [
    "Answer",
    "Backoff",
    "Channel",
    "Counts",
    "Courier",
    "Delivery",
    "Message",
    "Notice",
    "NoticeType",
    "Outbox",
    "Outlook",
    "Poster",
    "channels",
    "notice",
    "require_known_types",
]
