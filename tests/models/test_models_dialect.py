"""The dialect's spellings in one form, what is not understood, and what models make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from batchgen.models.billing import billed_files, billed_seconds, read_seconds
from batchgen.models.catalog import Makes, makes_from, target_of
from batchgen.models.dialect import normalized, not_understood
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.own_models import (
    BadSchemaError,
    checked_model,
    is_model_id,
    read_own,
)

PROMPT = {"type": "string"}
IMAGE = "https://example.com/a.png"


def schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["prompt"],
        "properties": {"prompt": PROMPT, **properties},
    }


def test_a_plural_format_is_the_singular_one_at_each_item() -> None:
    part = normalized(schema(a={"type": "array", "format": "image_uris"}))["properties"]["a"]
    assert part == {"type": "array", "items": {"type": "string", "format": "image_uri"}}
    model = checked_model("x/y/edit", schema(a={"type": "array", "format": "audio_uris"}), {})
    assert isinstance(check_input(model, {"prompt": "p", "a": [IMAGE]}), CheckedInput)
    assert not isinstance(check_input(model, {"prompt": "p", "a": ["b.mp3"]}), CheckedInput)
    assert [field.type for field in model.fields] == ["string", "list of audio_uri"]


def test_required_may_be_a_flag_and_may_name_what_no_property_describes() -> None:
    found = normalized({"properties": {"a": {"required": True}, "b": {"required": False}}})
    assert found == {"properties": {"a": {}, "b": {}}, "required": ["a"]}
    odd = {**schema(), "required": ["prompt", "voice"]}
    model = checked_model("x/y/text-to-speech", odd, {})
    assert isinstance(check_input(model, {"prompt": "p", "voice": 3}), CheckedInput)
    problems = check_input(model, {"prompt": "p"})
    assert not isinstance(problems, CheckedInput)
    assert [one.path for one in problems] == [("voice",)]


def test_a_nested_object_is_checked_as_deep_as_it_goes() -> None:
    inner = {"type": "object", "properties": {"to": {"type": "integer", "required": True}}}
    model = checked_model("x/y/edit", schema(camera=inner), {})
    assert isinstance(check_input(model, {"prompt": "p", "camera": {"to": 1}}), CheckedInput)
    for wrong in ({}, {"to": "1"}, {"to": 1, "form": 2}):
        assert not isinstance(check_input(model, {"prompt": "p", "camera": wrong}), CheckedInput)
    assert [field.name for field in model.fields[1].fields] == ["to"]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ([], "the schema is not a mapping"),
        ({"type": "object"}, "the schema has no properties"),
        ({"type": "array", "properties": {"a": {}}}, "the schema's type is 'array', not 'object'"),
        (schema(a={"if": {}}), "a has the unknown keyword 'if'"),
        (schema(a={"type": "image"}), "a has the unknown type 'image'"),
        (schema(a={"items": {"format": "file_uri"}}), "a[] has the unknown format 'file_uri'"),
        (schema(a={"anyOf": [{"$ref": "#"}]}), "a has the unknown keyword '$ref'"),
        (schema(a="text"), "a is not a schema but str"),
        (schema(a={"type": "string", "format": "image_uris"}), "is no list"),
        (schema(a={"maxLength": "many"}), "a.maxLength: 'many' is not of type 'integer'"),
        (schema(a={"pattern": "("}), "the pattern '(' is not understood"),
    ],
)
def test_what_is_not_understood_is_named(wrong: Any, problem: str) -> None:
    assert problem in "; ".join(not_understood(wrong))


def test_the_words_of_forms_are_understood_and_forbid_nothing() -> None:
    harmless = {"type": "float", "x-order": 1, "placeholder": "0.5", "title": "T", "step": 0.1}
    assert not_understood(schema(a=harmless)) == []


@pytest.mark.parametrize(
    ("about", "makes"),
    [
        ({"categories": ["text-to-image"]}, Makes.IMAGE),
        ({"categories": ["Image to Video", "featured"]}, Makes.VIDEO),
        ({"categories": ["text-to-speech"]}, Makes.AUDIO),
        ({"categories": ["lip-sync"]}, Makes.VIDEO),
        ({"categories": ["image-edit"]}, Makes.IMAGE),
        ({"categories": ["text-to-image", "text-to-video"]}, None),
        ({"categories": ["image-to-text"]}, None),
        ({"categories": ["image-to-3d"], "makes": "image"}, Makes.IMAGE),
        ({}, None),
    ],
)
def test_what_a_model_makes_comes_from_its_categories(
    about: dict[str, Any], makes: Makes | None
) -> None:
    assert makes_from(about) == makes


def test_a_model_that_may_make_anything_is_refused() -> None:
    assert target_of("turbo") is None
    with pytest.raises(BadSchemaError, match="not clear what the model makes"):
        checked_model("x/turbo", schema(), {})
    assert checked_model("x/turbo", schema(), {"makes": "audio"}).makes is Makes.AUDIO


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(5, 5.0), (2.5, 2.5), ("8", 8.0), ("8s", 8.0), ("auto", None), (-1, None), (True, None)],
)
def test_a_duration_is_a_number_or_a_text(value: Any, seconds: float | None) -> None:
    assert read_seconds(value) == seconds


def test_billed_seconds_are_never_less_than_what_the_vendor_may_choose() -> None:
    rules = schema(duration={"type": "string", "enum": ["auto", "4", "8"], "default": "4"})
    assert billed_seconds(rules, {}) == 4
    assert billed_seconds(rules, {"duration": "auto"}) == 8
    frames = schema(frames={"type": "integer", "enum": [121, 241], "default": 121})
    assert (billed_seconds(frames, {}), billed_seconds(frames, {"frames": 241})) == (5, 10)
    assert billed_seconds(schema(duration={"type": "integer"}), {}) is None
    assert billed_seconds(schema(), {}) is None


def test_as_many_files_are_billed_as_the_vendor_may_make() -> None:
    rules = schema(num_images={"type": "integer", "minimum": 1, "maximum": 6, "default": 2})
    assert (billed_files(rules, {}), billed_files(rules, {"num_images": 4})) == (2, 4)
    assert billed_files(schema(n={"type": "integer", "maximum": 4}), {}) == 4
    assert billed_files(schema(n={"type": "integer", "default": True}), {}) == 1
    assert billed_files(schema(), {"num_images": 4}) == 1


@pytest.mark.parametrize("name", ["a", "a/", "/a/b", "a/../b", "a/b c", "a/.b", "a\\b/c", "ä/b"])
def test_an_id_that_is_no_safe_path_is_no_id(name: str) -> None:
    assert not is_model_id(name)
    assert is_model_id("owner/name-2.1/text-to-image")


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ("[]", "is not a mapping"),
        ('{"base_price_usd": -1}', "which is no price"),
        ('{"base_price_usd": "free"}', "not a number"),
        ('{"categories": "text-to-image"}', "categories is not a list"),
        ('{"makes": "pictures"}', "not one of image, video, audio"),
        ('{"price_unit": 3}', "price_unit is 3"),
    ],
)
def test_a_wrong_entry_beside_a_schema_is_a_fault(tmp_path: Path, about: str, problem: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "edit.json").write_text('{"properties": {"prompt": {}}}', "utf-8")
    assert [model.id for model in read_own(tmp_path)[0]] == ["x/edit"]
    (folder / "edit.about.json").write_text(about, "utf-8")
    models, faults = read_own(tmp_path)
    assert models == []
    assert problem in faults[0].message


def test_a_bundled_model_may_lie_there_as_it_is_bundled_and_not_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / "bytedance/dreamina-4-0"
    folder.mkdir(parents=True)
    (folder / "edit.json").write_text('{"properties": {"prompt": {}}}', "utf-8")
    models, faults = read_own(tmp_path)
    assert models == []
    assert "is bundled with batchgen, and this schema is a different one" in faults[0].message


def nested(depth: int) -> Any:
    return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "string"}


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"type": 5}, "a has the unknown type '5'"),
        ({"type": None}, "a has the unknown type 'None'"),
        ({"type": [["string"]]}, "a has the unknown type"),
        ({"format": []}, "a has the unknown format '[]'"),
        ({"anyOf": None}, "a.anyOf: None is not of type 'array'"),
        ({"properties": {"b": {}}, "required": [["b"]]}, "a.required.0: ['b'] is not of type"),
        ({"properties": {"b\x1b[31m": {}}}, "a has the unprintable key"),
        ({"description": "\ud800"}, "a text in it is not Unicode"),
        ({"maximum": float("inf")}, "Out of range float values"),
        (nested(300), "it is nested more than 64 deep"),
    ],
)
def test_a_hostile_schema_is_refused_with_a_sentence(part: Any, problem: str) -> None:
    with pytest.raises(BadSchemaError) as refused:
        checked_model("x/y/edit", schema(a=part), {})
    assert problem in str(refused.value)


def test_a_pipe_in_place_of_a_schema_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "x/y").mkdir(parents=True)
    os.mkfifo(tmp_path / "x/y/edit.json")
    (fault,) = read_own(tmp_path)[1]
    assert "edit.json is not a file" in fault.message
