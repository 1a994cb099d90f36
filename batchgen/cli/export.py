"""`batchgen export`: make a dataset of the results."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON, MANIFEST, RAY, SELECTION, all_of, read_by
from batchgen.errors import ExitCode, UsageError
from batchgen.export.buckets import parse_resolution
from batchgen.export.options import (
    DESCRIPTIONS,
    ExportOptions,
    Format,
    parse_concept,
    parse_shard_size,
)
from batchgen.export.splits import ONE_SPLIT, Group, Split, parse_split_by, parse_splits
from batchgen.state.results import Picked, count_rejected
from batchgen.state.selection import Selection
from batchgen.storage.locations import FolderLocation, parse_location
from batchgen.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.export.card import Origin
    from batchgen.export.exporting import Exported
    from batchgen.export.folder import Count
    from batchgen.jobs import JsonValue
    from batchgen.manifest.header import Manifest
    from batchgen.storage.locations import Location

EXPORT = (
    click.option(
        "--to",
        type=click.Choice([format_.value for format_ in Format]),
        required=True,
        help="; ".join(f"{name}: {what}" for name, what in DESCRIPTIONS.items()) + ".",
    ),
    click.option(
        "--split",
        "splits",
        metavar="NAME=SHARE,…",
        callback=read_by(parse_splits),
        help="Split by a hash of the job's id, e.g. train=0.9,validation=0.05,test=0.05.",
    ),
    click.option(
        "--split-by",
        metavar="tag:NAME,…|COLUMN",
        callback=read_by(parse_split_by),
        help="Split by tags (tag:train,test), model, sweep, pick, axes.NAME or input.NAME.",
    ),
    click.option(
        "--group",
        type=click.Choice([group.value for group in Group]),
        callback=read_by(Group),
        help="With --split: keep jobs of one prompt, row or sweep in one split.",
    ),
    click.option(
        "--shard-size",
        "shard_bytes",
        metavar="1GB",
        callback=read_by(parse_shard_size),
        help="webdataset, parquet: the largest size of a shard. Default 1GB.",
    ),
    click.option(
        "--shard-count",
        "shard_rows",
        type=click.IntRange(1),
        metavar="N",
        help="webdataset, parquet: the most results in a shard. Default 10,000.",
    ),
    click.option("--bytes", "embed", is_flag=True, help="parquet: include the files themselves."),
    click.option(
        "--copy",
        is_flag=True,
        help="hf, captions: copy the files instead of hard-linking them.",
    ),
    click.option(
        "--caption",
        metavar="TEMPLATE",
        help="captions: the text instead of the prompt, e.g. \"{{ tags|join(', ') }}, {{ prompt"
        ' }}".',
    ),
    click.option(
        "--repeats",
        type=click.IntRange(1),
        metavar="N",
        help="captions: put the files into a folder N_CONCEPT, as sd-scripts expects.",
    ),
    click.option(
        "--concept",
        metavar="NAME",
        callback=read_by(parse_concept),
        help="With --repeats: the folder's name after N_. Default: the run's name.",
    ),
    click.option(
        "--buckets",
        metavar="RESOLUTION",
        callback=read_by(parse_resolution),
        help="captions: count the pictures in each aspect bucket of this resolution, e.g. 1024.",
    ),
    click.option("--kept", is_flag=True, help="Only results that you kept."),
    click.option(
        "--with-rejected",
        is_flag=True,
        help="Include rejected results, which are otherwise left out.",
    ),
)


def export_asked(
    to: str,
    splits: tuple[Split, ...] | None,
    kept: bool,
    with_rejected: bool,
    jobs: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[str, ...],
    states: tuple[str, ...],
    **others: Any,
) -> ExportOptions:
    """What was asked for. Raises UsageError where two options do not go together."""
    if kept and with_rejected:
        raise UsageError(
            "--kept takes only results that were kept, --with-rejected all: give only one"
        )
    selection = Selection(jobs, models, tags, states)
    picked = Picked.KEPT if kept else Picked.NOT_REJECTED
    # With --state rejected, the files of rejected jobs are wanted.
    if with_rejected or (selection.asks_for_rejected and not kept):
        picked = Picked.ALL
    return ExportOptions(Format(to), selection, splits or ONE_SPLIT, only=picked, **others)


@click.command()
@MANIFEST
@click.argument("target", metavar="DEST", type=click.Path(path_type=str))
@all_of(*EXPORT, *SELECTION, RAY, JSON)
def export(manifest: Path, target: str, ray: str | None, as_json: bool, **asked: Any) -> int:
    """Make a dataset of the results, in a folder or a bucket.

    DEST is a folder, or a prefix in a bucket: s3://bucket/boats.

    Takes the results of done jobs, unless --state says otherwise. Run the same command again to
    continue an interrupted export, or to add what is new.
    """
    options = export_asked(**asked)
    return export_results(manifest, parse_location(target), options, ray=ray, as_json=as_json)


def export_results(
    path: Path,
    target: Location,
    asked: ExportOptions,
    *,
    ray: str | None = None,
    as_json: bool,
) -> int:
    """Make or continue the dataset in `target`. Raises the tree's errors."""
    from batchgen.cli.progress import progress_bar
    from batchgen.export import exporting
    from batchgen.export.folder import WORK
    from batchgen.runs.context import open_run
    from batchgen.runs.workers import shared_folders, workers
    from batchgen.storage.results import open_results

    with ExitStack() as stack:
        run = stack.enter_context(open_run(path))
        db = run.db

        def begin(total: int) -> Callable[[int], object]:
            bar = stack.enter_context(progress_bar(total, "exported"))
            return bar.update

        origin = _origin(run.manifest, rehearsal=run.is_rehearsal)
        source = exporting.Source(run.folder.root, run.results)
        seen = shared_folders(run.results)
        if isinstance(target, FolderLocation):
            seen = (*seen, target.root / WORK)
        at_once = max(open_results(place).at_once for place in (run.results, target))
        hands = workers(ray, os.environ, None, *seen, at_once=at_once)
        exported = exporting.export(db, path, source, origin, asked, target, begin, hands)
        left_out = 0
        if asked.only is Picked.NOT_REJECTED:
            left_out = count_rejected(db, asked.selection)
    if as_json:
        print_json(_to_json(exported, asked, target))
    else:
        print_text("\n".join(_lines(exported, target)))
        if left_out:
            left = plural(left_out, "rejected result")
            print_text(f"  {left} left out; --with-rejected includes them")
    return ExitCode.DONE


