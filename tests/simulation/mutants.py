"""`python -m tests.simulation.mutants`: each safeguard is switched off, and the judge must notice.

A mutant is a change made to the program in a process of its own. Seeds are played until one of
them has a finding; a mutant that none notices is a safeguard that nothing proves.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import click

from tests.simulation import (
    bucket_mutations,
    chain_mutations,
    form_mutations,
    mutations,
    own_files_mutations,
    picking_mutations,
    shim,
    tuning_mutations,
)
from tests.simulation.campaign import play_seed

MOST_SEEDS = 3000
MUTANTS = (
    *mutations.MUTATIONS,
    *chain_mutations.MUTATIONS,
    *picking_mutations.MUTATIONS,
    *form_mutations.MUTATIONS,
    *tuning_mutations.MUTATIONS,
    *own_files_mutations.MUTATIONS,
    *bucket_mutations.MUTATIONS,
)


PRELOADED = sorted({play_seed.__module__, *(mutant.__module__ for mutant in MUTANTS)})


def hunt(name: str, most: int) -> tuple[str, int | None, str]:
    """Play seeds with this mutant, in a process of its own; which seed notices first, and how."""
    # A program without its safeguards complains in many ways; only the judge's word counts.
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until this process ends
    os.dup2(sys.stderr.fileno(), 2)
    next(mutant for mutant in MUTANTS if mutant.__name__ == name)()
    for seed in range(most):
        findings = play_seed(seed).findings
        if findings:
            return name, seed, str(findings[0][1]).splitlines()[0]
    return name, None, "nobody noticed"


@click.command()
@click.option("--only", multiple=True, metavar="GLOB", help="Mutants by their names.")
@click.option("--seeds", default=MOST_SEEDS, show_default=True, help="How many seeds at most.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
def main(only: tuple[str, ...], seeds: int, processes: int) -> None:
    """Switch off one safeguard after the other. Exit 1 where the simulation notices one not."""
    globs = only or ("*",)
    names = [
        mutant.__name__
        for mutant in MUTANTS
        if any(fnmatchcase(mutant.__name__, glob) for glob in globs)
    ]
    caught = 0
    # A process is mutated once and for all: each serves one mutant.
    context = multiprocessing.get_context("forkserver")
    # Imported once, by the process that all are forked from.
    context.set_forkserver_preload(PRELOADED)
    with context.Pool(processes, maxtasksperchild=1) as pool:
        for name, seed, how in pool.imap(partial(hunt, most=seeds), names, chunksize=1):
            caught += seed is not None
            place = f"seed {seed}" if seed is not None else "NOT CAUGHT"
            click.echo(f"{name.replace('_', ' '):42} {place:10} {how[:100]}")
    click.echo(f"{caught} of {len(names)} mutants caught")
    sys.exit(0 if names and caught == len(names) else 1)


if __name__ == "__main__":
    shim.run_again_with_shim(["-m", "tests.simulation.mutants", *sys.argv[1:]])
    main()
