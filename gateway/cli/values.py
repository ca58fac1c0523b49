"""What text the command line takes: the same as the control API does."""

from __future__ import annotations

import re
from typing import Any

import click

from gateway.justification import TICKET_ID
from gateway.letters import LINE_PATTERN, TEXT_PATTERN, shown


class Written(click.ParamType[str]):
    """Text without what could make it look like something else.

    Args:
        pattern: of the whole text.
        expected: what it is, in words.
    """

    name = "text"

    def __init__(self, pattern: str, expected: str) -> None:
        self._pattern = re.compile(pattern.replace("$", r"\Z"))
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not self._pattern.match(text):
            self.fail(f"got '{shown(text)}'; expected {self._expected}", param, ctx)
        return text


TICKET = Written(
    rf"^{TICKET_ID}$", "an id such as BUG-9: letters, digits, '.', '_' and '-', a letter or digit first, at most 64"
)
LINE = Written(LINE_PATTERN, "one line without controls and marks of direction")
TEXT = Written(TEXT_PATTERN, "text without controls, but for tabs and line feeds, and without marks of direction")
