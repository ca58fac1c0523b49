"""Parquet: the columns of the CSV export with their types, for those who ask questions of millions of entries.

Written a row group at a time, so that memory holds one. ``pyarrow`` is an extra, for it is larger than all the rest.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.errors import UsageError
from gateway.ledger.entry import decode
from gateway.ledger.export import FIELDS, Found, flat, plain

ROW_GROUP = 20_000
_NUMBERS = frozenset({"sequence", "status", "bytes", "bytes_in", "duration_ms"})
_LISTS = frozenset({"rules", "obligations", "roles"})
_FLAGS = frozenset({"location.assured"})
_NUMBER_RANGE = range(-(2**63), 2**63)


def require() -> None:
    """Make sure that it can be written.

    Raises:
        UsageError: what writes it is not installed.
    """
    if find_spec("pyarrow") is None:
        how = "pip install 'residency-gateway[parquet]'"
        raise UsageError(f"Parquet needs the package pyarrow, which is not installed; install it: {how}")


def write(entries: Found, path: Path) -> None:
    """Write entries to a file, a row group at a time.

    Args:
        entries: sequence and exact bytes.
        path: replaced if it is there.
    """
    import pyarrow as arrow
    from pyarrow.parquet import ParquetWriter

    kinds = {name: _kind(arrow, name) for name in FIELDS}
    schema = arrow.schema(kinds.items(), metadata={"source": "residency-gateway ledger"})
    rest = iter(entries)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while rows := [{"sequence": sequence, **decode(body)} for sequence, body in islice(rest, ROW_GROUP)]:
            columns = [arrow.array([_value(row, name) for row in rows], kind) for name, kind in kinds.items()]
            writer.write_batch(arrow.record_batch(columns, schema=schema))


def _kind(arrow: Any, name: str) -> Any:
    if name == "time":
        return arrow.timestamp("us", tz="UTC")
    if name in _LISTS:
        return arrow.list_(arrow.string())
    return arrow.int64() if name in _NUMBERS else arrow.bool_() if name in _FLAGS else arrow.string()


def _value(row: dict[str, Any], name: str) -> object:
    """What stands in a column; None where an entry of this kind has nothing, or something of another type."""
    value = row.get("time_us") if name == "time" else flat(row, name)
    if name in _NUMBERS or name == "time":
        return value if type(value) is int and value in _NUMBER_RANGE else None
    if name in _FLAGS:
        return value if isinstance(value, bool) else None
    if name in _LISTS:
        return [str(item) for item in value] if isinstance(value, list) else None
    return plain(value) or None
