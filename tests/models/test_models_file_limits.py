"""What a user's own file must keep, and what a smaller copy cures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.downloads.media import MAX_PIXELS
from batchgen.input_files import LocalFile
from batchgen.models.catalog import bundled
from batchgen.models.fields import FileRule
from batchgen.models.file_limits import (
    DATA_BYTES,
    DATA_PIXELS,
    MIB,
    MOST_PIXELS,
    OVERHEAD,
    WORST_BYTES_A_PIXEL,
    Fit,
    NoFit,
    fit_for,
    trouble_with_file,
)
from batchgen.models.file_rules import FileFacts, FileKind, FilePlace, broken_rules, rules_of

FIT = "`inputs: fit: true` sends a smaller copy"
BUCKET = "a bucket (`inputs: send: s3://…`) takes it as it is"
PHOTO = LocalFile("a" * 64, "image/jpeg", 2_000_000, 1024, 768)


def rules(model_id: str) -> tuple[FileRule, ...]:
    model = bundled().find(model_id)
    assert model is not None
    return rules_of(model, "image_urls")


EDIT = rules("bytedance/dreamina-4-0/edit")
VIDEO = rules("bytedance/dreamina-3-0/pro/image-to-video")


def place(rules: tuple[FileRule, ...] = (), kind: FileKind = "image") -> FilePlace:
    return FilePlace(("image_urls", 0), kind, rules)


def file(media_type: str = "image/jpeg", **changed: int) -> LocalFile:
    return replace(PHOTO, media_type=media_type, **changed)  # type: ignore[arg-type] # all are numbers


def large(width: int, height: int) -> LocalFile:
    return file(width=width, height=height)


def test_a_plain_photograph_goes_anywhere() -> None:
    for some in (EDIT, VIDEO, ()):
        for by_data in (True, False):
            assert trouble_with_file(place(some), PHOTO, by_data=by_data, fit=False) is None


def test_the_pixels_that_can_be_checked_are_those_of_downloads() -> None:
    assert MOST_PIXELS == MAX_PIXELS


@pytest.mark.parametrize(
    ("some", "one", "what", "cure"),
    [
        (
            EDIT,
            file(bytes=15 * MIB + 1),
            (
                "Each image file must be ≤ 15 MB. (it has 15.7 MB) "
                "A request carries a picture of at most 6 MiB. (it has 15 MiB)"
            ),
            FIT,
        ),
        (
            EDIT,
            file(bytes=7 * MIB),
            "A request carries a picture of at most 6 MiB. (it has 7 MiB)",
            f"{FIT}, or {BUCKET}",
        ),
        (
            (),
            large(8000, 4001),
            "A request carries a picture of at most 32 megapixels. (it has 8000x4001 pixels)",
            f"{FIT}, or {BUCKET}",
        ),
        (
            EDIT,
            large(5000, 4000),
            "Maximum resolution is 4096x4096. (it has 5000x4000 pixels)",
            FIT,
        ),
        (
            EDIT,
            large(4000, 1000),
            "The input image aspect ratio must be within [1/3, 3]. (it has 4000x1000 pixels)",
            None,
        ),
        (
            VIDEO,
            large(320, 400),
            "The shortest side must be at least 320 pixels. (it has 320x400 pixels)",
            None,
        ),
        (
            (),
            large(20_000, 20_000),
            "More than 100 megapixels cannot be checked here. (it has 20000x20000 pixels)",
            None,
        ),
        (
            EDIT,
            file("image/webp"),
            "The vendor takes JPEG and PNG. (it is WebP)",
            "`inputs: fit: true` sends a copy as JPEG or PNG",
        ),
        (
            EDIT,
            file("image/heic"),
            "The vendor takes JPEG and PNG. (it is HEIC)",
            "`inputs: fit: true` sends a copy as JPEG or PNG",
        ),
        (
            EDIT,
            replace(PHOTO, media_type="image/heic", width=None, height=None),
            "The vendor takes JPEG and PNG. (it is HEIC)",
            "save it as JPEG or PNG, or `pip install 'batchgen[heic]'` and set `inputs: fit: true`",
        ),
        (EDIT, file("video/mp4"), "This input takes a picture, and it is a video.", None),
        (EDIT, file("text/html"), "This input takes a picture, and it is text/html.", None),
    ],
)
def test_what_is_wrong_is_said_with_a_cure_that_helps(
    some: tuple[FileRule, ...], one: LocalFile, what: str, cure: str | None
) -> None:
    assert trouble_with_file(place(some), one, by_data=True, fit=False) == (what, cure)


def test_a_bucket_has_none_of_the_limits_of_a_request() -> None:
    for one in (file(bytes=14 * MIB), large(4096, 4096)):
        assert trouble_with_file(place(EDIT), one, by_data=False, fit=False) is None


@pytest.mark.parametrize(
    ("kind", "media_type", "most"), [("video", "video/webm", 32), ("audio", "audio/wav", 16)]
)
def test_videos_and_sounds_of_any_format_go_up_to_their_limit(
    kind: FileKind, media_type: str, most: int
) -> None:
    fits = LocalFile("a" * 64, media_type, most * MIB)
    assert trouble_with_file(place((), kind), fits, by_data=True, fit=False) is None
    for fit in (False, True):
        found = trouble_with_file(
            place((), kind), replace(fits, bytes=most * MIB + 1), by_data=True, fit=fit
        )
        assert found is not None
        assert f"at most {most} MiB" in found[0]
        assert found[1] == BUCKET


@pytest.mark.parametrize(
    "one",
    [
        file(bytes=80 * MIB),
        large(9000, 9000),
        large(12_000, 4000),
        file("image/tiff", bytes=30 * MIB, width=5000, height=4000),
        file("image/gif"),
    ],
)
def test_what_a_smaller_copy_cures_is_not_wrong_with_fit(one: LocalFile) -> None:
    assert trouble_with_file(place(EDIT), one, by_data=True, fit=False) is not None
    assert trouble_with_file(place(EDIT), one, by_data=True, fit=True) is None


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (
            large(20_000, 330),
            "The shortest side must be at least 320 pixels. (scaled down, it has 4096x67 pixels)",
        ),
        (
            large(330, 320),
            "The shortest side must be at least 320 pixels. (it has 330x320 pixels)",
        ),
        (file("image/svg+xml"), "The vendor takes JPEG and PNG. (it is SVG)"),
        (file("audio/mpeg"), "This input takes a picture, and it is a sound."),
        (large(20_000, 20_000), "More than 100 megapixels cannot be checked here."),
    ],
)
def test_what_no_copy_cures_stays_wrong_with_fit(one: LocalFile, what: str) -> None:
    found = trouble_with_file(place(VIDEO), one, by_data=True, fit=True)
    assert found is not None
    assert what in found[0]
    assert FIT not in (found[1] or "")


def test_a_limit_below_any_copy_is_not_promised() -> None:
    tiny = (
        FileRule("file_size_mb", "<=", 0.001, "At most 1 kB."),
        FileRule("width_pixels", ">=", 500, "At least 500."),
    )
    found = fit_for(tiny, 1000, 1000, by_data=True)
    assert isinstance(found, NoFit)
    assert found.left == "No copy of it is certain to have less than 0.001 MB."


SIDES = st.integers(1, 20_000)
RULES = st.lists(
    st.builds(
        FileRule,
        st.sampled_from(["width_pixels", "height_pixels"]),
        st.sampled_from(["<", "<=", ">", ">="]),
        st.integers(1, 6000).map(float),
        st.just("A side."),
    )
    | st.builds(
        FileRule,
        st.just("width/height"),
        st.sampled_from(["<", "<=", ">", ">="]),
        st.sampled_from([0.33, 1 / 3, 0.5, 1.0, 2.0, 3.0]),
        st.just("A ratio."),
    )
    | st.builds(
        FileRule,
        st.just("file_size_mb"),
        st.sampled_from(["<", "<="]),
        st.sampled_from([0.5, 4.7, 10.0]),
        st.just("A size."),
    ),
    max_size=5,
).map(tuple)


@given(RULES, SIDES, SIDES, st.booleans())
def test_every_promised_size_keeps_the_rules_and_the_shape(
    some: tuple[FileRule, ...], width: int, height: int, by_data: bool
) -> None:
    match fit_for(some, width, height, by_data=by_data):
        case Fit(sizes, most_bytes):
            assert list(sizes) == sorted(sizes, key=math.prod, reverse=True)
            for wide, high in sizes:
                assert 1 <= wide <= width
                assert 1 <= high <= height
                assert wide * high <= (DATA_PIXELS if by_data else MOST_PIXELS)
                assert abs(wide - high * width / height) <= 1 + width / height
                assert not broken_rules(some, FileFacts("image/jpeg", wide, high, most_bytes))
            assert most_bytes <= DATA_BYTES["image"] or not by_data
            assert math.prod(sizes[-1]) * WORST_BYTES_A_PIXEL + OVERHEAD <= most_bytes
        case NoFit(left):
            assert left


@given(RULES, SIDES, SIDES, st.integers(1, 100 * MIB), st.booleans(), st.booleans())
def test_fit_and_a_bucket_are_recommended_only_where_they_help(
    some: tuple[FileRule, ...], width: int, height: int, size: int, by_data: bool, fit: bool
) -> None:
    one = LocalFile("a" * 64, "image/png", size, width, height)
    found = trouble_with_file(place(some), one, by_data=by_data, fit=fit)
    cure = (found[1] or "") if found else ""
    fitted = trouble_with_file(place(some), one, by_data=by_data, fit=True) is None
    in_bucket = trouble_with_file(place(some), one, by_data=False, fit=False) is None
    if found is not None:
        assert ("fit: true" in cure) == fitted
        assert ("a bucket" in cure) == (by_data and in_bucket)
    if not fit and found is None:
        assert fitted
