"""`batchgen tune` beside a real run, over HTTP with the emulator."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import UsageError
from batchgen.manifest import tuning
from batchgen.manifest.policy import Policy
from batchgen.runs.context import find_run
from batchgen.runs.folder import locked
from batchgen.runs.tuning import tune
from batchgen.state.meta import Meta, set_meta
from tests.failures.broken_disks import adopt_unknown
from tests.shell import T2I, Emulator, Shell, ended, wait_until

NOTHING_RUNS = "no run is in progress: nothing was changed"


def limits(user: Shell) -> Any:
    return user.status()["limits"]


def in_force(user: Shell) -> None:
    wait_until(lambda: bool(user.states()) and limits(user) is not None, "a run with its limits")


def test_more_at_once_in_the_middle_of_a_run(user: Shell, emulator: Emulator) -> None:
    user.manifest(12, run={"concurrency": 1, "rate": "600/min"})
    emulator.hold()
    with user.start("run", "m.yaml", "--quiet") as run:
        emulator.charged(1)
        in_force(user)
        assert limits(user)["concurrency"] == 1
        assert len(emulator.charges()) == 1
        done = user.expect(0, "tune", "m.yaml", "--concurrency", "12", "--rate", "none")
        assert done.out == "in force: 12 at once\n"
        assert "limits: 12 at once" in user.expect(0, "status", "m.yaml").out
        emulator.charged(12)
        emulator.disarm()
        assert ended(run).code == 0
    assert limits(user) is None
    assert "limits" not in user.expect(0, "status", "m.yaml").out
    (line,) = [one for one in user.log().splitlines() if '"Tuned"' in one]
    assert json.loads(line)["change"] == "concurrency 12 · rate none"
    assert json.loads(line)["limits"]["concurrency"] == 12


def test_a_lower_budget_and_a_stop_end_the_submits(user: Shell, emulator: Emulator) -> None:
    user.manifest(30, run={"concurrency": 2})
    emulator.hold()
    with user.start("run", "m.yaml") as run:
        emulator.charged(2)
        in_force(user)
        user.expect(0, "tune", "m.yaml", "--budget", "0.01")
        emulator.disarm()
        done = ended(run)
    assert done.code == 75
    assert "tuned: budget 0.01" in done.err
    assert "no job left fits into the budget of 0.01 USD" in done.out
    assert len(emulator.charges()) == 2
    # The next run has the limits of its manifest again.
    emulator.hold()
    with user.start("run", "m.yaml") as run:
        emulator.charged(4)
        in_force(user)
        assert limits(user)["budget"] is None
        user.expect(0, "tune", "m.yaml", "--stop-at", "2020-01-01T00:00")
        wait_until(lambda: '"reason": "stop_at"' in user.log(), "the pause")
        late = user.expect(64, "tune", "m.yaml", "--budget", "50")
        assert "the run only finishes what is under way: the stop time has been reached" in late.err
        emulator.disarm()
        done = ended(run)
    assert done.code == 75
    assert "set stop_at to a later date" not in done.out
    assert len(emulator.charges()) == 4


def test_one_model_and_json(user: Shell, emulator: Emulator) -> None:
    user.manifest(4, run={"concurrency": 1})
    emulator.hold()
    with user.start("run", "m.yaml", "--quiet") as run:
        emulator.charged(1)
        in_force(user)
        done = user.expect(0, "tune", "m.yaml", "--model", "t2i", "--rate", "10/min", "--json")
        assert done.document["limits"]["models"] == {T2I: {"concurrency": None, "rate": "10/min"}}
        wrong = user.expect(64, "tune", "m.yaml", "--model", "t2x", "--rate", "10/min")
        assert "no job of this run has a model called 't2x'" in wrong.err
        assert "did you mean 't2i'?" in wrong.err
        user.expect(0, "tune", "m.yaml", "--model", "t2i", "--rate", "none", "--concurrency", "4")
        user.expect(0, "tune", "m.yaml", "--concurrency", "4")
        emulator.disarm()
        assert ended(run).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing is to be changed"),
        (("--concurrency", "0"), "must be auto, or a number from 1 to 1000; got '0'"),
        (("--rate", "fast"), "a rate looks like 60/min, 2/s or 1000/h; got 'fast'"),
        (("--concurrency", "1" * 5000), "no concurrency has more than 60 characters"),
        (("--budget", f"3.{'0' * 60}"), "no budget has more than 60 characters"),
        (("--budget", "-1"), "a budget is more than 0 USD"),
        (("--stop-at", "noon"), "a time looks like 07:00"),
        (("--budget", "3", "--model", "t2i"), "budget is of the whole run"),
    ],
)
def test_bad_input_is_refused_whether_or_not_a_run_is_in_progress(
    user: Shell, words: tuple[str, ...], said: str
) -> None:
    user.manifest(1)
    user.expect(0, "run", "m.yaml", "--quiet", "--emulator")
    assert said in user.expect(64, "tune", "m.yaml", *words).err


def test_without_a_run_the_flags_and_the_manifest_are_named(user: Shell) -> None:
    user.manifest(1)
    user.expect(66, "tune", "m.yaml", "--budget", "3")
    user.expect(0, "run", "m.yaml", "--quiet", "--emulator")
    refused = user.expect(64, "tune", "m.yaml", "--budget", "3")
    assert NOTHING_RUNS in refused.err
    assert "give the limits to `batchgen run` as flags" in refused.err
    assert not (user.folder / "out/decisions.jsonl").read_text()


def test_a_kill_ends_what_was_tuned_and_loses_nothing(user: Shell, emulator: Emulator) -> None:
    user.manifest(6, run={"concurrency": 1})
    emulator.hold()
    with user.start("run", "m.yaml", "--quiet") as run:
        emulator.charged(1)
        in_force(user)
        user.expect(0, "tune", "m.yaml", "--concurrency", "3")
        emulator.charged(3)
        run.kill()
        run.communicate()
    assert limits(user) is None
    assert NOTHING_RUNS in user.expect(64, "tune", "m.yaml", "--concurrency", "3").err
    # A change that the dead run did not come to is no later run's.
    with (user.folder / "out/decisions.jsonl").open("a") as file:
        line = {"at": 1.0, "decide": "tune", "job": "", "request_id": None, "attempt": None}
        file.write(json.dumps({**line, "set": {"concurrency": "6"}, "models": []}) + "\n")
    with user.start("run", "m.yaml", "--quiet") as run:
        # Those of the dead run may be there for a moment longer.
        wait_until(lambda: (limits(user) or {}).get("concurrency") == 1, "the manifest's limit")
        user.expect(0, "tune", "m.yaml", "--concurrency", "6")
        emulator.disarm()
        assert ended(run).code in {0, 76}
    # Those whose answers died with the run wait for a person.
    assert set(user.states().values()) <= {"done", "unknown"}
    adopt_unknown(user, emulator)
    user.expect(0, "run", "m.yaml", "--quiet")
    assert len(emulator.charges()) == 6


def test_a_budget_that_comes_later_asks_for_the_prices(user: Shell, emulator: Emulator) -> None:
    user.manifest(3, run={"concurrency": 1})
    emulator.hold()
    with user.start("run", "m.yaml", "--quiet") as run:
        emulator.charged(1)
        in_force(user)
        assert "budget 100.00 USD" in user.expect(0, "tune", "m.yaml", "--budget", "100").out
        user.expect(0, "tune", "m.yaml", "--concurrency", "3")
        emulator.disarm()
        assert ended(run).code == 0
    assert len(emulator.charges()) == 3


@pytest.mark.parametrize("later", [0.0, 1.0])
def test_the_refusal_of_another_shells_change_is_not_taken_for_ones_own(
    user: Shell, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    user.manifest(1)
    user.expect(0, "run", "m.yaml", "--quiet", "--emulator")
    monkeypatch.chdir(user.folder)
    run = find_run(Path("m.yaml"))

    def record(at: float | None, refused: str | None) -> None:
        with closing(sqlite3.connect(run.folder.state)) as db, db:
            document = {**tuning.in_force(Policy(), []), "tuned_at": at, "refused": refused}
            set_meta(db, Meta.LIMITS, json.dumps(document))

    def answer(_: float) -> None:
        line = run.folder.decisions.read_text("utf-8").splitlines()[-1]
        record(json.loads(line)["at"] + later, "no such price")

    with locked(run.folder):
        record(None, None)
        if later:
            found = tune(run, {"concurrency": "3"}, wait=answer)
            assert found is not None
            assert found["concurrency"] == Policy().concurrency
        else:
            with pytest.raises(UsageError, match="nothing was changed: no such price"):
                tune(run, {"concurrency": "3"}, wait=answer)
