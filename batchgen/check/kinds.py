"""The kinds of flaws, and how strict a check is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HASH_BITS = 256
"""Of a perceptual hash; unrelated pictures differ in about half of them."""


class Kind(StrEnum):
    """The kinds of flaws, in the order of reports."""

    UNREADABLE = "unreadable"
    BLANK = "blank"
    NEAR_BLANK = "near_blank"
    FROZEN = "frozen"
    WRONG_KIND = "wrong_kind"
    WRONG_SIZE = "wrong_size"
    WRONG_LENGTH = "wrong_length"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"


MEANINGS: Mapping[Kind, str] = {
    Kind.UNREADABLE: "missing, altered on the disk, or not decodable",
    Kind.BLANK: "nothing but one colour",
    Kind.NEAR_BLANK: "almost one colour: see --blank",
    Kind.FROZEN: "a video or an animation in which nothing moves",
    Kind.WRONG_KIND: "a picture or a sound from a model that makes videos, and the like",
    Kind.WRONG_SIZE: "not the size that the input asked for",
    Kind.WRONG_LENGTH: "not the number of frames that the input asked for",
    Kind.DUPLICATE: "the same file as an earlier result",
    Kind.NEAR_DUPLICATE: "looks like an earlier result: see --distance",
}

DUPLICATES = frozenset({Kind.DUPLICATE, Kind.NEAR_DUPLICATE})
"""Flaws that a file has because of another file, which has none."""


NEEDS_REVIEW = frozenset({Kind.NEAR_BLANK, Kind.NEAR_DUPLICATE})
"""Somebody must look: a word on white paper is near_blank, two good takes are near_duplicate."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to look for. Files with a flaw of the kinds `rejected` are also rejected.

    `blank`: from which share of one colour on; `distance`: at most so many bits of HASH_BITS.
    """

    kinds: frozenset[Kind] = frozenset(Kind)
    rejected: frozenset[Kind] = frozenset()
    blank: float = 0.99
    distance: int = 16

    @property
    def wants_hashes(self) -> bool:
        return Kind.NEAR_DUPLICATE in self.kinds


DEFAULTS = CheckOptions()
