"""Parquet: everything about each file as columns, and its bytes with --bytes.

With bytes, the columns `image` and `video` have the form that `datasets` recognizes. pyarrow is
needed only here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from batchgen.errors import UsageError
from batchgen.export.rows import flat_row_fields, json_line
from batchgen.export.shards import ShardFormat, publish_shards, shards
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.export.context import ExportContext
    from batchgen.export.making import Maker
    from batchgen.export.rows import Row

GROUP_ROWS = 1000
GROUP_BYTES = 64 * 1024 * 1024
"""Limits of a row group, which is held in memory until it is written."""

TEXT, WHOLE, REAL, TEXTS = "string", "int64", "float64", "list<string>"
COLUMNS = {
    "file_name": TEXT,
    "id": TEXT,
    "position": WHOLE,
    "model": TEXT,
    "prompt": TEXT,
    "input": TEXT,
    "seed": WHOLE,
    "tags": TEXTS,
    "sweep": TEXT,
    "axes": TEXT,
    "pick": TEXT,
    "sha256": TEXT,
    "media_type": TEXT,
    "bytes": WHOLE,
    "width": WHOLE,
    "height": WHOLE,
    "seconds": REAL,
    "frames": WHOLE,
    "request_id": TEXT,
    "cost": REAL,
}

# Dictionaries, statistics and compression for the facts only: pictures and clips are compressed
# already.
_LEAVES = [f"{name}.list.element" if kind == TEXTS else name for name, kind in COLUMNS.items()]
WRITING: dict[str, Any] = {
    "use_dictionary": _LEAVES,
    "write_statistics": _LEAVES,
    "compression": dict.fromkeys(_LEAVES, "zstd"),
}


def write_parquet(work: ExportContext) -> None:
    """Raises UsageError if pyarrow is not installed."""
    _library()
    embed = work.options.embed
    kinds = sorted({count.kind for count in work.journal.counts()}) if embed else []
    shard_format = ShardFormat("parquet", _line, _embedded_bytes if kinds else _line_bytes)
    for split in work.splits:
        # A new kind adds a column to all shards.
        planned = (
            replace(shard, key=f"{shard.key} {','.join(kinds)}")
            for shard in shards(work, split, shard_format)
        )
        publish_shards(work, planned, partial(_write, kinds))


def _write(
    kinds: list[str],
    part: Path,
    maker: Maker,
    rows: Iterable[Row],
    tick: Callable[[int], object],
) -> None:
    """With `kinds`, the columns of the files themselves. Raises UsageError without pyarrow."""
    schema = _schema(_library(), kinds)
    from pyarrow import parquet  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

    with disk_errors(part), part.open("xb") as file:
        with parquet.ParquetWriter(file, schema, **WRITING) as writer:
            group = _Group(writer, schema)
            for cells in _all_cells(maker, rows, embed=bool(kinds)):
                group.add(cells)
                tick(1)
            group.write()
        file.flush()
        os.fsync(file.fileno())


@dataclass(slots=True)
class _Group:
    writer: Any
    schema: Any
    rows: list[dict[str, Any]] = field(default_factory=list)
    bytes: int = 0

    def add(self, cells: dict[str, Any]) -> None:
        self.rows.append(cells)
        self.bytes += cells["bytes"]
        if len(self.rows) >= GROUP_ROWS or self.bytes >= GROUP_BYTES:
            self.write()

    def write(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        if self.rows:
            self.writer.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
        self.rows, self.bytes = [], 0


def _all_cells(maker: Maker, rows: Iterable[Row], *, embed: bool) -> Iterator[dict[str, Any]]:
    if not embed:
        yield from (flat_row_fields(row, row.result.path) for row in rows)
        return
    for row, blocks in maker.read_ahead(rows):
        file = {"bytes": b"".join(blocks), "path": row.name}
        yield {**flat_row_fields(row, row.result.path), row.kind.value: file}


def _line(row: Row) -> bytes:
    return json_line(flat_row_fields(row, row.result.path))


def _line_bytes(_row: Row, line: bytes) -> int:
    return len(line)


def _embedded_bytes(row: Row, line: bytes) -> int:
    return len(line) + row.result.bytes


def _library() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: F401, PLC0415 - as above
    except ImportError as exc:
        raise UsageError(
            "writing Parquet needs the package pyarrow",
            next_step="pip install 'batchgen[export]', or choose another format with --to",
        ) from exc
    return pa


def _schema(pa: Any, kinds: list[str]) -> Any:
    types = {
        TEXT: pa.string(),
        WHOLE: pa.int64(),
        REAL: pa.float64(),
        TEXTS: pa.list_(pa.string()),
    }
    columns = [pa.field(name, types[kind]) for name, kind in COLUMNS.items()]
    file = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    columns += [pa.field(kind, file) for kind in kinds]
    features = {kind: {"_type": kind.capitalize()} for kind in kinds}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if kinds else None
    return pa.schema(columns, metadata=metadata)
