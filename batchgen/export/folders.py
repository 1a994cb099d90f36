"""`imagefolder` and `videofolder`: the unchanged files, with a metadata.jsonl beside them.

Names below a split contain no word that a loader without the card would take for a split. If a run
has both kinds, each gets a folder that is its own dataset: no loader reads both.

JSON Lines (`write_lists`) has one line per file and no copy of it; `file_name` is its path in the
run's folder.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.export.making import given_up
from batchgen.export.rows import flat_row_fields, json_line, link_or_copy, row_fields
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.export.context import ExportContext
    from batchgen.export.making import Made, Maker
    from batchgen.export.rows import Row
    from batchgen.state.records import Result


PAGE = 256
"""Units whose names are made durable together."""
METADATA = "metadata.jsonl"
SAMPLED_ROWS = 1000
"""In rows, well within the 10 MB of a list from which `datasets` infers types."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A file of the export: a result's, or a text. `rows` of the plan are done with it."""

    path: str
    key: str
    content: Result | bytes
    rows: int = 0


def write_folders(work: ExportContext) -> None:
    """Write the files, then the lists that name them."""
    kinds = kinds_of(work)
    is_mixed = len(kinds) > 1

    def path_of(row: Row) -> str:
        return f"{folder_of(row.kind, row.split, is_mixed=is_mixed)}/{row.loader_safe_name}"

    publish_units(work, (file_unit(work, row, path_of(row)) for _, row in work.journal.rows()))
    for kind in kinds:
        _write_lists(work, kind, is_mixed=is_mixed)


def kinds_of(work: ExportContext) -> list[str]:
    return sorted({count.kind for count in work.journal.counts()})


def folder_of(kind: str, split: str, *, is_mixed: bool) -> str:
    return f"{kind}s/{split}" if is_mixed else split


def file_unit(work: ExportContext, row: Row, path: str) -> Unit:
    """Return the unit of a result's file: a hard link, or a copy."""
    # With --copy a link must be replaced; without it, a copy is good enough.
    key = f"{row.result.sha256}{' copy' if work.options.copy else ''}"
    return Unit(path, key, row.result, rows=1)


def publish_units(work: ExportContext, units: Iterator[Unit]) -> None:
    waiting: deque[Unit] = deque()

    def to_make() -> Iterator[Unit]:
        for unit in units:
            if work.is_current(unit.path, unit.key):
                work.tick(unit.rows)
            else:
                waiting.append(unit)
                yield unit

    make = partial(_make, work.maker, work.options.copy)
    for number, made in enumerate(work.map(make, to_make(), _given_up), 1):
        unit = waiting.popleft()
        work.publish(made, unit.path, unit.key)
        work.tick(unit.rows)
        if number % PAGE == 0:
            work.settle()
    work.settle()


def _make(maker: Maker, copy: bool, unit: Unit) -> Made:
    """Runs in a worker, too."""
    return maker.make(unit.path, lambda part: _write(maker, copy, unit.content, part))


def _write(maker: Maker, copy: bool, content: Result | bytes, part: Path) -> None:
    if not isinstance(content, bytes):
        link_or_copy(maker.results, content, part, maker.repair, copy=copy)
        return
    with disk_errors(part), part.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _given_up(unit: Unit) -> Made:
    raise given_up(unit.path)


def _write_lists(work: ExportContext, kind: str, *, is_mixed: bool) -> None:
    """Write a list per split that has files: a loader would fail on an empty one."""
    present = {count.split for count in work.journal.counts() if count.kind == kind}
    splits = [split for split in work.splits if split in present]
    columns = frozenset.intersection(*(_columns(work, kind, split) for split in splits))
    for split in splits:
        path = f"{folder_of(kind, split, is_mixed=is_mixed)}/{METADATA}"
        work.publish_lines(path, _lines(work, kind, split, columns))


def _lines(work: ExportContext, kind: str, split: str, columns: frozenset[str]) -> Iterator[bytes]:
    for _, row in work.journal.rows(split, kind):
        fields = flat_row_fields(row, row.loader_safe_name)
        yield json_line({name: value for name, value in fields.items() if name in columns})


def _columns(work: ExportContext, kind: str, split: str) -> frozenset[str]:
    """Return the columns whose type a loader can infer.

    `datasets` infers types from the beginning of a list, and refuses a dataset whose lists differ:
    a column without a value in one of them is left out of all. `input` still has everything sent.
    """
    first = islice(work.journal.rows(split, kind), SAMPLED_ROWS)
    return frozenset(
        name
        for _, row in first
        for name, value in flat_row_fields(row, row.loader_safe_name).items()
        if value not in (None, [])
    )


def write_lists(work: ExportContext) -> None:
    for split in work.splits:
        work.publish_lines(f"{split}.jsonl", _jsonl_lines(work, split))


def _jsonl_lines(work: ExportContext, split: str) -> Iterator[bytes]:
    for _, row in work.journal.rows(split):
        yield json_line(row_fields(row, row.result.path))
        work.tick(1)
