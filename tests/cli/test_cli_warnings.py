"""Warnings of a manifest on the command line: validate, plan and run, in text and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen.cli import main
from batchgen.errors import ExitCode
from tests.manifest.manifest_reading import HEAD

WARNING = "m.yaml:7:29: warning: only 'a fox wearing' is read: '#7' is taken for a comment"


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.yaml"
    jobs = "jobs:\n  - id: a\n    input:\n      prompt: a fox wearing #7\n"
    path.write_text(f"output: {{dir: out}}\n{HEAD}{jobs}")
    return path


COMMANDS = [
    ["validate", "m.yaml"],
    ["plan", "m.yaml", "--offline", "--emulator"],
    ["run", "m.yaml", "--emulator", "--latency", "0.01"],
    ["run", "m.yaml", "--emulator", "--dry-run"],
]


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_warning_is_told_and_stops_nothing(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == ExitCode.DONE
    assert f"{WARNING}\n  → if it is text, put all of the text in quotes" in capsys.readouterr().err


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("command", COMMANDS[:3])
def test_a_warning_is_in_the_json_document(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--json"]) == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    (warning,) = document.get("warnings") or document["manifests"][0]["warnings"]
    assert (warning["file"], warning["line"], warning["count"]) == ("m.yaml", 7, 1)
    assert warning["message"] == WARNING.partition("warning: ")[2]


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("command", COMMANDS)
def test_strict_refuses_a_manifest_for_a_warning(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--strict"]) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert WARNING in said
    assert "batchgen: --strict: 1 warning in the manifest; nothing was sent" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("manifest")
def test_strict_refuses_also_where_an_earlier_run_took_the_jobs_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(COMMANDS[2]) == ExitCode.DONE
    assert main([*COMMANDS[2], "--strict"]) == ExitCode.BAD_INPUT
    assert WARNING in capsys.readouterr().err
