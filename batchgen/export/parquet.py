"""Parquet: everything about each file as columns, and its bytes with --bytes.

With bytes, the columns `image` and `video` have the form that `datasets` recognizes. pyarrow is
needed only here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.errors import UsageError
from batchgen.export.rows import flat_row_fields, json_line
from batchgen.export.shards import ShardFormat, shards
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.export.context import ExportContext
    from batchgen.export.rows import Row
    from batchgen.export.shards import Shard

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
    pa = _library()
    kinds = sorted({count.kind for count in work.journal.counts()}) if work.options.embed else []
    schema = _schema(pa, kinds)
    shard_format = ShardFormat("parquet", _line, _embedded_bytes if kinds else _line_bytes)
    for split in work.splits:
        for shard in shards(work, split, shard_format):
            # A new kind adds a column to all shards.
            key = f"{shard.key} {','.join(kinds)}"
            if work.is_current(shard.path, key):
                work.tick(shard.rows)
            else:
                _write(work, shard, schema, key)


def _write(work: ExportContext, shard: Shard, schema: Any, key: str) -> None:
    from pyarrow import parquet  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

    part = work.folder.part("shard")
    with disk_errors(part), part.open("wb") as file:
        with parquet.ParquetWriter(file, schema, **WRITING) as writer:
            group = _Group(writer, schema)
            for cells in _all_cells(work, shard):
                group.add(cells)
                work.tick(1)
            group.write()
        file.flush()
        os.fsync(file.fileno())
    work.publish(part, shard.path, key)
    work.settle()


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


def _all_cells(work: ExportContext, shard: Shard) -> Iterator[dict[str, Any]]:
    numbered = work.journal.rows(shard.split, first=shard.first, last=shard.last)
    rows = (row for _, row in numbered)
    if not work.options.embed:
        yield from (flat_row_fields(row, row.result.path) for row in rows)
        return
    for row, blocks in work.read_ahead(rows):
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
