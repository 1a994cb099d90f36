"""The measuring instrument itself, on nights that are small enough to count by hand."""

from __future__ import annotations

import asyncio
import json
from itertools import starmap

import pytest

from batchgen.runcomfy.outcomes import Accepted, Queued, Running, Throttled
from batchgen.runcomfy.upload import at_once
from tests.benchmarks import nights
from tests.benchmarks.night_clients import Asked, clairvoyant, play_engine, play_plain
from tests.benchmarks.night_vendor import TRAVEL, Limit, Model, Night, NightVendor
from tests.benchmarks.nights import CLIENTS, KNOWN, ROWS, Row, clients_of, document, line, measure
from tests.engine.virtual_loop import virtually

TINY = Row("tiny", "twelve jobs", Night((Model("usual", 12, 5.0, 2),), Limit(3)), Asked(4))


def test_a_tiny_night_gives_a_sane_row() -> None:
    by_client = measure(TINY, 2, lambda tasks: starmap(nights.one_night, tasks))
    assert list(by_client) == list(CLIENTS)
    for client, played in by_client.items():
        assert "x bound" in nights.HEADINGS
        assert client in line(client, played)
        for one in played:
            assert 0.95 < one.x_bound < 3.0
            assert one.polls >= 1.0
            assert 0.0 < one.delay <= one.delay_p95
            assert 0.0 <= one.idle_late <= one.idle < 1.0
    assert all(one.refusals == 0 for one in by_client[KNOWN])
    assert all(one.refusals > 0 for one in by_client["plain 2 s"])
    assert json.loads(json.dumps(document(TINY, 2, by_client)))["row"] == "tiny"


def test_one_seed_gives_one_night() -> None:
    first, second, other = (play_engine(TINY.night, seed, TINY.asked) for seed in (1, 1, 2))
    assert first == second
    assert first.seconds != other.seconds


def test_nobody_is_faster_than_the_work_allows() -> None:
    model = TINY.night.models[0]
    least = sum(model.durations(1)) / model.workers
    assert least < clairvoyant(TINY.night, 1) < least + max(model.durations(1)) + TRAVEL


def test_the_clairvoyant_pays_for_cold_starts_once() -> None:
    cold = Night((Model("usual", 12, 5.0, 2, cold_start=60.0),))
    warm = Night((Model("usual", 12, 5.0, 2),))
    assert clairvoyant(cold, 1) == pytest.approx(clairvoyant(warm, 1) + 60.0)


def test_the_clairvoyant_obeys_a_limit_that_falls() -> None:
    model = Model("usual", 40, 5.0, 4)
    steady = clairvoyant(Night((model,), Limit(4)), 1)
    fallen = clairvoyant(Night((model,), Limit(4, falls_at=10.0, falls_for=20.0)), 1)
    assert steady + 10.0 < fallen < steady + 20.0


def test_the_vendor_queues_refuses_and_meters() -> None:
    async def evening() -> tuple[list[object], NightVendor]:
        vendor = NightVendor(Night((Model("usual", 3, 5.0, 1),), Limit(2, retry_after=7.0)), 1)
        answers: list[object] = [
            await vendor.submit("usual", json.dumps({"number": number}), at_once)
            for number in range(3)
        ]
        answers += [await vendor.result(request) for request in ("r0", "r1")]
        await asyncio.sleep(30.0)
        vendor.usage()
        return answers, vendor

    answers, vendor = virtually(evening())
    assert answers == [
        Accepted("r0", "{}"),
        Accepted("r1", "{}"),
        Throttled(7.0, "too many unfinished requests"),
        Running(),
        Queued(1),
    ]
    (usage,) = vendor.usage()
    assert usage.starved > 10.0
    assert usage.late == pytest.approx(usage.idle, abs=1.0)


def test_a_plain_client_sees_an_end_half_an_interval_late() -> None:
    night = Night((Model("usual", 200, 20.0, 8),))
    delays = play_plain(night, 1, Asked(8), 5.0).counts.delays
    assert 2.0 < sum(delays) / len(delays) < 3.0


def test_every_row_is_reachable_by_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all("plain 5 s" in clients_of(row) for row in ROWS)
