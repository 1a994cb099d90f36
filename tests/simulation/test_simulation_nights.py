"""Nights in a process of their own: the simulated disk must stand in front of the C library."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.simulation import shim

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="the simulated disk is made for Linux and its C library"
)
SEEDS = 36
"""A sample: the thousand nights are a command of their own, `python -m tests.simulation`."""
TRACED = (3, 15, 28)
TRACE = "from tests.simulation.__main__ import print_trace\n" + "\n".join(
    f"print_trace({seed}, None)" for seed in TRACED
)
MUTANTS = (
    "dead_submits_are_pending",
    "id_used_before_it_is_durable",
    "no_lock",
    "token_sent_to_the_file_hosts",
    "gates_stand_open",
    "references_are_sent_as_they_are",
    "a_plain_run_makes_rejected_results_again",
    "a_kept_result_does_not_stop_its_retry",
    "a_lower_limit_is_not_taken_up",
    "bytes_of_another_run_are_taken_on_trust",
    "an_upload_is_not_noted_as_one",
    "no_answer_of_the_bucket_is_as_good_as_one",
    "foreign_objects_are_overwritten",
    "half_uploads_stay",
)


def simulate(*words: str, module: str = "tests.simulation") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + (done.stderr if done.returncode not in {0, 1} else "")


def figure(said: str, name: str) -> int:
    found = re.search(rf"^{name} +(\d+)", said, re.MULTILINE)
    assert found, said
    return int(found[1])


@LINUX
def test_nights_with_crashes_and_faults_pay_nothing_twice_and_lose_nothing() -> None:
    code, said = simulate("--seeds", str(SEEDS))
    assert code == 0, said
    assert figure(said, r"nights \(seeds\)") == SEEDS
    assert figure(said, "duplicate charges") == 0
    assert figure(said, "lost results") == 0
    assert figure(said, "other findings") == 0
    # Figures of a simulation in which nothing happens would be as clean.
    assert figure(said, "crashes") > SEEDS / 2
    assert figure(said, "charges") > SEEDS * 5
    assert figure(said, "of jobs with needs") > SEEDS // 2
    assert figure(said, "results approved") > SEEDS // 4
    assert figure(said, "picks of results") > SEEDS
    assert figure(said, "retries of the rejected") > SEEDS // 6
    assert figure(said, "made again by them") > SEEDS // 4
    assert figure(said, "reused results") > SEEDS // 4
    assert figure(said, "own files sent") > SEEDS // 4
    assert figure(said, "nights with a bucket") > SEEDS // 8
    assert figure(said, "results put there") > SEEDS
    assert figure(said, "faults injected") > SEEDS
    assert figure(said, "crash points covered") > SEEDS // 3
    assert "has no number yet" not in said


@LINUX
def test_the_same_seed_gives_the_same_night_byte_for_byte() -> None:
    first, second = (
        subprocess.run(
            [sys.executable, "-c", TRACE],
            capture_output=True,
            text=True,
            check=True,
            env={**shim.with_shim(os.environ), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    )
    assert first.count("submit: all sent") >= len(TRACED)
    assert first == second


@LINUX
def test_a_safeguard_that_is_switched_off_is_noticed() -> None:
    only = [word for name in MUTANTS for word in ("--only", name)]
    code, said = simulate(*only, "--seeds", "200", module="tests.simulation.mutants")
    assert code == 0, said
    assert f"{len(MUTANTS)} of {len(MUTANTS)} mutants caught" in said
