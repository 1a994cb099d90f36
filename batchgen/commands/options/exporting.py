"""What becomes a dataset, and how, as options."""

from __future__ import annotations

from typing import Any

import click

from batchgen.commands.options.common import read_by
from batchgen.errors import UsageError
from batchgen.export.options import DESCRIPTIONS, Asked, Format, parse_shard_size
from batchgen.export.splits import ONE_SPLIT, Group, Split, parse_split_by, parse_splits
from batchgen.state.queries import Selection
from batchgen.state.results import Picked

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
    click.option("--copy", is_flag=True, help="hf: copy the files instead of hard-linking them."),
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
) -> Asked:
    """What was asked for. Raises UsageError where two options do not go together."""
    if kept and with_rejected:
        raise UsageError(
            "--kept takes only results that were kept, --with-rejected all: give one of them"
        )
    selection = Selection(jobs, models, tags, states)
    picked = Picked.KEPT if kept else Picked.NOT_REJECTED
    # Who asks for rejected jobs wants their files.
    if with_rejected or (selection.asks_for_rejected and not kept):
        picked = Picked.ALL
    return Asked(Format(to), selection, splits or ONE_SPLIT, only=picked, **others)
