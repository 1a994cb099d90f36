"""The header: policy, output, defaults, and their problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.manifest.policy import ModelPolicy, OnUnknown, Output, Policy
from batchgen.manifest.units import Rate
from tests.manifest.manifest_reading import EDIT, T2I, VIDEO, problems, read

JOBS = f"jobs:\n  - {{id: a, model: {T2I}, input: {{prompt: x}}}}\n"

UNDER_INPUT = "it belongs under input, in defaults or in a job"


def test_a_short_manifest_has_the_defaults() -> None:
    manifest = read(f"version: 1\n{JOBS}").manifest
    assert manifest is not None
    assert manifest.name == "boats"
    assert manifest.policy == Policy("auto", None, 0, 3600.0, None, OnUnknown.HOLD, {})
    assert manifest.output == Output(Path("output/boats"), "", "{{ id }}", ())


def test_a_full_header_is_read() -> None:
    manifest = read(
        f"""\
version: 1
name: summer
run:
  concurrency: 3
  rate: 60/min
  retries: 2
  timeout: 1h30m
  budget: 25
  on_unknown: resubmit
  models:
    {VIDEO}: {{concurrency: 2, rate: 10/h, price: 0.5}}
    {EDIT}: {{}}
output:
  dir: renders/summer
  name: "{{{{ model }}}}/{{{{ id }}}}"
  allow_hosts: [cdn.example.com, "*.example.org"]
{JOBS}"""
    ).manifest
    assert manifest is not None
    assert manifest.policy == Policy(
        concurrency=3,
        rate=Rate(60, 60.0),
        retries=2,
        timeout=5400.0,
        budget=25,
        on_unknown=OnUnknown.RESUBMIT,
        models={VIDEO: ModelPolicy(2, Rate(10, 3600.0), 0.5), EDIT: ModelPolicy()},
    )
    assert manifest.output == Output(
        Path("renders/summer"), "", "{{ model }}/{{ id }}", ("cdn.example.com", "*.example.org")
    )


@pytest.mark.parametrize(
    ("output", "folder", "bucket"),
    [
        ("{dir: 's3://b/night/'}", "output/boats", "s3://b/night"),
        ("{dir: 'gs://b', state: here/night}", "here/night", "gs://b"),
        ("{dir: 'file:///data/night%207'}", "/data/night 7", ""),
    ],
)
def test_results_may_go_into_a_bucket_and_the_state_stays_here(
    output: str, folder: str, bucket: str
) -> None:
    reading = read(f"version: 1\noutput: {output}\n{JOBS}")
    assert reading.problems == []
    assert reading.manifest is not None
    assert (reading.manifest.output.dir, reading.manifest.output.bucket) == (Path(folder), bucket)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{dir: out, state: here}", "output.state is for results in a bucket"),
        ("{state: here}", "output.state is for results in a bucket"),
        ("{dir: 's3://b', state: 's3://b/state'}", "the state must be in a folder of this machine"),
        ("{dir: 's3://key:secret@b'}", "this is not the address of a bucket"),
        ("{dir: 'https://b.example.com'}", "results cannot be written to https:// addresses"),
    ],
)
def test_a_place_that_cannot_be_is_refused(output: str, message: str) -> None:
    (problem,) = read(f"version: 1\noutput: {output}\n{JOBS}").problems
    assert message in str(problem)
    assert "secret" not in str(problem)


def test_a_header_after_the_jobs_counts_as_well() -> None:
    text = "jobs:\n  - {input: {prompt: x}}\nname: late\nrun: {retries: 1}\nversion: 1\n"
    reading = read(f"{text}defaults: {{model: {T2I}}}\n")
    assert reading.problems == []
    assert reading.manifest is not None
    assert (reading.manifest.name, reading.manifest.policy.retries) == ("late", 1)
    assert [job.model for job in reading.jobs] == [T2I]


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    manifest = read(f"version: 1\noutput: {{dir: ~/renders}}\n{JOBS}").manifest
    assert manifest is not None
    assert manifest.output.dir == Path("/home/ann/renders")


def test_keys_that_begin_with_x_are_the_writers_own() -> None:
    text = f"version: 1\nx-prompts: &p {{prompt: x}}\njobs: [{{model: {T2I}, input: *p}}]\n"
    assert read(text).problems == []


@pytest.mark.parametrize(
    ("line", "problem", "hint"),
    [
        ("verson: 1", "2:1 unknown key 'verson'", "did you mean 'version'?"),
        ("name: ''", "2:7 name is empty", None),
        (
            "name: a/b",
            "2:7 name must be usable as the name of a folder, without / and \\; got 'a/b'",
            None,
        ),
        (
            "name: ..",
            "2:7 name must be usable as the name of a folder, without / and \\; got '..'",
            None,
        ),
        ("name: 7", "2:7 name must be text; got 7", "put it in quotes"),
        ("run: 3", "2:6 run must be a mapping; got 3", "write 'key: value' on the lines below it"),
        ("run: {rate: 60}", "2:13 run.rate must look like 60/min, 2/s or 1000/h; got 60", None),
        (
            "run: {rate: fast}",
            "2:13 run.rate must look like 60/min, 2/s or 1000/h; got 'fast'",
            None,
        ),
        ("run: {rate: 0/s}", "2:13 run.rate must look like 60/min, 2/s or 1000/h; got '0/s'", None),
        (
            "run: {timeout: soon}",
            "2:16 run.timeout must look like 90s, 15m or 1h30m; got 'soon'",
            None,
        ),
        ("run: {timeout: 0}", "2:16 run.timeout must be more than 0; got 0", None),
        (
            "run: {timeout: 0s}",
            "2:16 a duration looks like 90s, 15m or 1h30m, up to 31d; got '0s'",
            "write a number and its unit: s, m, h or d",
        ),
        (
            "run: {timeout: 99d}",
            "2:16 a duration looks like 90s, 15m or 1h30m, up to 31d; got '99d'",
            "write a number and its unit: s, m, h or d",
        ),
        ("run: {timeout: .inf}", "2:16 run.timeout must be a finite number; got inf", None),
        ("run: {concurrency: 0}", "2:20 run.concurrency must be between 1 and 1000; got 0", None),
        (
            "run: {concurrency: 2.5}",
            "2:20 run.concurrency must be a whole number or text; got 2.5",
            "put it in quotes",
        ),
        ("run: {retries: -1}", "2:16 run.retries must be between 0 and 100; got -1", None),
        ("run: {retries: true}", "2:16 run.retries must be a whole number; got true", None),
        ("run: {budget: 0}", "2:15 run.budget must be more than 0; got 0", None),
        ("run: {budget: 5 USD}", "2:15 run.budget must be a number; got '5 USD'", None),
        ("run: {budgt: 5}", "2:7 unknown key 'budgt' in run", "did you mean 'budget'?"),
        (
            "run: {on_unknown: resubmt}",
            "2:19 run.on_unknown must be one of hold, resubmit; got 'resubmt'",
            "did you mean 'resubmit'?",
        ),
        ("run: {models: {Edit: {}}}", "2:16 unknown model 'Edit'", f"did you mean '{EDIT}'?"),
        (
            f"run: {{models: {{{EDIT}: {{price: -1}}}}}}",
            f"2:53 run.models.{EDIT}.price must be at least 0; got -1",
            None,
        ),
        ("output: {dir: ''}", "2:15 output.dir is empty", None),
        (
            "output: {allow_hosts: ['http://a.b']}",
            (
                "2:24 item 1 of output.allow_hosts must be a host such as cdn.example.com or "
                "*.example.com; got 'http://a.b'"
            ),
            None,
        ),
        (
            "output: {name: '{{ idd }}'}",
            "2:16 the template of a name has no variable 'idd'",
            "did you mean 'id'?",
        ),
        (
            "output: {name: '{{ id'}",
            "2:16 the '{{' is never closed",
            "to write braces literally: {% raw %}{{{% endraw %}",
        ),
        (
            "defaults: {model: text-to-image}",
            "2:19 unknown model 'text-to-image'",
            f"did you mean '{T2I}'?",
        ),
        ("concurrency: 2", "2:1 unknown key 'concurrency'", "it belongs under run"),
        ("retries: 1", "2:1 unknown key 'retries'", "it belongs under run"),
        ("dir: out", "2:1 unknown key 'dir'", "it belongs under output"),
        ("model: t2i", "2:1 unknown key 'model'", "it belongs under defaults, or in a job"),
        (
            "prompt: x",
            "2:1 unknown key 'prompt'",
            UNDER_INPUT,
        ),
        ("matrix: {a: [1]}", "2:1 unknown key 'matrix'", "it belongs in a job, under jobs"),
        (
            "defaults: {scale: 0.5}",
            "2:12 unknown key 'scale' in defaults",
            UNDER_INPUT,
        ),
        (
            "defaults: {concurrency: 2}",
            "2:12 unknown key 'concurrency' in defaults",
            "it belongs under run",
        ),
        ("run: {dir: out}", "2:7 unknown key 'dir' in run", "it belongs under output"),
        ("output: {budget: 2}", "2:10 unknown key 'budget' in output", "it belongs under run"),
        (
            "run: {env: [A]}",
            "2:7 unknown key 'env' in run",
            "it belongs at the top of the manifest",
        ),
        (
            "defaults: {input: {promt: x}}",
            "2:20 no model has the key 'promt'",
            "did you mean 'prompt'?",
        ),
        (
            "defaults: {tags: hero}",
            "2:18 defaults.tags must be a list; got 'hero'",
            "write a list of one item as [ … ]",
        ),
        (
            "defaults: {id: a}",
            "2:12 unknown key 'id' in defaults",
            "it belongs in a job, under jobs",
        ),
        (
            "<<: {name: x}",
            "2:1 '<<' is not allowed at the top level",
            "merge under defaults or in a job",
        ),
    ],
)
def test_problems_of_the_header_are_reported_at_their_place(
    line: str, problem: str, hint: str | None
) -> None:
    """Row 8."""
    reading = read(f"version: 1\n{line}\n{JOBS}")
    assert (reading.problems, reading.hints) == ([problem], [hint])
    assert len(reading.jobs) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0:0 the manifest is empty"),
        ("# only a comment\n", "0:0 the manifest is empty"),
        ("---\n", "2:1 a manifest is a mapping of keys"),
        ("- a\n", "1:1 a manifest is a mapping of keys"),
        ("hello\n", "1:1 a manifest is a mapping of keys"),
        ("version: 1\n", "1:1 jobs is required"),
        ("version: 1\njobs: []\n", "2:7 jobs is empty: there is nothing to do"),
        ("version: 1\njobs:\n", "2:6 jobs must be a list"),
        ("version: 1\njobs: {a: 1}\n", "2:7 jobs must be a list"),
        ("version: 1\nx-j: &j [1]\njobs: *j\n", "3:7 jobs must be a list"),
        ("version: 1\njobs: &j [1]\n", "2:7 jobs cannot have an anchor"),
        (JOBS, "1:1 version is required"),
        (f"version: 2\n{JOBS}", "1:10 version must be 1; got 2"),
        (f"version: '1'\n{JOBS}", "1:10 version must be a whole number; got '1'"),
        (f"version: 1\nversion: 1\n{JOBS}", "2:1 duplicate key 'version': lines 1 and 2"),
        (f"version: 1\n{JOBS}{JOBS}", "4:1 duplicate key 'jobs': lines 2 and 4"),
        (f"version: 1\n{JOBS}---\nversion: 1\n", "4:1 a second document begins here"),
    ],
)
def test_a_file_that_is_not_a_manifest_is_reported(text: str, problem: str) -> None:
    """Row 3."""
    assert problems(text) == [problem]
