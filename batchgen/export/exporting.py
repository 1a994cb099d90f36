"""An export from beginning to end, and what every format needs of it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.export.card import card
from batchgen.export.folder import Destination, Journal, opened_journal
from batchgen.export.folders import kinds_of, write_folders, write_lists
from batchgen.export.options import Asked, Format, origin_of
from batchgen.export.parquet import write_parquet
from batchgen.export.rows import Row
from batchgen.export.splits import Splitter
from batchgen.export.webdataset import write_webdataset
from batchgen.fs import disk_errors, open_to_read
from batchgen.state.results import Picked, results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.export.card import Origin
    from batchgen.export.folder import Count
    from batchgen.state.database import Connection


@dataclass(slots=True)
class Work:
    """`tick` hears how many rows are dealt with. `made`, `kept`: units."""

    run_folder: Path
    folder: Destination
    journal: Journal
    asked: Asked
    tick: Callable[[int], object]
    made: int = 0
    kept: int = 0

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.asked.to]

    @property
    def splits(self) -> list[str]:
        """Those that have files: in the order in which they were asked for, then by name."""
        present = sorted({count.split for count in self.journal.counts()})
        named = [name for name in self.asked.split_names if name in present]
        return named + [name for name in present if name not in named]

    @property
    def extensions(self) -> list[str]:
        return sorted({count.extension for count in self.journal.counts()})

    def is_made(self, path: str, key: str) -> bool:
        """Say whether the unit is there already, made of the same."""
        known = self.journal.want(path)
        is_made = known is not None and known[0] == key and self.folder.holds(path, known[1])
        self.kept += is_made
        return is_made

    def publish(self, part: Path, path: str, key: str) -> None:
        """Give a unit, whose bytes are durable, its name. `settle` makes it count."""
        self.journal.published(path, key, self.folder.publish(part, path))
        self.made += 1

    def settle(self) -> None:
        """First the names, then the record of them: it must not know what a loss of power took."""
        self.folder.sync()
        self.journal.commit()

    def publish_lines(self, path: str, lines: Iterable[bytes]) -> None:
        """Write a list aside; its name it gets only where it is another one than before."""
        digest = hashlib.sha256()
        part = self.folder.part("list")
        with disk_errors(part), part.open("wb") as file:
            for line in lines:
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        key = digest.hexdigest()
        if self.is_made(path, key):
            with disk_errors(part):
                part.unlink()
        else:
            self.publish(part, path, key)
        self.settle()


CARD = "README.md"


def _whole(_: Work) -> list[str]:
    return []


def _kind_folders(work: Work) -> list[str]:
    return [f"{kind}s" for kind in kinds_of(work)]


@dataclass(frozen=True, slots=True)
class Layout:
    """One format: how it is written, and how its card describes it.

    `pattern` follows the name of a split, and matches the split's files. `parts` lists the folders
    that are each a dataset, where there is more than one; with `lists_parts`, the card of the whole
    names their files too.
    """

    write: Callable[[Work], None]
    contents: str
    pattern: str
    parts: Callable[[Work], list[str]] = _whole
    lists_parts: bool = False


LAYOUTS = {
    Format.HF: Layout(
        write_folders,
        contents="The files, and a `metadata.jsonl` beside them.",
        pattern="/**",
        parts=_kind_folders,
    ),
    Format.WEBDATASET: Layout(
        write_webdataset,
        contents="Tar shards: each file with a JSON file of the same stem.",
        pattern="-*.tar",
        parts=lambda work: work.extensions,
        lists_parts=True,
    ),
    Format.PARQUET: Layout(
        write_parquet,
        contents="Parquet: a row a file; `file_name` is its path in the folder of the run.",
        pattern="-*.parquet",
    ),
    Format.JSONL: Layout(
        write_lists,
        contents="JSON Lines: a line a file; `file_name` is its path in the folder of the run.",
        pattern=".jsonl",
    ),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """`made` and `kept` count files of the export, `removed` those that nobody wants any more.

    `parts` are folders that are each a dataset.
    """

    counts: tuple[Count, ...]
    made: int
    kept: int
    removed: int
    parts: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        return sum(count.files for count in self.counts)

    @property
    def bytes(self) -> int:
        return sum(count.bytes for count in self.counts)


def export(
    db: Connection,
    run_folder: Path,
    origin: Origin,
    asked: Asked,
    target: Path,
    begin: Callable[[int], Callable[[int], object]],
) -> Exported:
    """Make or continue the export in `target`.

    `begin` gets the number of rows, and returns a callback for each row that is done.

    Raises UsageError where there is no result or the folder is another's, LockedError,
    MissingFileError and StorageError for a damaged result, OutputError, DiskFullError.
    """
    if next(results(db, asked.selection, asked.only), None) is None:
        kept = "kept " if asked.only is Picked.KEPT else ""
        raise UsageError(
            f"none of the selected jobs has a {kept}result yet",
            next_step="batchgen status MANIFEST shows what there is",
        )
    _refuse_pattern(target)
    folder = Destination(target)
    folder.claim(run_folder)
    with opened_journal(folder.journal) as journal:
        _take_over(journal, asked, run_folder, target)
        folder.tidy()
        journal.plan(_rows(db, asked))
        counts = journal.counts()
        tick = begin(sum(count.files for count in counts))
        work = Work(run_folder, folder, journal, asked, tick)
        work.layout.write(work)
        _write_cards(work, origin, counts)
        removed = _remove_unwanted(work)
        return Exported(tuple(counts), work.made, work.kept, removed, _parts(work))


def _refuse_pattern(target: Path) -> None:
    """Loaders take the folder's path for a pattern, and would find nothing in it."""
    if any(sign in target.name for sign in ("*", "?", "[", "]", "::")):
        raise UsageError(
            "loaders of datasets find no folder that has *, ?, [, ] or :: in its name",
            where=str(target),
            next_step="name another folder",
        )


