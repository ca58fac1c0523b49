"""Telling whoever waits what came of it."""

from __future__ import annotations

import asyncio
from typing import TypeVar

Result = TypeVar("Result")


def settle(future: asyncio.Future[Result], result: Result | BaseException) -> None:
    """Give a future its result or its error, unless whoever waits has gone."""
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
