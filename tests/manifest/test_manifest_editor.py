"""The schema file as editors use it, and the structure checks with its handwritten part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import batchgen.manifest.editor_schema as generator
from batchgen.manifest.editor_schema import editor_schema, schema_text
from batchgen.manifest.schema_validation import (
    _job_schema,
    header_problems,
    job_problems,
    read_schema,
    written_by_hand,
)
from batchgen.manifest.starters.manifests import starter_manifest
from batchgen.models.catalog import bundled
from batchgen.models.messages import describe_all
from batchgen.models.validator import build_validator

ROOT = Path(__file__).parents[2]
T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"
FULL_KEY = "width×height"  # noqa: RUF001 - the vendor's key
IMAGE = "https://files.example.org/a.jpg"

EDITOR = Draft202012Validator(read_schema())


def job(**keys: Any) -> dict[str, Any]:
    return {"version": 1, "jobs": [keys]}


def wrong_places(manifest: Any) -> list[str]:
    """Where an editor underlines."""
    return [".".join(map(str, error.absolute_path)) for error in EDITOR.iter_errors(manifest)]


def test_the_file_is_what_the_generator_gives() -> None:
    """Renew it with `python -m batchgen.manifest.editor_schema --write`."""
    made = editor_schema(written_by_hand(read_schema()), bundled())
    text = Path(generator.__file__).with_name("schema.json").read_text(encoding="utf-8")
    assert text == schema_text(made)


def test_the_command_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    generator.main([])
    assert json.loads(capsys.readouterr().out) == read_schema()


def test_the_file_is_a_whole_schema_without_remote_parts() -> None:
    """An editor needs no other file: each reference leads to a place in this one."""
    schema = read_schema()
    Draft202012Validator.check_schema(schema)
    for reference in references(schema):
        target: Any = schema
        assert reference.startswith("#/")
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert isinstance(target, dict)


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [one for item in part for one in references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [one for item in part.values() for one in references(item)]


def test_the_written_part_knows_no_model() -> None:
    by_hand = written_by_hand(read_schema())
    assert not [model for model in bundled().models if model in json.dumps(by_hand)]
    assert by_hand == written_by_hand(by_hand)


def test_every_key_of_a_job_is_described() -> None:
    described = read_schema()["$defs"]["job"]["properties"]
    assert all(part["description"] for part in described.values())


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda p: p.name)
def test_the_examples_please_an_editor(path: Path) -> None:
    assert wrong_places(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_the_starter_pleases_an_editor() -> None:
    assert wrong_places(yaml.safe_load(starter_manifest("my-batch"))) == []


@pytest.mark.parametrize(
    "manifest",
    [
        job(model=T2I, input={"prompt": "x", "size": "2048x2048", "scale": 0.5}),
        job(model=T2I, input={"prompt": "x", FULL_KEY: "2048x2048(1:1)"}),
        job(model=T2I, input={"prompt": "x", "size": "2048x2048(1:1)"}),
        job(model=T2I, input={"scale": "{{ scale }}", "force_single": "{{ single }}"}),
        job(model=T2I, input={"prompt": "{{ row.text }}" + "x" * 900}),
        job(model=EDIT, input={"image_urls": [IMAGE, "{{ jobs.still.image }}"]}),
        job(model=EDIT, input={"image_urls": "{{ jobs.still.images }}"}),
        job(model=EDIT, input={"image_urls": ["photos/a.jpg", "~/b.png", "{{ path }}"]}),
        job(model=VIDEO, input={"frames": 121, "seed": "{{ index }}"}),
        job(model="bytedance/{{ model }}", input={"prompt": "x", "seed": 1}),
        {"version": 1, "include": "scenes/*.yaml"},
        {"version": 1, "defaults": {"model": VIDEO, "input": {"scale": 1, "frames": 241}}}
        | {"jobs": [{"input": {"frames": 241}}]},
        {"version": 1, "run": {"models": {EDIT: {"price": 1}}}, "jobs": [{"id": "a"}]},
    ],
)
def test_valid_values_are_not_underlined(manifest: Any) -> None:
    assert wrong_places(manifest) == []


@pytest.mark.parametrize(
    ("manifest", "place"),
    [
        (job(model=T2I, input={"promt": "x"}), "jobs.0.input"),
        (job(model=T2I, input={"seed": 1}), "jobs.0.input"),
        (job(input={"promt": "x"}), "jobs.0.input"),
        (job(input={"frames": 100}), "jobs.0.input.frames"),
        (job(model=VIDEO, input={"frames": 100}), "jobs.0.input.frames"),
        (job(model=VIDEO, input={"image_urls": [IMAGE, IMAGE]}), "jobs.0.input.image_urls"),
        (job(model=EDIT, input={"image_urls": [3]}), "jobs.0.input.image_urls"),
        (job(model=T2I, input={"scale": 2}), "jobs.0.input.scale"),
        (job(model=T2I, input={"scale": "0.5"}), "jobs.0.input.scale"),
        (job(model=T2I, input={"size": "2048"}), "jobs.0.input.size"),
        (job(model=T2I, input={"prompt": "x" * 801}), "jobs.0.input.prompt"),
        (job(model="t2v"), "jobs.0.model"),
        (job(matrix={"hour": []}), "jobs.0.matrix.hour"),
        (job(limit=3), "jobs.0"),
        ({"version": 1}, ""),
        ({"version": 1, "jobs": [{"id": "a"}], "defaults": {"model": "x"}}, "defaults.model"),
        (
            {"version": 1, "jobs": [{"id": "a"}], "defaults": {"input": {"sise": 1}}},
            "defaults.input",
        ),
        ({"version": 1, "jobs": [{"id": "a"}], "run": {"models": {"x": {}}}}, "run.models"),
        (
            {"version": 1, "defaults": {"model": T2I}, "jobs": [{"input": {"frames": 121}}]},
            "jobs.0.input",
        ),
    ],
)
def test_what_is_wrong_is_underlined_at_its_place(manifest: Any, place: str) -> None:
    assert wrong_places(manifest) == [place]


def test_an_editor_offers_the_fields_of_the_models() -> None:
    schema = read_schema()
    for model in bundled().models.values():
        offered = schema["$defs"][f"input_{model.alias}"]["properties"]
        assert set(offered) == set(model.keys)
        assert set(offered) <= set(schema["$defs"]["input_any"]["properties"])
    assert "4.7 MB" in schema["$defs"]["input_i2v"]["properties"]["image_urls"]["description"]


SOUND = {"id": "a", "model": T2I, "input": {"prompt": "x"}, "tags": ["hero", 1]}
keys = st.sampled_from([*read_schema()["$defs"]["job"]["properties"], "idd"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["", "a" * 201, "a\n", "\x85", 10**9, 10**9 + 1, 10**6 + 1, 2**64]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "row", "a-b", "include", "exclude"]), inner)
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.dictionaries(keys, values, max_size=3))
def test_the_quick_check_of_a_job_hides_no_problem(changes: dict[str, Any]) -> None:
    item = {**SOUND, **changes}
    validator = build_validator(_job_schema())
    assert job_problems(item) == describe_all(validator.iter_errors(item))


@pytest.mark.parametrize(
    ("item", "message", "hint"),
    [
        (
            {"where": {"a": 1}},
            "where has no meaning without 'from'",
            "add 'from', or remove 'where'",
        ),
        ({"limit": 1}, "limit has no meaning without 'from'", "add 'from', or remove 'limit'"),
        ({"offset": 1}, "offset has no meaning without 'from'", "add 'from', or remove 'offset'"),
        (
            {"bad_rows": "skip"},
            "bad_rows has no meaning without 'from'",
            "add 'from', or remove 'bad_rows'",
        ),
        (
            {"from": "a.csv", "bad_rows": "skp"},
            "bad_rows must be one of refuse, skip; got 'skp'",
            "did you mean 'skip'?",
        ),
        (
            {"matrix": 1},
            "matrix must be a mapping; got 1",
            "write 'key: value' on the lines below it",
        ),
        ({"needs": {}}, "needs is empty", None),
        ({"repeat": 0}, "repeat must be between 1 and 1000000; got 0", None),
        ({"gate": "yes"}, "gate must be true or false; got 'yes'", "write true"),
        (
            {"needs": "a"},
            "needs must be a list or a mapping; got 'a'",
            "write a list of one item as [ … ]",
        ),
        ({"priority": 1.5}, "priority must be a whole number; got 1.5", None),
        ({"from": 7}, "from must be text; got 7", "put it in quotes"),
    ],
)
def test_problems_of_a_sweep_are_reported_in_plain_words(
    item: dict[str, Any], message: str, hint: str | None
) -> None:
    (problem,) = job_problems(item)
    assert (problem.message, problem.hint) == (message, hint)


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ({"vars": {"row": 1}}, ("vars", "row")),
        ({"vars": {"two words": 1}}, ("vars", "two words")),
        ({"env": ["MY-VAR"]}, ("env", 0)),
        ({"env": "HOME"}, ("env",)),
        ({"include": []}, ("include",)),
        ({"run": {"canary": 0}}, ("run", "canary")),
        ({"run": {"check_inputs": "no"}}, ("run", "check_inputs")),
        ({"run": {"full_check": "never"}}, ("run", "full_check")),
    ],
)
def test_the_keys_of_the_header_are_checked(
    header: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    (problem,) = header_problems({"version": 1, **header}, complete=True)
    assert problem.path == path
