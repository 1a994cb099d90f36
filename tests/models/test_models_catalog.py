from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from batchgen.errors import BatchgenError
from batchgen.models.catalog import Makes, bundled, read_models
from batchgen.models.fields import FileRule
from batchgen.models.inputs import CheckedInput, check_input

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"


def test_the_three_published_models_are_there() -> None:
    assert list(bundled().models) == [VIDEO, EDIT, T2I]


@pytest.mark.parametrize(
    ("model_id", "makes", "alias"),
    [(T2I, Makes.IMAGE, "t2i"), (EDIT, Makes.IMAGE, "edit"), (VIDEO, Makes.VIDEO, "i2v")],
)
def test_a_model_knows_what_it_makes(model_id: str, makes: Makes, alias: str) -> None:
    model = bundled().find(model_id)
    assert model is not None
    assert (model.makes, model.alias) == (makes, alias)


def test_keys_of_a_schema_keep_the_published_order() -> None:
    model = bundled().models[T2I]
    assert list(model.schema) == ["type", "title", "required", "properties"]
    assert model.keys == ("prompt", "width×height", "scale", "force_single", "size")  # noqa: RUF001 - the vendor's key
    assert bundled().models[VIDEO].keys == ("prompt", "image_urls", "seed", "frames")


def test_the_output_schema_is_bundled_but_is_no_model() -> None:
    text = (files("batchgen.models") / "schemas" / "output.json").read_text(encoding="utf-8")
    assert list(json.loads(text)["output"]["properties"]) == ["image", "video", "images", "videos"]
    assert "output" not in bundled().models


def test_an_unknown_id_has_no_model() -> None:
    assert bundled().find("bytedance/dreamina-5-0/edit") is None


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("bytedance/dreamina-4-0/text-to-imag", T2I),
        ("Bytedance/Dreamina-4-0/Edit", EDIT),
        ("text-to-image", T2I),
        ("t2i", T2I),
        ("i2v", VIDEO),
    ],
)
def test_a_misspelt_model_names_the_nearest_one(wrong: str, meant: str) -> None:
    """Row 8."""
    assert bundled().nearest(wrong) == f"did you mean '{meant}'?"


def test_a_name_near_to_none_gets_the_whole_list() -> None:
    assert bundled().nearest("zzz") == f"known: {VIDEO}, {EDIT}, {T2I}"
    assert bundled().nearest("z" * 10_000) == f"known: {VIDEO}, {EDIT}, {T2I}"


def test_fields_have_what_is_needed_to_fill_them_in() -> None:
    fields = {field.name: field for field in bundled().models[EDIT].fields}
    images = fields["image_urls"]
    assert (images.type, images.required, images.limits) == (
        "list of image_uri",
        True,
        "1 to 10 items",
    )
    assert fields["prompt"].limits == "at most 800 characters"
    assert (fields["scale"].type, fields["scale"].limits) == ("float", "0 to 1")
    assert fields["scale"].default == 0.5
    assert fields["force_single"].default is False
    frames = {field.name: field for field in bundled().models[VIDEO].fields}["frames"]
    assert frames.choices == (121, 241)


def test_a_field_of_one_item_is_described_as_such() -> None:
    assert (
        next(one for one in bundled().models[VIDEO].fields if one.name == "image_urls").limits
        == "1 item"
    )


def test_file_rules_come_with_the_sentence_of_the_page() -> None:
    rules = next(
        one for one in bundled().models[EDIT].fields if one.name == "image_urls"
    ).file_rules
    assert rules[0] == FileRule("file_size_mb", "<=", 15.0, "Each image file must be ≤ 15 MB.")
    assert rules[3] == FileRule(
        "width/height", ">=", 0.33, "The input image aspect ratio must be within [1/3, 3]."
    )
    video = next(
        one for one in bundled().models[VIDEO].fields if one.name == "image_urls"
    ).file_rules
    assert [(rule.quantity, rule.operator, rule.limit) for rule in video] == [
        ("file_size_mb", "<", 4.7),
        ("width_pixels", "<=", 4096.0),
        ("height_pixels", "<=", 4096.0),
        ("width_pixels", ">", 320.0),
        ("height_pixels", ">", 320.0),
        ("width/height", "<", 3.0),
        ("width/height", ">", 0.33),
    ]


def write_schema(folder: Path, model_id: str, text: str) -> None:
    file = folder / f"{model_id}.json"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")


def test_another_published_schema_works_without_code(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "minLength": 2},
            "steps": {"type": "integer", "minimum": 1, "multipleOf": 5},
            "clip": {"type": "string", "format": "video_uri"},
            "camera": {"type": "object", "properties": {"zoom": {"type": "float", "maximum": 2}}},
        },
    }
    write_schema(tmp_path, "acme/films/text-to-video", json.dumps(schema))
    (tmp_path / "output.json").write_text("{}")
    models = read_models(tmp_path)
    model = models["acme/films/text-to-video"]
    assert list(models) == ["acme/films/text-to-video"]
    assert model.makes is Makes.VIDEO
    assert isinstance(check_input(model, {"text": "ab", "camera": {"zoom": 1}}), CheckedInput)
    problems = check_input(
        model, {"text": "a", "steps": 7, "clip": "ftp://a.b/c", "camera": {"zom": 1}}
    )
    assert isinstance(problems, list)
    assert [problem.message for problem in problems] == [
        "text is 1 character long; at least 2 are needed",
        "steps must be a multiple of 5; got 7",
        "clip must begin with https://; got 'ftp://a.b/c'",
        "unknown key 'zom' in camera",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"properties": {"a": {"type": "colour"}}}',
        '{"properties": {"a": {"validations": [{"validation_rule": "huge"}]}}}',
    ],
)
def test_an_invalid_schema_is_reported_with_its_model(tmp_path: Path, text: str) -> None:
    write_schema(tmp_path, "acme/broken", text)
    with pytest.raises(BatchgenError, match="the bundled schema of acme/broken cannot be used"):
        read_models(tmp_path)
