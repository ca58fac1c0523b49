"""The transparency report as one page for people, and as rows for a spreadsheet.

The page stands alone: no script, nothing from elsewhere, readable by a screen reader and on paper. Invariant: whatever
comes from the record is escaped in one place, :func:`_text`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from io import StringIO
from typing import Any

import iso3166

from gateway.ledger.export import defused, plain
from gateway.ledger.transparency import NO_CHECKPOINT

Report = dict[str, Any]

COLUMNS = (
    "time",
    "rule",
    "clause",
    "subject",
    "roles",
    "country",
    "ticket",
    "grant",
    "authorization",
    "several_customers",
    "data_class",
    "action",
    "method",
    "path",
    "bytes",
    "bytes_in",
    "outcome",
    "sequence",
    "leaf_hash",
    "proof",
)
_BAR_WIDTH, _BAR_HEIGHT, _LABEL_WIDTH = 360, 26, 220

_STYLE = """
:root { color-scheme: light dark; --line: #8888; --bar: #2b6cb0; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code, .path { overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .85em; }
.warning { border: 2px solid #b7791f; padding: .5rem 1rem; }
svg { max-width: 100%; height: auto; display: block; margin: .5rem 0; }
svg text { fill: currentColor; font-size: 13px; } svg rect { fill: var(--bar); }
blockquote { margin: .25rem 0; padding-left: 1rem; border-left: 3px solid var(--line); }
.scroll { overflow-x: auto; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  tr { break-inside: avoid; }
  .scroll { overflow: visible; }
}
"""


def as_csv(report: Report) -> Iterator[str]:
    """A header and a row for each access (RFC 4180), without anything that a spreadsheet would run.

    A stretch that was removed is a row of its own at the end: ``removed`` as its outcome, and its sequences.
    """
    yield _csv_row(COLUMNS)
    for row in report["accesses"]:
        decision = row["evidence"][0]
        proof = decision["proof"]
        found = {**row, "leaf_hash": decision["leaf_hash"], "proof": "none" if proof is None else " ".join(proof)}
        yield _csv_row([_cell(found[name]) for name in COLUMNS])
    for each in report["removed"]["ranges"]:
        told = {"outcome": "removed", "sequence": f"{each['first']} to {each['last']}"}
        yield _csv_row([told.get(name, "") for name in COLUMNS])


def _csv_row(cells: Sequence[str]) -> str:
    buffer = StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _cell(value: object) -> str:
    return plain(value) if isinstance(value, (int, bool)) else defused(plain(value))


def as_html(report: Report) -> Iterator[str]:
    """The page, part by part."""
    title = f"Access to {report['customer']}’s data from outside home"
    yield f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_text(title)}</h1>
"""
    yield from _summary(report)
    yield from _clauses(report)
    yield from _accesses(report)
    yield from _denied(report)
    yield from _how_to_check(report)
    yield "</main>\n</body>\n</html>\n"


def _summary(report: Report) -> Iterator[str]:
    count, size = report["totals"]["accesses"], report["totals"]["bytes"]
    attempts = sum(group["attempts"] for group in report["denied"])
    period = f"From {_moment(report['since'])} until {_moment(report['until'])}"
    yield f"<p>{period}: <strong>{_count(count, 'access', 'accesses')}</strong>, {_count(size, 'byte', 'bytes')} sent; "
    yield f"<strong>{_count(attempts, 'attempt', 'attempts')}</strong> denied.</p>\n"
    if report["unproven"]:
        yield f'<p class="warning" role="note"><strong>Not all is proven:</strong> {_text(report["unproven"])}.</p>\n'
    if report["removed"]["ranges"]:
        yield f'<p class="warning" role="note"><strong>Not all is here:</strong> {_text(_gone(report))}.</p>\n'
    if report["pseudonyms"]:
        yield "<p>People are numbered; the same number is the same person within this report.</p>\n"


def _gone(report: Report) -> str:
    removed = report["removed"]
    ranges = ", ".join(f"{each['first']} to {each['last']}" for each in removed["ranges"])
    count = _count(removed["entries"], "entry", "entries")
    told = f"{count} of the record that may be of this period, of this customer or others"
    return f"{told}, were removed when the time to keep them was over ({ranges}); no access among them is listed"


def _clauses(report: Report) -> Iterator[str]:
    totals = report["totals"]
    if not totals["accesses"]:
        return
    yield "<h2>By clause</h2>\n"
    yield _bars("Accesses by clause", [(each["rule"], each["accesses"]) for each in totals["by_clause"]])
    cells: _Cells = (
        ("Rule", lambda each: f"<code>{_text(each['rule'])}</code>"),
        ("In the contract", _words),
        ("Accesses", lambda each: f"{each['accesses']:,}"),
        ("Bytes", lambda each: f"{each['bytes']:,}"),
    )
    yield _table("What the contract says of each", cells, totals["by_clause"])
    yield "<h2>By country</h2>\n"
    yield _bars("Accesses by country", [(_country(each["country"]), each["accesses"]) for each in totals["by_country"]])
    cells = (("Country", lambda each: _text(_country(each["country"]))), *cells[2:])
    yield _table("Accesses and bytes by country", cells, totals["by_country"])


def _accesses(report: Report) -> Iterator[str]:
    yield "<h2>Each access</h2>\n"
    if not report["accesses"]:
        yield "<p>There was none.</p>\n"
        return
    cells: _Cells = (
        ("Time (UTC)", lambda row: _moment(row["time"])),
        ("Rule", lambda row: f"<code>{_text(row['rule'])}</code>"),
        ("Who", lambda row: f"{_text(row['subject'])} ({_text(', '.join(row['roles'])) or 'no role'})"),
        ("From", lambda row: _text(_country(row["country"]))),
        ("Under", _under),
        ("What", _what),
        ("Bytes", lambda row: f"{row['bytes']:,}"),
        ("Evidence", _evidence),
    )
    yield (
        "<p>The country is what the signals of that moment said. A home country stands here where they could not be"
        " relied on: the network was anonymised, or they disagreed.</p>\n"
    )
    yield _table("In the order of the record", cells, report["accesses"])


def _denied(report: Report) -> Iterator[str]:
    yield "<h2>Denied</h2>\n"
    if not report["denied"]:
        yield "<p>No attempt from outside home was denied.</p>\n"
        return
    cells: _Cells = (
        ("Rule", lambda each: f"<code>{_text(each['rule'])}</code>"),
        ("In the contract", lambda each: _text(each["clause"])),
        ("From", lambda each: _text(_country(each["country"]))),
        ("Attempts", lambda each: f"{each['attempts']:,}"),
        ("First", lambda each: _moment(each["first"])),
        ("Last", lambda each: _moment(each["last"])),
    )
    yield _table("Attempts from outside home, none of which got any data", cells, report["denied"])


def _how_to_check(report: Report) -> Iterator[str]:
    yield "<h2>How to check this</h2>\n"
    if not report["checkpoint"]:
        yield f"<p>The record has {_text(NO_CHECKPOINT)}. Until then nothing here is proven.</p>\n"
        return
    yield (
        "<p>Each access is an entry of an append-only log; its hash is above. The same report with"
        " <code>--format json</code> holds the proof of each against this checkpoint, which anybody can check with the"
        " log’s public key alone. It shows that each entry is in the log, not that none was left out.</p>\n"
    )
    yield f"<pre><code>{_text(report['checkpoint'])}</code></pre>\n"


def _words(each: Report) -> str:
    words = f"<blockquote>{_text(each['words'])}</blockquote>" if each["words"] else ""
    return f"{_text(each['clause'])}{words}"


def _under(row: Report) -> str:
    named = ((name, row[name]) for name in ("ticket", "grant", "authorization"))
    return "<br>".join(f"{name} {_text(value)}" for name, value in named if value) or "–"


def _what(row: Report) -> str:
    several = "<br>of several customers, perhaps of this one" if row["several_customers"] else ""
    path = f'<span class="path">{_text(row["method"])} {_text(row["path"])}</span>'
    return f"{_text(row['action'])} {_text(row['data_class'])}: {_text(row['outcome'])}<br>{path}{several}"


def _evidence(row: Report) -> str:
    return "<br>".join(
        f"entry {each['index']}{'' if each['proof'] is not None else ' (not proven)'}<br>"
        f"<code>{_text(each['leaf_hash'])}</code>"
        for each in row["evidence"]
    )


_Cells = Sequence[tuple[str, Callable[[Report], str]]]
_NUMBERS = frozenset({"Accesses", "Bytes", "Attempts"})


def _table(caption: str, cells: _Cells, rows: Iterable[Report]) -> str:
    head = "".join(f'<th scope="col"{_class(title)}>{title}</th>' for title, _ in cells)
    body = "\n".join(
        f"<tr>{''.join(f'<td{_class(title)}>{show(row)}</td>' for title, show in cells)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{_text(caption)}" tabindex="0">'
        f"<table><caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    )


def _class(title: str) -> str:
    return ' class="number"' if title in _NUMBERS else ""


def _bars(title: str, values: Sequence[tuple[str, int]]) -> str:
    """A bar for each, the longest as wide as there is room. What it shows stands in the table below it as well."""
    most = max(value for _, value in values)
    width, height = _LABEL_WIDTH + _BAR_WIDTH + 80, _BAR_HEIGHT * len(values)
    told = "; ".join(f"{name}: {value}" for name, value in values)
    bars = "".join(_bar(at * _BAR_HEIGHT, name, value, most) for at, (name, value) in enumerate(values))
    return (
        f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{_text(title)}</title><desc>{_text(told)}</desc>{bars}</svg>\n"
    )


def _bar(top: int, name: str, value: int, most: int) -> str:
    length = max(2, round(_BAR_WIDTH * value / most))
    return (
        f'<text x="{_LABEL_WIDTH - 8}" y="{top + 17}" text-anchor="end">{_text(name)}</text>'
        f'<rect x="{_LABEL_WIDTH}" y="{top + 4}" width="{length}" height="{_BAR_HEIGHT - 8}"/>'
        f'<text x="{_LABEL_WIDTH + length + 6}" y="{top + 17}">{value:,}</text>'
    )


def _country(code: str) -> str:
    found = iso3166.countries_by_alpha2.get(code)
    return f"{found.name} ({code})" if found else code or "unknown"


def _moment(time: str) -> str:
    return f'<time datetime="{_text(time)}">{_text(time[:19].replace("T", " "))}</time>'


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _text(value: object) -> str:
    return escape(str(value), quote=True)
