"""JSON Lines: one line a file and no copy of it; `file_name` is its path in the run's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.export.rows import fields_of, line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.export.work import Work


def write_lists(work: Work) -> None:
    for split in work.splits:
        work.publish_lines(f"{split}.jsonl", _lines(work, split))


def _lines(work: Work, split: str) -> Iterator[bytes]:
    for _, row in work.journal.rows(split):
        yield line_of(fields_of(row, row.result.path))
        work.tick(1)
