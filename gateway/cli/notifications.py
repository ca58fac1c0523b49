"""``notifications``: what was told to whom, what waits, and what did not arrive."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import click

from gateway.cli.completion import channels as channel_names
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json
from gateway.cli.output import counted, show_many, show_one, tell
from gateway.errors import NotFound, Unavailable
from gateway.notification import Answer, Channel, Notice, NoticeType, channels, notice
from gateway.proxy import WebhookPoster
from gateway.storage import StateOutbox
from gateway.storage.outbox import Standing

COLUMNS = ("id", "type", "subject", "customer", "channel", "state", "attempts", "next", "last_problem")


@click.group()
def notifications() -> None:
    """Notices of what happened, and how far they have come."""


@notifications.command(name="list")
@click.option("--state", type=click.Choice(["waiting", "delivered", "failed"]), help="Only these; all unless given.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@as_json
@click.pass_obj
def list_(operation: Operation, state: str | None, limit: int, as_json: bool) -> None:
    """Notices and where each stands with each channel, newest first."""
    found = StateOutbox(operation.state).standings(state=state or "", limit=limit)
    show_many(map(_row, found), COLUMNS, as_json=as_json, empty="no notices")


@notifications.command()
@click.argument("notice", shell_complete=ids(Notice))
@click.option("--channel", default="", help="Only there; wherever it has not arrived unless given.")
@acting
@as_json
@click.pass_obj
def retry(operation: Operation, notice: str, channel: str, actor: str, as_json: bool) -> None:
    """Try a notice again now, though it was given up or is due later."""
    operation.state.get(Notice, notice)
    operation.record("notification.retry", notice, actor=actor, channel=channel)
    count = StateOutbox(operation.state).retry(notice, channel=channel, now_us=operation.clock.now_us())
    if not count:
        raise NotFound(f"{notice} waits for no channel{f' {channel}' * bool(channel)}, and none has given it up")
    tell(f"{notice} is sent again to {counted(count, 'channel', 'channels')}", as_json=as_json)
    show_one({"id": notice, "channels": count}, as_json=as_json)


@notifications.command()
@click.argument("channel", shell_complete=channel_names())
@acting
@as_json
@click.pass_obj
def test(operation: Operation, channel: str, actor: str, as_json: bool) -> None:
    """Send a test notice to a channel now, and say what came of it."""
    found = _channel(operation, channel)
    operation.record("notification.test", channel, actor=actor)
    answer = asyncio.run(_send(operation, found))
    if not answer.arrived:
        raise Unavailable(f"{channel}: {answer}; check its url and the receiver")
    tell(f"{channel} took the test", as_json=as_json)
    show_one({"channel": channel, "status": answer.status}, as_json=as_json)


def _channel(operation: Operation, name: str) -> Channel:
    known = {channel.name: channel for channel in channels(operation.settings.notification)}
    if name not in known:
        raise NotFound(f"there is no channel {name!r}; expected a [[notification]]: {', '.join(known) or 'none'}")
    return known[name]


async def _send(operation: Operation, channel: Channel) -> Answer:
    now_us = operation.clock.now_us()
    told = notice(
        NoticeType.NOTIFICATION_TEST,
        subject=channel.name,
        customer="",
        summary="This is a test of a notification channel of the residency gateway; nothing has happened",
        at_us=now_us,
    )
    told = dataclasses.replace(told, node=operation.settings.gateway.node)
    async with WebhookPoster() as poster:
        return await poster.post(channel.message(told, now_us=now_us))


def _row(standing: Standing) -> Mapping[str, object]:
    """One line: the notice, and its delivery's fields beside it."""
    noticed = dataclasses.asdict(standing.notice)
    del noticed["planned_us"]
    delivery = standing.delivery
    return noticed | {
        "channel": delivery.channel if delivery else "",
        "state": standing.state,
        "attempts": delivery.attempts if delivery else 0,
        "next_us": delivery.next_us if delivery else 0,
        "delivered_us": delivery.delivered_us if delivery else 0,
        "given_up_us": delivery.given_up_us if delivery else 0,
        "last_problem": delivery.last_problem if delivery else "",
    }