def _origin(manifest: Manifest, *, rehearsal: bool) -> Origin:
    from batchgen.export.card import Origin

    parts = tuple(part.path.name for part in manifest.parts if part.has_jobs)
    data_files = tuple(file.name for file in manifest.data_files)
    return Origin(manifest.name, parts or (manifest.path.name,), data_files, rehearsal)


def _lines(exported: Exported, target: Location) -> list[str]:
    splits = " · ".join(f"{count} {name}" for name, count in _by_split(exported.counts).items())
    size = f"{exported.bytes / 1e6:,.1f} MB"
    done = f"{exported.made} files written, {exported.kept} unchanged"
    gone = f", {exported.removed} removed" if exported.removed else ""
    lines = [
        f"{target}: {plural(exported.files, 'result')} ({size}): {splits}",
        f"  {done}{gone}",
    ]
    lines += [
        f"  bucket {one.width}x{one.height}: {plural(one.files, 'picture')} ({one.split})"
        for one in exported.buckets
    ]
    if exported.parts:
        folders = ", ".join(target.of(part) for part in exported.parts)
        lines.append(f"  no loader takes files of several kinds as one dataset: load {folders}")
    return lines


def _by_split(counts: tuple[Count, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for count in counts:
        found[count.split] = found.get(count.split, 0) + count.files
    return found


def _to_json(exported: Exported, asked: ExportOptions, target: Location) -> dict[str, JsonValue]:
    place = target.absolute()
    return {
        "folder": str(place),
        "to": asked.to.value,
        "results": exported.files,
        "bytes": exported.bytes,
        "splits": dict(_by_split(exported.counts)),
        "made": exported.made,
        "kept": exported.kept,
        "removed": exported.removed,
        "datasets": [place.of(part) for part in exported.parts] or [str(place)],
        **({"buckets": [asdict(one) for one in exported.buckets]} if asked.buckets else {}),
    }
