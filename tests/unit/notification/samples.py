"""A channel's settings, as sound as an operator's."""

from __future__ import annotations

from typing import Any

from gateway.notification import Channel
from gateway.settings import NotificationSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def channel_settings(**changed: Any) -> NotificationSettings:
    values: dict[str, Any] = {"name": "hook", "url": "https://hooks.test/canary-url", "secret": SECRET}
    return NotificationSettings(**(values | changed))


def channel(**changed: Any) -> Channel:
    return Channel(channel_settings(**changed))
