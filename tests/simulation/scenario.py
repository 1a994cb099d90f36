"""What a seed makes of a night: jobs, policy, weather, and where its processes are cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from batchgen.runs.options import RunOptions
from batchgen.state.reconcile import OnChanged
from tests.simulation.bucket import SHARE as BUCKETS
from tests.simulation.bucket import URL, shelf_of
from tests.simulation.chain import TAKES, chain_of
from tests.simulation.own_files import BUCKET, SHARE, album_of, path_of
from tests.simulation.picking import habits_of
from tests.simulation.tuning import tunes_of
from tests.simulation.vendor import PICTURE, PRICES
from tests.simulation.weather import Roughness

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.bucket import Shelf
    from tests.simulation.chain import Chain
    from tests.simulation.own_files import Album
    from tests.simulation.picking import Habits
    from tests.simulation.tuning import Tune

SMALL = 10
CHAINS = 0.4
"""Share of the seeds whose jobs are a chain."""

CLOSED = 0.04
"""Share of the seeds in which the vendor refuses every submit, from some moment on."""

CLOSED_JOBS = 40
"""So many then, without a chain: fewer would be over before anybody could notice."""

SILENT = 0.08
"""Share of the seeds in which one job's submits are never answered, and are repeated."""

PICKERS = 1 / 3
"""Share of the seeds whose person judges results, and has the rejected ones made again."""


TUNERS = 1 / 3
"""Share of the seeds whose person changes limits while a run goes on."""

BUDGET_TUNERS = 1 / 2
"""Share of those whose manifest sets no budget that change one all the same."""

MUCH = 1000.0
"""USD: more than any night costs."""

TUNED_JOBS = 20
"""So many then: fewer would have been sent before most changes."""

AUTO = 1 / 3
"""Share of the seeds whose run finds its concurrency by itself."""

REUSERS = 1 / 2
"""Share of the other seeds in which an earlier run has made some of the jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`lives` is how many processes are cut or meet bad weather before it is calm.

    `rival_after` is the second of each life at which the same command is given once more. The jobs
    of a `chain` take the place of `jobs`. `urls_last`: seconds for which the vendor's URLs serve.
    `habits`: None where nobody judges results. After `closed_after` submits the vendor refuses all.
    No submit of the job `silenced` is answered. `reuse`: another run has made some of the jobs.
    `tunes` are changes of limits in each life. `album`: jobs use the user's own files.
    `shelf`: results go to a bucket.
    """

    seed: int
    jobs: int
    concurrency: int | str = 8
    rate: str | None = None
    lanes: dict[str, dict[str, Any]] = field(default_factory=dict)
    retries: int = 0
    on_unknown: str = "hold"
    timeout: float = 900.0
    budget: float | None = None
    rough: Roughness = field(default_factory=Roughness)
    lives: int = 3
    rival_after: float | None = None
    options: RunOptions = field(default_factory=RunOptions)
    chain: Chain | None = None
    urls_last: float = inf
    habits: Habits | None = None
    closed_after: float = inf
    silenced: str = ""
    reuse: bool = False
    tunes: tuple[Tune, ...] = ()
    album: Album | None = None
    shelf: Shelf | None = None

    def manifest(self, folder: Path, take: float = TAKES[0]) -> dict[str, Any]:
        models: dict[str, dict[str, Any]] = {name: {} for name in PRICES}
        for name, limits in self.lanes.items():
            models[name] = dict(limits)
        run: dict[str, Any] = {
            "concurrency": self.concurrency,
            "retries": self.retries,
            "timeout": f"{self.timeout:.0f}s",
            "on_unknown": self.on_unknown,
        }
        if self.rate:
            run["rate"] = self.rate
        if self.reuse:
            run["reuse"] = True
        if self.budget is not None:
            run["budget"] = self.budget
        for name, limits in models.items():
            if self.budget is not None:
                limits["price"] = PRICES[name]
        run["models"] = {name: limits for name, limits in models.items() if limits}
        output = {"dir": str(folder)}
        if self.shelf is not None:
            output = {"dir": URL, "state": str(folder)}
        document = {"version": 1, "run": run, "output": output}
        if self.album is not None and self.album.by_bucket:
            document["inputs"] = {"send": BUCKET}
        if self.chain is None:
            return {**document, "jobs": [self._job(number) for number in range(self.jobs)]}
        if self.chain.canary:
            run["canary"] = self.chain.canary
        return {**document, "vars": {"take": take}, "jobs": self.chain.items()}

    def _job(self, number: int) -> dict[str, Any]:
        model = tuple(PRICES)[number % 3]
        job = _job_id(number)
        content: dict[str, Any] = {"prompt": job}
        if not model.endswith("text-to-image"):
            photo = None if self.album is None else self.album.photos.get(number)
            content["image_urls"] = [PICTURE if photo is None else path_of(photo)]
        return {"id": job, "model": model, "input": content}


