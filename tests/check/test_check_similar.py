"""Near duplicates: what is found, and that the fast search finds what a slow one does."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from batchgen.check.judging import Match, find_matches
from batchgen.check.kinds import HASH_BITS, CheckOptions
from batchgen.check.measures import HASH_BYTES, perceptual_hash, plain
from batchgen.emulator.drawing import Scene, paint
from tests.check.check_world import drawn, packed

NEAR = CheckOptions().distance


def bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def slowly(
    hashes: list[tuple[bytes, ...]], distance: int, may_be_original: list[bool]
) -> list[Match | None]:
    found: list[Match | None] = []
    originals: list[int] = []
    for place, look in enumerate(hashes):
        apart = [
            (max(bits(*pair) for pair in zip(look, hashes[first], strict=True)), first)
            for first in originals
        ]
        nearest = min(apart, default=(HASH_BITS + 1, 0))
        is_near = nearest[0] <= distance
        found.append(Match(nearest[1], nearest[0]) if is_near else None)
        if not is_near and may_be_original[place]:
            originals.append(place)
    return found


@st.composite
def families(draw: st.DrawFn) -> list[tuple[bytes, ...]]:
    """Looks that are near to a few others: of random ones hardly a pair would be."""
    frames = draw(st.integers(1, 3))
    bases = draw(
        st.lists(st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES), min_size=1, max_size=4)
    )
    flips = st.lists(st.integers(0, HASH_BITS - 1), max_size=14)
    one = st.tuples(st.sampled_from(bases), flips).map(flipped)
    return draw(st.lists(st.tuples(*[one] * frames), max_size=60))


def flipped(given: tuple[bytes, list[int]]) -> bytes:
    number = int.from_bytes(given[0])
    for place in given[1]:
        number ^= 1 << place
    return number.to_bytes(HASH_BYTES)


@given(families(), st.integers(0, 40), st.data())
def test_the_fast_search_finds_what_comparing_every_pair_does(
    hashes: list[tuple[bytes, ...]], distance: int, data: st.DataObject
) -> None:
    whether = st.lists(st.booleans(), min_size=len(hashes), max_size=len(hashes))
    may_be_original = data.draw(whether)
    assert find_matches(hashes, distance, may_be_original) == slowly(
        hashes, distance, may_be_original
    )


@pytest.mark.parametrize("between", [0, 40])
def test_of_equally_near_ones_the_earliest_is_named(between: int) -> None:
    """Whether they stand in one block of the search or in several."""
    chance = random.Random(2)
    first = bytes(HASH_BYTES)
    second, middle = flipped((first, [*range(20)])), flipped((first, [*range(10)]))
    strangers = [chance.randbytes(HASH_BYTES) for _ in range(between)]
    hashes = [(one,) for one in (first, second, *strangers, middle)]
    assert find_matches(hashes, 15, [True] * len(hashes))[-1] == Match(0, 10)


@pytest.mark.parametrize("shared", [0, 8, 24], ids="{} bytes in common".format)
def test_among_thousands_each_copy_is_found_and_nothing_else(shared: int) -> None:
    """More than a window of first ones; also where the first words part none of them."""
    chance = random.Random(5)
    hashes = [bytes(shared) + chance.randbytes(HASH_BYTES - shared) for _ in range(9000)]
    expected: list[Match | None] = [None] * len(hashes)
    for place in range(100, len(hashes), 300):
        first = place - 1 if place % 200 else place // 7 - 3
        hashes[place] = flipped((hashes[first], [chance.randrange(256)]))
        expected[place] = Match(first, 1)
    assert find_matches([(one,) for one in hashes], 2, [True] * len(hashes)) == expected


def look(picture: Image.Image) -> bytes:
    return perceptual_hash(plain(picture))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "a JPEG": lambda one: reopened(one, quality=60),
    "a WebP": lambda one: reopened(one, "WEBP", quality=70),
    "half the size": lambda one: one.resize((one.width // 2, one.height // 2)),
    "twice the size": lambda one: one.resize((one.width * 2, one.height * 2)),
    "brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.12),
    "darker": lambda one: ImageEnhance.Brightness(one).enhance(0.85),
    "in grey": lambda one: one.convert("L"),
}


def reopened(picture: Image.Image, kind: str = "JPEG", **options: int) -> Image.Image:
    return Image.open(io.BytesIO(packed(picture, kind, **options)))


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_picture_is_found_again(change: str) -> None:
    pictures = [drawn(seed) for seed in range(20)]
    apart = [bits(look(one), look(CHANGES[change](one))) for one in pictures]
    assert sum(distance <= NEAR for distance in apart) >= 19, apart


def test_different_pictures_are_not_taken_for_near_ones() -> None:
    hashes = [(look(drawn(seed)),) for seed in range(120)]
    assert not any(find_matches(hashes, NEAR, [True] * len(hashes)))


def test_the_emulators_landscapes_are_no_near_duplicates() -> None:
    scenes = [Scene(f"boat number {n}", "rehearsal", n * 7919, 256, 256) for n in range(250)]
    hashes = [(look(paint(scene)),) for scene in scenes]
    assert not any(find_matches(hashes, NEAR, [True] * len(hashes)))
