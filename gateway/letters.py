"""Letters that do not show, or that change how others show, in names, in free text and in what is put on a terminal.

Nobody may have two names that look like one, and nothing that somebody wrote may look like something else.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

_IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""Default_Ignorable_Code_Point, first and last of each range: DerivedCoreProperties.txt, Unicode 16.0."""

_FIRSTS = [first for first, _ in _IGNORABLE]
_BLANK = "\u2800\u0345"  # a Braille pattern without dots, and an iota below a letter that has no place for one
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

BIDI = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""The Bidi_Control characters, as a class of characters in a regular expression has them."""

_PSEUDONYM = re.compile(r"~[A-Za-z0-9_-]{22}")

LINE_PATTERN = rf"^[^\x00-\x1f\x7f-\x9f\u2028\u2029{BIDI}]*$"
"""Text in one line: no control, no character that ends a line or turns its direction."""

TEXT_PATTERN = rf"^[^\x00-\x08\x0b-\x1f\x7f-\x9f{BIDI}]*$"
"""Free text: tabs and line feeds, too."""


def is_unseen(letter: str) -> bool:
    """Whether a letter does not show: ignorable, a filler, a format or control character; white space is none."""
    if letter.isascii():
        return not letter.isprintable() and not letter.isspace()
    place = bisect_right(_FIRSTS, ord(letter)) - 1
    ignorable = place >= 0 and ord(letter) <= _IGNORABLE[place][1]
    return ignorable or letter in _BLANK or (unicodedata.category(letter) in ("Cf", "Cc") and not letter.isspace())


def is_pseudonym(text: str) -> bool:
    """Whether text has the form of a pseudonym: ``~`` and 16 bytes as base64url. Nobody's name may have it."""
    return len(text) == 23 and _PSEUDONYM.fullmatch(text) is not None


def folded(name: str) -> str:
    """One form for every spelling of a name: no capitals, one form of each letter, no blanks around it or in a row, and
    nothing that does not show (compare Unicode 5.18, *identifier caseless matching*)."""
    seen = _seen(unicodedata.normalize("NFKC", name))  # before an iota below a letter becomes one beside it
    caseless = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", seen).casefold())
    return " ".join(unicodedata.normalize("NFKC", _seen(caseless).casefold()).split())


def _seen(text: str) -> str:
    return "".join(letter for letter in text if not is_unseen(letter))


def shown(text: str) -> str:
    """Text as a terminal may have it: each control, format and unassigned character as an escape that can be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(letter) if unicodedata.category(letter) in _ESCAPED else letter for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
