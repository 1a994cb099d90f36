"""Train, validation, test: by a hash of the job's id, so that a job stays where it once was."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

from batchgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}", re.ASCII)
_SHARE = re.compile(r"\d*\.?\d+|\d+\.", re.ASCII)
HASHED = 2**64
CLOSE_TO_ONE = Fraction(1, 100)
"""Three times 0.33 is meant as a whole; the last split takes the rest."""


@dataclass(frozen=True, slots=True)
class Split:
    name: str
    share: Fraction


ONE_SPLIT = (Split("train", Fraction(1)),)


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


def split_of(job_id: str, splits: Sequence[Split]) -> str:
    """Name the split of a job; all its files go there together."""
    digest = hashlib.sha256(job_id.encode(errors="surrogatepass")).digest()
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
