"""A whole export: its formats, its rows, its cards."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.export.captions import Captions, buckets_of, write_captions
from batchgen.export.card import card
from batchgen.export.context import ExportContext
from batchgen.export.folder import FolderDestination, Journal, opened_journal
from batchgen.export.folders import kinds_of, write_folders, write_lists
from batchgen.export.making import Maker
from batchgen.export.options import ExportOptions, Format, changed_options, origin_of
from batchgen.export.parquet import write_parquet
from batchgen.export.rows import Row
from batchgen.export.splits import Splitter
from batchgen.export.webdataset import write_webdataset
from batchgen.fs import safe_name
from batchgen.state.results import Picked, results
from batchgen.storage.locations import FolderLocation
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from batchgen.export.buckets import Bucket
    from batchgen.export.card import Origin
    from batchgen.export.context import Destination
    from batchgen.export.folder import Count
    from batchgen.processes import MapFiles
    from batchgen.state.database import Connection
    from batchgen.storage.locations import Location


CARD = "README.md"


def _no_parts(_: ExportContext) -> list[str]:
    return []


def _kind_folders(work: ExportContext) -> list[str]:
    return [f"{kind}s" for kind in kinds_of(work)]


@dataclass(frozen=True, slots=True)
class Layout:
    """One format: how it is written, and how its card describes it.

    `pattern` follows a split's name, and matches the split's files; "" if the format is not one of
    the hub's loaders. `parts` lists the folders that
    are each a dataset, if there are several; with `lists_parts`, the main card lists their files
    too.
    """

    write: Callable[[ExportContext], None]
    contents: str
    pattern: str
    parts: Callable[[ExportContext], list[str]] = _no_parts
    lists_parts: bool = False


LAYOUTS = {
    Format.HF: Layout(
        write_folders,
        contents="The files, with a `metadata.jsonl` beside them.",
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
        contents="Parquet: one row per file; `file_name` is its path in the run's folder.",
        pattern="-*.parquet",
    ),
    Format.JSONL: Layout(
        write_lists,
        contents="JSON Lines: one line per file; `file_name` is its path in the run's folder.",
        pattern=".jsonl",
    ),
    Format.CAPTIONS: Layout(
        write_captions,
        contents="Each file has a `.txt` of the same stem with its caption, as LoRA trainers read.",
        pattern="",
        parts=_kind_folders,
    ),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """`made`, `kept` and `removed` count files of the export.

    `parts` are folders that are each a dataset. `buckets` were asked for with `--buckets`.
    """

    counts: tuple[Count, ...]
    made: int
    kept: int
    removed: int
    parts: tuple[str, ...] = ()
    buckets: tuple[Bucket, ...] = ()

    @property
    def files(self) -> int:
        return sum(count.files for count in self.counts)

    @property
    def bytes(self) -> int:
        return sum(count.bytes for count in self.counts)


@dataclass(frozen=True, slots=True)
class Source:
    """The run that is exported: its folder on this machine, and where its results are."""

    folder: Path
    results: Location


def export(
    db: Connection,
    manifest: Path,
    source: Source,
    origin: Origin,
    options: ExportOptions,
    target: Location,
    begin: Callable[[int], Callable[[int], object]],
    workers: AbstractContextManager[MapFiles | None] | None = None,
) -> Exported:
    """Make, continue or update the export in `target`.

    `begin` takes the number of rows, and returns a callback for the rows that are done. `workers`
    opens a cluster, once it is certain that there is work.

    Raises UsageError if there is no result or the folder is something else's, LockedError,
    MissingFileError and StorageError for a damaged result, OutputError, DiskFullError, BucketError.
    """
    if next(results(db, options.selection, options.only), None) is None:
        kept = "kept " if options.only is Picked.KEPT else ""
        raise UsageError(
            f"none of the selected jobs has a {kept}result yet",
            next_step=f"{command_line('status', manifest)} shows what there is",
        )
    _refuse_pattern(target)
    options = _with_concept(options, origin)
    Captions.of(options).check(_rows(db, options))
    folder = _destination(target, source)
    folder.claim(source.results, origin_of(source.folder))
    with opened_journal(folder.journal) as journal:
        folder.begin(journal)
        _claim_journal(journal, options, source.folder, target)
        journal.plan(_rows(db, options))
        counts = journal.counts()
        repair = (
            f"{command_line('verify', manifest)} shows all of them,"
            f" {command_line('repair', manifest, emulator=origin.rehearsal)} fetches them again"
        )
        with workers or nullcontext() as hands:
            tick = begin(sum(count.files for count in counts))
            # A worker sends to a bucket from its own disk.
            room = None if hands is not None and folder.bucket is not None else folder.parts
            maker = Maker(source.results.absolute(), repair, room, folder.bucket)
            work = ExportContext(maker, folder, journal, options, tick, hands)
            LAYOUTS[work.options.to].write(work)
        _write_cards(work, origin, counts)
        removed = _remove_unwanted(work)
        folder.finish(journal)
        parts, buckets = _parts(work), buckets_of(work)
        return Exported(tuple(counts), work.made, work.kept, removed, parts, buckets)


def _destination(target: Location, source: Source) -> Destination:
    if isinstance(target, FolderLocation):
        return FolderDestination(target.root)
    # Loaded here: most exports use no bucket.
    from batchgen.export.bucket_target import BucketDestination  # noqa: PLC0415 - see above

    return BucketDestination(target, source.folder)


def _with_concept(options: ExportOptions, origin: Origin) -> ExportOptions:
    """With `--repeats`, a concept without a name has the run's."""
    if options.repeats is None or options.concept is not None:
        return options
    return replace(options, concept=safe_name(origin.name))