def _rows(db: Connection, asked: Asked) -> Iterator[Row]:
    """One statement: all rows are of one moment, also while a run goes on."""
    splitter = Splitter(asked.splits, asked.split_by, asked.group)
    for result in results(db, asked.selection, asked.only):
        yield Row(splitter.split_of(result), result)


def _take_over(journal: Journal, asked: Asked, run_folder: Path, target: Path) -> None:
    """A folder holds one export: with other options it would become a mixture of two."""
    for key, value, what in (
        ("origin", origin_of(run_folder), "an export of another run"),
        ("asked", asked.signature(), "an export with other options"),
    ):
        known = journal.about(key)
        if known is not None and known != value and journal.has_units():
            raise UsageError(
                f"the folder holds {what}{_said(known) if key == 'asked' else ''}",
                where=str(target),
                next_step="name another folder, or remove this one",
            )
        journal.tell(key, value)
    journal.commit()


def _said(signature: str) -> str:
    return f" (--to {json.loads(signature)[1]})"


def _write_cards(work: Work, origin: Origin, counts: Sequence[Count]) -> None:
    """A folder that is a dataset of its own has its own card."""
    layout, parts = work.layout, _parts(work)
    configs = {"default": _patterns(work, counts)}
    if parts:
        configs = {one: _patterns(work, _of_part(counts, one), f"{one}/") for one in parts}
    listed = configs if layout.lists_parts or not parts else {}
    _write_card(work, CARD, card(origin, layout.contents, counts, listed))
    for part in parts:
        own = _of_part(counts, part)
        own_card = card(origin, layout.contents, own, {"default": _patterns(work, own)})
        _write_card(work, f"{part}/{CARD}", own_card)


def _parts(work: Work) -> tuple[str, ...]:
    """The folders that are each a dataset; none where the whole is one."""
    parts = work.layout.parts(work)
    return tuple(parts) if len(parts) > 1 else ()


def _of_part(counts: Sequence[Count], part: str) -> list[Count]:
    return [count for count in counts if part in (f"{count.kind}s", count.extension)]


def _patterns(work: Work, counts: Sequence[Count], folder: str = "") -> dict[str, str]:
    """What files a split has, relative to the card."""
    present = {count.split for count in counts}
    return {name: f"{folder}{name}{work.layout.pattern}" for name in work.splits if name in present}


def _write_card(work: Work, path: str, texts: Iterator[str]) -> None:
    """A card that a person has edited stays: the licence is theirs to say."""
    known = work.journal.want(path)
    if known is not None and _digest(work.folder.root / path) not in (None, known[0]):
        work.kept += 1
        return
    work.publish_lines(path, (text.encode() for text in texts))


def _digest(path: Path) -> str | None:
    with disk_errors(path):
        try:
            with open_to_read(path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None


def _remove_unwanted(work: Work) -> int:
    """Last, so that an interruption leaves too much, never too little."""
    unwanted = work.journal.unwanted()
    for path in unwanted:
        work.folder.remove(path)
    work.journal.forget_unwanted()
    work.settle()
    return len(unwanted)
