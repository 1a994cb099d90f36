"""The options of an export, and which of them go with which format."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from batchgen.errors import InputError, UsageError
from batchgen.export.splits import ONE_SPLIT, Group, Split, SplitBy
from batchgen.fs import safe_name
from batchgen.manifest.units import parse_bytes
from batchgen.state.results import Picked
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path


VERSION = 2
"""Of the layout. An export of another version is not continued."""

SHARD_BYTES = 1_000_000_000
SHARD_ROWS = 10_000
"""img2dataset's defaults: enough for sequential reading, few enough to shuffle."""


class Format(StrEnum):
    HF = "hf"
    WEBDATASET = "webdataset"
    PARQUET = "parquet"
    JSONL = "jsonl"
    CAPTIONS = "captions"


DESCRIPTIONS = {
    Format.HF: "image and video folders",
    Format.WEBDATASET: "tar shards",
    Format.PARQUET: "a table, in shards",
    Format.JSONL: "a table, one line per file",
    Format.CAPTIONS: "each file with a .txt, for LoRA trainers",
}
"""For the help of `--to`."""

SHARDED = (Format.WEBDATASET, Format.PARQUET)
OF_FILES = (Format.HF, Format.CAPTIONS)
OF_CAPTIONS = ("caption", "repeats", "concept", "buckets")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`shard_bytes` and `shard_rows` limit a shard; None is the default. `only`: files by pick.

    Of captions: `caption` is a template in place of the prompt, `repeats` and `concept` name the
    folder, `buckets` is the resolution whose buckets are counted.
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
    caption: str | None = None
    repeats: int | None = None
    concept: str | None = None
    buckets: int | None = None

    def __post_init__(self) -> None:
        has_shares = self.splits != ONE_SPLIT
        if self.split_by is not None and has_shares:
            raise UsageError("--split and --split-by exclude each other: use one of them")
        if self.group is not None and not has_shares:
            raise UsageError("no effect here: --group", next_step="use it with --split")
        sharded = self.shard_bytes is not None or self.shard_rows is not None
        if sharded and self.to not in SHARDED:
            raise _no_effect("--shard-size and --shard-count", SHARDED)
        if self.embed and self.to is not Format.PARQUET:
            raise _no_effect("--bytes", (Format.PARQUET,))
        if self.copy and self.to not in OF_FILES:
            raise _no_effect("--copy", OF_FILES)
        self._check_captions()

    def _check_captions(self) -> None:
        """Raise UsageError for options that need another one."""
        for name in OF_CAPTIONS:
            if getattr(self, name) is not None and self.to is not Format.CAPTIONS:
                raise _no_effect(f"--{name}", (Format.CAPTIONS,))
        if self.concept is not None and self.repeats is None:
            raise UsageError("no effect here: --concept", next_step="use it with --repeats")

    @property
    def has_splits(self) -> bool:
        return self.splits != ONE_SPLIT or self.split_by is not None

    @property
    def byte_limit(self) -> int:
        return SHARD_BYTES if self.shard_bytes is None else self.shard_bytes

    @property
    def row_limit(self) -> int:
        return SHARD_ROWS if self.shard_rows is None else self.shard_rows

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits known before any row is read."""
        if self.split_by is not None:
            return self.split_by.tags
        return tuple(split.name for split in self.splits)

    def signature(self) -> str:
        """Return a text of all options that shape the dataset; `copy` does not."""
        one = self.selection
        selection = [list(names) for names in (one.jobs, one.models, one.tags, one.states)]
        splits = [[split.name, str(split.share)] for split in self.splits]
        limits = [self.byte_limit, self.row_limit] if self.to in SHARDED else []
        named = [VERSION, self.to, selection, splits, limits, self.embed, self.only]
        if self.split_by is not None:
            named.append({"split_by": [self.split_by.column, *self.split_by.tags]})
        if self.group is not None:
            named.append({"group": self.group})
        captions = {name: getattr(self, name) for name in OF_CAPTIONS}
        named += [{name: json.dumps(one)} for name, one in captions.items() if one is not None]
        return json.dumps(named)


NOT_GIVEN = "not given"


def changed_options(before: str, now: str) -> str:
    """Say how an export with the signature `before` differs: each option, its old and new value."""
    if json.loads(before)[0] != VERSION:
        return "of another version of batchgen"
    old, new = _as_given(before), _as_given(now)
    changes = [
        f"{name} was {old.get(name) or NOT_GIVEN}, now {new.get(name) or NOT_GIVEN}"
        for name in old | new
        if old.get(name) != new.get(name)
    ]
    return f"with other options: {'; '.join(changes)}"


def _as_given(signature: str) -> dict[str, str]:
    """Return what each option of a signature was set to; empty where it was not given."""
    _, to, selection, splits, limits, embed, only, *others = json.loads(signature)
    shard_bytes, shard_rows = limits or (SHARD_BYTES, SHARD_ROWS)
    shares = [(name, Fraction(share)) for name, share in splits]
    has_shares = shares != [(split.name, split.share) for split in ONE_SPLIT]
    given = {
        "--to": to,
        "--split": ",".join(f"{name}={float(share):.15g}" for name, share in shares * has_shares),
        "--shard-size": "" if shard_bytes == SHARD_BYTES else f"{shard_bytes} bytes",
        "--shard-count": "" if shard_rows == SHARD_ROWS else str(shard_rows),
        "--bytes": "given" * embed,
        "--kept": "given" * (only == Picked.KEPT),
        "--with-rejected": "given" * (only == Picked.ALL),
    }
    for option, globs in zip(("--job", "--model", "--tag", "--state"), selection, strict=True):
        given[option] = ", ".join(globs)
    for key, value in (pair for one in others for pair in one.items()):
        # A column, or no column and tags.
        text = value if isinstance(value, str) else value[0] or f"tag:{','.join(value[1:])}"
        given[f"--{key.replace('_', '-')}"] = text
    return given


def parse_shard_size(text: str) -> int:
    """Read `500MB` or `1GiB`. Raises InputError."""
    size = parse_bytes(text)
    if size < 1:
        raise InputError("a shard cannot have 0 bytes", next_step="write e.g. 500MB or 1GB")
    return size


def parse_concept(text: str) -> str:
    """Read the name of a concept, which becomes part of a folder's name. Raises InputError."""
    if "/" in text or safe_name(text) != text:
        raise InputError(
            f"the folder of a concept cannot be called {text[:60]!r}",
            next_step="write a plain name, such as boats or 'black mamba'",
        )
    return text


def origin_of(root: Path) -> str:
    """Identify a run without writing this machine's paths into a dataset's folder."""
    return hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape")).hexdigest()


def _no_effect(option: str, formats: tuple[Format, ...]) -> UsageError:
    wanted = " or ".join(f"--to {one}" for one in formats)
    return UsageError(f"no effect here: {option}", next_step=f"use it with {wanted}")
