"""`python -m tests.simulation`: simulated nights, and what the judge says of them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from tests.simulation import shim
from tests.simulation.campaign import Tally, night_of, play, play_pairs, play_seed, random_cuts
from tests.simulation.points import POINTS
from tests.simulation.scenario import of_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHOWN = 10


@click.command()
@click.option("--seeds", default=300, show_default=True, help="How many nights.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--jobs", type=int, help="Jobs of a night; the seeds' own number by default.")
@click.option("--pairs", is_flag=True, help="Cut one small night at every pair of points instead.")
@click.option("--store", is_flag=True, help="With --pairs: its result goes to a bucket.")
@click.option("--trace", is_flag=True, help="Print what happened in the first seed's night.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def main(
    seeds: int,
    first: int,
    jobs: int | None,
    pairs: bool,
    store: bool,
    trace: bool,
    processes: int,
) -> None:
    """Simulate nights with crashes and faults, and judge them. Exit 1 where an invariant broke."""
    if trace:
        print_trace(first, jobs)
        return
    begun = time.monotonic()
    if pairs:
        work = partial(play_pairs, stores=store)
        tally = _all_together(work, itertools.count(1), processes)
    else:
        work = partial(play_seed, jobs=jobs)
        tally = _all_together(work, range(first, first + seeds), processes)
    seconds = time.monotonic() - begun
    for line in figures(tally, seconds):
        click.echo(line)
    sys.exit(1 if tally.findings else 0)


def _all_together(work: Callable[[int], Tally], numbers: Iterable[int], processes: int) -> Tally:
    """Stops at the first number that is beyond the last point of the small night."""
    tally = Tally()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        waiting = iter(numbers)
        while batch := list(itertools.islice(waiting, processes * 20)):
            parts = pool.map(work, batch, chunksize=5)
            for part in parts:
                tally.add(part)
                for seed, finding in part.findings:
                    click.echo(f"{seed}: {finding}", err=True)
            if not all(part.seeds for part in parts):
                return tally
            click.echo(f"… {tally.seeds} nights, {len(tally.findings)} findings", err=True)
    return tally


def figures(tally: Tally, seconds: float) -> list[str]:
    unnumbered = sorted(set(tally.points) - set(POINTS))
    others = len(tally.findings) - _of(tally, "duplicate charge", "lost result")
    per_kill = tally.unknown / tally.kills if tally.kills else 0.0
    lines = [
        f"nights (seeds)           {tally.seeds}",
        f"lives of the program     {tally.lives}",
        f"events simulated         {tally.events}",
        f"charges                  {tally.charges}",
        f"of jobs with needs       {tally.chained}",
        f"results approved         {tally.approvals}",
        f"picks of results         {tally.picks}",
        f"retries of the rejected  {tally.asked}",
        f"made again by them       {tally.remade}",
        f"changes of limits        {tally.tunes}",
        f"reused results           {tally.reused}",
        f"own files sent           {tally.photos}",
        f"uploads cut off          {tally.spared}",
        f"nights with a bucket     {tally.shelves}",
        f"results put there        {tally.puts}, {tally.objects} objects in the end",
        f"crashes                  {tally.kills}",
        f"crash points covered     {len(tally.cuts)} of {len(POINTS)}, {tally.cuts.total()} cuts",
        f"pairs of points covered  {len(tally.pairs)} kinds, {tally.pairs.total()} pairs",
        f"faults injected          {tally.faults.total()} of {len(tally.faults)} kinds",
        f"duplicate charges        {_of(tally, 'duplicate charge')}",
        f"lost results             {_of(tally, 'lost result')}",
        f"other findings           {others}",
        f"unknown per kill         {per_kill:.2f}, at most {tally.most_unknown}",
        f"seconds                  {seconds:.0f}",
    ]
    lines += [f"{seed}: {finding}" for seed, finding in tally.findings[:SHOWN]]
    lines += [f"a point that has no number yet: {label}" for label in unnumbered]
    return lines if not tally.findings else [*lines, "→ look at one with: --first SEED --trace"]


def _of(tally: Tally, *kinds: str) -> int:
    return sum(finding.kind in kinds for _, finding in tally.findings)


def print_trace(seed: int, jobs: int | None) -> None:
    scenario = of_seed(seed) if jobs is None else of_seed(seed, jobs)
    with night_of(scenario, keep_trace=True) as night:
        play(night, random_cuts(scenario))
    for line in night.trace or ():
        click.echo(line)
    for finding in night.findings:
        click.echo(str(finding))
    click.echo(f"digest {night.digest}")


if __name__ == "__main__":
    shim.run_again_with_shim(["-m", "tests.simulation", *sys.argv[1:]])
    main()
