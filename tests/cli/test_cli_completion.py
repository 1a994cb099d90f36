"""What a shell completes, asked as click asks, and once by bash itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from batchgen.cli import COMPLETION, cli
from batchgen.jobs import Job, canonical_json
from tests.runs.run_world import Place, bring_home, open_place
from tests.shell import EDIT, T2I, Shell

SCRIPT = Path(sys.executable).parent / "batchgen"


def offered(*words: str) -> list[str]:
    """What is offered for the last word."""
    *before, word = words
    shell = ShellComplete(cli, {}, "batchgen", COMPLETION)
    return [item.value for item in shell.get_completions(before, word)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    """`boat-1` and the gated `boat-2` are done, `barge` and `clip` failed, `drawn` is yet to go."""
    Shell(folder).manifest([])
    bodies = canonical_json({"prompt": "p"})
    jobs = [
        Job("boat-1", T2I, bodies, "boat-1", tags=("hero", "harbour")),
        Job("boat-2", T2I, bodies, "boat-2", gate=True, tags=("hero",)),
        *(Job(name, T2I, bodies, name) for name in ("barge", "clip", "drawn")),
    ]
    place = open_place(folder / "out", jobs)
    bring_home(place, "boat-1", "boat-2")
    place.db.execute(
        "UPDATE job SET state = 'failed', error_code = 'policy', error = 'no ' || id || ' here'"
        " WHERE id IN ('barge', 'clip')"
    )
    with closing(place.db):
        yield place


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("run", "m.yaml", "--job", "b"), ["barge", "boat-1", "boat-2"]),
        (("run", "m.yaml", "--job=boat"), ["boat-1", "boat-2"]),
        (("status", "m.yaml", "--job", "!b"), ["!barge", "!boat-1", "!boat-2"]),
        (("show", "m.yaml", "cl"), ["clip"]),
        (("show", "m.yaml", "clip", "dr"), ["drawn"]),
        (("pick", "m.yaml", ""), ["boat-1", "boat-2"]),
        (("approve", "m.yaml", ""), ["boat-2"]),
        (("resolve", "m.yaml", ""), []),
        (("run", "m.yaml", "--tag", "h"), ["harbour", "hero"]),
        (("run", "m.yaml", "--state", "re"), ["rejected"]),
        (("run", "m.yaml", "--state", "!fa"), ["!failed"]),
        (("plan", "m.yaml", "--model", "e"), ["edit"]),
        (("models", "t"), ["t2i"]),
        (("init", "x.yaml", "--model", "bytedance/dreamina-4-0/e"), [EDIT]),
        (("check", "m.yaml", "--skip", "bl"), ["blank"]),
        (("check", "m.yaml", "--only", "blank,near_d"), ["blank,near_duplicate"]),
    ],
)
def test_values_of_a_run_are_completed(
    place: Place, words: tuple[str, ...], values: list[str]
) -> None:
    assert offered(*words) == values


def test_a_cause_is_completed_with_the_vendors_sentence(place: Place) -> None:
    shell = ShellComplete(cli, {}, "batchgen", COMPLETION)
    (cause,) = shell.get_completions(["retry", "m.yaml", "--cause"], "")
    assert cause.help == "2 failed: no barge here"
    assert offered("retry", "m.yaml", "--cause", cause.value[:3]) == [cause.value]
    assert offered("retry", "m.yaml", "--cause", "zz") == []


def test_before_the_first_run_ids_and_tags_are_those_of_the_manifest(folder: Path) -> None:
    Shell(folder).manifest(
        [
            {"id": "boat", "input": {"prompt": "p"}, "tags": ["hero"]},
            {"id": "row-{{ index }}", "repeat": 3, "input": {"prompt": "p"}},
            {"input": {"prompt": "p"}},
        ]
    )
    assert offered("run", "m.yaml", "--job", "") == ["boat"]
    assert offered("plan", "m.yaml", "--tag", "") == ["hero"]
    assert offered("pick", "m.yaml", "") == []
    assert not (folder / "out").exists()


def test_manifests_are_yaml_files_and_folders_on_the_way_to_them(folder: Path) -> None:
    (folder / "night").mkdir()
    for name in ("boats.yaml", "birds.yml", "notes.txt", "night/long.yaml", ".hidden.yaml"):
        (folder / name).touch()
    assert offered("run", "") == ["birds.yml", "boats.yaml", "night/"]
    assert offered("validate", "boats.yaml", "bi") == ["birds.yml"]
    assert offered("run", "night/") == ["night/long.yaml"]
    shell = ShellComplete(cli, {}, "batchgen", COMPLETION)
    (item,) = shell.get_completions(["run"], "nig")
    assert (item.value, item.type) == ("nig", "dir")


@pytest.mark.parametrize("text", [None, "jobs: [", "- a list", "", "name: [1]\njobs: 7"])
def test_what_cannot_be_read_completes_nothing_and_says_nothing(
    folder: Path, text: str | None
) -> None:
    if text is not None:
        (folder / "m.yaml").write_text(text)
    assert offered("run", "m.yaml", "--job", "") == []


def test_a_huge_run_is_asked_for_few_rows(place: Place) -> None:
    place.db.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " INSERT INTO job (id, model, body, name, name_key, tags)"
        " SELECT 'x-' || i, 'm', '{}', 'x-' || i, 'x-' || i, '[]' FROM n"
    )
    assert len(offered("run", "m.yaml", "--job", "x-")) == 200
    plan = place.db.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM job WHERE id >= 'x' AND id < 'y' AND listed = 1"
        " ORDER BY id LIMIT 9"
    ).fetchall()
    assert "SEARCH job USING INDEX" in plan[0][3]
    assert len(plan) == 1


def test_neither_the_checker_nor_the_engine_is_imported_for_it(place: Place) -> None:
    heavy = {"jsonschema", "aiohttp", "jinja2", "av", "PIL", "tqdm", "batchgen.engine.scheduler"}
    asked = (
        "import sys; from click.shell_completion import ShellComplete\n"
        "from batchgen.cli import cli; shell = ShellComplete(cli, {}, 'b', 'C')\n"
        "print(len(shell.get_completions(['run', 'm.yaml', '--job'], '')))\n"
        f"print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "5\nset()\n"


def test_bash_itself_completes_a_job(place: Place, folder: Path) -> None:
    script = f"""
        eval "$({COMPLETION}=bash_source batchgen)"
        COMP_WORDS=(batchgen run m.yaml --job bo)
        COMP_CWORD=4
        _batchgen_completion batchgen
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("boat-1\nboat-2\n", "")
