"""The plan as people read it: on a terminal of any width, and in a pipe."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchgen.cli.plan import plan_lines
from batchgen.manifest.units import Rate
from batchgen.models.catalog import bundled
from batchgen.runcomfy.pricing import ModelFacts
from batchgen.runs.estimates import Cost
from batchgen.runs.options import RunOptions
from batchgen.runs.plan import ModelPlan, Plan
from batchgen.runs.vendor_facts import VendorFacts
from batchgen.state.plan_counts import PlanCounts
from batchgen.state.planned import ChangedInput, OrphanedJob
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged, RenamedJob
from batchgen.state.records import Money

T2I = "bytedance/dreamina-4-0/text-to-image"
I2V = "bytedance/dreamina-3-0/pro/image-to-video"
RUN = "batchgen run boats.yaml"


def changed_prompt(before: str, now: str) -> ChangedInput:
    bodies = (json.dumps({"prompt": before}), json.dumps({"prompt": now}))
    return ChangedInput("boat-001", T2I, T2I, *bodies, "done")


STILLS = ModelPlan(
    PlanCounts(new=100, changed=1, to_do=100, pending=100, done=3, orphaned=2),
    Cost(known=3.0),
    75.0,
)
CLIPS = ModelPlan(
    PlanCounts(new=20, to_do=20, pending=20, waiting=20), Cost(estimated=8.06, unpriced=2), None
)
PLAN = Plan(
    name="boats",
    folder=Path("output/boats"),
    models={T2I: STILLS, I2V: CLIPS},
    money=Money(0.09, 0.0, 0),
    budget=25.0,
    seconds=75.0,
    on_changed=OnChanged.REFUSE,
    changed=(changed_prompt("a boat", "another one"),),
    orphans=(OrphanedJob("old-1", T2I, "done"), OrphanedJob("old-2", T2I, "failed")),
    live=VendorFacts(trouble="no API token"),
)


def shown(plan: Plan, columns: int = 80) -> str:
    return "\n".join(plan_lines(plan, columns, RUN))


def test_the_time_says_what_the_vendor_took_when_it_throttled_last() -> None:
    plan = replace(PLAN, throttled={T2I: 12.0})
    said = " ".join(shown(plan).split())
    assert (
        "about 1 min 15 s, without i2v; the vendor accepted 5 t2i/min when it last throttled"
        in said
    )
    assert plan.to_json()["throttled_to_per_minute"] == {T2I: 5.0}


def test_the_time_says_that_other_runs_may_use_the_limits_too() -> None:
    plan = replace(PLAN, shares=True)
    said = " ".join(shown(plan).split())
    assert "without i2v; longer while other runs share its limits" in said
    assert plan.to_json()["limits_shared"] is True


def test_a_plan_on_eighty_columns() -> None:
    assert (
        shown(PLAN)
        == """\
boats · 123 jobs · output/boats

               t2i      i2v       all
  new          100       20       120
  changed        1        ·         1
  to do        100       20       120
    waiting      ·       20        20
  done           3        ·         3
  orphaned       2        ·         2
  USD         3.00  ~8.06+?  ~11.06+?
  - changed jobs are also counted by their state

  cost      3.00 USD known + ~8.06 USD estimated + 2 jobs without a known price
  spent     0.09 USD
  budget    25.00 USD: it is not known whether that is enough, since prices are
            unknown
  time      about 1 min 15 s, without i2v

1 job that may have been paid for has a different input now:
  boat-001 (done)
    prompt: "a boat" → "another one"
  → run refuses (exit code 65) unless you add --changed keep, which leaves them
    as they are, or --changed rerun, which pays for them again

2 known to the state, no longer in the manifest: old-1 (done), old-2 (failed)

prices and schemas were not compared with the vendor's: no API token

