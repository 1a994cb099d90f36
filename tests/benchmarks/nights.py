"""How near a night comes to the earliest possible end: the real engine on a virtual clock.

    python -m tests.benchmarks.nights [--row NAME …] [--seeds 3] [--jobs N] [--json]

Each row is a night: a vendor with so many workers for each model, lognormal service times, and its
limits. `engine` is ours, with the concurrency of the row (`--concurrency N` sets another);
`engine, limit known` is ours with a concurrency that always is the vendor's limit; `plain 2 s` and
`plain 5 s` poll as often, as the vendor's own clients do.

x bound      makespan in terms of the clairvoyant's (`night_clients.py::clairvoyant`)
429          refused submits
polls        per job; `queued`: those of them that found the request in the vendor's queue
delay        seconds from a request's end to the answer that shows it: mean, and 95th percentile
idle         share of the workers' time, while jobs wait to be submitted; `late`: the part for which
             the place of an ended request is held because nobody has noticed its end
starved      the longest time in seconds for which a model with due jobs has nothing in flight

Medians over the seeds; the spread of `x bound` is its lowest and highest value.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, median, quantiles

from batchgen.manifest.policy import AUTO
from tests.benchmarks.night_clients import Asked, Played, clairvoyant, play_engine, play_plain
from tests.benchmarks.night_vendor import Limit, Model, Night

MODULE = "tests.benchmarks.nights"
KNOWN = "engine, limit known"
CLIENTS: dict[str, Callable[[Night, int, Asked], Played]] = {
    "engine": play_engine,
    KNOWN: lambda night, seed, asked: play_engine(night, seed, asked, knows_limit=True),
    "plain 2 s": lambda night, seed, asked: play_plain(night, seed, asked, 2.0),
    "plain 5 s": lambda night, seed, asked: play_plain(night, seed, asked, 5.0),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A night, the concurrency that the user asks for, and what is special about it."""

    name: str
    about: str
    night: Night
    asked: Asked


def _three(jobs: tuple[int, int, int], workers: int) -> tuple[Model, ...]:
    names, medians = ("quick", "usual", "slow"), (12.0, 20.0, 90.0)
    return tuple(Model(*one, workers) for one in zip(names, jobs, medians, strict=True))


def _limited(limit: Limit) -> Night:
    return Night((Model("usual", 400, 20.0, 32),), limit)


_ONE = Night((Model("usual", 400, 20.0, 8),))

