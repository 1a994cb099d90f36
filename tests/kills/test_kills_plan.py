"""A seed plans the same round again, and rounds of all sorts."""

from __future__ import annotations

from batchgen.emulator.faults import parse_faults
from tests.kills.plan import AT_START, Beside, plan_of


def test_a_seed_plans_the_same_round_again_and_another_seed_another() -> None:
    assert plan_of(5, 2, 20) == plan_of(5, 2, 20)
    assert plan_of(5, 2, 20) != plan_of(6, 2, 20)
    assert plan_of(5, 2, 20) != plan_of(5, 3, 20)


def test_every_job_has_its_own_prompt_by_which_the_ledger_is_read() -> None:
    plan = plan_of(1, 1, 20)
    assert len(plan.job_of_prompt) == len({job["id"] for job in plan.jobs}) == len(plan.jobs)


def test_some_rounds_are_chains_whose_stills_stand_behind_a_gate() -> None:
    plan, other = plan_of(1, 2, 20), plan_of(1, 1, 20)
    ids = {job["id"] for job in plan.jobs}
    assert ids >= plan.needs.keys() | set(plan.needs.values()) | plan.gated
    assert plan.gated
    assert plan.needs["clip-0"] == "edit-0"
    assert plan.needs["edit-0"] in plan.gated
    assert not other.needs
    assert not other.gated


def test_some_rounds_have_results_made_again_chains_and_others() -> None:
    plans = [plan_of(1, number, 20) for number in range(1, 9)]
    assert {(plan.picks, bool(plan.needs)) for plan in plans} == {
        (picks, chained) for picks in (True, False) for chained in (True, False)
    }


def test_every_fault_planned_is_one_that_the_emulator_knows() -> None:
    for number in range(20):
        faults = plan_of(1, number, 20).faults
        assert len(parse_faults({"faults": list(faults)})) == len(faults)


def test_kills_hit_the_start_and_the_work_with_other_commands_beside() -> None:
    kills = [kill for number in range(50) for kill in plan_of(1, number, 20).kills]
    share = sum(kill.at_start for kill in kills) / len(kills)
    assert abs(share - AT_START) < 0.05
    assert {kill.beside for kill in kills} == set(Beside)
