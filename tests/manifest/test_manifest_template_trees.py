"""Templates anywhere inside a job's input, and their references to other jobs."""

from __future__ import annotations

from typing import Any

import pytest

from batchgen.manifest.compiled_input import CompiledTree, compile_tree
from batchgen.manifest.dependencies import JobReferences
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import compile_text
from batchgen.references import reference_url, references_in

JOBS = {
    "still": "still-dawn",
    "clip": "clip/ü",
    "my still": "s",
}


def look_up(name: str) -> str:
    if name not in JOBS:
        raise TemplateProblem(f"no job '{name}'", "did you mean 'still'?")
    return JOBS[name]


CELL: dict[str, Any] = {
    "hour": "dawn",
    "scale": "0.5",
    "nothing": None,
    "jobs": JobReferences(look_up),
}


def compiled(value: Any) -> CompiledTree:
    made = compile_tree(value)
    assert isinstance(made, CompiledTree)
    return made


def test_only_the_templates_of_an_input_are_rendered() -> None:
    fixed = {"keep": ["{ as it is }"]}
    tree = compiled({"prompt": "At {{ hour }}", "list": [1, "{{ scale }}"], "fixed": fixed})
    made: Any = tree.render(CELL)
    assert made == {"prompt": "At dawn", "list": [1, "0.5"], "fixed": fixed}
    assert list(made) == ["prompt", "list", "fixed"]
    assert made["fixed"] is fixed
    assert set(tree.rendered_paths) == {("prompt",), ("list", 1)}
    assert tree.names == {"hour", "scale"}


def test_rendering_leaves_the_manifests_own_value_alone() -> None:
    value = {"list": ["{{ hour }}"], "{{ key }}": 1}
    tree = compiled(value)
    assert tree.render(CELL) == tree.render(CELL) == {"list": ["dawn"], "{{ key }}": 1}
    assert value == {"list": ["{{ hour }}"], "{{ key }}": 1}


def test_a_key_whose_template_gives_none_is_left_out() -> None:
    tree = compiled(
        {"seed": "{{ nothing }}", "prompt": "[{{ nothing }}]", "deep": {"a": "{{ 5 if nothing }}"}}
    )
    assert tree.render(CELL) == {"prompt": "[]", "deep": {}}


def test_a_value_without_templates_is_given_back_itself() -> None:
    value = {"prompt": "a boat", "scale": 0.5, "image_urls": ["https://a.example/1.png"]}
    tree = compiled(value)
    assert tree.is_literal
    assert tree.render(CELL) is value


def test_all_problems_of_an_input_are_found_at_once_each_with_its_path() -> None:
    found = compile_tree({"a": "{{ x", "b": [{"c": "{{ f() }}"}], "d": "{{ hour }}"})
    assert isinstance(found, list)
    assert [(one.path, one.what) for one in found] == [
        (("a",), "the '{{' is never closed"),
        (("b", 0, "c"), "a template cannot have 'call'"),
    ]


def test_names_that_no_cell_has_are_found_with_their_paths() -> None:
    tree = compiled({"a": "{{ hoor }}", "b": ["{{ hour }}", "{{ x }}"]})
    found = tree.name_problems({"hour"})
    assert [(one.path, one.what) for one in found] == [
        (("a",), "no variable 'hoor'"),
        (("b", 1), "no variable 'x'"),
    ]


def test_a_problem_while_rendering_leads_to_its_template() -> None:
    with pytest.raises(TemplateProblem, match="no variable 'hoor'") as caught:
        compiled({"a": {"b": ["x", "{{ hoor }}"]}}).render(CELL)
    assert caught.value.path == ("a", "b", 1)


def test_a_text_alone_is_a_tree_too() -> None:
    assert compiled("{{ hour }}").render(CELL) == "dawn"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("{{ jobs.still.image }}", reference_url("still-dawn", "image", 0)),
        ("{{ jobs.still.images[2] }}", reference_url("still-dawn", "image", 2)),
        ("{{ jobs['my still'].images[0] }}", reference_url("s", "image", 0)),
        ("{{ jobs.clip.video }}", reference_url("clip/ü", "video", 0)),
        ("{{ jobs.clip.videos[1] if hour else none }}", reference_url("clip/ü", "video", 1)),
        ("{{ jobs.still.images|first }}", reference_url("still-dawn", "image", 0)),
    ],
)
def test_another_jobs_result_is_a_reference(text: str, url: str) -> None:
    assert compile_text(text).render(CELL) == url
    assert [one.url for one in references_in(f'"{url}"')] == [url]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("{{ jobs.stil.image }}", "no job 'stil'", "did you mean 'still'?"),
        ("{{ jobs.still }}", "jobs.still is a job: name its output: jobs.still.image", None),
        ("a {{ jobs.clip }}", "jobs.clip is a job: name its output: jobs.clip.image", None),
        ("{{ jobs.still.images }}", "name one of them: jobs.still.images[0]", None),
        ("{{ 'x' in jobs.still.images }}", "name one of them: jobs.still.images[0]", None),
        ("{{ jobs.still.images|length }}", "name one of them: jobs.still.images[0]", None),
        ("{{ jobs.still.imag }}", "jobs.still has no 'imag'", "did you mean 'image'?"),
        (
            "{{ jobs.still.images[-1] }}",
            "jobs.still.images[-1] is not an output: they are counted from 0",
            "the first is jobs.still.images[0]",
        ),
        (
            "{{ jobs.still.__class__ }}",
            "jobs.still has no '__class__'",
            "known: audio, audios, image, images, video, videos",
        ),
    ],
)
def test_a_reference_to_nothing_gets_a_hint_what_to_write(
    text: str, what: str, hint: str | None
) -> None:
    with pytest.raises(TemplateProblem) as caught:
        compile_text(text).render(CELL)
    assert (caught.value.what, caught.value.next_step) == (what, hint)