def _refuse_pattern(target: Location) -> None:
    """Loaders read the folder's path as a glob pattern, and would find nothing."""
    name = PurePosixPath(str(target)).name
    if any(sign in name for sign in ("*", "?", "[", "]", "::")):
        raise UsageError(
            "loaders of datasets do not find a folder with *, ?, [, ] or :: in its name",
            where=str(target),
            next_step="name another folder",
        )


def _rows(db: Connection, options: ExportOptions) -> Iterator[Row]:
    """Read all rows with one statement, a snapshot even during a run."""
    splitter = Splitter(options.splits, options.split_by, options.group)
    for result in results(db, options.selection, options.only):
        yield Row(splitter.split_of(result), result)


def _claim_journal(
    journal: Journal, options: ExportOptions, run_folder: Path, target: Location
) -> None:
    """Refuse a folder of another export: other options would mix two datasets."""
    for key, value in (("origin", origin_of(run_folder)), ("asked", options.signature())):
        known = journal.get_meta(key)
        if known is not None and known != value and journal.has_units():
            raise UsageError(
                "the folder holds an export "
                + ("of another run" if key == "origin" else changed_options(known, value)),
                where=str(target),
                next_step="name another folder, or remove this one",
            )
        journal.set_meta(key, value)
    journal.commit()


def _write_cards(work: ExportContext, origin: Origin, counts: Sequence[Count]) -> None:
    """Write the main card, and one for each folder that is itself a dataset."""
    layout, parts = LAYOUTS[work.options.to], _parts(work)
    configs = {"default": _patterns(work, counts)} if layout.pattern else {}
    if parts:
        configs = {one: _patterns(work, _of_part(counts, one), f"{one}/") for one in parts}
    listed = configs if layout.lists_parts or not parts else {}
    _write_card(work, CARD, card(origin, layout.contents, counts, listed))
    for part in parts:
        own = _of_part(counts, part)
        patterns = {"default": _patterns(work, own)} if layout.pattern else {}
        own_card = card(origin, layout.contents, own, patterns)
        _write_card(work, f"{part}/{CARD}", own_card)


def _parts(work: ExportContext) -> tuple[str, ...]:
    """Return the folders that are each a dataset; none if the whole is one dataset."""
    parts = LAYOUTS[work.options.to].parts(work)
    return tuple(parts) if len(parts) > 1 else ()


def _of_part(counts: Sequence[Count], part: str) -> list[Count]:
    return [count for count in counts if part in (f"{count.kind}s", count.extension)]


def _patterns(work: ExportContext, counts: Sequence[Count], folder: str = "") -> dict[str, str]:
    """Return the pattern of each split's files, relative to the card."""
    pattern = LAYOUTS[work.options.to].pattern
    present = {count.split for count in counts} if pattern else set()
    return {name: f"{folder}{name}{pattern}" for name in work.splits if name in present}


def _write_card(work: ExportContext, path: str, texts: Iterator[str]) -> None:
    """Write a card, unless the user has edited it: they choose the licence."""
    known = work.journal.want(path)
    if known is not None and work.folder.digest(path) not in (None, known[0]):
        work.kept += 1
        return
    work.publish_lines(path, (text.encode() for text in texts))


def _remove_unwanted(work: ExportContext) -> int:
    """Runs last, so that an interruption leaves too many files rather than too few."""
    unwanted = work.journal.unwanted()
    for path in unwanted:
        work.folder.remove(path)
    work.journal.forget_unwanted()
    work.settle()
    return len(unwanted)
