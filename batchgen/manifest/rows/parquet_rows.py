"""Parquet → rows, one batch at a time. pyarrow is needed only for such a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, SupportsFloat

from batchgen.errors import InputError
from batchgen.manifest.rows.base import BadRow, Row, Rows, cannot_read
from batchgen.models.messages import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from batchgen.errors import StorageError
    from batchgen.jobs import JsonValue

BATCH = 1000
"""Rows in memory at once."""


def parquet_rows(file: BinaryIO, path: Path) -> Rows:
    """Read the schema; rows are read on demand. Raises InputError, StorageError."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped] # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415 - as above
    except ImportError as exc:
        raise InputError(
            "reading Parquet needs the package pyarrow",
            where=str(path),
            next_step="pip install 'batchgen[parquet]', or save the rows as .csv or .jsonl",
        ) from exc
    try:
        opened = parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as exc:
        raise _unreadable(exc, path) from exc
    fields = list(opened.schema_arrow)
    _refuse(fields, path)
    # Python has no type for nanoseconds; less than a microsecond is lost.
    schema = pa.schema([pa.field(one.name, _coarser(one.type)) for one in fields])
    names = tuple(schema.names)
    plain = frozenset(one.name for one in schema if _is_plain(one.type))
    batches = _batches(opened, schema, path)
    return Rows(names, _rows(batches, names, plain))


def _rows(
    batches: Iterator[Sequence[Sequence[Any]]], names: Sequence[str], plain: frozenset[str]
) -> Iterator[Row | BadRow]:
    number = 0
    other = [name for name in names if name not in plain]
    for columns in batches:
        for cells in zip(*columns, strict=True):
            number += 1
            values = dict(zip(names, cells, strict=True))
            try:
                values.update((name, _as_json(values[name])) for name in other)
            except OverflowError:
                hint = "leave the value out: no input takes such a number"
                yield BadRow(number, "the row holds an infinite number", hint)
            else:
                yield Row(values, number, number)


def _batches(opened: Any, schema: Any, path: Path) -> Iterator[Sequence[Sequence[Any]]]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    same = opened.schema_arrow.types == schema.types
    try:
        # Without threads and read-ahead, memory holds one batch and the pages of its row group.
        for batch in opened.iter_batches(batch_size=BATCH, use_threads=False):
            table = pa.Table.from_batches([batch])
            whole = table if same else table.cast(schema, safe=False)
            yield [column.to_pylist() for column in whole.columns]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise _unreadable(exc, path) from exc


def _unreadable(error: Exception, path: Path) -> InputError | StorageError:
    """Distinguish a broken disk, whose error has an errno, from a broken file."""
    if isinstance(error, OSError) and error.errno is not None:
        return cannot_read(path, error)
    first_line = str(error).partition("\n")[0]
    what = f"the file cannot be read as Parquet: {first_line}"
    return InputError(what, where=str(path), next_step="is it complete, and is it Parquet?")


def _refuse(fields: Sequence[Any], path: Path) -> None:
    names = [one.name for one in fields]
    if not names:
        raise InputError("the file has no columns", where=str(path))
    for number, one in enumerate(fields, start=1):
        problem = None
        if not one.name:
            problem = f"column {number} has no name", "name it, or write the file without it"
        elif names.count(one.name) > 1:
            problem = f"duplicate column {format_value(one.name)}", "rename one of them"
        elif _has_bytes(one.type):
            hint = "write the file without it: an input is text, numbers and URLs"
            problem = f"the column {format_value(one.name)} holds bytes", hint
        if problem is not None:
            raise InputError(problem[0], where=str(path), next_step=problem[1])


def _inner(kind: Any) -> list[Any]:
    """List the types that a list, struct, map or dictionary is made of."""
    if hasattr(kind, "key_type"):
        return [kind.key_type, kind.item_type]
    if hasattr(kind, "index_type"):
        return [kind.value_type]
    return [kind.field(number).type for number in range(kind.num_fields)]


def _has_bytes(kind: Any) -> bool:
    return "binary" in str(kind).partition("<")[0] or any(map(_has_bytes, _inner(kind)))


def _is_plain(kind: Any) -> bool:
    """Whether the type's Python values are JSON values already."""
    return str(kind) in _PLAIN_TYPES


_PLAIN_TYPES = frozenset(
    {"null", "bool", "string", "large_string"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)


def _coarser(kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return _coarser_inside(kind)


def _coarser_inside(kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if pa.types.is_list(kind):
        return pa.list_(_coarser(kind.value_type))
    if pa.types.is_struct(kind):
        inner = (kind.field(number) for number in range(kind.num_fields))
        return pa.struct([(one.name, _coarser(one.type)) for one in inner])
    return kind


def _as_json(value: Any) -> JsonValue:
    """Times and exact decimals become text, so that no JSON reader rounds them.

    Raises OverflowError for an infinite number.
    """
    if isinstance(value, Mapping):
        return {str(key): _as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if not isinstance(value, SupportsFloat):
        return str(value)  # such as a UUID
    number = float(value)
    if math.isinf(number):
        raise OverflowError
    # Data frames write NaN for a missing value, and JSON has no NaN.
    return None if math.isnan(number) else number
