"""What a check can find, and how strict it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK_BITS = 256
"""Of a perceptual hash; two pictures that have nothing in common differ in about half of them."""


class Kind(StrEnum):
    """In the order in which they are reported."""

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
    Kind.WRONG_KIND: "a picture from a model that makes videos",
    Kind.WRONG_SIZE: "not the size that the input asked for",
    Kind.WRONG_LENGTH: "not the number of frames that the input asked for",
    Kind.DUPLICATE: "the same file as an earlier result",
    Kind.NEAR_DUPLICATE: "looks like an earlier result: see --distance",
}

ALIKE = frozenset({Kind.DUPLICATE, Kind.NEAR_DUPLICATE})
"""Said of a file because of another one, which stays."""


FOR_A_PERSON = frozenset({Kind.NEAR_BLANK, Kind.NEAR_DUPLICATE})
"""A word on white paper is near_blank, two good takes are near_duplicate: somebody must look."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look for. `rejected`: kinds whose files are rejected as well.

    `blank`: the share of a picture that has one colour; `distance`: bits of LOOK_BITS.
    """

    kinds: frozenset[Kind] = frozenset(Kind)
    rejected: frozenset[Kind] = frozenset()
    blank: float = 0.99
    distance: int = 16

    @property
    def wants_looks(self) -> bool:
        return Kind.NEAR_DUPLICATE in self.kinds