nothing was sent, nothing was written
  → batchgen run boats.yaml"""
    )


def long_changes() -> Plan:
    words = "a beautiful girl is sitting on the boat, painted in watercolour " * 3
    change = changed_prompt(f"{words}at dawn", f"{words}at dusk")
    return replace(PLAN, changed=(change,))


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = shown(long_changes(), columns).splitlines()
    assert max(map(len, lines)) <= columns
    (change,) = (line for line in lines if "prompt:" in line)
    assert "dawn" in change
    assert "dusk" in change


def test_a_table_too_wide_for_the_terminal_becomes_a_line_a_model() -> None:
    many = replace(STILLS, counts=replace(STILLS.counts, new=1_000_000, to_do=1_000_000))
    out = shown(replace(PLAN, models={T2I: many, I2V: many}), 40)
    assert "  t2i       1,000,000 new, 1 changed," in out
    assert "  i2v       1,000,000 new, 1 changed," in out
    assert max(map(len, out.splitlines())) <= 40


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (PlanCounts(new=3, to_do=3, pending=3), ""),
        (PlanCounts(to_do=2, pending=3, done=1), ""),
        (PlanCounts(changed=1, renamed=1, done=3), "changed jobs and renamed jobs"),
        (PlanCounts(to_do=4, pending=3, failed=1), "jobs to submit again"),
    ],
)
def test_a_table_says_which_jobs_are_in_two_of_its_rows(counts: PlanCounts, said: str) -> None:
    out = shown(replace(PLAN, models={T2I: replace(STILLS, counts=counts)}, orphans=()))
    line = f"  - {said} are also counted by their state\n"
    assert line in out if said else "also counted" not in out


def test_one_model_has_no_column_for_all() -> None:
    out = shown(replace(PLAN, models={T2I: STILLS}))
    assert "               t2i\n  new          100\n" in out
    assert " all" not in out


def test_a_price_that_nobody_knows_is_a_question_mark_and_no_zero() -> None:
    unpriced = replace(CLIPS, cost=Cost(unpriced=20))
    out = shown(replace(PLAN, models={I2V: unpriced}, budget=None))
    assert "USD           ?\n" in out
    assert "  cost      20 jobs without a known price\n" in out
    assert "0.00" not in out
    assert "  time      not known until the first requests are done\n" in shown(
        replace(PLAN, models={I2V: unpriced}, seconds=None)
    )


@pytest.mark.parametrize(
    ("budget", "words"),
    [(100.0, "100.00 USD: enough"), (2.0, "2.00 USD: not enough, 1.09 USD short")],
)
def test_a_budget_is_enough_or_not(budget: float, words: str) -> None:
    assert words in shown(replace(PLAN, models={T2I: STILLS}, budget=budget))


def test_where_nothing_is_to_do_nothing_is_said_of_cost_and_time() -> None:
    done = ModelPlan(PlanCounts(done=3), Cost(), 0.0)
    out = shown(replace(PLAN, models={T2I: done}, orphans=(), changed=()))
    assert "cost" not in out
    assert "time" not in out
    assert RUN not in out
    assert out.endswith("nothing was sent, nothing was written")


@pytest.mark.parametrize(
    ("on_changed", "words"),
    [
        (OnChanged.KEEP, "→ they stay as they were submitted"),
        (OnChanged.RERUN, "→ they are submitted again and paid for again"),
    ],
)
def test_a_word_about_changed_jobs_is_taken_into_the_plan(
    on_changed: OnChanged, words: str
) -> None:
    out = shown(replace(PLAN, on_changed=on_changed))
    assert words in out
    assert "refuses" not in out


def test_more_than_can_be_shown_is_counted() -> None:
    changed = tuple(replace(PLAN.changed[0], id=f"boat-{n}") for n in range(30))
    gone = tuple(OrphanedJob(f"old-{n}", T2I, "done") for n in range(15))
    counts = replace(STILLS.counts, changed=30, orphaned=15)
    many = replace(STILLS, counts=counts)
    out = shown(replace(PLAN, models={T2I: many}, changed=changed, orphans=gone))
    assert "boat-19 (done)" in out
    assert "boat-20 (done)" not in out
    assert "  and 10 more\n" in out
    assert "old-9 (done) and 5 more" in " ".join(out.split())


def live_schema(**prompt: Any) -> VendorFacts:
    schema = dict(bundled().models[T2I].schema)
    fields = dict(schema["properties"])
    fields["prompt"] = {**fields["prompt"], **prompt}
    return VendorFacts({T2I: ModelFacts(None, {**schema, "properties": fields})})


def test_a_schema_that_differs_from_the_vendors_is_a_warning() -> None:
    plan = replace(PLAN, models={T2I: STILLS}, live=live_schema(maxLength=50))
    words = " ".join(shown(plan).split())
    assert f"warning: the vendor's schema of {T2I} differs from the bundled one: prompt" in words
    most = bundled().models[T2I].schema["properties"]["prompt"]["maxLength"]
    assert f"prompt.maxLength is 50, bundled {most}" in words


@pytest.mark.parametrize(
    ("live", "offline", "words"),
    [
        (live_schema(), False, "the bundled schemas match the vendor's current ones"),
        (VendorFacts(), True, "prices and schemas were not compared with the vendor's: --offline"),
        (VendorFacts({T2I: ModelFacts()}), False, "the vendor gave no schema for some models"),
    ],
)
def test_what_was_compared_with_the_vendor_is_said(
    live: VendorFacts, offline: bool, words: str
) -> None:
    out = shown(replace(PLAN, models={T2I: STILLS}, live=live, offline=offline))
    assert words in " ".join(out.split())
    assert "warning" not in out


def test_the_document_for_programs_has_it_all() -> None:
    document = json.loads(json.dumps(PLAN.to_json()))
    assert document["total"]["to_do"] == 120
    assert document["models"][I2V]["seconds"] is None
    assert document["cost"] == {
        "known_usd": 3.0,
        "estimated_usd": 8.06,
        "jobs_without_price": 2,
    }
    assert document["budget_suffices"] is None
    assert document["changed"] == [
        {
            "id": "boat-001",
            "state": "done",
            "input": [{"key": "prompt", "before": "a boat", "now": "another one"}],
        }
    ]
    assert document["orphaned"][1] == {"id": "old-2", "model": T2I, "state": "failed"}
    assert document["models_never_timed"] == [I2V]
    assert document["vendor"]["trouble"] == "no API token"


def test_renamed_jobs_are_listed_with_what_run_will_do() -> None:
    counts = replace(STILLS.counts, renamed=1)
    plan = replace(
        PLAN,
        models={T2I: replace(STILLS, counts=counts)},
        renamed=(RenamedJob("poster-3", "poster-4", "done"),),
    )
    out = shown(plan)
    assert "  renamed        1\n" in out
    assert (
        "1 job that may have been paid for has a different id now, with the same input:\n"
        "  poster-3 → poster-4 (done)\n"
        "  → run refuses (exit code 65) unless you add --changed keep"
    ) in out
    assert "they continue under the new ids" in shown(replace(plan, on_changed=OnChanged.KEEP))
    assert plan.to_json()["renamed"] == [{"before": "poster-3", "id": "poster-4", "state": "done"}]


def test_the_command_under_the_plan_does_just_what_was_planned() -> None:
    options = RunOptions(
        selection=Selection(("b*",), (), ("!old one",), ("failed",), causes=("8fcf",)),
        limit=3,
        on_changed=OnChanged.KEEP,
        retry_failed=True,
    )
    assert options.command(Path("m y.yaml"), emulator=True) == (
        "batchgen retry 'm y.yaml' '--job=b*' '--tag=!old one' --state=failed"
        " --cause=8fcf --limit=3 --changed=keep --emulator"
    )


def test_a_suggested_command_repeats_what_was_asked() -> None:
    options = RunOptions(
        emulator=True,
        emulator_latency=0.5,
        budget=1234567.25,
        concurrency=4,
        rate=Rate(2, 1.0),
        start_at=datetime(2026, 11, 22, 22, 0, 30, tzinfo=UTC),
        strict=True,
        recover=True,
        take_over=True,
        notify=("ntfy://secret",),
    )
    words = (
        "batchgen run m.yaml --budget=1234567.25 --concurrency=4 --rate=2/s"
        " --start-at=2026-11-22T22:00:30+00:00"
    )
    rest = "--take-over --strict"
    path = Path("m.yaml")
    assert options.command(path) == f"{words} --latency=0.5 {rest} --recover --emulator"
    # It cannot be given together with --recover.
    assert options.command(path, "--start-over", emulator=False) == f"{words} {rest} --start-over"
    assert options.command(path, "--take-over", emulator=False) == f"{words} {rest} --recover"
