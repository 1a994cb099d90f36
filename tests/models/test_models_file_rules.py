"""The rules for files, as the three models publish them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.jobs import JsonObject, JsonValue
from batchgen.models.catalog import Model, bundled
from batchgen.models.fields import FileRule, read_fields
from batchgen.models.file_rules import (
    FileFacts,
    broken_rules,
    file_keys_of,
    files_of,
    has_only_urls,
    image_keys,
    rules_of,
)

MB = 1_000_000
MIB = 1_048_576
SOUND = FileFacts("image/jpeg", 1024, 768, 2 * MB)


def model(model_id: str) -> Model:
    found = bundled().find(model_id)
    assert found is not None
    return found


T2I = model("bytedance/dreamina-4-0/text-to-image")
EDIT = model("bytedance/dreamina-4-0/edit")
VIDEO = model("bytedance/dreamina-3-0/pro/image-to-video")


def broken(one: Model, **changed: int | None) -> list[str]:
    facts = replace(SOUND, **changed)  # type: ignore[arg-type] # no media type is changed
    return [str(rule) for rule in broken_rules(rules_of(one, "image_urls"), facts)]


def test_the_keys_that_take_pictures_are_known_by_their_format() -> None:
    assert image_keys(T2I) == ()
    assert image_keys(EDIT) == image_keys(VIDEO) == ("image_urls",)


def places(one: Model, values: JsonObject) -> list[tuple[tuple[str | int, ...], str, str]]:
    return [(place.path, place.kind, text) for place, text in files_of(one, values)]


def test_the_files_of_an_input_come_with_their_places() -> None:
    given: JsonObject = {
        "image_urls": ["https://a.example/1", "b.png"],
        "prompt": "https://b.example",
    }
    assert places(EDIT, given) == [
        (("image_urls", 0), "image", "https://a.example/1"),
        (("image_urls", 1), "image", "b.png"),
    ]
    assert places(T2I, given) == []
    assert [place.rules for place, _ in files_of(EDIT, given)] == [rules_of(EDIT, "image_urls")] * 2


def nested() -> Model:
    """A model with files in a list of mappings, and a single video."""
    rule = {"validation_rule": "width_pixels <", "validation_value": 9, "validation_error": "Wide."}
    still = {"type": "string", "format": "image_uri", "validations": [rule]}
    frame = {"type": "object", "properties": {"still": still, "note": {"type": "string"}}}
    properties = {
        "frames": {"type": "array", "items": frame},
        "clip": {"type": "string", "format": "video_uri"},
        "prompt": {"type": "string"},
    }
    return replace(T2I, fields=read_fields({"properties": properties}))


def test_files_in_mappings_are_found_too() -> None:
    one = nested()
    given: JsonObject = {
        "frames": [{"still": "a.png", "note": "b.png"}, {"note": "x"}, {"still": "c.png"}],
        "clip": "clip.mp4",
        "prompt": "d.png",
    }
    assert places(one, given) == [
        (("frames", 0, "still"), "image", "a.png"),
        (("frames", 2, "still"), "image", "c.png"),
        (("clip",), "video", "clip.mp4"),
    ]
    (first, _), *_ = files_of(one, given)
    assert [rule.sentence for rule in first.rules] == ["Wide."]


@pytest.mark.parametrize("wrong", ["a.png", ["a.png", ["b.png"]], {"a": "b.png"}, None, 3])
def test_what_the_schema_refuses_is_no_place_for_a_file(wrong: JsonValue) -> None:
    found = places(EDIT, {"image_urls": wrong})
    assert found == ([(("image_urls", 0), "image", "a.png")] if isinstance(wrong, list) else [])


URL = "https://a.example/1"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"image_urls": [URL, URL]}, True),
        ({}, True),
        ({"image_urls": [URL, "a.png"]}, False),
        ({"image_urls": "a.png"}, False),
        ({"image_urls": [URL, None]}, False),
    ],
)
def test_an_input_with_nothing_but_https_is_known_quickly(
    values: JsonObject, expected: bool
) -> None:
    assert has_only_urls(file_keys_of(EDIT), values) == expected


def test_a_model_without_places_has_only_urls_and_inner_places_are_looked_through() -> None:
    assert has_only_urls(file_keys_of(T2I), {"image_urls": ["a.png"]})
    assert not has_only_urls(file_keys_of(nested()), {"frames": [{"still": URL}]})


def test_a_plain_photograph_breaks_no_rule() -> None:
    assert broken(EDIT) == broken(VIDEO) == []


@pytest.mark.parametrize(
    ("one", "changed"),
    [
        (EDIT, {"bytes": 15 * MB}),
        (EDIT, {"bytes": 15 * MIB}),
        (EDIT, {"width": 4096, "height": 4096}),
        (EDIT, {"width": 3000, "height": 1000}),
        (EDIT, {"width": 330, "height": 1000}),
        (EDIT, {"width": 30, "height": 30}),
        (VIDEO, {"bytes": 4_700_000}),
        (VIDEO, {"bytes": int(4.7 * MIB)}),
        (VIDEO, {"width": 4096, "height": 4096}),
        (VIDEO, {"width": 321, "height": 321}),
        (VIDEO, {"width": 2999, "height": 1000}),
        (VIDEO, {"width": 331, "height": 1000}),
    ],
)
def test_a_value_just_within_a_rule_passes(one: Model, changed: dict[str, int]) -> None:
    assert broken(one, **changed) == []


@pytest.mark.parametrize(
    ("one", "changed", "message"),
    [
        (EDIT, {"bytes": 15 * MIB + 1}, "Each image file must be ≤ 15 MB. (it has 15.7 MB)"),
        (
            EDIT,
            {"width": 4097, "height": 4096},
            "Maximum resolution is 4096x4096. (it has 4097x4096 pixels)",
        ),
        (
            EDIT,
            {"width": 4096, "height": 4097},
            "Maximum resolution is 4096x4096. (it has 4096x4097 pixels)",
        ),
        (
            EDIT,
            {"width": 3001, "height": 1000},
            "The input image aspect ratio must be within [1/3, 3]. (it has 3001x1000 pixels)",
        ),
        (
            EDIT,
            {"width": 329, "height": 1000},
            "The input image aspect ratio must be within [1/3, 3]. (it has 329x1000 pixels)",
        ),
        (VIDEO, {"bytes": 6_100_000}, "File size must be less than 4.7 MB. (it has 6.1 MB)"),
        (
            VIDEO,
            {"width": 4097, "height": 4096},
            "Maximum resolution is 4096x4096. (it has 4097x4096 pixels)",
        ),
        (
            VIDEO,
            {"width": 320, "height": 321},
            "The shortest side must be at least 320 pixels. (it has 320x321 pixels)",
        ),
        (
            VIDEO,
            {"width": 321, "height": 320},
            "The shortest side must be at least 320 pixels. (it has 321x320 pixels)",
        ),
        (
            VIDEO,
            {"width": 3000, "height": 1000},
            "The ratio of long side to short side must be within 3:1. (it has 3000x1000 pixels)",
        ),
        (
            VIDEO,
            {"width": 330, "height": 1000},
            (
                "The ratio of long side to short side must be greater than 0.33."
                " (it has 330x1000 pixels)"
            ),
        ),
    ],
)
def test_a_value_just_outside_is_reported_in_the_words_of_the_page(
    one: Model, changed: dict[str, int], message: str
) -> None:
    assert broken(one, **changed) == [message]


def test_a_sentence_of_two_rules_is_reported_once() -> None:
    assert broken(VIDEO, width=5000, height=5000) == [
        "Maximum resolution is 4096x4096. (it has 5000x5000 pixels)"
    ]


def test_all_broken_rules_are_reported_together() -> None:
    assert len(broken(VIDEO, width=9000, height=200, bytes=9 * MB)) == 4


def test_a_size_that_the_server_did_not_send_breaks_no_rule() -> None:
    assert broken(VIDEO, bytes=None) == []
    assert broken(EDIT, bytes=None) == []


def test_a_key_that_takes_no_picture_has_no_rule() -> None:
    assert rules_of(VIDEO, "image_urls") != ()
    assert rules_of(VIDEO, "prompt") == rules_of(VIDEO, "nothing") == ()


def test_a_size_that_is_unknown_breaks_no_rule() -> None:
    nothing = FileFacts("video/mp4", None, None, None)
    assert broken_rules(rules_of(VIDEO, "image_urls"), nothing) == []


def test_a_quantity_that_nobody_knows_breaks_nothing() -> None:
    fields = tuple(
        replace(field, file_rules=(FileRule("dots_per_inch", "<", 0.0, "No."),))
        for field in VIDEO.fields
    )
    assert broken(replace(VIDEO, fields=fields), width=1) == []


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.none() | st.integers(0, 10**9))
def test_for_any_image_only_published_sentences_are_reported(
    width: int, height: int, size: int | None
) -> None:
    facts = FileFacts("image/png", width, height, size)
    for one in (EDIT, VIDEO):
        published = {rule.sentence for field in one.fields for rule in field.file_rules}
        found = [rule.sentence for rule in broken_rules(rules_of(one, "image_urls"), facts)]
        assert len(found) == len(set(found))
        assert set(found) <= published
