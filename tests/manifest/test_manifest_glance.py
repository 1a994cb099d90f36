"""A header that leaves the jobs out is the same as one that has seen them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.jobs import Job
from batchgen.manifest.parsing import document
from tests.manifest.manifest_reading import T2I, Reading, read_file

HEAD = (
    "version: 1\n"
    f"defaults: {{model: {T2I}, input: {{prompt: a fox}}}}\n"
    "vars: {a: &v {repeat: 2}}\n"
)
PIECES = (
    "- ", "-\n", "\n", "\n  ", "\n   ", "\n    ", " ", "id: a", "id: b", "from: x.csv", "from",
    "'from': 1", '"fr\\x6fm": x.csv', '"\\x72epeat": 2', "repeat: 2", "repeat : 2",
    "? repeat\n  : 2", "{repeat: 2}", "{id: c, repeat: 2}", "{from}", "{id: d, from\n  }",
    "matrix: {hour: [1, 2]}", "<<: *v", "*v", "&w ", "needs: [a]", "name: x", "input:",
    "prompt: what?", "run: {rate: 1/min}", "\nrun: {rate: 1/min}\n", "\nversion: 1\n", "---",
    "\n---\n", "...", "\n...\n", "# from: x\n", "\r", "\r\n", "\x85", "\u2028", "\t",
    "|\n    from: 1\n", ">", '"', "'", "\0", "\ud7ff", "{", "}", "[", "]", ",", ": ", "%", "@",
    "!!str ", "tags: [x]", "\n- id: e", "\n- id: f\n  repeat: 2", "\n- {id: g, needs: [a]}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a reading gives, but for the nodes of the manifest."""

    sweeps: object
    jobs: list[Job]
    problems: list[str]
    hints: list[str | None]
    warnings: list[str]


def readings(text: str) -> list[Found]:
    """With the shortcut, and without."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "boats.yaml"
        path.write_bytes(text.encode())
        return [found(read_file(path, jobs_follow=follow)) for follow in (True, False)]


def found(one: Reading) -> Found:
    known = None if one.manifest is None else (one.manifest.sweeps, one.manifest.policy)
    return Found(known, one.jobs, one.problems, one.hints, one.warnings)


@given(
    st.sampled_from((HEAD, HEAD[11:], " " + HEAD.replace("\n", "\n ")[:-1], "{version: 1}\n")),
    st.sampled_from(
        ("jobs:\n", "jobs: # all\n", '"jobs":\n', "jobs: &j\n", "jobs: ", "? jobs\n: ")
    ),
    st.sampled_from(("", "- id: a\n  ", "  - id: a\n    ", "- {id: a}\n")),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)
@example(HEAD, "jobs:\n", "- id: a\n", "- *v\n")
@example(HEAD, "jobs:\n", "  - id: a\n", " name: x\n")
@example(HEAD, "jobs:\n", "  - id: a\n", "- id: b\n")
@example(HEAD, "jobs:\n", "- id: a\n", "- {id: d, from\n  }\n")
@example(HEAD, "jobs:\n", "- id: a\n", "- {id: s, 'repeat' : 2}\n- {id: b, needs: [s]}\n")
@example(HEAD, "jobs:\n", "- id: a\n", '- {id: s, "\\x72epeat" : 2}\n- {id: b, needs: [s]}\n')
@example(HEAD, "jobs:\n", "- id: a\n", "- id: s\n  ? repeat\n  : 2\n- {id: b, needs: [s]}\n")
@example(HEAD, "jobs:\n", "- id: a\n", "- id: s\n  <<: *v\n- {id: b, needs: [s]}\n")
@example(HEAD, "jobs:\n", "- id: a\n", "\u2028run: {rate: x}\n")
@example(HEAD, "jobs:\n", "- id: a\n", "\rrun: {rate: x}\n")
@example(HEAD.replace("vars", "\rvars"), "jobs:\n", "- id: a\n", "run: {rate: x}\n")
@example(HEAD, "jobs:\n", "- id: a\n", "---\nversion: 1\n")
def test_a_manifest_is_the_same_with_and_without_the_first_pass_over_its_jobs(
    head: str, jobs: str, first: str, rest: str
) -> None:
    quick, full = readings(head + jobs + first + rest)
    assert quick == full


@pytest.mark.parametrize(
    ("jobs", "is_read"),
    [
        ("- {id: a}\n- id: b\n  input:\n    prompt: |\n      A letter from Paris?\n", False),
        ("  - id: a\n# or\n\n  - id: b\n    input: {prompt: 'a * b'}", False),
        ("- id: a\n  repeat: 2\n", True),
        ("- id: a\nrun: {rate: 1/min}\n", True),
        ("- id: a\r\n- id: b\r\n", False),
    ],
)
def test_usual_jobs_are_read_once(jobs: str, *, is_read: bool) -> None:
    with patch.object(document, "_prescan_jobs", wraps=document._prescan_jobs) as prescan:
        quick, _ = readings(f"{HEAD}jobs:\n{jobs}")
    assert quick.problems == []
    assert prescan.call_count == 1 + is_read


def test_what_is_longer_than_the_search_reads_at_once_is_found(tmp_path: Path) -> None:
    path = tmp_path / "boats.yaml"
    jobs = "".join(
        f"- id: a{number}\n  input: {{prompt: {'x' * 9_000}}}\n" for number in range(150)
    )
    for text in ("run: {rate: 1/min}\n", "- id: b\n  repeat: 2\n"):
        path.write_text(f"{HEAD}jobs:\n{jobs}{text}", encoding="utf-8")
        with patch.object(document, "_prescan_jobs", wraps=document._prescan_jobs) as prescan:
            assert read_file(path, jobs_follow=True).manifest
        assert prescan.call_count == 1
