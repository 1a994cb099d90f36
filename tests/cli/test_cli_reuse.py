"""`run --reuse`: what another run on this machine has done is not paid for again."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from batchgen.engine.events import Event, FileSaved, JobMoved
from batchgen.errors import ExitCode
from batchgen.runs.api import run as api_run
from batchgen.runs.options import RunOptions
from batchgen.state.database import open_side_file, reading
from tests.failures.broken_disks import adopt_unknown
from tests.shell import EDIT, Emulator, Shell, boat, ended

INDEX = ".local/state/batchgen/results.db"


def write(user: Shell, name: str, jobs: Sequence[Mapping[str, Any]] | int, **header: Any) -> str:
    """Write a manifest of its own for a run: NAME.yaml, into the folder NAME."""
    path = user.folder / user.manifest(jobs, name=name, **{"output": {"dir": name}, **header})
    return path.rename(user.folder / f"{name}.yaml").name


def earlier(user: Shell, jobs: Sequence[Mapping[str, Any]] | int = 2) -> None:
    user.expect(0, "run", write(user, "earlier", jobs))


def reuse(user: Shell, *words: str, manifest: str = "m.yaml", code: int = 0) -> Any:
    return user.expect(code, "run", manifest, "--reuse", "--json", *words).document


def whole_and_once(user: Shell, *folders: str) -> None:
    """Every done job's file has the bytes of its hash, and no source serves two jobs of a run."""
    for folder in folders:
        with reading(user.folder / folder / "state.db") as db:
            rows = db.execute(
                "SELECT path, sha256 FROM file JOIN job ON job.seq = file.job"
                " WHERE state = 'done' AND attempt = attempts"
            ).fetchall()
            (twice,) = db.execute(
                "SELECT count(*) - count(DISTINCT reused_key) FROM attempt WHERE outcome = 'reused'"
            ).fetchone()
        assert twice == 0
        for path, sha256 in rows:
            content = (user.folder / folder / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == sha256
        user.expect(0, "verify", "m.yaml")


def test_a_job_that_another_run_has_done_takes_its_file_and_costs_nothing(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user)
    user.manifest(3)
    end = reuse(user)
    assert (end["reused"], end["submitted"], end["counts"]) == (2, 1, {"done": 3})
    assert end["spent_usd"] == pytest.approx(0.03)
    assert len(emulator.charges()) == 3
    for name in ("boat-000.png", "boat-001.png"):
        own = user.folder / "out/files" / name
        assert own.samefile(user.folder / "earlier/files" / name)
    lines = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    by_id = {row["id"]: row for row in map(json.loads, lines)}
    assert by_id["boat-000"]["reused"] == f"job boat-000 of {user.folder / 'earlier'}"
    assert (by_id["boat-000"]["cost"], by_id["boat-000"]["request_id"]) == (0.0, None)
    assert by_id["boat-002"]["reused"] is None
    status = user.status()
    assert status["reused"] == 2
    assert status["jobs"][0]["reused"]["job"] == "boat-000"
    shown = user.expect(0, "show", "m.yaml", "boat-000").out
    assert "reused" in shown
    assert "earlier" in shown
    attempt = user.expect(0, "show", "m.yaml", "boat-000", "--json").document["jobs"][0]["attempts"]
    assert attempt[0]["reused"]["folder"] == str(user.folder / "earlier")
    user.expect(0, "report", "m.yaml")
    page = "".join(one.read_text("utf-8") for one in (user.folder / "out/report").rglob("*.js"))
    assert f"job boat-000 of {user.folder / 'earlier'}" in page
    user.expect(0, "export", "m.yaml", "dataset", "--to", "jsonl")
    whole_and_once(user, "out")


def test_nothing_is_reused_unless_it_is_asked_for(user: Shell, emulator: Emulator) -> None:
    earlier(user)
    user.manifest(2)
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 4
    third = write(user, "third", 2, run={"reuse": True})
    user.expect(0, "run", third, "--no-reuse")
    assert len(emulator.charges()) == 6
    user.expect(0, "run", write(user, "fourth", 2, run={"reuse": True}))
    assert len(emulator.charges()) == 6


def test_a_plan_counts_what_would_be_reused_and_what_that_saves(user: Shell) -> None:
    earlier(user)
    user.manifest(3, run={"models": {"t2i": {"price": 0.5}}})
    plan = user.expect(0, "plan", "m.yaml", "--reuse", "--json").document
    assert (plan["total"]["to_do"], plan["total"]["reused"]) == (1, 2)
    assert plan["saved"]["known_usd"] == 1.0
    assert plan["cost"]["known_usd"] == 0.5
    text = user.expect(0, "plan", "m.yaml", "--reuse").out
    assert "2 results of other runs, which saves 1.00 USD known" in text
    assert "batchgen run m.yaml --reuse" in text
    assert user.expect(0, "plan", "m.yaml", "--json").document["total"]["reused"] == 0
    reuse(user)
    done = user.expect(0, "plan", "m.yaml", "--reuse", "--json").document
    assert (done["total"]["to_do"], done["total"]["reused"]) == (0, 0)


def test_neither_budget_nor_limits_nor_canary_are_for_what_is_reused(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user, 3)
    prices = {"t2i": {"price": 0.03}}
    policy = {"budget": 0.03, "rate": "1/h", "concurrency": 1, "canary": 1, "models": prices}
    user.manifest(4, run=policy)
    end = reuse(user)
    assert (end["reused"], end["submitted"], end["paused"]) == (3, 1, None)
    assert len(emulator.charges()) == 4


def test_a_rejected_or_flawed_result_is_not_reused_and_none_is_made_again_from_one(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user)
    user.expect(0, "pick", "earlier.yaml", "boat-000", "--reject")
    user.manifest(2)
    assert reuse(user)["reused"] == 1
    assert len(emulator.charges()) == 3
    # A retry of a reused result is a new submit, though the source is still there.
    user.expect(0, "pick", "m.yaml", "boat-001", "--reject")
    user.expect(0, "retry", "m.yaml", "--state", "rejected", "--reuse")
    assert len(emulator.charges()) == 4


def test_what_was_rejected_where_it_was_reused_is_not_taken_from_where_it_was_made(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user)
    second, third = write(user, "second", 2), write(user, "third", 2)
    assert reuse(user, manifest=second)["reused"] == 2
    user.expect(0, "pick", second, "boat-000", "--reject")
    assert reuse(user, manifest=third)["reused"] == 1
    assert len(emulator.charges()) == 3
    user.expect(0, "pick", second, "boat-000", "--unpick")
    assert reuse(user, manifest=write(user, "fourth", 2))["reused"] == 2


def test_a_damaged_state_of_another_run_does_not_hide_the_results_of_the_rest(
    user: Shell, emulator: Emulator
) -> None:
    for name in ("earlier", "later"):
        user.expect(0, "run", write(user, name, 2))
    state = user.folder / "earlier/state.db"
    with closing(open_side_file(state)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'file'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with state.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"Z" * size)
    user.manifest(2)
    assert reuse(user)["reused"] == 2
    assert len(emulator.charges()) == 4


def test_a_state_of_another_version_is_named_and_its_jobs_are_made_anew(
    user: Shell, emulator: Emulator
) -> None:
    user.expect(0, "run", write(user, "earlier", 2))
    with closing(open_side_file(user.folder / "earlier/state.db")) as db:
        db.execute("PRAGMA user_version = 1")
    user.manifest(2)
    done = user.expect(0, "run", "m.yaml", "--reuse")
    assert done.said.count("earlier are not reused: ") == 1
    assert "version" in done.said
    assert len(emulator.charges()) == 4


@pytest.mark.parametrize("loss", ["altered", "missing", "folder"])
def test_a_source_that_is_gone_or_altered_is_submitted_and_forgotten(
    user: Shell, emulator: Emulator, loss: str
) -> None:
    earlier(user)
    file = user.folder / "earlier/files/boat-000.png"
    if loss == "altered":
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif loss == "missing":
        file.unlink()
    else:
        shutil.rmtree(user.folder / "earlier")
    left = 0 if loss == "folder" else 1
    user.manifest(2)
    end = reuse(user)
    assert (end["reused"], end["counts"]) == (left, {"done": 2})
    assert len(emulator.charges()) == 4 - left
    whole_and_once(user, "out")
    # Now this run has it.
    assert reuse(user, manifest=write(user, "third", 2))["reused"] == 2


def test_each_result_serves_one_job_of_a_run(user: Shell, emulator: Emulator) -> None:
    earlier(user, [boat(0)])
    user.manifest([{**boat(0), "repeat": 3}])
    end = reuse(user)
    assert (end["reused"], end["submitted"]) == (1, 2)
    # A copy of a reused result is no other result.
    end = reuse(user, manifest=write(user, "third", [{**boat(0), "repeat": 5}]))
    assert (end["reused"], end["submitted"]) == (3, 2)
    assert len(emulator.charges()) == 5


def test_rehearsal_and_real_run_share_nothing(user: Shell, emulator: Emulator) -> None:
    rehearsal = ("--emulator", "--latency", "0")
    user.expect(0, "run", write(user, "rehearsed", 1), *rehearsal)
    user.manifest(1)
    assert reuse(user)["reused"] == 0
    assert len(emulator.charges()) == 1
    assert reuse(user, *rehearsal, manifest=write(user, "again", 1))["reused"] == 1


def test_a_job_that_needs_another_is_made_from_the_reused_result(
    user: Shell, emulator: Emulator
) -> None:
    still = {"id": "still", "input": {"prompt": "a boat"}}
    earlier(user, [still])
    warm = {"prompt": "warmer", "image_urls": ["{{ jobs.still.images[0] }}"]}
    user.manifest([still, {"id": "warm", "model": EDIT, "input": warm}])
    end = reuse(user)
    assert (end["reused"], end["submitted"], end["counts"]) == (1, 1, {"done": 2})
    assert emulator.charges()[-1]["model_id"] == EDIT


def test_a_gate_waits_for_the_approval_of_a_reused_result(user: Shell) -> None:
    earlier(user, 1)
    user.manifest([boat(0, gate=True), boat(1, needs=["boat-000"])])
    end = reuse(user, code=75)
    assert (end["reused"], end["to_approve"], end["waiting"]) == (1, 1, 1)
    user.expect(0, "approve", "m.yaml", "boat-000")
    assert reuse(user)["counts"] == {"done": 2}


def test_a_lost_file_is_repaired_from_its_source_and_never_paid_for_unasked(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user, 1)
    user.manifest(1)
    reuse(user)
    own, source = (user.folder / one / "files/boat-000.png" for one in ("out", "earlier"))
    own.unlink()
    user.expect(1, "verify", "m.yaml")
    user.expect(0, "repair", "m.yaml")
    assert own.samefile(source)
    own.unlink()
    source.unlink()
    done = user.expect(1, "repair", "m.yaml")
    assert "the result that it reuses is gone" in done.out
    assert "resolve m.yaml JOB --write-off" in done.out
    reuse(user, code=75)
    assert len(emulator.charges()) == 1
    user.expect(0, "resolve", "m.yaml", "boat-000", "--write-off")
    user.expect(0, "retry", "m.yaml", "--reuse")
    assert len(emulator.charges()) == 2
    whole_and_once(user, "out")


def test_the_index_is_made_anew_from_remembered_runs_and_named_folders(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user)
    (user.folder / INDEX).unlink()
    assert user.expect(0, "index").out == "2 results of 1 run can be reused\n"
    moved = user.folder / "archive/moved"
    moved.parent.mkdir()
    (user.folder / "earlier").rename(moved)
    done = user.expect(0, "index")
    assert done.out == "0 results of 0 runs can be reused\n"
    assert "skipped" in done.err
    found = user.expect(0, "index", "archive", "--json").document
    assert (found["results"], found["runs"]) == (2, 1)
    user.expect(66, "index", "nowhere")
    assert reuse(user, manifest=write(user, "another", 2))["reused"] == 2
    assert len(emulator.charges()) == 2


def test_a_recovered_run_takes_what_it_had_reused_and_does_not_pay_for_it(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user)
    user.manifest(3)
    assert reuse(user)["reused"] == 2
    for file in (user.folder / "out").glob("state.db*"):
        file.unlink()
    user.expect(65, "run", "m.yaml")
    end = user.expect(0, "run", "m.yaml", "--recover", "--json").document
    assert (end["reused"], end["counts"]) == (2, {"done": 3})
    assert len(emulator.charges()) == 3
    whole_and_once(user, "out")


def test_what_a_killed_run_has_not_written_to_the_index_its_next_run_does(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user, 2)
    (user.folder / INDEX).unlink()
    earlier(user, 3)
    assert reuse(user, manifest=write(user, "another", 3))["reused"] == 3
    assert len(emulator.charges()) == 3


def test_an_index_that_cannot_be_used_warns_once_and_is_not_in_the_way(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user)
    (user.folder / INDEX).write_bytes(b"no database at all" * 99)
    user.manifest(2)
    done = user.expect(0, "run", "m.yaml", "--reuse")
    assert done.said.count("results of other runs are not reused") == 1
    assert done.said.count("the index of results cannot be written") == 1
    assert len(emulator.charges()) == 4
    assert user.expect(0, "index").out == "4 results of 2 runs can be reused\n"
    (user.folder / INDEX).unlink()
    (user.folder / INDEX).mkdir()
    assert "set XDG_STATE_HOME" in user.expect(73, "index").err


def test_events_say_what_was_reused(user: Shell) -> None:
    earlier(user, 1)
    user.manifest(1)
    events: list[Event] = []
    with user.at_home():
        summary = api_run("m.yaml", RunOptions(reuse=True), on_event=events.append)
    assert summary.reused == 1
    moves = [one for one in events if isinstance(one, JobMoved)]
    assert [(one.before, one.state) for one in moves] == [
        ("pending", "fetching"),
        ("fetching", "done"),
    ]
    assert (moves[0].code, moves[0].cost) == ("reused", 0.0)
    (saved,) = [one.file for one in events if isinstance(one, FileSaved)]
    assert saved.reused_from is not None


def test_a_run_that_is_killed_at_any_moment_finishes_and_pays_for_nothing_it_reuses(
    user: Shell, emulator: Emulator
) -> None:
    earlier(user, 40)
    user.manifest(42)
    dice = Random(13)
    for _ in range(12):
        with user.start("run", "m.yaml", "--reuse", "--quiet") as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.25 + dice.random() * 0.5)
            process.send_signal(signal.SIGKILL)
            ended(process)
    settled = user.run("run", "m.yaml", "--reuse", "--json")
    # A kill may have hit the submits of the two new jobs.
    assert settled.code in {ExitCode.DONE, ExitCode.UNKNOWN_OUTCOMES}, settled.said
    adopt_unknown(user, emulator)
    assert reuse(user)["reused"] == 40
    assert len(emulator.charges()) == 42
    whole_and_once(user, "out")
    assert all(name.endswith(".png") for name in user.files())


def test_the_example_reuses_what_the_quickstart_has_made(shell: Shell) -> None:
    examples = Path(__file__).parents[2] / "manifests"
    for name, reused in (("quickstart", 0), ("reuse", 1)):
        shell.write((examples / f"{name}.yaml").read_text("utf-8"), f"{name}.yaml")
        words = ("run", f"{name}.yaml", "--emulator", "--latency", "0", "--json")
        assert shell.expect(0, *words).document["reused"] == reused


def test_two_runs_at_once_reuse_one_source(user: Shell, emulator: Emulator) -> None:
    earlier(user, 20)
    for name in ("one", "two"):
        write(user, name, 20)
    with (
        user.start("run", "one.yaml", "--reuse", "--json") as one,
        user.start("run", "two.yaml", "--reuse", "--json") as two,
    ):
        ends = [ended(one), ended(two)]
    assert [end.document["reused"] for end in ends] == [20, 20]
    assert len(emulator.charges()) == 20
