"""`imagefolder` and `videofolder`: the unchanged files, with a metadata.jsonl beside them.

Names below a split contain no word that a loader without the card would take for a split. If a run
has both kinds, each gets a folder that is its own dataset: no loader reads both.

JSON Lines (`write_lists`) has one line per file and no copy of it; `file_name` is its path in the
run's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.concurrency import map_in_threads
from batchgen.export.rows import flat_row_fields, json_line, link_or_copy, row_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from batchgen.export.context import ExportContext
    from batchgen.export.rows import Row


PAGE = 256

METADATA = "metadata.jsonl"
SAMPLED_ROWS = 1000
"""In rows, well within the 10 MB of a list from which `datasets` infers types."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A file of the export. `make` writes it to a temporary path; `rows` of the plan are done."""

    path: str
    key: str
    make: Callable[[Path], None]
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
    copy = work.options.copy

    def make(part: Path) -> None:
        link_or_copy(work.results, row.result, part, work.repair, copy=copy)

    # With --copy a link must be replaced; without it, a copy is good enough.
    return Unit(path, f"{row.result.sha256}{' copy' if copy else ''}", make, rows=1)


def publish_units(work: ExportContext, units: Iterator[Unit]) -> None:
    while page := list(islice(units, PAGE)):
        _publish_page(work, page)


def _publish_page(work: ExportContext, page: Sequence[Unit]) -> None:
    todo = []
    for number, unit in enumerate(page):
        if work.is_current(unit.path, unit.key):
            work.tick(unit.rows)
        else:
            todo.append((work.folder.part(str(number)), unit))

    def make(one: tuple[Path, Unit]) -> tuple[Path, Unit]:
        part, unit = one
        unit.make(part)
        work.folder.send(part, unit.path)
        return one

    at_once = max(work.results.at_once, work.folder.at_once)
    for part, unit in map_in_threads(make, todo, at_once, "export"):
        work.publish(part, unit.path, unit.key)
        work.tick(unit.rows)
    work.settle()


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
