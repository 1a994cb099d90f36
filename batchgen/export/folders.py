"""`imagefolder` and `videofolder`: the files as they are, and a metadata.jsonl beside them.

Below its split no name has a word that a loader takes for a split, as it does without the card.
Where a run has both kinds, each gets a folder that is a dataset of its own: no loader takes both.

`lists` is JSON Lines: one line a file and no copy of it; `file_name` is its path in the run's
folder.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.export.rows import fields_of, flat_fields_of, line_of, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batchgen.export.exporting import Work
    from batchgen.export.rows import Row


PAGE = 256
THREADS = 4
"""Enough to keep a disk busy; a hash leaves Python's lock alone."""

METADATA = "metadata.jsonl"
LOOKED_AT = 1000
"""Rows, well within the 10 MB that `datasets` reads of a list to find its types."""


def write_folders(work: Work) -> None:
    """Files first, then the lists that name them."""
    kinds = kinds_of(work)
    is_mixed = len(kinds) > 1
    with ThreadPoolExecutor(THREADS, thread_name_prefix="export") as pool:
        rows = work.journal.rows()
        while page := list(islice(rows, PAGE)):
            _place_page(work, page, pool, is_mixed=is_mixed)
    for kind in kinds:
        _write_lists(work, kind, is_mixed=is_mixed)


def kinds_of(work: Work) -> list[str]:
    return sorted({count.kind for count in work.journal.counts()})


def folder_of(kind: str, split: str, *, is_mixed: bool) -> str:
    return f"{kind}s/{split}" if is_mixed else split


def _place_page(
    work: Work, page: Sequence[tuple[int, Row]], pool: ThreadPoolExecutor, *, is_mixed: bool
) -> None:
    todo = []
    for number, row in page:
        path = f"{folder_of(row.kind, row.split, is_mixed=is_mixed)}/{row.plain_name}"
        # A link where a copy is asked for is something else; a copy does for a link.
        key = f"{row.result.sha256}{' copy' if work.asked.copy else ''}"
        if work.is_made(path, key):
            work.tick(1)
        else:
            todo.append((work.folder.part(str(number)), row, path, key))
    put = partial(_place, work.run_folder, copy=work.asked.copy)
    for (part, _, path, key), _done in zip(todo, pool.map(put, todo), strict=True):
        work.publish(part, path, key)
        work.tick(1)
    work.settle()


def _place(run_folder: Path, one: tuple[Path, Row, str, str], *, copy: bool) -> None:
    part, row, _, _ = one
    place(run_folder / row.result.path, row.result, part, copy=copy)


def _write_lists(work: Work, kind: str, *, is_mixed: bool) -> None:
    """A folder without files gets no list: a loader would fail on it."""
    present = {count.split for count in work.journal.counts() if count.kind == kind}
    splits = [split for split in work.splits if split in present]
    columns = frozenset.intersection(*(_columns(work, kind, split) for split in splits))
    for split in splits:
        path = f"{folder_of(kind, split, is_mixed=is_mixed)}/{METADATA}"
        work.publish_lines(path, _lines(work, kind, split, columns))


def _lines(work: Work, kind: str, split: str, columns: frozenset[str]) -> Iterator[bytes]:
    for _, row in work.journal.rows(split, kind):
        fields = flat_fields_of(row, row.plain_name)
        yield line_of({name: value for name, value in fields.items() if name in columns})


def _columns(work: Work, kind: str, split: str) -> frozenset[str]:
    """Name the columns whose type a loader can see.

    `datasets` infers it from a list's beginning, and refuses a dataset in which two lists differ: a
    column without a value in one of them is left out of all. What was sent is in `input`.
    """
    first = islice(work.journal.rows(split, kind), LOOKED_AT)
    return frozenset(
        name
        for _, row in first
        for name, value in flat_fields_of(row, row.plain_name).items()
        if value not in (None, [])
    )


def write_lists(work: Work) -> None:
    for split in work.splits:
        work.publish_lines(f"{split}.jsonl", _lines_lists(work, split))


def _lines_lists(work: Work, split: str) -> Iterator[bytes]:
    for _, row in work.journal.rows(split):
        yield line_of(fields_of(row, row.result.path))
        work.tick(1)
