"""How commands show mistakes in a manifest; tests/manifest/wrong has every kind of them."""

from __future__ import annotations

import pytest

from tests.shell import T2I, Emulator, Shell

HEAD = f"version: 1\ndefaults: {{model: {T2I}}}\noutput: {{dir: out}}\njobs:\n"
ONE = "  - {id: a, input: {prompt: a boat}}\n"


def job(text: str) -> str:
    """A manifest whose one job has this input; it stands in line 6."""
    return f"{HEAD}  - id: a\n    input: {text}\n"


def test_the_mistakes_of_several_manifests_are_shown_at_once(shell: Shell) -> None:
    shell.write(job("{promt: a boat}"), "key.yaml")
    shell.write(job("{prompt: a boat, scale: 2}"), "scale.yaml")
    shell.write(HEAD + ONE, "good.yaml")
    done = shell.expect(65, "validate", "key.yaml", "scale.yaml", "good.yaml")
    assert "key.yaml:6:13: " in done.err
    assert "did you mean 'prompt'?" in done.err
    assert "scale.yaml:6:36: " in done.err
    assert "between 0 and 1; got 2" in done.err
    assert "good.yaml: valid" in done.out


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


def test_a_missing_manifest_does_not_hide_the_others(shell: Shell) -> None:
    shell.write(job("{promt: a boat}"), "bad.yaml")
    shell.write(HEAD + ONE, "good.yaml")
    words = ("validate", "gone.yaml", "bad.yaml", "gone-too.yaml", "good.yaml")
    done = shell.expect(66, *words)
    assert "gone.yaml: there is no such file" in done.err
    assert "bad.yaml:6:13: " in done.err
    assert "gone-too.yaml: there is no such file" in done.err
    assert "good.yaml: valid" in done.out
    document = shell.expect(66, *words, "--json").document
    assert [one["valid"] for one in document["manifests"]] == [False, False, False, True]
    (problem,) = document["manifests"][0]["problems"]
    assert problem["message"] == "there is no such file"
    assert "batchgen init" in problem["hint"]


@pytest.mark.parametrize("verb", ["validate", "run", "status"])
def test_a_file_that_is_not_there_is_66(shell: Shell, verb: str) -> None:
    done = shell.expect(66, verb, "nowhere.yaml")
    assert "nowhere.yaml: there is no such file" in done.err
    assert "batchgen init" in done.err