ROWS = (
    Row(
        "three-models",
        "three models of 12, 20 and 90 s with as much work each; W = 8 each, asked 24 in all",
        Night(_three((600, 360, 80), 8)),
        Asked(24),
    ),
    Row(
        "three-models-mixed",
        "the same with fewer quick and more slow jobs",
        Night(_three((400, 300, 120), 8)),
        Asked(24),
    ),
    Row("limit-asked-16", "429 above 8 unfinished, W = 32", _limited(Limit(8)), Asked(16)),
    Row("limit-asked-64", "429 above 8 unfinished, W = 32", _limited(Limit(8)), Asked(64)),
    Row(
        "limit-asked-16-retry-after",
        "429 above 8 unfinished with Retry-After: 30, W = 32",
        _limited(Limit(8, retry_after=30.0)),
        Asked(16),
    ),
    Row(
        "limit-asked-64-retry-after",
        "429 above 8 unfinished with Retry-After: 30, W = 32",
        _limited(Limit(8, retry_after=30.0)),
        Asked(64),
    ),
    Row(
        "falling-limit",
        "429 above 32 unfinished, above 8 from 300 s to 600 s; W = 32",
        Night((Model("usual", 1600, 20.0, 32),), Limit(32, falls_at=300.0, falls_for=300.0)),
        Asked(32),
    ),
    Row("exactly-w", "one model of 20 s, W = 8, asked 8", _ONE, Asked(8)),
    Row("w-plus-2", "one model of 20 s, W = 8, asked 10", _ONE, Asked(10)),
    Row(
        "far-over",
        "three models, W = 3 each, asked 12 of each",
        Night(_three((80, 80, 80), 3)),
        Asked(36, each=12),
    ),
    Row(
        "cold-starts",
        "cold starts of 60 s, W = 12, asked 8",
        Night((Model("usual", 300, 20.0, 12, cold_start=60.0),)),
        Asked(8),
    ),
    Row(
        "easy",
        "two models of 12 and 20 s with W = 4 and 16, asked 40 in all",
        Night((Model("quick", 240, 12.0, 4), Model("usual", 576, 20.0, 16))),
        Asked(40),
    ),
    Row(
        "chain",
        "150 stills, then 40 whose clips of 90 s need them; W = 8 and 4, asked 24 in all",
        Night((Model("still", 190, 20.0, 8), Model("clip", 40, 90.0, 4)), is_chain=True),
        Asked(24),
    ),
    Row(
        "chain-of-stills",
        "the same with 12 clips: the stills take longer",
        Night((Model("still", 190, 20.0, 8), Model("clip", 12, 90.0, 4)), is_chain=True),
        Asked(24),
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one client in one night, or medians over several."""

    x_bound: float
    makespan: float
    refusals: float
    polls: float
    polls_queued: float
    delay: float
    delay_p95: float
    idle: float
    idle_late: float
    idle_travelling: float
    starved: float


def figures(played: Played, bound: float) -> Figures:
    counts, jobs = played.counts, len(played.counts.delays)
    usable = sum(usage.usable for usage in played.usage)
    return Figures(
        x_bound=played.seconds / bound,
        makespan=played.seconds,
        refusals=counts.refusals,
        polls=counts.polls / jobs,
        polls_queued=counts.polls_while_queued / jobs,
        delay=fmean(counts.delays),
        delay_p95=quantiles(counts.delays, n=20)[-1],
        idle=sum(usage.idle for usage in played.usage) / usable,
        idle_late=sum(usage.late for usage in played.usage) / usable,
        idle_travelling=sum(usage.travelling for usage in played.usage) / usable,
        starved=max(usage.starved for usage in played.usage),
    )


def clients_of(row: Row) -> list[str]:
    return [name for name in CLIENTS if name != KNOWN or row.night.limit is not None]


def one_night(row: Row, client: str, seed: int) -> Figures:
    played = CLIENTS[client](row.night, seed, row.asked)
    return figures(played, clairvoyant(row.night, seed))


def medians(nights: Sequence[Figures]) -> Figures:
    each = [asdict(one) for one in nights]
    return Figures(**{key: median(one[key] for one in each) for key in each[0]})


HEADINGS = (
    f"  {'':20} {'x bound':>8} {'(spread)':>13} {'makespan':>9} {'429':>5} {'polls':>6}"
    f" {'queued':>6} {'delay':>6} {'p95':>6} {'idle':>6} {'late':>6} {'starved':>8}"
)


def line(client: str, nights: Sequence[Figures]) -> str:
    it = medians(nights)
    ratios = [one.x_bound for one in nights]
    spread = f"{min(ratios):.3f}-{max(ratios):.3f}"
    return (
        f"  {client:20} {it.x_bound:8.3f} {spread:>13} {it.makespan:7.0f} s {it.refusals:5.0f}"
        f" {it.polls:6.2f} {it.polls_queued:6.2f} {it.delay:6.2f} {it.delay_p95:6.2f}"
        f" {it.idle:6.1%} {it.idle_late:6.1%} {it.starved:8.1f}"
    )


def command(row: Row, asked: argparse.Namespace) -> str:
    """What prints this row alone."""
    more = f" --concurrency {asked.concurrency}" if asked.concurrency else ""
    return f"python -m {MODULE} --row {row.name} --seeds {asked.seeds}{more}"


def with_concurrency(row: Row, asked: int | str | None) -> Row:
    """`asked` replaces the row's; `auto` does so for the engine, and as its only limit."""
    match asked:
        case None:
            return row
        case int():
            return replace(row, asked=Asked(asked))
        case _:
            auto = replace(row.asked, run={"concurrency": asked, "models": {}})
            return replace(row, asked=auto)


def _concurrency(text: str) -> int | str:
    return AUTO if text == AUTO else int(text)


def measure(row: Row, seeds: int, play: _Play) -> dict[str, list[Figures]]:
    clients = clients_of(row)
    tasks = [(row, client, seed) for client in clients for seed in range(1, seeds + 1)]
    nights = list(play(tasks))
    return {
        client: nights[number * seeds : (number + 1) * seeds]
        for number, client in enumerate(clients)
    }


_Play = Callable[[Iterable[tuple[Row, str, int]]], Iterable[Figures]]


def document(row: Row, seeds: int, by_client: dict[str, list[Figures]]) -> dict[str, object]:
    return {
        "row": row.name,
        "about": row.about,
        "bound": [clairvoyant(row.night, seed) for seed in range(1, seeds + 1)],
        "clients": {
            client: {"median": asdict(medians(nights)), "nights": [asdict(one) for one in nights]}
            for client, nights in by_client.items()
        },
    }


def show(row: Row, how: str, seeds: int, by_client: dict[str, list[Figures]]) -> None:
    print(f"{row.name}: {row.about}\n  $ {how}\n{HEADINGS}")
    for client, nights in by_client.items():
        print(line(client, nights))
    bound = median(clairvoyant(row.night, seed) for seed in range(1, seeds + 1))
    print(f"  {'clairvoyant':20} {1:8.3f} {'':13} {bound:7.0f} s\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="only this row; repeatable")
    parser.add_argument("--seeds", type=int, default=3, help="nights of each client (3)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="nights played at once (one a core)"
    )
    parser.add_argument(
        "--concurrency", type=_concurrency, metavar="N|auto", help="instead of each row's own"
    )
    parser.add_argument("--json", action="store_true", help="print one document")
    return parser


def main() -> None:
    asked = _parser().parse_args()
    chosen = [row for row in ROWS if not asked.row or row.name in asked.row]
    begun = time.monotonic()
    documents = []
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        for one in chosen:
            row = with_concurrency(one, asked.concurrency)
            by_client = measure(row, asked.seeds, lambda tasks: pool.starmap(one_night, tasks, 1))
            if asked.json:
                documents.append(document(row, asked.seeds, by_client))
            else:
                show(row, command(row, asked), asked.seeds, by_client)
    if asked.json:
        json.dump(documents, sys.stdout, indent=1)
    print(f"{time.monotonic() - begun:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