def of_seed(seed: int, jobs: int = SMALL) -> Scenario:
    """Every seed another night; some are calm, some a storm."""
    closing = Random(f"{seed} closing")
    is_closed = closing.random() < CLOSED
    if is_closed:
        jobs = max(jobs, CLOSED_JOBS)
    tuning = Random(f"{seed} tuning")
    has_tunes = tuning.random() < TUNERS
    if has_tunes:
        jobs = max(jobs, TUNED_JOBS)
    dice = Random(f"{seed} scenario")
    rough = dice.choice((0.0, 0.02, 0.1, 0.1, 0.3, 0.6))
    total = sum(PRICES.values()) * jobs / 3
    # Dice of its own: what a seed was before there were chains it still is.
    chaining = Random(f"{seed} chain")
    has_chain = chaining.random() < CHAINS and not is_closed
    chain = chain_of(chaining, jobs) if has_chain else None
    picking = Random(f"{seed} picking")
    silencing = Random(f"{seed} silencing")
    is_silent = silencing.random() < SILENT and not (has_chain or is_closed)
    has_habits = picking.random() < PICKERS
    plain = not (has_chain or has_habits or is_closed or is_silent)
    found = Scenario(
        seed=seed,
        jobs=jobs,
        concurrency=dice.choice((1, 3, 8)),
        rate=dice.choice((None, None, "300/min", "60/min")),
        lanes={
            "bytedance/dreamina-4-0/text-to-image": dice.choice(({}, {"rate": "120/min"})),
            "bytedance/dreamina-3-0/pro/image-to-video": {"concurrency": dice.choice((1, 2))},
        },
        retries=dice.choice((0, 0, 2)),
        on_unknown=_on_unknown(dice, is_silent=is_silent),
        timeout=dice.choice((120.0, 900.0)),
        budget=dice.choice((None, None, round(total * 0.7, 2), MUCH)),
        rough=Roughness(
            submit=rough,
            result=rough / 2,
            file=rough,
            look=rough / 4,
            course=rough,
            line=dice.choice((0.0, 0.02, 0.05)),
            disk=dice.choice((0.0, 0.0, 0.0, 0.002)),
        ),
        lives=dice.choice((1, 2, 3)),
        rival_after=dice.choice((None, None, None, dice.uniform(0.0, 20.0))),
        # Who edits a manifest means it; nothing else changes an input.
        options=RunOptions(on_changed=OnChanged.RERUN),
        chain=chain,
        urls_last=chaining.choice((inf, inf, 20.0, 300.0)) if chain else inf,
        habits=habits_of(picking) if has_habits else None,
        closed_after=closing.randrange(10) if is_closed else inf,
        silenced=_job_id(silencing.randrange(jobs)) if is_silent else "",
        reuse=plain and Random(f"{seed} reuse").random() < REUSERS,
    )
    picturing = Random(f"{seed} own files")
    if picturing.random() < SHARE and not (has_chain or found.reuse):
        album = album_of(picturing, jobs, rough, may_change=not (has_habits or is_closed))
        found = replace(found, album=album)
    if found.album and found.album.changes:
        # With all jobs sent at once, no change would come between the check of a file and its use.
        found = replace(found, concurrency=picturing.choice((1, 3)))
    elif Random(f"{seed} auto").random() < AUTO and not is_closed:
        found = replace(found, concurrency="auto")
    if has_tunes:
        if found.budget is None and tuning.random() < BUDGET_TUNERS:
            found = replace(found, budget=MUCH)
        budget = None if found.budget is None else min(found.budget, total)
        found = replace(found, tunes=tunes_of(tuning, budget))
    storing = Random(f"{seed} bucket")
    if storing.random() < BUCKETS:
        found = replace(found, shelf=shelf_of(storing, rough))
    return found


def _on_unknown(dice: Random, *, is_silent: bool) -> str:
    found = dice.choice(("hold", "hold", "hold", "resubmit"))
    return "resubmit" if is_silent else found


def _job_id(number: int) -> str:
    return f"job-{number:05}"
