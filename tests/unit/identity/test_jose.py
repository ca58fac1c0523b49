"""Strict reading of compact tokens and JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.jose import decode_segment, read_object
from tests.world.tokens import segment


@given(st.binary(min_size=1, max_size=64))
def test_segment_of_any_bytes_reads_back(content: bytes) -> None:
    """Encoding and decoding are inverse."""
    assert decode_segment(segment(content)) == content


@given(st.text(alphabet="AQZaz09-_=+/. \n", max_size=12))
def test_any_text_is_canonical_or_refused(text: str) -> None:
    """What is decoded is the only spelling of its bytes."""
    try:
        decoded = decode_segment(text)
    except ValueError:
        return
    assert segment(decoded) == text


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":{"b":1,"b":1}}', "twice"),
        (b"[" * 100_000, "deep"),
        (b"[]", "not an object"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ("{}".encode("utf-16"), "utf-8"),
        (b"", "Expecting"),
    ],
)
def test_document_with_another_meaning_is_refused(document: bytes, problem: str) -> None:
    """Duplicate members, odd numbers, other encodings and bottomless nesting are no JSON object here."""
    with pytest.raises(ValueError, match=problem):
        read_object(document)
