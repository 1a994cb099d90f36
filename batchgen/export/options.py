"""What an export is asked for, and which of it goes with which format."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.errors import InputError, UsageError
from batchgen.export.splits import ONE_SPLIT, Group, Split, SplitBy
from batchgen.manifest.units import parse_bytes
from batchgen.state.results import Picked
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path


VERSION = 2
"""Of the layout. A folder of another version is not continued."""

SHARD_BYTES = 1_000_000_000
SHARD_ROWS = 10_000
"""As img2dataset has it: enough for sequential reading, few enough to be shuffled."""


class Format(StrEnum):
    HF = "hf"
    WEBDATASET = "webdataset"
    PARQUET = "parquet"
    JSONL = "jsonl"


DESCRIPTIONS = {
    Format.HF: "image and video folders",
    Format.WEBDATASET: "tar shards",
    Format.PARQUET: "a table, in shards",
    Format.JSONL: "a table, a line a file",
}
"""For the help of `--to`."""

SHARDED = (Format.WEBDATASET, Format.PARQUET)


@dataclass(frozen=True, slots=True)
class Asked:
    """`shard_bytes`, `shard_rows`: limits of one shard; None stands for the default.

    `only`: which files, by what a person said of them.
    """

    to: Format
    selection: Selection = field(default_factory=Selection)
    splits: tuple[Split, ...] = ONE_SPLIT
    shard_bytes: int | None = None
    shard_rows: int | None = None
    embed: bool = False
    copy: bool = False
    only: Picked = Picked.NOT_REJECTED
    split_by: SplitBy | None = None
    group: Group | None = None

    def __post_init__(self) -> None:
        has_shares = self.splits != ONE_SPLIT
        if self.split_by is not None and has_shares:
            raise UsageError("--split and --split-by both name the splits: give one of them")
        if self.group is not None and not has_shares:
            raise UsageError("--group has no meaning here", next_step="it goes with --split")
        sharded = self.shard_bytes is not None or self.shard_rows is not None
        if sharded and self.to not in SHARDED:
            raise _pointless("--shard-size and --shard-count", SHARDED)
        if self.embed and self.to is not Format.PARQUET:
            raise _pointless("--bytes", (Format.PARQUET,))
        if self.copy and self.to is not Format.HF:
            raise _pointless("--copy", (Format.HF,))

    @property
    def byte_limit(self) -> int:
        return SHARD_BYTES if self.shard_bytes is None else self.shard_bytes

    @property
    def row_limit(self) -> int:
        return SHARD_ROWS if self.shard_rows is None else self.shard_rows

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names that are known before any row is read."""
        if self.split_by is not None:
            return self.split_by.tags
        return tuple(split.name for split in self.splits)

    def signature(self) -> str:
        """Tell apart what must not be mixed in one folder. A copy is as good as a link."""
        one = self.selection
        selection = [list(names) for names in (one.jobs, one.models, one.tags, one.states)]
        splits = [[split.name, str(split.share)] for split in self.splits]
        limits = [self.byte_limit, self.row_limit] if self.to in SHARDED else []
        named = [VERSION, self.to, selection, splits, limits, self.embed, self.only]
        if self.split_by is not None:
            named.append({"split_by": [self.split_by.column, *self.split_by.tags]})
        if self.group is not None:
            named.append({"group": self.group})
        return json.dumps(named)


def parse_shard_size(text: str) -> int:
    """Read `500MB` or `1GiB`. Raises InputError."""
    size = parse_bytes(text)
    if size < 1:
        raise InputError("a shard of no bytes holds nothing", next_step="write e.g. 500MB or 1GB")
    return size


def origin_of(root: Path) -> str:
    """Tell runs apart, without writing the path of a machine into a dataset's folder."""
    return hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape")).hexdigest()


def _pointless(option: str, formats: tuple[Format, ...]) -> UsageError:
    wanted = " or ".join(f"--to {one}" for one in formats)
    return UsageError(f"{option} has no meaning here", next_step=f"it goes with {wanted}")
