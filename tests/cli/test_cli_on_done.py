"""What the command at the end of a run is told, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.cli.on_done import (
    RunRecorder,
    print_unsent,
    run_on_done,
    variables,
    without_tokens,
)
from batchgen.engine.events import Draining, Notified, Pause, Paused, PauseReason, RunStarted
from batchgen.errors import ExitCode
from batchgen.runcomfy.token import TOKEN_VARIABLES
from batchgen.state.records import Money
from tests.runs.run_world import bring_home, make_place

MANIFEST = Path("boats.yaml")


def witness(folder: Path) -> RunRecorder:
    seen = RunRecorder()
    seen.on_event(RunStarted("boats", folder, {}, Money(0, 0, 0)))
    return seen


def told(folder: Path, seen: RunRecorder, code: ExitCode = ExitCode.DONE) -> Mapping[str, str]:
    found = variables(seen, code, MANIFEST)
    return {name: value for name, value in found.items() if name.startswith("BATCHGEN_")}


def test_the_command_is_told_how_the_run_ended(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ["a", "b"])
    bring_home(place, "a")
    place.db.close()
    seen = witness(tmp_path / "out")
    seen.on_event(Paused(Pause(PauseReason.BUDGET, "the budget is spent", "raise it")))
    found = told(tmp_path, seen, ExitCode.STOPPED)
    assert found["BATCHGEN_NAME"] == "boats"
    assert found["BATCHGEN_FOLDER"] == str(tmp_path / "out")
    assert found["BATCHGEN_RESULTS"] == str(tmp_path / "out")
    assert found["BATCHGEN_MANIFEST"] == str(MANIFEST.absolute())
    assert found["BATCHGEN_EXIT_CODE"] == "75"
    assert found["BATCHGEN_PAUSED"] == "budget"
    assert found["BATCHGEN_REPORT"] == ""
    assert (found["BATCHGEN_DONE"], found["BATCHGEN_PENDING"]) == ("1", "1")
    assert found["BATCHGEN_SPENT_USD"] == "0.030000"


def test_where_the_state_cannot_be_read_the_rest_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, witness(tmp_path / "gone"))
    assert found["BATCHGEN_NAME"] == "boats"
    assert "BATCHGEN_DONE" not in found


@given(st.sampled_from(TOKEN_VARIABLES), st.text(min_size=1))
def test_no_token_is_left_under_any_name(name: str, token: str) -> None:
    env = {name: token, "COPY": token, "RUNCOMFY_OTHER_TOKEN": "x", "RUNCOMFY_CONFIG_DIR": "/c"}
    left = without_tokens(env)
    assert token not in (left.get(name), left.get("COPY"))
    assert "RUNCOMFY_OTHER_TOKEN" not in left
    assert left.get("RUNCOMFY_CONFIG_DIR") == ("/c" if token != "/c" else None)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 0", "--on-done ended with exit code 0\n"),
        ("exit 7", "--on-done ended with exit code 7\n"),
        ("kill -KILL $$", "--on-done was ended by SIGKILL\n"),
        ("no-such-command 2> /dev/null", "--on-done ended with exit code 127\n"),
    ],
)
def test_how_the_command_ended_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    run_on_done(command, witness(tmp_path), ExitCode.DONE, MANIFEST, as_json=False)
    assert capfd.readouterr() == ("", said)


def test_a_command_that_cannot_be_started_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOO_LONG", "x" * 5_000_000)
    run_on_done("exit 0", witness(tmp_path), ExitCode.DONE, MANIFEST, as_json=False)
    assert "--on-done could not be started: " in capfd.readouterr().err


def test_nothing_runs_where_nothing_began(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "ran"
    run_on_done(f"touch {marker}", RunRecorder(), ExitCode.BAD_INPUT, MANIFEST, as_json=False)
    run_on_done(None, witness(tmp_path), ExitCode.DONE, MANIFEST, as_json=False)
    assert not marker.exists()
    assert capfd.readouterr() == ("", "")


def test_after_a_sigterm_whose_time_is_over_the_command_is_begun_and_not_waited_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = witness(tmp_path)
    seen.asked_to_stop = time.monotonic() - 60
    run_on_done("sleep 1", seen, ExitCode.SIGTERM, MANIFEST, as_json=False)
    assert "--on-done was not waited for; it continues as process " in capfd.readouterr().err


def test_a_stop_by_ctrl_c_gives_the_command_all_its_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = witness(tmp_path)
    seen.on_event(Draining(0))
    seen.asked_to_stop = time.monotonic() - 60
    run_on_done("exit 0", seen, ExitCode.SIGINT, MANIFEST, as_json=False)
    assert "ended with exit code 0" in capfd.readouterr().err


def test_only_words_that_did_not_go_out_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    seen = RunRecorder()
    seen.on_event(Notified("json://a.b", "end"))
    seen.on_event(Notified("json://c.d", "pause", "no answer within 30 s"))
    print_unsent(seen)
    assert capfd.readouterr().err == "not notified (pause): json://c.d: no answer within 30 s\n"
