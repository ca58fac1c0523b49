"""Letters that do not show, or that change how others do."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.letters import LINE_PATTERN, TEXT_PATTERN, folded, is_unseen, shown

# The first and last of each range of Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and what lies between.
IGNORABLE = (
    0xAD,
    0x34F,
    0x61C,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x180B,
    0x180E,
    0x180F,
    0x200B,
    0x200F,
    0x202A,
    0x202E,
    0x2060,
    0x2065,
    0x206F,
    0x3164,
    0xFE00,
    0xFE0F,
    0xFEFF,
    0xFFA0,
    0xFFF0,
    0xFFF8,
    0x1BCA0,
    0x1BCA3,
    0x1D173,
    0x1D17A,
    0xE0000,
    0xE0001,
    0xE01EF,
    0xE0FFF,
)
SEEN = (
    0xAE,
    0x34E,
    0x350,
    0x115E,
    0x1161,
    0x17B6,
    0x180A,
    0x2010,
    0x2070,
    0x3163,
    0xFE10,
    0xFF9F,
    0xFFFC,
    0x1BC9F,
    0x1D17B,
    0x20,
    0xA0,
    0x3000,
    0x9,
    0xA,
    0x41,
    0x2801,
)


@pytest.mark.parametrize("code", [*IGNORABLE, 0x2800, 0x345, 0, 0x1B, 0x7F, 0x9B, 0xFFF9], ids=hex)
def test_what_does_not_show_is_unseen(code: int) -> None:
    """Each range from its first to its last, blanks that are no white space, and controls."""
    assert is_unseen(chr(code))


@pytest.mark.parametrize("code", SEEN, ids=hex)
def test_what_shows_is_not_unseen(code: int) -> None:
    """Nor is white space, which is folded into one blank."""
    assert not is_unseen(chr(code))


@given(st.text())
def test_folding_twice_changes_nothing_that_can_be_told_apart(name: str) -> None:
    """Nothing that does not show is left, and no blank at an end."""
    once = folded(name)
    assert not any(map(is_unseen, once))
    assert once == once.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No sound", "No sound"),
        ("Zoë · प्रिया", "Zoë · प्रिया"),
        ("\x1b[2K\x1b[1A", r"\x1b[2K\x1b[1A"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\u202egrant\u202c", r"\u202egrant\u202c"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\U000e0041\u0378", r"\U000e0041\u0378"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_on_a_terminal_is_what_it_looks_like(text: str, expected: str) -> None:
    """What could move the cursor, turn the line or hide is written out."""
    assert shown(text) == expected


@given(st.text())
def test_nothing_that_steers_a_terminal_is_shown(text: str) -> None:
    """Whatever somebody wrote."""
    assert not {unicodedata.category(letter) for letter in shown(text)} & {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}


CONTROLS = [*map(chr, (*range(32), *range(0x7F, 0xA0))), *"\u061c\u200e\u202a\u202e\u2066\u2069"]


@pytest.mark.parametrize("letter", CONTROLS, ids=ascii)
def test_controls_are_no_part_of_a_line_and_free_text_has_lines(letter: str) -> None:
    """Free text has tabs and line feeds, and nothing else of the kind."""
    assert not re.search(LINE_PATTERN, f"a{letter}b")
    assert bool(re.search(TEXT_PATTERN, f"a{letter}b")) is (letter in "\t\n")
