"""The command line itself: completion and the first steps."""

from __future__ import annotations

import pytest

from tests.shell import Shell


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_shells_get_a_completion_script(shell: Shell, kind: str) -> None:
    said = shell.having(_BATCHGEN_COMPLETE=f"{kind}_source").expect(0).out
    assert "_BATCHGEN_COMPLETE" in said


def test_init_writes_a_manifest_that_is_sound_and_runs(shell: Shell) -> None:
    said = shell.expect(0, "init", "first.yaml").out
    assert "batchgen run first.yaml --emulator" in said
    assert "3 jobs for 3 models" in shell.expect(0, "validate", "first.yaml").out
    shell.expect(0, "run", "first.yaml", "--emulator", "--latency", "0", "--rate", "9/s")
    assert shell.status("first.yaml")["counts"] == {"done": 3}


def test_init_never_overwrites(shell: Shell) -> None:
    shell.write("mine", "manifest.yaml")
    err = shell.expect(64, "init").err
    assert "manifest.yaml" in err
    assert "stays as it is" in err
    assert (shell.folder / "manifest.yaml").read_text() == "mine"


def test_init_into_a_folder_that_is_not_there_is_73(shell: Shell) -> None:
    assert "cannot be written" in shell.expect(73, "init", "no/such/folder.yaml").err


def test_models_shows_every_field_of_one(shell: Shell) -> None:
    said = shell.expect(0, "models", "bytedance/dreamina-4-0/text-to-image").out
    for word in ("prompt", "required", "scale", "force_single", "2048x2048"):
        assert word in said
    assert "image-to-video" in shell.expect(0, "models").out
