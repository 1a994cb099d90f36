"""Splits such as train, validation and test: by shares, by a tag, or by a column's value.

Shares use a hash of the job's id, or of its group, so that a job never changes its split.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

from batchgen.errors import InputError, UsageError
from batchgen.jobs import model_alias
from batchgen.manifest.matrix import suffix
from batchgen.models.messages import format_value
from batchgen.references import as_published

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batchgen.jobs import JsonValue
    from batchgen.state.records import Result

COLUMNS = ("model", "sweep", "pick")
MAX_SPLITS = 100
_NAMES_HINT = "a split's name is a letter, then letters, digits and _, at most 40"
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+", re.ASCII)
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}", re.ASCII)
_SHARE = re.compile(r"\d*\.?\d+|\d+\.", re.ASCII)
HASHED = 2**64
CLOSE_TO_ONE = Fraction(1, 100)
"""Three times 0.33 counts as 1; the last split takes the rest."""


@dataclass(frozen=True, slots=True)
class Split:
    name: str
    share: Fraction


ONE_SPLIT = (Split("train", Fraction(1)),)


class Group(StrEnum):
    """Jobs that stay together: with the same prompt, data row or sweep."""

    PROMPT = "prompt"
    ROW = "row"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class SplitBy:
    """A `column` whose values are the splits, or `tags` of which each job has exactly one."""

    column: str = ""
    tags: tuple[str, ...] = ()


class Splitter:
    """Assigns results to splits."""

    def __init__(
        self, splits: Sequence[Split], by: SplitBy | None = None, group: Group | None = None
    ) -> None:
        self._splits = splits
        self._by = by
        self._group = group
        self._values: dict[str, str] = {}

    def split_of(self, result: Result) -> str:
        """Raises UsageError for a result without a clear split."""
        if self._by is None:
            return split_of(self._key_of(result), self._splits)
        if self._by.tags:
            return _tag_of(result, self._by.tags)
        return self._named(_value_of(result, self._by.column), result)

    def _key_of(self, result: Result) -> str:
        match self._group:
            case Group.PROMPT:
                return str(json.loads(result.body).get("prompt") or result.job_id)
            case Group.SWEEP:
                return result.sweep or result.job_id
            case Group.ROW:
                return row_of(result)
        return result.job_id

    def _named(self, value: JsonValue, result: Result) -> str:
        """Turn a value into a split's name. Two values must not become one split."""
        assert self._by is not None
        # Two models may have one short name.
        text = result.model if self._by.column == "model" else _text(value)
        name = _NOT_IN_NAME.sub("_", _text(value))
        if value in (None, "") or not _NAME.fullmatch(name):
            shown = format_value(value)
            what = f"{result.job_id}: {self._by.column} is not a name for a split: {shown}"
            raise UsageError(what, next_step=_NAMES_HINT)
        first = self._values.setdefault(name.lower(), text)
        if first != text:
            raise UsageError(
                f"{format_value(first)} and {format_value(text)} would be one split: {name}"
            )
        if len(self._values) > MAX_SPLITS:
            what = f"{self._by.column} has more than {MAX_SPLITS} values"
            raise UsageError(what, next_step="choose a column with few values")
        return name


def row_of(result: Result) -> str:
    """Identify the data row that a job was made from: its id without its place in the matrix.

    Raises UsageError if the id does not show it.
    """
    axes: dict[str, JsonValue] = json.loads(result.axes)
    if not result.sweep or not axes:
        return result.job_id
    is_template = "{{" in result.sweep
    # A plain id has no suffix for the first repeat.
    if axes.get("repeat") == 1 and not (is_template and _mentions(result.sweep, "repeat")):
        del axes["repeat"]
    left = result.job_id
    if _mentions(result.sweep, "index") or not (is_template or left.startswith(result.sweep)):
        raise _no_row(result)
    for name in reversed(axes):
        shortened = _without(left, {suffix((name,), axes), _text(axes[name])})
        if shortened is None:
            raise _no_row(result)
        left = shortened
    return _SEPARATORS.sub("-", left).strip("-")


