"""A literal job is the same, whether it is made in one step or the long way."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.input_files import HOST
from batchgen.jobs import RejectedJob
from batchgen.manifest.literal_jobs import LiteralJobs
from batchgen.state.staging import Staging
from tests.manifest.manifest_reading import EDIT, T2I, VIDEO, read, read_file

TEXTS = st.sampled_from(
    (
        "a fox", "", " ", "{{ id }}", "{{ hour }}", "{% raw %}x{% endraw %}", "{# x #}", "{a}",
        "{red|blue} fox", "__animal__", "a (fox:1.2)", "fox --ar 3:2", "<lora:x:1>", "!fox", "ü 漢",
        "a\nb", "tab\t", "\u202e", "\xad", "x" * 201, "x" * 101, "\\u0000", "own.png", "~", "é{",
        "https://a.example/b.png", "https://batchgen-file.invalid/x", "2048x2048", "2048x2048(1:1)",
        "jobs.a.image", "{{ jobs.a.image }}", "{{", "}}",
    )
)  # fmt: skip
VALUES: st.SearchStrategy[object] = TEXTS | st.sampled_from(
    (0, 1, 7, -1, 0.5, 2**63, 1e400, True, None, [], {})
)
INPUTS = st.dictionaries(
    st.sampled_from(
        ("prompt", "scale", "size", "width×height", "force_single", "image_urls", "image", "x")  # noqa: RUF001
    ),
    VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=2),
    max_size=4,
)
PROMPTED = st.builds(lambda given, text: {**given, "prompt": text}, INPUTS, TEXTS)
MODELS = st.sampled_from((T2I, EDIT, VIDEO, "t2i", "edit", "nobody/has/this", "{{ m }}", 7))
TAGS = st.lists(TEXTS | st.integers(0, 9), max_size=3)
GIVEN = PROMPTED | INPUTS | st.fixed_dictionaries({"prompt": TEXTS})
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES | st.from_regex(r"\A[a-z]{3}\Z"),
        "model": MODELS,
        "input": GIVEN,
        "tags": TAGS,
        "priority": st.sampled_from((0, 5, -3, 10**10, "1", True)),
        "gate": st.sampled_from((True, False, "yes")),
        "name": TEXTS,
        "needs": st.sampled_from((["a"], {"a": "b"})),
        "repeat": st.sampled_from((1, 2)),
        "matrix": st.just({"m": ["t2i"]}),
    },
)
USUAL = st.fixed_dictionaries(
    {"input": st.fixed_dictionaries({"prompt": TEXTS}, optional={"scale": VALUES})},
    optional={"id": TEXTS | st.integers(), "tags": TAGS, "model": MODELS, "gate": st.booleans()},
)
HEADERS = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional={
        "vars": st.just({"hour": "dawn"}),
        "defaults": st.fixed_dictionaries(
            {},
            optional={"model": st.just(T2I) | MODELS, "tags": TAGS, "input": GIVEN},
        ),
        "output": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(
                    (
                        "{{ id }}",
                        "{{ model }}/{{ id }}",
                        "{{ input.size }}-{{ id }}",
                        "plain",
                        "{{ input }}-{{ tags }}",
                        "{{ hour }}",
                        "{{ nothing }}",
                        "{{ input.prompt }}",
                    )
                )
            },
        ),
        "prompts": st.just({"seed": 3}),
        "run": st.just({"models": {T2I: {"accept_fields": ["x"]}}}),
    },
)


def both_ways(text: str) -> tuple[object, object]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "boats.yaml"
        path.write_text(text, encoding="utf-8")
        quick = everything(path)
        with patch.object(LiteralJobs, "job", return_value=None):
            return quick, everything(path)


def everything(path: Path) -> object:
    refused: list[RejectedJob] = []
    refuse = Staging.refuse

    def noted(staging: Staging, job: RejectedJob) -> None:
        refused.append(job)
        refuse(staging, job)

    with patch.object(Staging, "refuse", noted):
        found = read_file(path)
    return found.jobs, found.problems, found.hints, found.warnings, refused


def written(header: dict[str, object], items: list[object]) -> str:
    # Canonical JSON is YAML; one key a line, as people write it.
    lines = [f"{key}: {json.dumps(value)}" for key, value in header.items()]
    for item in items:
        assert isinstance(item, dict)
        keys = [f"{key}: {json.dumps(value)}" for key, value in item.items()]
        lines += [f"- {keys[0]}" if keys else "- {}", *(f"  {key}" for key in keys[1:])]
    at = next((n for n, line in enumerate(lines) if line.startswith("- ")), len(lines))
    return "\n".join([*lines[:at], "jobs:", *lines[at:]])


FORGED = f"https://{HOST}/{'0' * 64}/x.png"
LITERAL: dict[str, object] = {
    "version": 1,
    "defaults": {"model": "t2i", "tags": ["all"], "input": {"size": "2048x2048"}},
}


@given(HEADERS, st.lists(USUAL | ITEMS, min_size=1, max_size=4))
@example(LITERAL, [{"id": "a", "input": {"prompt": "a fox", "width×height": "2048x2048(1:1)"}}])  # noqa: RUF001
@example({**LITERAL, "prompts": {"seed": 3}}, [{"id": "a", "input": {"prompt": "{red|blue} fox"}}])
@example(LITERAL, [{"model": EDIT, "input": {"prompt": "x", "image_urls": [FORGED]}}])
@example(LITERAL, [{"model": EDIT, "input": {"prompt": "x", "image_urls": ["own.png"]}}])
@example({**LITERAL, "output": {"name": "{{ nothing }}"}}, [{"input": {"prompt": "a fox"}}])
@example({**LITERAL, "output": {"name": "{{ input.size }}/{{ id }}"}}, [{"input": {"prompt": "x"}}])
@example({**LITERAL, "run": {"models": {T2I: {"accept_fields": ["x"]}}}}, [
    {"input": {"prompt": "a fox", "x": 1}},
])  # fmt: skip
@example({**LITERAL, "output": {"name": "{{ id }}{% if 0 %}{{ nothing }}{% endif %}"}}, [
    {"input": {"prompt": "a fox"}},
])  # fmt: skip
@example({**LITERAL, "prompts": {"seed": 3}}, [{"input": {"prompt": "a fox"}}])
@example(LITERAL, [{"id": "!a", "input": {"prompt": "a fox"}}])
@example(LITERAL, [{"tags": [" ", "b"], "input": {"prompt": "a fox"}}])
@example(LITERAL, [{"gate": "yes", "input": {"prompt": "a fox"}}])
def test_jobs_problems_and_warnings_are_the_same_both_ways(
    header: dict[str, object], items: list[object]
) -> None:
    quick, long = both_ways(written(header, items))
    assert quick == long


HEAD = "version: 1\ndefaults: {model: t2i, tags: [all], input: {scale: 0.5}}\njobs:\n"


def test_a_usual_job_is_made_in_one_step() -> None:
    text = f"{HEAD}- {{id: a, tags: [b, all], input: {{prompt: a fox}}, priority: 3, gate: true}}\n"
    with patch("batchgen.manifest.stream.build_item") as build_item:
        (job,) = read(text).jobs
    build_item.assert_not_called()
    assert (job.id, job.model, job.body) == ("a", T2I, '{"prompt":"a fox","scale":0.5}')
    assert (job.name, job.tags, job.priority, job.gate) == ("a", ("all", "b"), 3, True)
    assert (job.line, job.needs, job.sweep) == (4, (), "")


@pytest.mark.parametrize(
    "item",
    [
        "{id: a, input: {prompt: '{{ index }}'}}",
        "{id: '{{ x }}', input: {prompt: a fox}}",
        "{id: a, needs: [b], input: {prompt: a fox}}",
        "{id: a, input: {prompt: a fox}, repeat: 1}",
        "{id: 7, input: {prompt: a fox}}",
        "{id: a, input: {prompt: 'a {red|blue} fox'}}",
        "{id: '!a', input: {prompt: a fox}}",
        "{id: a, input: {prompt: 5}}",
        "id: a\n  input:\n    prompt: a fox # red",
    ],
)
def test_what_is_not_usual_goes_the_long_way(item: str) -> None:
    with patch("batchgen.manifest.stream.build_item", return_value=None) as build_item:
        read(f"{HEAD}- {item}\n")
    build_item.assert_called_once()
