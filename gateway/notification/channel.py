"""A channel: one receiver, what it wants to know, and how a message to it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gateway.clock import SECOND_US
from gateway.errors import ConfigurationError
from gateway.justification import EVERY_CUSTOMER
from gateway.notification.formats import CLOUD_EVENT, JSON, cloud_event, slack
from gateway.notification.notice import Notice, NoticeType
from gateway.notification.signature import signature
from gateway.settings import NotificationSettings

_FORMATS: Mapping[str, tuple[str, Callable[[Notice], bytes]]] = {
    "cloudevents": (CLOUD_EVENT, cloud_event),
    "slack": (JSON, slack),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One attempt at telling a receiver. The address is a secret like any other."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float
    loopback: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """See the module."""

    settings: NotificationSettings

    @property
    def name(self) -> str:
        return self.settings.name

    def wants(self, notice: Notice) -> bool:
        """Whether a notice is of a type and about a customer that this receiver is told of."""
        ours = self.settings.customers
        about = not ours or bool(notice.customers & {EVERY_CUSTOMER, *ours})
        return about and any(fnmatchcase(notice.type, pattern) for pattern in self.settings.types)

    def message(self, notice: Notice, *, now_us: int) -> Message:
        """What is sent at an attempt that begins now."""
        content_type, write = _FORMATS[self.settings.format]
        body, timestamp_s, key = write(notice), now_us // SECOND_US, self.settings.key
        headers = {"Content-Type": content_type, "webhook-id": notice.id, "webhook-timestamp": str(timestamp_s)}
        if key:
            signed = signature(key, message_id=notice.id, timestamp_s=timestamp_s, body=body)
            headers["webhook-signature"] = signed
        url = self.settings.url.get_secret_value()
        return Message(url, headers, body, self.settings.timeout_s, self.settings.unsafe_loopback)


def channels(settings: Iterable[NotificationSettings]) -> tuple[Channel, ...]:
    """The channels of a configuration."""
    return tuple(map(Channel, settings))


def require_known_types(settings: Iterable[NotificationSettings]) -> None:
    """That each pattern stands for some type of notice.

    Raises:
        ConfigurationError: one line for each that does not.
    """
    problems = [
        f"notification[{index}].types: got {pattern!r}, which is no type of notice; "
        f"expected some of {', '.join(NoticeType)}, {', '.join(_families())} or *"
        for index, channel in enumerate(settings)
        for pattern in channel.types
        if not any(fnmatchcase(known, pattern) for known in NoticeType)
    ]
    if problems:
        raise ConfigurationError(problems)


def _families() -> list[str]:
    return sorted({known.partition(".")[0] + ".*" for known in NoticeType})
