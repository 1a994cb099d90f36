"""`batchgen plan`, which `run --dry-run` shows too: what a run would do, its cost and duration."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_json, print_text, print_warnings
from batchgen.cli.options import (
    BUDGET,
    EMULATOR,
    JOBS,
    JSON,
    LIMIT,
    MANIFEST,
    REUSE,
    STRICT,
    all_of,
)
from batchgen.jobs import model_labels
from batchgen.runs.drift import ways_out
from batchgen.runs.estimates import WAYS_OUT, WHAT_HAPPENS, usd
from batchgen.state.reconcile import OnChanged
from batchgen.text import format_duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.runs.estimates import Cost
    from batchgen.runs.options import RunOptions
    from batchgen.runs.plan import ModelPlan, Plan
    from batchgen.state.plan_counts import PlanCounts

SHOWN_CHANGES = 20
SHOWN_RENAMED = 10
SHOWN_ORPHANS = 10
SHOWN_DIFFERENCES = 10

PIPE_COLUMNS = 100
"""Without a terminal that sets a width: lines for logs and mails."""

UNKNOWN_WHETHER_ENOUGH = "it is not known whether that is enough, since prices are unknown"

SIDE = "  "
LABEL = 10
ARROW = "→"
DASH = "-"
ROWS = (
    ("new", "new"),
    ("changed", "changed"),
    ("renamed", "renamed"),
    ("to_do", "to do"),
    ("reused", "to reuse"),
    ("waiting", "  waiting"),
    ("in_flight", "in flight"),
    ("done", "done"),
    ("failed", "failed"),
    ("unknown", "unknown"),
    ("blocked", "blocked"),
    ("cancelled", "cancelled"),
    ("lost", "lost"),
    ("asked_again", "  asked"),
    ("orphaned", "orphaned"),
)

_CHANGED_NEXT = {
    OnChanged.REFUSE: "run refuses (exit code 65) unless you add --changed keep, which leaves"
    " them as they are, or --changed rerun, which pays for them again",
    OnChanged.KEEP: "they stay as they were submitted",
    OnChanged.RERUN: "they are submitted again and paid for again",
}

_RENAMED_NEXT = {
    OnChanged.REFUSE: "run refuses (exit code 65) unless you add --changed keep, which"
    " continues under the new ids, or --changed rerun, which pays for them again",
    OnChanged.KEEP: "they continue under the new ids; nothing is paid for that",
    OnChanged.RERUN: "the selected ones are submitted as new jobs and paid for again",
}


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, LIMIT, BUDGET, REUSE)
@click.option("--offline", is_flag=True, help="Do not ask the vendor for prices and schemas.")
@STRICT
@click.option(
    "--jobs", "each", is_flag=True, help="List each job with the input that would be sent."
)
@JSON
def plan(manifest: Path, offline: bool, each: bool, as_json: bool, **asked: Any) -> int:
    """Show what a run would do, its cost and duration; nothing is sent.

    Also shows new, changed and removed jobs. With a token, compares prices and schemas with the
    vendor's of today.
    """
    from batchgen.cli.job_details import print_planned_jobs
    from batchgen.runs.options import RunOptions
    from batchgen.state.queries import Selection

    chosen = {one.name: asked.pop(one.name) for one in fields(Selection) if one.name in asked}
    options = RunOptions(selection=Selection(**chosen), **asked)
    if each:
        return print_planned_jobs(manifest, options, as_json=as_json)
    return show_plan(manifest, options, offline=offline, as_json=as_json)


def show_plan(path: Path, options: RunOptions, *, offline: bool, as_json: bool) -> int:
    """Show the plan; sends and writes nothing. Raises ManifestError, MissingFileError."""
    from batchgen.runs.api import plan_run

    found = plan_run(path, options, offline=offline)
    if as_json:
        print_json(found.to_json())
        return 0
    print_warnings(found.warnings)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_COLUMNS
    command = options.command(path, emulator=found.rehearsal)
    print_text("\n".join(plan_lines(found, columns, command)))
    return 0


def plan_lines(plan: Plan, columns: int, run: str) -> Iterator[str]:
    """The plan as text of so many columns; `run` is the command that carries it out."""
    yield from _wrapped(f"{plan.name} · {plural(plan.total.jobs, 'job')} · {plan.folder}", columns)
    yield ""
    yield from _table(plan, columns)
    yield from _wrapped(_overlaps(plan.total), columns, DASH)
    yield ""
    for label, text in _facts(plan):
        yield from _wrapped(text, columns, label)
    yield from _changed_lines(plan, columns)
    yield from _renamed_lines(plan, columns)
    yield from _orphan_lines(plan, columns)
    yield from _vendor_lines(plan, columns)
    yield ""
    yield "nothing was sent, nothing was written"
    if plan.total.to_do or plan.total.reused or plan.total.in_flight or plan.total.asked_again:
        yield f"  → {run}"


def _table(plan: Plan, columns: int) -> Iterator[str]:
    """A column for each model and one for all; rows without jobs are left out."""
    heads = [*model_labels(plan.models).values()]
    figures = [model.counts for model in plan.models.values()]
    costs = [model.cost for model in plan.models.values()]
    if len(heads) > 1:
        heads, figures, costs = [*heads, "all"], [*figures, plan.total], [*costs, plan.cost]
    rows = [
        (label, [_cell(getattr(one, name)) for one in figures])
        for name, label in ROWS
        if getattr(plan.total, name)
    ]
    if plan.total.to_do:
        rows.append(("USD", [_usd_cell(one) for one in costs]))
    widths = [
        max(len(text) for text in column) + len(SIDE)
        for column in zip(heads, *(cells for _, cells in rows), strict=True)
    ]
    if len(SIDE) + LABEL + sum(widths) > columns:
        yield from _lists(plan, columns)
        return
    for label, cells in [("", heads), *rows]:
        shown = "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        yield f"{SIDE}{label:<{LABEL}}{shown}".rstrip()


def _overlaps(total: PlanCounts) -> str:
    """Say which jobs are in more than one row, where that is not plain; empty if none is."""
    twice = ["changed jobs"] * bool(total.changed) + ["renamed jobs"] * bool(total.renamed)
    # From pending to lost, each job counts once.
    twice += ["jobs to submit again"] * (total.to_do > total.pending)
    return f"{' and '.join(twice)} are also counted by their state" if twice else ""


def _lists(plan: Plan, columns: int) -> Iterator[str]:
    """The same figures where the table is too wide."""
    labels = model_labels(plan.models)
    for name, model in plan.models.items():
        yield from _wrapped(_model_text(model), columns, labels[name])


def _model_text(model: ModelPlan) -> str:
    counts: PlanCounts = model.counts
    parts = [
        f"{getattr(counts, name):,} {label.strip()}"
        for name, label in ROWS
        if getattr(counts, name)
    ]
    if counts.to_do:
        parts.append(f"{_usd_cell(model.cost)} USD")
    return ", ".join(parts)


def _cell(count: int) -> str:
    return f"{count:,}" if count else "·"


def _usd_cell(cost: Cost) -> str:
    """`3.00`; `~1.20` for an estimate, `?` for an unknown price, which is never shown as 0."""
    amount = f"{'~' if cost.estimated else ''}{usd(cost.total).removesuffix(' USD')}"
    if not cost.unpriced:
        return amount
    return f"{amount}+?" if cost.total else "?"


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.total.to_do:
        yield "cost", plan.cost.words()
    spent, unpriced = plan.money.committed, plan.money.unpriced
    if spent or unpriced:
        more = f" + {plural(unpriced, 'request')} without a known price" if unpriced else ""
        yield "spent", f"{usd(spent)}{more}"
    if plan.budget is not None:
        yield "budget", f"{usd(plan.budget)}: {_budget_text(plan)}"
    if plan.total.reused:
        reused = plural(plan.total.reused, "result")
        yield "reuse", f"{reused} of other runs, which saves {plan.saved.words()}"
    if plan.bucket:
        here = f"in {plan.folder}, as this is a rehearsal; a run stores them in {plan.bucket}"
        yield "results", here if plan.rehearsal else plan.bucket
    if plan.files.count:
        yield "files", plan.files.words()
    if plan.total.asked_again:
        asked = plural(plan.total.asked_again, "result")
        yield "asked", f"again, for free: {asked} of requests set aside or not found"
    yield from _balance_facts(plan)
    if plan.total.to_do or plan.total.in_flight:
        yield "time", _time_text(plan)


def _balance_facts(plan: Plan) -> Iterator[tuple[str, str]]:
    """A note if it is not known; nothing with --offline, or if there is nothing to pay."""
    funds = plan.funds
    if not plan.total.to_do or plan.offline:
        return
    if funds.balance is None:
        if plan.live.no_balance:
            yield "balance", f"not known: {plan.live.no_balance}"
        return
    suffices = {
        True: "enough",
        False: f"not enough, {usd(funds.missing)} short; {WHAT_HAPPENS}: {WAYS_OUT}",
        None: UNKNOWN_WHETHER_ENOUGH,
    }
    yield "balance", f"{usd(funds.balance)}: {suffices[funds.suffice]}"


def _budget_text(plan: Plan) -> str:
    match plan.budget_suffices:
        case True:
            return "enough"
        case False:
            assert plan.budget is not None, "without a budget there is no such line"
            missing = plan.money.committed + plan.cost.total - plan.budget
            return f"not enough, {usd(missing)} short; what exceeds it is not sent"
        case None:
            return UNKNOWN_WHETHER_ENOUGH


def _time_text(plan: Plan) -> str:
    if plan.seconds is None:
        return "not known until the first requests are done"
    labels = model_labels(plan.models)
    untimed = ", ".join(labels[model] for model in plan.untimed)
    paces = [
        f"the vendor accepted {60 / seconds:.3g} {labels[model]}/min when it last throttled"
        for model, seconds in plan.throttled.items()
    ]
    total = f"about {format_duration(plan.seconds)}" + (f", without {untimed}" if untimed else "")
    shared = ["longer while other runs share its limits"] if plan.shares else []
    return "; ".join([total, *paces, *shared])


def _changed_lines(plan: Plan, columns: int) -> Iterator[str]:
    from batchgen.runs.plan import changes_of

    count = plan.total.changed
    if not count:
        return
    yield ""
    have = "has" if count == 1 else "have"
    yield from _wrapped(
        f"{plural(count, 'job')} that may have been paid for {have} a different input now:", columns
    )
    for one in plan.changed[:SHOWN_CHANGES]:
        yield f"  {one.id} ({one.state})"
        for change in changes_of(one):
            # The line holds both sides, the key, the arrow and the indent.
            side = max(8, (columns - len(change.key) - 9) // 2)
            yield f"    {change.words(side)}"
    if count > SHOWN_CHANGES:
        yield f"  and {count - SHOWN_CHANGES} more"
    yield from _wrapped(_CHANGED_NEXT[plan.on_changed], columns, ARROW)


def _renamed_lines(plan: Plan, columns: int) -> Iterator[str]:
    count = plan.total.renamed
    if not count:
        return
    yield ""
    have = "has" if count == 1 else "have"
    yield from _wrapped(
        f"{plural(count, 'job')} that may have been paid for {have} a different id now, with the"
        " same input:",
        columns,
    )
    for one in plan.renamed[:SHOWN_RENAMED]:
        yield f"  {one.before} {ARROW} {one.now} ({one.state})"
    if count > SHOWN_RENAMED:
        yield f"  and {count - SHOWN_RENAMED} more"
    yield from _wrapped(_RENAMED_NEXT[plan.on_changed], columns, ARROW)


def _orphan_lines(plan: Plan, columns: int) -> Iterator[str]:
    count = plan.total.orphaned
    if not count:
        return
    names = ", ".join(f"{one.id} ({one.state})" for one in plan.orphans[:SHOWN_ORPHANS])
    more = f" and {count - SHOWN_ORPHANS} more" if count > SHOWN_ORPHANS else ""
    yield ""
    known = f"{count:,} known to the state, no longer in the manifest: {names}{more}"
    yield from _wrapped(known, columns)


def _vendor_lines(plan: Plan, columns: int) -> Iterator[str]:
    yield ""
    differences = plan.live.differences()
    for model, sentences in differences.items():
        shown = "; ".join(sentences[:SHOWN_DIFFERENCES])
        more = len(sentences) - SHOWN_DIFFERENCES
        rest = f"; and {more} more" if more > 0 else ""
        known = f"the {plan.live.name_of(model)} one"
        yield from _wrapped(
            f"warning: the vendor's schema of {model} differs from {known}: {shown}{rest}",
            columns,
        )
    yield from _outdated_lines(plan, columns)
    if not differences or plan.live.trouble:
        yield from _wrapped(_comparison(plan), columns)


def _outdated_lines(plan: Plan, columns: int) -> Iterator[str]:
    lines = plan.outdated.lines()
    if not lines:
        return
    yield from _wrapped(
        "run refuses (exit code 65): the vendor no longer takes the input of", columns
    )
    for line in lines[:SHOWN_DIFFERENCES]:
        yield from _wrapped(line, columns, DASH)
    if len(lines) > SHOWN_DIFFERENCES:
        yield f"  and {len(lines) - SHOWN_DIFFERENCES} more"
    yield from _wrapped(ways_out(plan.outdated.models[0]), columns, ARROW)


def _comparison(plan: Plan) -> str:
    not_compared = "were not compared with the vendor's"
    if plan.offline:
        return f"prices and schemas {not_compared}: --offline"
    if plan.live.trouble:
        some = "some " if plan.live.facts else ""
        return f"{some}prices and schemas {not_compared}: {plan.live.trouble}"
    if len(plan.live.compared) < len(plan.models):
        return f"the vendor gave no schema for some models; these {not_compared}"
    named = dict.fromkeys(plan.live.name_of(model) for model in plan.models)
    return f"the {' and '.join(named)} schemas match the vendor's current ones"


def _wrapped(text: str, columns: int, label: str = "") -> list[str]:
    """Break a text between words; below a label, an arrow or a dash, it stays indented."""
    indent = f"{SIDE}{label:<{LABEL}}" if label else ""
    if label in {ARROW, DASH}:
        indent = f"{SIDE}{label} "
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
