"""Jobs: merged with the defaults, checked and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batchgen.jobs import Job, content_id
from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.manifest.templates.texts import is_literal
from tests.manifest.manifest_reading import EDIT, T2I, VIDEO, problems, read, with_jobs

IMAGE = "https://files.example.org/a.jpg"
CLIP = f"{{model: {VIDEO}, id: clip, input: {{prompt: x, image_urls: ['{IMAGE}']}}}}"


def jobs(text: str) -> list[Job]:
    reading = read(text)
    assert reading.problems == []
    return reading.jobs


def body(job: Job) -> Any:
    return json.loads(job.body)


def test_a_job_has_what_will_be_sent() -> None:
    (job,) = jobs(with_jobs("{id: boat, input: {prompt: a boat, scale: 1e-1}, tags: [hero, 7]}"))
    body = '{"prompt":"a boat","scale":0.1}'
    assert job == Job("boat", T2I, body, "boat", ("hero", "7"), 4, "boats.yaml")


def test_a_job_without_an_id_is_named_by_its_content() -> None:
    (job,) = jobs(with_jobs("input: {prompt: x}"))
    assert job.id == content_id(T2I, '{"prompt":"x"}')
    assert job.id.startswith("t2i-")


def test_a_job_inserted_above_changes_no_id() -> None:
    (before,) = jobs(with_jobs("input: {prompt: x}"))
    after = jobs(with_jobs("input: {prompt: y}", "input: {prompt: x}"))
    assert after[1].id == before.id


@pytest.mark.parametrize(
    ("written", "id_"), [("7", "7"), ("007", "007"), ("'007'", "007"), ("0x1F", "0x1F"), ("ä", "ä")]
)
def test_an_id_is_what_is_written(written: str, id_: str) -> None:
    assert [job.id for job in jobs(with_jobs(f"{{id: {written}, input: {{prompt: x}}}}"))] == [id_]


def test_defaults_lie_under_the_input_where_the_model_knows_the_key() -> None:
    head = f"version: 1\ndefaults:\n  model: {T2I}\n  input: {{size: 2048x2048, scale: 0.5}}\n"
    boat, clip = jobs(with_jobs("{id: a, input: {prompt: x, scale: 1}}", CLIP, head=head))
    assert body(boat) == {"prompt": "x", "scale": 1, "width×height": "2048x2048(1:1)"}  # noqa: RUF001 - the vendor's key
    assert body(clip) == {"prompt": "x", "image_urls": [IMAGE]}


@pytest.mark.parametrize(
    ("default", "own"),
    [("size", "width×height"), ("width×height", "size")],  # noqa: RUF001 - the vendor's key
)
def test_the_size_of_a_job_wins_however_it_is_spelt(default: str, own: str) -> None:
    head = f"version: 1\ndefaults: {{model: {T2I}, input: {{{default}: 1024x1024}}}}\n"
    (job,) = jobs(with_jobs(f"{{input: {{prompt: x, {own}: 2048x2048}}}}", head=head))
    assert body(job)["width×height"] == "2048x2048(1:1)"  # noqa: RUF001 - the vendor's key


def test_tags_of_the_defaults_come_first_and_none_twice() -> None:
    head = f"version: 1\ndefaults: {{model: {T2I}, tags: [a, b]}}\n"
    (job,) = jobs(with_jobs("{input: {prompt: x}, tags: [b, c]}", head=head))
    assert job.tags == ("a", "b", "c")


def test_a_wrong_default_is_reported_once_at_its_place() -> None:
    head = f"version: 1\ndefaults: {{model: {T2I}, input: {{scale: 9}}}}\n"
    lines = [f"{{id: j{n}, input: {{prompt: x}}}}" for n in range(50)]
    reading = read(with_jobs(*lines, "{id: own, input: {prompt: x, scale: 0}}", head=head))
    assert reading.problems == [
        f"2:{head.splitlines()[1].index('9') + 1} scale must be between 0 and 1; got 9"
    ]
    assert [job.id for job in reading.jobs] == ["own"]


def test_a_wrong_default_model_is_reported_once() -> None:
    head = "version: 1\ndefaults: {model: nope}\n"
    reading = read(with_jobs("{input: {prompt: x}}", "{input: {prompt: y}}", CLIP, head=head))
    assert reading.problems == ["2:19 unknown model 'nope'"]
    assert [job.id for job in reading.jobs] == ["clip"]


@pytest.mark.parametrize(
    ("job", "problem", "hint"),
    [
        (
            "x",
            "4:5 a job must be a mapping of keys; got 'x'",
            "write each key on its own line: 'id: …', 'input: …'",
        ),
        (
            "~",
            "4:5 a job must be a mapping of keys; got null",
            "write each key on its own line: 'id: …', 'input: …'",
        ),
        ("{modle: x, input: {prompt: x}}", "4:6 unknown key 'modle'", "did you mean 'model'?"),
        (
            "{model: nope/x}",
            "4:13 unknown model 'nope/x'",
            (
                f"known: {VIDEO}, {EDIT}, {T2I}; another model of the vendor's:"
                " batchgen models add nope/x"
            ),
        ),
        ("{model: 3, input: {prompt: x}}", "4:13 model must be text; got 3", "put it in quotes"),
        ("{id: '', input: {prompt: x}}", "4:10 id is empty", None),
        (
            "{id: [], input: {prompt: x}}",
            "4:10 id must be text or a whole number; got a list",
            None,
        ),
        (
            "{id: 1.5, input: {prompt: x}}",
            "4:10 id must be text or a whole number; got 1.5",
            "put it in quotes",
        ),
        (
            f"{{id: {'x' * 201}, input: {{prompt: x}}}}",
            "4:10 id is 201 characters long; at most 200 are allowed",
            None,
        ),
        (
            '{id: "a\\nb", input: {prompt: x}}',
            (
                "4:10 id must not contain line breaks or control "
                "characters; got 'a\N{REPLACEMENT CHARACTER}b'"
            ),
            None,
        ),
        (
            '{id: "a\\n", input: {prompt: x}}',
            (
                "4:10 id must not contain line breaks or control "
                "characters; got 'a\N{REPLACEMENT CHARACTER}'"
            ),
            None,
        ),
        (
            "{id: a, input: text}",
            "4:20 input must be a mapping; got 'text'",
            "write 'key: value' on the lines below it",
        ),
        ("{id: a}", "4:5 prompt is required", None),
        (
            "{id: a, input: {promt: x, prompt: x}}",
            "4:21 unknown key 'promt'",
            "did you mean 'prompt'?",
        ),
        (
            "{id: a, input: {prompt: x, scale: 2}}",
            "4:39 scale must be between 0 and 1; got 2",
            None,
        ),
        ("{id: a, tags: [''], input: {prompt: x}}", "4:20 item 1 of tags is empty", None),
        (
            "{id: a, name: '{{ input.seed }}', input: {prompt: x}}",
            "4:19 the name '{{ input.seed }}' cannot be made: input has no 'seed'",
            "known: prompt",
        ),
        (
            "{id: a, name: '{{ idd }}', input: {prompt: x}}",
            "4:19 the template of a name has no variable 'idd'",
            "did you mean 'id'?",
        ),
    ],
)
def test_problems_of_a_job_are_reported_at_their_place(
    job: str, problem: str, hint: str | None
) -> None:
    """Rows 8 and 9."""
    reading = read(with_jobs(job))
    assert (reading.problems, reading.hints) == ([problem], [hint])
    assert reading.jobs == []


def test_a_job_without_any_model_gets_a_hint_where_to_name_one() -> None:
    reading = read(with_jobs("{input: {prompt: x}}", head="version: 1\n"))
    assert reading.problems == ["3:5 model is required"]
    assert reading.hints == ["name it in the job, or for all jobs under defaults"]


def test_a_problem_names_its_job(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(with_jobs("{id: boat, input: {prompt: x, scale: 2}}"))
    log = ProblemLog()
    manifest = read_manifest(path, log)
    assert manifest is not None
    assert list(checked_jobs(manifest, log)) == []
    assert str(log.problems[0]) == (f"{path}:4:42: job boat: scale must be between 0 and 1; got 2")


def test_a_duplicate_id_is_reported_with_both_lines() -> None:
    """Row 1."""
    line = "{id: boat, input: {prompt: x}}"
    reading = read(with_jobs(line, "{id: b, input: {prompt: x}}", line))
    assert reading.problems == ["6:1 duplicate id 'boat': lines 4 and 6"]


def test_equal_jobs_without_ids_get_a_hint_to_add_ids() -> None:
    """Row 1."""
    reading = read(with_jobs("input: {prompt: x}", "input: {prompt: x}"))
    assert reading.problems == ["5:1 two jobs without an id are equal: lines 4 and 5"]
    assert reading.hints == ["give each an id to get both, or remove one"]


def test_an_id_that_yaml_reads_as_another_number_is_another_id() -> None:
    assert len(jobs(with_jobs("{id: 7, input: {prompt: x}}", "{id: 007, input: {prompt: x}}"))) == 2


def test_files_of_this_machine_pass_in_a_rehearsal() -> None:
    job = f"{{model: {EDIT}, input: {{prompt: x, image_urls: ['http://127.0.0.1:9/a.png']}}}}"
    assert len(read(with_jobs(job), rehearsal=True).jobs) == 1
    assert "must begin with https://" in problems(with_jobs(job))[0]


def test_anchors_reach_from_the_header_into_jobs_and_from_job_to_job() -> None:
    head = f"version: 1\nx-in: &in {{prompt: x, scale: 0}}\ndefaults: {{model: {T2I}}}\n"
    lines = ["{id: a, input: *in}", "{id: b, input: &b {<<: *in, scale: 1}}", "{id: c, input: *b}"]
    assert [body(job)["scale"] for job in jobs(with_jobs(*lines, head=head))] == [0, 1, 1]


def test_an_anchor_in_a_job_reaches_a_later_header_key() -> None:
    text = f"version: 1\njobs: [{{input: {{prompt: &p x, scale: 0}}, model: {T2I}}}]\nname: *p\n"
    reading = read(text)
    assert reading.problems == []
    assert reading.manifest is not None
    assert reading.manifest.name == "x"


prompts = st.text(
    # Half a character cannot be written, and is refused: row 5.
    st.characters(codec="utf-8", exclude_characters="\0"),
    min_size=1,
    max_size=50,
).filter(is_literal)


@given(st.lists(prompts, min_size=1, max_size=5, unique=True))
def test_any_prompt_arrives_as_it_was_written(texts: list[str]) -> None:
    items = [{"model": T2I, "input": {"prompt": text}} for text in texts]
    found = jobs(
        yaml.safe_dump({"version": 1, "jobs": items}, allow_unicode=True, default_style='"')
    )
    assert [body(job)["prompt"] for job in found] == texts


SPELLINGS = """\
version: 1
defaults: {model: T2I}
run: {models: {I2V: {concurrency: 2, price: 0.5}}}
vars: {kind: EDIT}
jobs:
  - {id: a, input: {prompt: x}}
  - {input: {prompt: x}}
  - {id: b, model: EDIT, input: {prompt: x, image_urls: [https://example.com/a.png]}}
  - {id: c, model: "{{ kind }}", input: {prompt: x, image_urls: [https://example.com/a.png]}}
"""


def test_short_names_of_models_are_the_models_everywhere() -> None:
    """The jobs are equal to the last byte: spelling them differently changes no paid job."""
    ids = {"T2I": T2I, "EDIT": EDIT, "I2V": VIDEO}
    long = short = SPELLINGS
    for word, model in ids.items():
        long, short = long.replace(word, model), short.replace(word, word.lower())
    by_id, by_alias = read(long), read(short)
    assert by_alias.problems == by_id.problems == []
    assert by_alias.jobs == by_id.jobs
    assert [job.model for job in by_alias.jobs] == [T2I, T2I, EDIT, EDIT]
    assert by_alias.jobs[1].id.startswith("t2i-")
    assert by_alias.manifest is not None
    assert by_id.manifest is not None
    assert by_alias.manifest.policy == by_id.manifest.policy
    assert set(by_alias.manifest.policy.models) == {VIDEO}


def test_short_names_can_be_the_values_of_a_sweep() -> None:
    item = "{id: d, matrix: {m: [t2i, i2v]}, model: '{{ m }}', input: {prompt: x}}"
    defaults = "version: 1\ndefaults: {input: {image_urls: [https://example.com/a.png]}}\n"
    found = read(with_jobs(item, head=defaults))
    assert found.problems == []
    assert [(job.id, job.model) for job in found.jobs] == [("d-t2i", T2I), ("d-i2v", VIDEO)]


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ("{id: a, prompt: x}", "it belongs under input, in defaults or in a job"),
        (
            "{id: a, prompt: x, input: {scale: 0.5}}",
            "it belongs under input, in defaults or in a job",
        ),
        ("{id: a, concurrency: 2, input: {prompt: x}}", "it belongs under run"),
        ("{id: a, dir: out, input: {prompt: x}}", "it belongs under output"),
        ("{id: a, vars: {}, input: {prompt: x}}", "it belongs at the top of the manifest"),
        ("{id: a, input: {prompt: x, tags: [y]}}", "it belongs under defaults, or in a job"),
        ("{id: a, input: {prompt: x, repeat: 2}}", "it belongs in a job, under jobs"),
        ("{id: a, inputt: {prompt: x}}", "did you mean 'input'?"),
    ],
)
def test_a_key_in_the_wrong_place_gets_a_hint_where_it_belongs(item: str, hint: str) -> None:
    (message,) = read(with_jobs(item)).hints
    assert message is not None
    assert message.startswith(hint)
