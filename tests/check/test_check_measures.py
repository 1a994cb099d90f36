"""Blank, nearly blank and frozen, judged by figures alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from batchgen.check.judging import FROZEN, Evidence, own_flaws
from batchgen.check.kinds import Kind
from batchgen.check.measures import Measure, emptiness, measured, motion, plain
from tests.check.check_world import drawn, plate

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def kinds(*pictures: Image.Image, is_video: bool = False, blank: float = 0.99) -> list[Kind]:
    measure = measured([plain(one) for one in pictures], [], is_video=is_video)
    return [*own_flaws(Evidence("", measure), blank)]


def dotted(share: float) -> Image.Image:
    """White, but for a black part in the corner."""
    picture = plate(WHITE, (100, 100))
    ImageDraw.Draw(picture).rectangle((0, 0, 99, round(share * 100) - 1), fill=BLACK)
    return picture


@pytest.mark.parametrize("colour", [BLACK, WHITE, (12, 200, 90)])
def test_one_colour_is_blank(colour: tuple[int, int, int]) -> None:
    assert kinds(plate(colour)) == [Kind.BLANK]


def test_a_colour_that_a_jpeg_has_disturbed_is_blank() -> None:
    noise = np.random.default_rng(1).integers(125, 130, (40, 40, 3), dtype=np.uint8)
    assert kinds(Image.fromarray(noise)) == [Kind.BLANK]


def test_a_little_of_something_is_nearly_blank_and_more_is_a_picture() -> None:
    assert kinds(dotted(0.01)) == [Kind.NEAR_BLANK]
    assert kinds(dotted(0.02)) == []
    assert kinds(dotted(0.02), blank=0.98) == [Kind.NEAR_BLANK]


def test_two_colours_of_one_brightness_are_a_picture() -> None:
    picture = plate((255, 0, 0), (100, 100))
    picture.paste((0, 130, 0), (0, 0, 50, 100))
    assert kinds(picture) == []


def test_invisible_colours_do_not_count() -> None:
    hidden = drawn(1).convert("RGBA")
    hidden.putalpha(0)
    assert kinds(hidden) == [Kind.BLANK]
    shape = Image.new("RGBA", (100, 100), (255, 255, 255, 0))
    shape.paste((255, 255, 255, 255), (20, 20, 80, 80))
    assert kinds(shape) == []


def test_sixteen_bits_are_read_as_what_they_show() -> None:
    slope = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
    assert kinds(Image.fromarray(slope)) == []
    assert kinds(Image.fromarray(np.full((64, 64), 40_000, np.uint16))) == [Kind.BLANK]


def test_a_palette_is_read_as_its_colours() -> None:
    assert kinds(drawn(3).quantize(16)) == []
    assert kinds(plate().quantize(2)) == [Kind.BLANK]


def test_the_share_is_of_the_levels_that_lie_together() -> None:
    histogram = [0] * 256
    histogram[100], histogram[115], histogram[116] = 50, 30, 20
    assert emptiness(histogram) == (16, 0.8)


def test_a_video_of_one_picture_is_frozen_and_one_of_several_is_not() -> None:
    still = [drawn(1)] * 5
    assert kinds(*still, is_video=True) == [Kind.FROZEN]
    assert kinds(*still[:4], drawn(2), is_video=True) == []


def test_a_small_thing_that_moves_is_motion() -> None:
    frames = [drawn(1, 480, 270) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste(WHITE, (number * 60, 100, number * 60 + 16, 116))
    assert motion(frames) > FROZEN


def test_a_video_is_blank_only_where_all_of_it_is() -> None:
    assert kinds(plate(BLACK), plate(BLACK), is_video=True) == [Kind.BLANK]
    assert kinds(plate(BLACK), drawn(2, 64, 48), is_video=True) == []


def test_a_picture_that_was_not_measured_has_no_flaw_but_its_trouble() -> None:
    assert own_flaws(Evidence("", Measure(0, 1.0, 0, trouble="torn")), 0.9) == {
        Kind.UNREADABLE: "torn"
    }
    assert own_flaws(Evidence("gone", None), 0.9) == {Kind.UNREADABLE: "gone"}


@pytest.mark.parametrize(
    ("level", "text"),
    [(0, "one colour"), (5, "one colour, apart from noise of 5 of 256 levels")],
)
def test_a_blank_picture_is_described(level: int, text: str) -> None:
    picture = plate((90, 90, 90))
    picture.putpixel((3, 3), (90 + level, 90, 90))
    found = Evidence("", measured([plain(picture)], [], is_video=False))
    assert own_flaws(found, 0.99) == {Kind.BLANK: text}


MORE_MEMORY = """
import resource
from PIL import Image
from batchgen.check.measures import plain
picture = Image.new("I;16", (4000, 3000), 40_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grey = plain(picture)
assert (grey.mode, grey.getextrema()) == ("L", (155, 155))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it counts in other units")
def test_a_large_picture_of_sixteen_bits_takes_little_more_than_itself() -> None:
    """Scaled as a whole it took ten bytes a pixel more: one of 81 megapixels, a gigabyte."""
    done = subprocess.run(
        [sys.executable, "-c", MORE_MEMORY], capture_output=True, text=True, check=True
    )
    kibibytes = int(done.stdout)
    assert kibibytes * 1024 < 3 * 12_000_000
