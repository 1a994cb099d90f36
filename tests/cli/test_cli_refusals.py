"""A run that must not begin, and output that other programs read."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.shell import T2I, Emulator, Shell, ended


def test_a_rehearsal_never_goes_on_with_the_vendor(shell: Shell) -> None:
    """A name that cannot be resolved: even a mistake here sends nothing."""
    shell.manifest(1)
    shell.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    before = shell.status()
    user = shell.having(RUNCOMFY_TOKEN="t", RUNCOMFY_MODEL_API_BASE="https://vendor.invalid/v1")
    err = user.expect(65, "run", "m.yaml").err
    assert "this run was started with the emulator" in err
    assert "--emulator" in err
    assert shell.status() == before


def test_a_run_never_goes_on_as_a_rehearsal(user: Shell, emulator: Emulator) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--limit", "1")
    err = user.expect(65, "run", "m.yaml", "--emulator").err
    assert "would now go to the emulator" in err
    assert len(emulator.charges()) == 1


def test_json_is_one_document_and_everything_for_people_goes_to_stderr(user: Shell) -> None:
    user.manifest(2)
    run = user.expect(0, "run", "m.yaml", "--json")
    assert run.document["counts"] == {"done": 2}
    assert run.document["exit_code"] == 0
    assert "2 done" in run.err
    status = user.expect(0, "status", "m.yaml", "--json")
    marks = {"kept", "rejected", "flaws", "reused"}
    known = {"name", "counts", "money", "limits", "to_approve", "waiting", "causes", "jobs"}
    assert status.document.keys() == known | marks | {"results", "ray"}
    assert status.document["jobs"][0].keys() == {
        "id",
        "model",
        "state",
        "attempts",
        "request_id",
        "reused",
        "files",
        "error",
    }
    assert status.err == ""
    assert user.expect(0, "validate", "m.yaml", "--json").document["valid"] is True
    models = user.expect(0, "models", "--json")
    assert T2I in [model["id"] for model in models.document]
    one = user.expect(0, "models", "t2i", "--json").document
    assert one["id"] == T2I
    assert "prompt" in one["input_schema"]["properties"]


def test_a_status_before_the_first_run_is_a_document_too(shell: Shell) -> None:
    shell.manifest(1, name="boats")
    document = shell.expect(0, "status", "m.yaml", "--json").document
    nothing = {"spent": 0.0, "reserved": 0.0, "unknown": 0.0, "unpriced": 0}
    assert document == {
        "name": "boats",
        "counts": {},
        "money": nothing,
        "limits": None,
        "ray": None,
        "results": str(shell.folder / "out"),
        "to_approve": 0,
        "waiting": 0,
        "kept": 0,
        "rejected": 0,
        "flaws": {},
        "reused": 0,
        "causes": [],
        "jobs": [],
    }


def test_quiet_says_nothing(user: Shell) -> None:
    user.manifest(1)
    assert user.expect(0, "run", "m.yaml", "--quiet").said.strip() == ""


@pytest.mark.parametrize(
    "words",
    [("status", "m.yaml", "--json"), ("run", "m.yaml", "--emulator"), ("--help",)],
    ids=" ".join,
)
def test_a_reader_that_left_is_no_traceback(shell: Shell, words: tuple[str, ...]) -> None:
    shell.manifest(1)
    reading, writing = os.pipe()
    os.close(reading)
    with shell.start(*words, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        done = ended(process)
    assert done.err == ""
    assert done.code == 74


def test_the_token_file_of_the_vendors_login_is_found(shell: Shell, emulator: Emulator) -> None:
    folder = shell.folder / ".config/runcomfy"
    folder.mkdir(parents=True)
    (folder / "token.json").write_text(json.dumps({"access_token": "from-login"}))
    (folder / "token.json").chmod(0o600)
    shell.manifest(1)
    shell.having(RUNCOMFY_MODEL_API_BASE=emulator.base).expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1
