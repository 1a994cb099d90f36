"""Every kind of mistake in a manifest: said with its place and a way out, nothing spent."""

from __future__ import annotations

from itertools import pairwise

import pytest

from batchgen.cli import main
from tests.shell import EDIT, PICTURE, T2I, VIDEO, Emulator, Shell

HEAD = f"version: 1\ndefaults: {{model: {T2I}}}\noutput: {{dir: out}}\njobs:\n"
ONE = "  - {id: a, input: {prompt: a boat}}\n"


def job(text: str) -> str:
    """A manifest whose one job has this input; it stands in line 6."""
    return f"{HEAD}  - id: a\n    input: {text}\n"


def job_of(model: str, text: str) -> str:
    """The same for another model; the input stands in line 7."""
    return f"{HEAD}  - id: a\n    model: {model}\n    input: {text}\n"


def bomb() -> str:
    names = "abcdefg"
    lines = [f"x-{names[0]}: &{names[0]} [{', '.join('1' * 10)}]"]
    for before, name in pairwise(names):
        lines.append(f"x-{name}: &{name} [{', '.join(['*' + before] * 10)}]")
    return HEAD + ONE + "\n".join(lines) + "\n"


ELEVEN = ", ".join([PICTURE] * 11)
MISTAKES = {
    "a misspelt key": (job("{promt: a boat}"), "6:13", "did you mean 'prompt'?"),
    "an unknown model": (
        job_of(f"{T2I}e", "{prompt: a boat}"),
        "6:12",
        f"did you mean '{T2I}'?",
    ),
    "a prompt of 801 characters": (
        job(f"{{prompt: {'x' * 801}}}"),
        "6:21",
        "801 characters long; at most 800",
    ),
    "a scale of 2": (job("{prompt: a boat, scale: 2}"), "6:36", "between 0 and 1; got 2"),
    "a scale of true": (job("{prompt: a boat, scale: true}"), "6:36", "must be a number"),
    "100 frames": (
        job_of(VIDEO, f'{{prompt: p, image_urls: ["{PICTURE}"], frames: 100}}'),
        "7:",
        "one of 121, 241; got 100",
    ),
    "eleven images": (
        job_of(EDIT, f"{{prompt: p, image_urls: [{ELEVEN}]}}"),
        "7:36",
        "11 images given; at most 10",
    ),
    "no images": (job_of(EDIT, "{prompt: p}"), "7:5", "image_urls is required"),
    "an unknown size": (job("{prompt: p, size: 17x17}"), "6:30", "2048x2048, 2304x1728"),
    "an id twice": (HEAD + ONE + ONE, "6:", "lines 5 and 6"),
    "YAML that ends too early": (job("{prompt: a boat"), "7:1", "check the brackets"),
    "an alias bomb": (bomb(), "10:", "make it smaller"),
    "a custom tag": (job("{prompt: !!python/object:os.system x}"), "6:21", "remove the tag"),
    "a list as prompt": (job("{prompt: [x]}"), "6:21", "prompt must be text; got a list"),
    "not a number": (job("{prompt: x, scale: .nan}"), "6:31", "finite number; got nan"),
    "an unknown key at the top": (HEAD + ONE + "jbos: 1\n", "6:1", "did you mean 'jobs'?"),
    "a rate without a unit": (HEAD + ONE + "run: {rate: fast}\n", "6:13", "60/min"),
    "a timeout in words": (HEAD + ONE + "run: {timeout: soon}\n", "6:16", "15m"),
    "no jobs": ("version: 1\njobs: []\n", "2:7", "add a job"),
    "no version": (f"defaults: {{model: {T2I}}}\njobs:\n{ONE}", "1:1", "version is required"),
    "a version to come": (f"version: 2\njobs:\n{ONE}", "1:10", "version must be 1; got 2"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_shown_with_its_place_and_nothing_is_sent_or_made(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """Rows 1 to 10. The base leads nowhere: what was sent would end in another exit code."""
    text, place, cure = MISTAKES[name]
    manifest = shell.write(text)
    # In this process: a start of Python for each mistake would take most of the suite's time.
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("RUNCOMFY_TOKEN", "t")
    monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", "http://127.0.0.1:9/v1")
    for verb in ("validate", "run"):
        assert main([verb, manifest]) == 65
        shown = capsys.readouterr()
        assert f"m.yaml:{place}" in shown.err
        assert cure in shown.err
        assert "nothing was sent" in shown.err
        assert not shown.out
    assert [path.name for path in shell.folder.iterdir()] == ["m.yaml"]


def test_all_mistakes_are_shown_at_once_and_the_ledger_stays_empty(
    shell: Shell, user: Shell, emulator: Emulator
) -> None:
    for number, (text, _, _) in enumerate(MISTAKES.values()):
        shell.write(text, f"{number}.yaml")
    names = [f"{number}.yaml" for number in range(len(MISTAKES))]
    said = user.expect(65, "validate", *names).err
    for name, (_, place, cure) in zip(names, MISTAKES.values(), strict=True):
        assert f"{name}:{place}" in said
        assert cure in said
    user.expect(65, "run", names[0])
    assert emulator.charges() == []
    assert not (shell.folder / "out").exists()


def test_one_good_job_does_not_carry_a_bad_one(
    shell: Shell, user: Shell, emulator: Emulator
) -> None:
    """Nothing is spent before everything is checked."""
    manifest = shell.write(HEAD + ONE + "  - {id: b, input: {prompt: p, scale: 7}}\n")
    user.expect(65, "run", manifest)
    assert emulator.charges() == []


def test_validate_as_json_has_every_problem_with_its_place(shell: Shell) -> None:
    bad = shell.write(job("{promt: a boat}"), "bad.yaml")
    good = shell.write(HEAD + ONE, "good.yaml")
    document = shell.expect(65, "validate", "--json", bad, good).document
    assert document["valid"] is False
    first, second = document["manifests"]
    assert (first["file"], first["valid"], first["total"]) == ("bad.yaml", False, 2)
    assert {
        "file": "bad.yaml",
        "line": 6,
        "column": 13,
        "job": "a",
        "message": "unknown key 'promt'",
        "hint": "did you mean 'prompt'?",
        "count": 1,
        "places": [],
    } in first["problems"]
    assert second == {
        "file": "good.yaml",
        "valid": True,
        "jobs": 1,
        "problems": [],
        "total": 0,
        "warnings": [],
    }


@pytest.mark.parametrize("verb", ["validate", "run", "status"])
def test_a_file_that_is_not_there_is_66(shell: Shell, verb: str) -> None:
    done = shell.expect(66, verb, "nowhere.yaml")
    assert "nowhere.yaml: there is no such file" in done.err
    assert "batchgen init" in done.err