def _without(text: str, words: Iterable[str]) -> str | None:
    """Remove the last occurrence of one of the texts; None if there is none."""
    either = "|".join(sorted(map(re.escape, filter(None, words)), key=len, reverse=True))
    found = [*re.finditer(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])", text)]
    return text[: found[-1].start()] + text[found[-1].end() :] if found else None


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _mentions(template: str, name: str) -> bool:
    return re.search(rf"\{{\{{[^}}]*\b{name}\b", template) is not None


def _no_row(result: Result) -> UsageError:
    return UsageError(
        f"the id {result.job_id} does not show its data row",
        next_step="use --group prompt or sweep, or put a column of the data into the item's id",
    )


def _tag_of(result: Result, names: Sequence[str]) -> str:
    tags = json.loads(result.tags)
    found = [name for name in names if name in tags]
    if len(found) == 1:
        return found[0]
    how_many = "two" if found else "none"
    raise UsageError(
        f"{result.job_id} has {how_many} of the tags {', '.join(found or names)}",
        next_step="each job needs exactly one: tag it, or exclude it with --tag or --job",
    )


def _value_of(result: Result, column: str) -> JsonValue:
    holder, _, key = column.partition(".")
    match holder:
        case "axes":
            return _part(result.axes, key)
        case "input":
            return _part(as_published(result.body), key)
        case "model":
            return model_alias(result.model)
        case "sweep":
            return result.sweep
    return result.pick


def _part(text: str, key: str) -> JsonValue:
    value: JsonValue = json.loads(text).get(key)
    return value


def parse_split_by(text: str) -> SplitBy:
    """Read `tag:train,test`, or a column such as `sweep` or `axes.hour`. Raises InputError."""
    column, _, names = text.strip().partition(":")
    if column == "tag" and names:
        tags = tuple(name.strip() for name in names.split(","))
        for name in tags:
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"{format_value(name)} is not a name for a split", next_step=_NAMES_HINT
                )
        if len({name.lower() for name in tags}) < len(tags):
            raise InputError("a split is named twice", next_step="name each tag once")
        return SplitBy(tags=tags)
    holder, _, key = column.partition(".")
    if names or not ((column in COLUMNS) or (holder in {"axes", "input"} and key)):
        known = ", ".join(COLUMNS)
        what = f"cannot split by {format_value(text)}"
        hint = f"write tag:train,test, or a column: {known}, axes.NAME, input.NAME"
        raise InputError(what, next_step=hint)
    return SplitBy(column)


def parse_splits(text: str) -> tuple[Split, ...]:
    """Read `train=0.9,validation=0.05,test=0.05`. Raises InputError."""
    splits = tuple(_parse_one(part.strip()) for part in text.split(","))
    names = [split.name.lower() for split in splits]
    if len(set(names)) < len(names):
        raise _wrong("a split is named twice")
    if any(split.share <= 0 for split in splits):
        raise _wrong("a share must be greater than 0")
    total = sum((split.share for split in splits), Fraction(0))
    if abs(total - 1) > CLOSE_TO_ONE:
        raise _wrong(f"the shares must add up to 1; they add up to {float(total):g}")
    return splits


def split_of(key: str, splits: Sequence[Split]) -> str:
    """Return the split of a job's id or group: all of its files go there."""
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
    point = Fraction(int.from_bytes(digest[:8], "big"), HASHED)
    bounds = accumulate(split.share for split in splits)
    inside = (split.name for split, bound in zip(splits, bounds, strict=True) if point < bound)
    return next(inside, splits[-1].name)


def _parse_one(part: str) -> Split:
    name, _, share = part.partition("=")
    if not _NAME.fullmatch(name) or not _SHARE.fullmatch(share):
        raise _wrong(f"a split looks like train=0.9; got '{part[:60]}'")
    return Split(name, Fraction(share))


def _wrong(what: str) -> InputError:
    return InputError(what, next_step="write e.g. train=0.9,validation=0.05,test=0.05")
