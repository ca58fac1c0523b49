"""The decision table says what the policy does."""

from __future__ import annotations

import csv
import io
import json

import pytest

from gateway.policy.matrix import (
    Line,
    compress,
    full_header,
    full_texts,
    header,
    reading_header,
    reading_texts,
    texts,
    to_csv,
    to_json,
    to_markdown,
)
from gateway.policy.space import Row


@pytest.fixture(scope="module")
def lines(rows: list[Row]) -> list[Line]:
    return compress(rows)


def test_first_fitting_line_gives_the_verdict_of_every_row(rows: list[Row], lines: list[Line]) -> None:
    """Read from the top, the short table and the full one agree everywhere."""
    for facts, verdict in rows:
        line = next(line for line in lines if line.fits(facts))
        assert (line.effect, line.rule, line.obligations) == (verdict.effect.value, verdict.rule, verdict.obligations)


def test_counts_add_up(rows: list[Row], lines: list[Line]) -> None:
    """Every combination is decided by exactly one line, and no line is idle."""
    assert sum(line.count for line in lines) == len(rows)
    assert all(line.count for line in lines)


def test_table_fits_a_page(lines: list[Line]) -> None:
    """A person can read it; the last line denies the rest."""
    assert len(lines) <= 25
    assert (lines[-1].cells, lines[-1].effect, lines[-1].rule) == ({}, "deny", "outside-home")


def test_formats_hold_the_same_table(lines: list[Line]) -> None:
    """CSV, JSON and Markdown have a row for each line."""
    parsed = list(csv.DictReader(io.StringIO(to_csv(header(), texts(lines)))))
    assert parsed == [json.loads(line) for line in to_json(header(), texts(lines)).splitlines()]
    assert parsed[0]["principal"] == "customer"
    assert parsed[0]["own_customer"] == "no"
    assert parsed[0]["plan"] == "any"
    markdown = to_markdown(reading_header(), reading_texts(lines)).splitlines()
    assert markdown[2].startswith("| principal customer, own customer no | deny | other-customer |")
    assert markdown[-1].startswith("| anything else | deny | outside-home |")
    assert len(markdown) == len(lines) + 2


def test_full_table_has_all_rules(rows: list[Row]) -> None:
    """Every fact and every rule of a row stands in it."""
    [shown] = full_texts(rows[:1])
    assert len(shown) == len(full_header())
    assert shown[-2] == " ".join(rows[0].verdict.rules)
