"""The token is in no manifest's reach, under whatever name the environment holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.runs.prepare import allowed_environment, checked_manifest, read_header
from tests.state.state_world import T2I

TOKEN = "a-token-that-must-stay-secret"


def write_reader(folder: Path, name: str) -> Path:
    path = folder / "m.yaml"
    path.write_text(
        f"version: 1\nenv: [{name}]\njobs:\n"
        f"  - {{id: a, model: {T2I}, input: {{prompt: '{{{{ env.{name} }}}}'}}}}\n",
        encoding="utf-8",
    )
    return path


def refusal(path: Path, env: dict[str, str]) -> str:
    with pytest.raises(ManifestError) as caught, checked_manifest(path, env=env):
        pass
    assert TOKEN not in str(caught.value.problems)
    return str(caught.value.problems[0])


@pytest.mark.parametrize("value", [TOKEN, f"Bearer {TOKEN}", f"https://x/?key={TOKEN}&b=1"])
def test_a_variable_of_another_name_that_holds_the_token_is_not_read(
    tmp_path: Path, value: str
) -> None:
    path = write_reader(tmp_path, "MY_KEY")
    said = refusal(path, {"RUNCOMFY_API_KEY": f" {TOKEN} ", "MY_KEY": value})
    assert said.startswith(f"{path}:2:7: MY_KEY holds the token, which no manifest may read")


@pytest.mark.parametrize("env", [{}, {"RUNCOMFY_TOKEN": TOKEN}, {"RUNCOMFY_TOKEN": "x"}])
def test_the_token_itself_is_refused_as_such_set_or_not(
    tmp_path: Path, env: dict[str, str]
) -> None:
    path = write_reader(tmp_path, "RUNCOMFY_TOKEN")
    said = refusal(path, env)
    assert said.startswith(f"{path}:2:7: RUNCOMFY_TOKEN is the token, which no manifest may read")
    assert "export" not in said


def test_the_token_of_the_vendors_login_is_withheld_too(tmp_path: Path) -> None:
    login = tmp_path / ".config/runcomfy/token.json"
    login.parent.mkdir(parents=True)
    login.write_text(json.dumps({"access_token": TOKEN}), encoding="utf-8")
    env = {"HOME": str(tmp_path), "MY_KEY": TOKEN}
    assert "MY_KEY holds the token" in refusal(write_reader(tmp_path, "MY_KEY"), env)
    login.write_text("broken", encoding="utf-8")
    with checked_manifest(write_reader(tmp_path, "MY_KEY"), env=env) as (manifest, _):
        assert manifest.env == {"MY_KEY": TOKEN}


def test_a_token_too_short_to_be_a_secret_withholds_nothing_else() -> None:
    assert allowed_environment({"RUNCOMFY_TOKEN": "x", "MOOD": "relaxed"}).env == {
        "MOOD": "relaxed"
    }


def test_who_reads_no_jobs_is_told_nothing_of_the_environment(tmp_path: Path) -> None:
    assert read_header(write_reader(tmp_path, "MY_KEY")).env == {}
