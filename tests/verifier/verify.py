#!/usr/bin/env python3
"""Check a copy of a ledger, without the software that wrote it.

    python verify.py BUNDLE --key KEY [--checkpoint FILE] [--proof FILE --entry FILE]
    python verify.py --key KEY --proof FILE --entry FILE
    python verify.py --key KEY --report FILE

BUNDLE      a directory as ``ledger export --bundle`` writes it.
KEY         one of the ledger's keys (name+hash+base64). Have it from somewhere else than from the bundle: whoever can
            write the bundle can write a key into it.
--checkpoint FILE
            a checkpoint that you kept earlier. Only this shows that the end was cut off, or that an old copy or a
            second version of the ledger was handed to you.
--proof FILE --entry FILE
            a proof that one entry stands in the ledger, and that entry's exact bytes.
--report FILE
            a transparency report, as ``ledger report --format json`` writes it; KEY is the one that signed its
            checkpoint. That no access was left out of it only a bundle shows.

It prints one line for each thing that is wrong, and where. Exit status: 0 nothing is wrong, 1 something is, 2 it could
not be checked (a wrong argument, a directory that is no bundle). It needs Python 3.9 or later, ``cryptography``, and
about 400 bytes of memory for each entry.

What it checks, in this order, each in a function of that name:

  1. read_entries       the files of entries can be read, one entry behind the other
  2. check_entries      each is JSON in the one canonical form (RFC 8785), has an id of its own, and a completion comes
                        after the decision that it completes, once
     check_removed      an entry without bytes is one that was removed, and an entry ``ledger.retain`` says by whom
  3. check_tiles        the hash files hold what the entries hash to (RFC 6962, section 2.1), on every level
  4. key_chain          the keys that sign follow each other, from the one that you trust, forwards and backwards
  5. check_checkpoints  each checkpoint is signed by the key that counted then, and its hash is that of the entries
  6. check_kept         the ledger still begins with what your own checkpoint says
  7. check_proof        the proof leads from the entry to a checkpoint signed by a key of the chain
  8. check_report       each row of a report says what its entries say, and these stand in the ledger

The formats: https://c2sp.org/tlog-tiles, /tlog-checkpoint, /signed-note, /tlog-proof.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256  # hashes in a full tile
ED25519 = 1  # the kind of a key that signs checkpoints
KINDS = ("decision", "completion", "administrative")
MAX_DEPTH = 8
NUMBER = "0|[1-9][0-9]{0,17}"


class CannotCheck(Exception):
    """There is nothing to check, or not in a form that can be."""


class Wrong(Exception):
    """What is wrong with the one thing at hand."""


class Findings:
    """What is wrong, a line each."""

    def __init__(self) -> None:
        self.count = 0

    def say(self, where: str, what: str) -> None:
        self.count += 1
        print(f"{where}: {what}")

    def note(self, where: str, what: str) -> None:
        """What is worth knowing, and not wrong."""
        print(f"{where}: note: {what}")

    def of(self, path: Path, check) -> None:
        """What a check of one file finds."""
        try:
            check()
        except (Wrong, UnicodeDecodeError) as wrong:
            self.say(str(path), str(wrong))


# Hashes: RFC 6962, section 2.1


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tile_hash(hashes: list[bytes]) -> bytes:
    """The one hash over the 256 of a full tile: pair by pair, until one is left."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def tree_levels(leaves: list[bytes], told: dict[int, bytes]) -> list[list[bytes]]:
    """Level 0 is the entries' hashes; each hash of a level above is over 256 of the one below.

    Those of level 1 over removed entries are told, not worked out: the signed hash over everything is over them, too.
    """
    levels = [leaves]
    while len(levels[-1]) >= WIDTH:
        below = levels[-1]
        whole = range(0, len(below) - WIDTH + 1, WIDTH)
        known = told if len(levels) == 1 else {}
        levels.append([known.get(i // WIDTH) or tile_hash(below[i : i + WIDTH]) for i in whole])
    return levels


def tree_hash(levels: list[list[bytes]], start: int, end: int) -> bytes:
    """The hash over the entries from start up to end: MTH of the RFC, taking from the levels what stands there."""
    count = end - start
    if count == 0:
        return hashlib.sha256(b"").digest()
    for level, hashes in enumerate(levels):
        if count == WIDTH**level:
            if not hashes[start // count]:
                raise Wrong(f"it ends among entries that were removed, about {start}, and cannot be compared")
            return hashes[start // count]
    k = 1 << (count - 1).bit_length() - 1  # the largest power of two below count
    return node_hash(tree_hash(levels, start, start + k), tree_hash(levels, start + k, end))


# Keys and signed notes


def strict_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Wrong(f"{text[:60]!r} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Wrong(f"{text[:60]!r} is base64 written in an unusual way")
    return data


class Key:
    """A key as it is written: name, four bytes that stand for it, and the key, joined by plus signs."""

    def __init__(self, text: str) -> None:
        self.text = text
        parts = text.split("+", 2)
        data = strict_base64(parts[2]) if len(parts) == 3 else b""
        if len(data) != 33 or data[0] != ED25519 or not parts[0]:
            raise Wrong(f"{text[:80]!r} is no Ed25519 key of the form name+hash+base64")
        self.name = parts[0]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        self.public = Ed25519PublicKey.from_public_bytes(data[1:])
        if self.id.hex() != parts[1]:
            raise Wrong(f"{text[:80]!r} does not have the hash that it names")

    def signed(self, text: str, signature: bytes) -> bool:
        try:
            self.public.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Checkpoint:
    """A signed note: three lines (name, number of entries, hash), an empty line, signature lines."""

    def __init__(self, note: str) -> None:
        text, blank, signatures = note.rpartition("\n\n")
        lines = text.split("\n")
        if not blank or not signatures.endswith("\n") or len(lines) != 3 or not re.fullmatch(NUMBER, lines[1]):
            raise Wrong("it is no checkpoint: three lines, an empty line, and signature lines")
        self.text = text + "\n"
        self.signatures = signatures[:-1].split("\n")
        self.name, self.size, self.root = lines[0], int(lines[1]), strict_base64(lines[2])

    def require_signed(self, key: Key) -> None:
        """A line of this key must be there, and be right; lines of others (witnesses) are passed over."""
        if self.name != key.name:
            raise Wrong(f"it is of another log, {self.name}; expected {key.name}")
        found = False
        for line in self.signatures:
            match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)", line)
            if not match:
                raise Wrong(f"a signature line cannot be read: {line[:60]!r}")
            data = strict_base64(match[2])
            if match[1] == key.name and data[:4] == key.id:
                found = True
                if not key.signed(self.text, data[4:]):
                    raise Wrong(f"its signature is not of this text, or not by the key {key.id.hex()} of {key.name}")
        if not found:
            raise Wrong(f"it is not signed by the key {key.id.hex()} of {key.name}, which counted then")


# 1. The entries, one behind the other


def tile_file(level: str, number: int) -> str:
    """The full tile: tile/0/x001/x234/067 is number 1234067. Its parts are in a directory of that name and ``.p``."""
    path = f"{number % 1000:03}"
    while number >= 1000:
        number //= 1000
        path = f"x{number % 1000:03}/{path}"
    return f"tile/{level}/{path}"


def tile_files(bundle: Path, level: str, number: int) -> list[tuple[int, Path]]:
    """The files that there are of a tile, with how many each holds; the widest last."""
    full = bundle / tile_file(level, number)
    parts = [(int(part.name), part) for part in full.with_name(full.name + ".p").glob("*") if part.name.isdecimal()]
    return sorted(parts) + ([(WIDTH, full)] if full.is_file() else [])


def read_entries(bundle: Path, findings: Findings):
    """Each entry's bytes, in order. A missing one has no bytes."""
    number, width = 0, WIDTH
    while width == WIDTH and (there := tile_files(bundle, "entries", number)):
        width, path = there[-1]
        yield from split_entries(path, width, str(path.relative_to(bundle)), findings)
        number += 1
    after = [path for path in (bundle / "tile/entries").rglob("*") if path.is_file() and is_after(path, bundle, number)]
    if after:
        findings.say(tile_file("entries", number), "the file is missing, and others behind it are there")


def is_after(path: Path, bundle: Path, number: int) -> bool:
    digits = re.findall("[0-9]{3}", re.sub(r"\.p/.*", "", path.relative_to(bundle / "tile/entries").as_posix()))
    return bool(digits) and int("".join(digits)) >= number


def split_entries(path: Path, width: int, where: str, findings: Findings) -> list[bytes]:
    data, at, entries = path.read_bytes(), 0, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data) or len(entries) != width:
        findings.say(where, f"it holds {len(entries)} entries, or half of one; expected {width}")
    return entries


# 2. Each entry, and how they hang together


class Entries:
    """What has to be remembered of them."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.keys: list[tuple[int, dict]] = []
        self.seen: dict[str, int] = {}
        self.completed: dict[str, int] = {}  # of a decision: 0 until it is completed
        self.empty: list[int] = []  # entries without bytes
        self.removals: list[dict] = []  # entries that say that others were removed
        self.alone: list[int] = []  # completions without their decision


def check_entries(entries, findings: Findings) -> Entries:
    held = Entries()
    for sequence, entry in enumerate(entries):
        held.leaves.append(leaf_hash(entry))
        if not entry:
            held.empty.append(sequence)
            continue
        try:
            fields = read_fields(entry)
            check_place(held, sequence, fields)
        except Wrong as wrong:
            findings.say(f"entry {sequence}", str(wrong))
    return held


def read_fields(entry: bytes) -> dict:
    """The JSON object, which must be written as RFC 8785 would: names sorted, nothing between, shortest escapes."""
    try:
        fields = json.loads(entry.decode())
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Wrong("it is not JSON") from None
    if not isinstance(fields, dict):
        raise Wrong("it is not a JSON object")
    check_plain(fields, 0)
    if canonical != entry:
        raise Wrong("it is not written in the one canonical form")
    return fields


def check_plain(value, depth: int) -> None:
    """Text, whole numbers, true, false, lists and plainly named objects: only these have one way to be written."""
    if isinstance(value, dict) and all(name.isascii() for name in value):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    elif isinstance(value, (str, bool)) or (isinstance(value, int) and abs(value) < 2**53):
        return
    else:
        raise Wrong("it holds something other than text, whole numbers, true, false, lists and plainly named objects")
    if depth >= MAX_DEPTH:
        raise Wrong(f"it nests more than {MAX_DEPTH} deep")
    for each in inner:
        check_plain(each, depth + 1)


def check_place(held: Entries, sequence: int, fields: dict) -> None:
    kind, key = fields.get("kind"), fields.get("id")
    if kind not in KINDS or fields.get("version") != 1 or not isinstance(key, str) or not key or "sequence" in fields:
        raise Wrong("it is no entry: kind, version or id is not what an entry has")
    if not isinstance(fields.get("time"), str) or type(fields.get("time_us")) is not int:
        raise Wrong("it does not say when")
    if key in held.seen:
        raise Wrong(f"its id {key} is that of entry {held.seen[key]}")
    held.seen[key] = sequence
    if kind == "decision":
        held.completed[key] = 0
    if kind == "administrative" and fields.get("act") == "ledger.key":
        held.keys.append((sequence, fields))
    if kind == "administrative" and fields.get("act") == "ledger.retain" and isinstance(fields.get("details"), dict):
        held.removals.append(fields)
    if kind == "completion":
        decision = fields.get("decision")
        if not isinstance(decision, str) or decision not in held.completed:
            held.alone.append(sequence)
            return
        if held.completed[decision]:
            raise Wrong(f"it completes a decision that entry {held.completed[decision]} completed")
        held.completed[decision] = sequence


def check_removed(bundle: Path, held: Entries, findings: Findings) -> dict[int, bytes]:
    """Hashes of level 1 over entries that were removed, as the hash files tell them."""
    ranges = [(fields["details"].get("first"), fields["details"].get("last"), fields) for fields in held.removals]
    ranges = [each for each in ranges if type(each[0]) is int and type(each[1]) is int]
    told: dict[int, bytes] = {}
    for sequence in held.empty:
        if not any(first <= sequence <= last for first, last, _ in ranges):
            findings.say(f"entry {sequence}", "it is missing")
            continue
        held.leaves[sequence] = stored_hash(bundle, 0, sequence)
        if not held.leaves[sequence]:
            told[sequence // WIDTH] = stored_hash(bundle, 1, sequence // WIDTH)
    for sequence in held.alone:
        if not any(last < sequence for _, last, _ in ranges):
            findings.say(f"entry {sequence}", "it completes a decision that no entry before it holds")
    for first, last, fields in ranges:
        findings.note(f"entry {first}", f"to {last}: removed on {fields['time']} by {fields.get('actor')}")
    return told


@lru_cache(4)
def tile_bytes(bundle: Path, level: int, number: int) -> bytes:
    files = tile_files(bundle, str(level), number)
    return files[-1][1].read_bytes() if files else b""


def stored_hash(bundle: Path, level: int, number: int) -> bytes:
    """A hash of a hash file; none where that has zeros, or nothing, in its place."""
    at = 32 * (number % WIDTH)
    found = tile_bytes(bundle, level, number // WIDTH)[at : at + 32]
    return found if any(found) else b""


# 3. The hash files against the entries


def check_tiles(bundle: Path, levels: list[list[bytes]], findings: Findings) -> None:
    for level, hashes in enumerate(levels):
        for number in range((len(hashes) + WIDTH - 1) // WIDTH):
            expected = hashes[number * WIDTH : (number + 1) * WIDTH]
            files = tile_files(bundle, str(level), number)
            if not files or files[-1][0] < len(expected):
                findings.say(tile_file(str(level), number), f"the file of {len(expected)} hashes is missing")
            for width, path in files:
                compare_tile(path.read_bytes(), expected[:width], level, number, findings)


def compare_tile(data: bytes, expected: list[bytes], level: int, number: int, findings: Findings) -> None:
    where = tile_file(str(level), number)
    if len(data) != 32 * len(expected):
        findings.say(where, f"it has {len(data)} bytes; expected {len(expected)} hashes of 32")
    for place, node in enumerate(expected):
        if node and data[place * 32 : place * 32 + 32] != node:
            span = WIDTH**level
            first = (number * WIDTH + place) * span
            over = f"entry {first}" if span == 1 else f"the entries {first} to {first + span - 1}"
            findings.say(where, f"the hash of {over} is not what is there")


# 4. The keys


def key_chain(held: Entries, trusted: Key, findings: Findings) -> list[tuple[int, Key]]:
    """From which entry on each key counts. Each entry of a key is signed by that key and by the one before it."""
    chain: list[tuple[int, Key]] = []
    for sequence, fields in held.keys:
        try:
            chain.append((sequence, next_key(chain, fields.get("details"))))
        except Wrong as wrong:
            findings.say(f"entry {sequence}", f"the key in it does not follow: {wrong}")
    if trusted.text not in [key.text for _, key in chain]:
        names = ", ".join(f"{key.name} {key.id.hex()}" for _, key in chain) or "none"
        findings.say(
            "keys", f"the key that you trust, {trusted.name} {trusted.id.hex()}, is none of them; found {names}"
        )
        return []
    return chain


def next_key(chain: list[tuple[int, Key]], details) -> Key:
    told = {name: str(value) for name, value in details.items()} if isinstance(details, dict) else {}
    key = Key(told.get("key", ""))
    before = chain[-1][1] if chain else None
    if told.get("previous") != (before.text if before else ""):
        raise Wrong("it does not name the key before it; one was left out, or put in")
    statement = f"ledger.key\n{told['previous']}\n{key.text}\n"
    if not key.signed(statement, strict_base64(told.get("signature", ""))):
        raise Wrong("it is not signed by the new key itself")
    if before and not before.signed(statement, strict_base64(told.get("previous_signature", ""))):
        raise Wrong(f"it is not signed by the key before it, {before.id.hex()}")
    return key


def key_at(chain: list[tuple[int, Key]], size: int) -> Key:
    """The key that counts for a checkpoint: the last whose entry is in it."""
    counting = [key for sequence, key in chain if sequence < size]
    if not counting:
        raise Wrong("no key that leads back to the one that you trust counts at its size")
    return counting[-1]


def check_key_file(bundle: Path, chain: list[tuple[int, Key]], findings: Findings) -> None:
    said = (bundle / "keys").read_bytes() if (bundle / "keys").is_file() else b""
    if said != "".join(f"{sequence} {key.text}\n" for sequence, key in chain).encode():
        findings.say("keys", "the file says otherwise than the entries")


# 5. The checkpoints


def check_checkpoints(bundle: Path, levels, chain, findings: Findings) -> list[Checkpoint]:
    """Those that hold, in their order."""
    sound: list[Checkpoint] = []
    names = [path.name for path in (bundle / "checkpoints").glob("*") if path.name.isdecimal()]
    for name in sorted(names, key=int):
        try:
            text = (bundle / "checkpoints" / name).read_text("utf-8")
            sound.append(sound_checkpoint(text, int(name), levels, chain, sound))
        except (Wrong, UnicodeDecodeError) as wrong:
            findings.say(f"checkpoints/{name}", str(wrong))
    newest = (bundle / "checkpoints" / max(names, key=int)).read_bytes() if names else b""
    if newest != (bundle / "checkpoint").read_bytes():
        findings.say("checkpoint", "it is not the newest of those in checkpoints/")
    return sound


def sound_checkpoint(text: str, size: int, levels, chain, sound: list[Checkpoint]) -> Checkpoint:
    checkpoint = Checkpoint(text)
    checkpoint.require_signed(key_at(chain, checkpoint.size))
    there = len(levels[0])
    if checkpoint.size != size:
        raise Wrong(f"it is over {checkpoint.size} entries, and its name says otherwise")
    if size > there:
        raise Wrong(f"it is over {size} entries; those from {there} on are missing: they were cut off")
    if checkpoint.root != tree_hash(levels, 0, size):
        after = f"after entry {sound[-1].size - 1} and " if sound else ""
        raise Wrong(f"an entry {after}before entry {size} is not the one that was signed")
    return checkpoint


# 6. A checkpoint that you kept


def check_kept(path: Path, levels, chain, trusted: Key, sound: list[Checkpoint]) -> None:
    kept = Checkpoint(path.read_text("utf-8"))
    require_known(kept, chain, trusted)
    there = len(levels[0])
    if kept.size > there:
        raise Wrong(f"it is over {kept.size} entries, the bundle has {there}: the ledger was rolled back")
    if kept.root != tree_hash(levels, 0, kept.size):
        forked = any(each.size >= kept.size for each in sound)
        done = "forked: its key signed both" if forked else "rewritten"
        raise Wrong(f"the entries before {kept.size} are not those that it is over: the ledger was {done}")


def require_known(checkpoint: Checkpoint, chain: list[tuple[int, Key]], trusted: Key) -> None:
    """Signed by the key that is trusted, or by another of its chain."""
    refused = []
    for key in (trusted, *(key for _, key in chain)):
        try:
            checkpoint.require_signed(key)
            return
        except Wrong as wrong:
            refused.append(wrong)
    raise refused[0]


# 7. A proof of one entry


def check_proof(proof: Path, entry: Path, levels, chain, trusted: Key) -> None:
    head, _, note = proof.read_text("utf-8").partition("\n\n")
    first, *lines = [line for line in head.split("\n") if not line.startswith("extra ")]
    if first != "c2sp.org/tlog-proof@v1" or not lines or not re.fullmatch(f"index ({NUMBER})", lines[0]):
        raise Wrong("it is no proof (c2sp.org/tlog-proof@v1) of an entry at an index")
    checkpoint, index = Checkpoint(note), int(lines[0].split()[1])
    require_known(checkpoint, chain, trusted)
    size = checkpoint.size
    root = follow(leaf_hash(entry.read_bytes()), index, size, [strict_base64(line) for line in lines[1:]])
    if root != checkpoint.root:
        raise Wrong(f"it does not lead from this entry, at {index}, to the checkpoint over {size} entries")
    if levels and size <= len(levels[0]) and root != tree_hash(levels, 0, size):
        raise Wrong("its checkpoint is not one of this bundle's entries")


def follow(node: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Where a path leads to from a leaf (RFC 9162, section 2.1.3.2)."""
    if index >= size:
        raise Wrong(f"it is of entry {index}, and its checkpoint is over {size}")
    last = size - 1
    for sibling in path:
        if last == 0:
            raise Wrong("it has too many hashes")
        if index % 2 or index == last:
            node = node_hash(sibling, node)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = node_hash(node, sibling)
        index, last = index // 2, last // 2
    if last:
        raise Wrong("it has too few hashes")
    return node


# 8. A transparency report


FORMAT = "residency-gateway transparency report, version 1"
_SAME = (
    "time",
    "rule",
    "clause",
    "subject",
    "roles",
    "ticket",
    "grant",
    "authorization",
    "data_class",
    "action",
    "method",
    "path",
)


def read_report(path: Path) -> dict:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        raise CannotCheck(f"{path} is no report: it is not JSON") from None


def check_report(report: dict, key: str) -> list[str]:
    """What does not hold, a line each; none where the report is what the log holds.

    Args:
        report: as ``ledger report --format json`` writes it.
        key: the log's verifier key: name, ``+``, eight hexadecimal digits, ``+``, base64.
    """
    try:
        return list(_faults(report, key))
    except (Wrong, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        return [f"the report cannot be read: {type(error).__name__}: {error}"]


def _faults(report: dict, key: str) -> Iterator[str]:
    if report["format"] != FORMAT:
        yield f"it says that it is {report['format']!r}; expected {FORMAT!r}"
    if not report["checkpoint"]:
        yield "it has no checkpoint, so nothing in it is proven"
        return
    checkpoint = Checkpoint(report["checkpoint"])
    try:
        checkpoint.require_signed(Key(key))
    except Wrong as wrong:
        yield f"the checkpoint: {wrong}"
        return
    size, root = checkpoint.size, checkpoint.root
    if (report["tree_size"], report["origin"]) != (size, checkpoint.name):
        yield "it speaks of another tree than its checkpoint"
    last = -1
    for row in report["accesses"]:
        yield from (f"entry {row['sequence']}: {fault}" for fault in _of_row(row, report, size, root))
        if row["sequence"] <= last:
            yield f"entry {row['sequence']}: it stands there twice, or out of order"
        last = row["sequence"]
    if report["totals"] != _totals(report["accesses"]):
        yield "the totals are not the sums of the rows"


def _of_row(row: dict, report: dict, size: int, root: bytes) -> Iterator[str]:
    evidence = row["evidence"]
    if not 1 <= len(evidence) <= 2 or evidence[0]["index"] != row["sequence"]:
        yield "its evidence is of another entry"
        return
    for each in evidence:
        yield from _of_evidence(each, size, root)
    if report["pseudonyms"]:
        return
    entries = [json.loads(strict_base64(each["entry"])) for each in evidence]
    yield from _of_decision(row, entries[0], report)
    yield from _of_completion(row, entries[0], entries[1] if len(entries) == 2 else None)


def _of_evidence(each: dict, size: int, root: bytes) -> Iterator[str]:
    leaf = strict_base64(each["leaf_hash"])
    if "entry" in each and leaf_hash(strict_base64(each["entry"])) != leaf:
        yield f"the hash of entry {each['index']} is not that of its bytes"
    if each["proof"] is None:
        yield f"entry {each['index']} is not proven: it is newer than the checkpoint"
        return
    try:
        found = follow(leaf, each["index"], size, [strict_base64(node) for node in each["proof"]])
    except Wrong:
        found = b""
    if found != root:
        yield f"the proof of entry {each['index']} does not lead to the root of the checkpoint"


def _of_decision(row: dict, entry: dict, report: dict) -> Iterator[str]:
    wrong = [name for name in _SAME if row[name] != entry.get(name, [] if name == "roles" else "")]
    if row["country"] != entry["location"]["country"]:
        wrong.append("country")
    if wrong:
        yield f"the row says otherwise than the entry: {', '.join(wrong)}"
    if (entry["kind"], entry["effect"], entry["location"]["assured"]) != ("decision", "permit", False):
        yield "the entry is no access from outside home"
    if entry["customer"] != ("" if row["several_customers"] else report["customer"]):
        yield "the entry is of another customer"
    if not _us(report["since"]) <= entry["time_us"] < _us(report["until"]) or _us(entry["time"]) != entry["time_us"]:
        yield "the entry is of another time"


def _of_completion(row: dict, decision: dict, entry: dict | None) -> Iterator[str]:
    if entry is None:
        if (row["bytes"], row["bytes_in"], row["outcome"]) != (0, 0, "not completed"):
            yield "what came of it is not in evidence"
        return
    if entry["kind"] != "completion" or entry["decision"] != decision["id"]:
        yield "its completion is of another decision"
    if (row["bytes"], row["bytes_in"], row["outcome"]) != (entry["bytes"], entry.get("bytes_in", 0), entry["outcome"]):
        yield "the row says otherwise than the completion"


def _totals(rows: list[dict]) -> dict:
    def grouped(name: str, beside: tuple[str, ...]) -> list[dict]:
        found: dict[str, dict] = {}
        for row in rows:
            new = {name: row[name], **{each: row[each] for each in beside}, "accesses": 0, "bytes": 0}
            group = found.setdefault(row[name], new)
            group["accesses"] += 1
            group["bytes"] += row["bytes"]
        return sorted(found.values(), key=lambda group: (-group["accesses"], group[name]))

    return {
        "accesses": len(rows),
        "bytes": sum(row["bytes"] for row in rows),
        "by_clause": grouped("rule", ("clause", "words")),
        "by_country": grouped("country", ()),
    }


def _us(time: str) -> int:
    found = datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%f%z")
    return int(found.replace(microsecond=0).timestamp()) * 1_000_000 + found.microsecond


def check(asked: argparse.Namespace, findings: Findings) -> str:
    """Everything, in order; what was checked."""
    try:
        trusted = Key(asked.key)
    except Wrong as wrong:
        raise CannotCheck(f"--key: {wrong}") from None
    chain, levels, told = [], [], []
    if asked.bundle:
        levels, chain, sound = check_bundle(asked.bundle, trusted, findings)
        told.append(f"{len(levels[0])} entries, {len(sound)} sound checkpoints")
        if asked.checkpoint:
            findings.of(asked.checkpoint, lambda: check_kept(asked.checkpoint, levels, chain, trusted, sound))
            told.append("the checkpoint that you kept")
        else:
            told.append("no checkpoint kept elsewhere, so an old or second copy would not be seen")
    if asked.proof:
        findings.of(asked.proof, lambda: check_proof(asked.proof, asked.entry, levels, chain, trusted))
        told.append("one proof")
    if asked.report:
        report = read_report(asked.report)
        for fault in check_report(report, asked.key):
            findings.say(str(asked.report), fault)
        told.append("a report")
    return "; ".join(told)


def check_bundle(bundle: Path, trusted: Key, findings: Findings):
    if not (bundle / "checkpoint").is_file():
        raise CannotCheck(f"{bundle} is no bundle, or not a whole one: it has no file named checkpoint")
    held = check_entries(read_entries(bundle, findings), findings)
    levels = tree_levels(held.leaves, check_removed(bundle, held, findings))
    check_tiles(bundle, levels, findings)
    chain = key_chain(held, trusted, findings)
    check_key_file(bundle, chain, findings)
    return levels, chain, check_checkpoints(bundle, levels, chain, findings)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a copy of a ledger, without the software that wrote it.")
    parser.add_argument("bundle", nargs="?", type=Path, help="a directory that ledger export --bundle wrote")
    parser.add_argument("--key", required=True, help="one of the ledger's keys, had from elsewhere")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that you kept")
    parser.add_argument("--proof", type=Path, help="a proof of one entry")
    parser.add_argument("--entry", type=Path, help="that entry's exact bytes")
    parser.add_argument("--report", type=Path, help="a transparency report in JSON")
    asked = parser.parse_args()
    if (
        bool(asked.proof) != bool(asked.entry)
        or not (asked.bundle or asked.proof or asked.report)
        or (asked.checkpoint and not asked.bundle)
    ):
        parser.error("expected a bundle, --proof with --entry, or --report; --checkpoint needs a bundle")
    findings = Findings()
    try:
        told = check(asked, findings)
    except (CannotCheck, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'NOT VERIFIED' if findings.count else 'verified'}: {told}; {findings.count} wrong")
    return 1 if findings.count else 0


if __name__ == "__main__":
    sys.exit(main())
