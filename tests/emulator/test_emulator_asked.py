"""What the emulator makes of the vendor's many ways to ask for a size, a length or a format."""

from __future__ import annotations

from typing import Any

import pytest

from batchgen.emulator.asked import CLIP_SIZE, USUAL_SIZE, Asked
from batchgen.emulator.catalogue import load_catalogue, offer_of
from batchgen.emulator.settings import EmulatorError
from batchgen.emulator.validation import input_problems, input_validator

ANY: dict[str, Any] = {}


def asked(job_input: dict[str, Any], **defaults: Any) -> Asked:
    keys = {*job_input, *defaults}
    parts = {key: {"default": defaults[key]} if key in defaults else {} for key in keys}
    return Asked({"properties": parts}, job_input)


@pytest.mark.parametrize(
    ("job_input", "size"),
    [
        ({"size": "1024x768"}, (1024, 768)),
        ({"size": "1280*720"}, (1280, 720)),
        ({"image_size": {"width": 640, "height": 360}}, (640, 360)),
        ({"width": 512, "height": 256}, (512, 256)),
        ({"image_size": "square_hd"}, (1024, 1024)),
        ({"image_size": "landscape_16_9"}, (1368, 768)),
        ({"image_size": "portrait_16_9"}, (768, 1368)),
        ({"aspect_ratio": "1:1", "resolution": "2K"}, (2048, 2048)),
        ({"resolution": "720p"}, (960, 960)),
        ({"size": "99999x99999"}, USUAL_SIZE),
        ({"aspect_ratio": "auto"}, USUAL_SIZE),
        ({}, USUAL_SIZE),
    ],
)
def test_an_image_has_the_asked_size(job_input: dict[str, Any], size: tuple[int, int]) -> None:
    assert asked(job_input).pixels(USUAL_SIZE) == size


def test_a_clip_is_small_unless_pixels_are_asked_for() -> None:
    assert asked({}).clip_pixels() == CLIP_SIZE
    assert asked({"resolution": "1080p"}).clip_pixels() == CLIP_SIZE
    assert asked({"size": "641x361"}).clip_pixels() == (640, 360)
    tall = asked({"aspect_ratio": "9:16"}).clip_pixels()
    assert tall[0] < tall[1] < 1000


@pytest.mark.parametrize(
    ("value", "seconds"), [(3, 3.0), ("6", 6.0), ("8s", 8.0), ("auto", 5.0), (10**9, 600.0)]
)
def test_a_clip_has_the_asked_seconds(value: Any, seconds: float) -> None:
    one = asked({"duration": value})
    assert (one.seconds(), one.frames()) == (seconds, seconds * 24)
    assert asked({}, duration=value).seconds() == seconds


def test_a_format_is_made_if_it_is_of_the_models_kind() -> None:
    assert asked({"output_format": "mp3"}).extension("wav") == "mp3"
    assert asked({"output_format": "jpeg"}).extension("png") == "jpg"
    assert asked({"output_format": "mp3"}).extension("png") == "png"
    assert asked({"output_format": "webp"}).extension("png") == "png"


def test_an_offer_without_an_entry_is_a_similar_models() -> None:
    kinds = {"x/y/text-to-video": "mp4", "x/y/text-to-speech": "wav", "x/y/turbo": "png"}
    assert {one: offer_of(one).extension for one in kinds} == kinds
    about = {"makes": "audio", "base_price_usd": 0, "price_unit": "second"}
    offer = offer_of("x/turbo", about)
    assert (offer.extension, offer.usd, offer.unit) == ("wav", 0, "second")


def test_the_server_checks_the_dialects_other_spellings() -> None:
    parts = {"a": {"type": "array", "format": "image_uris"}, "b": {"required": True}}
    validator = input_validator({"type": "object", "properties": parts})
    assert not [*input_problems(validator, {"a": ["https://example.com/a.png"], "b": 1})]
    problems = [*input_problems(validator, {"a": ["nowhere"]})]
    assert sorted(one.rule for one in problems) == ["format", "required"]


def test_a_schema_that_is_none_stops_the_emulator(tmp_path: Any) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/y.json").write_text("[]", "utf-8")
    with pytest.raises(EmulatorError, match="it is not a mapping"):
        load_catalogue([tmp_path])
