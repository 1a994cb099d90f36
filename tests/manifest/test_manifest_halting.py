"""When a run stops by itself: the values that a manifest may have, and messages about others."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone

import pytest

from batchgen.errors import InputError
from batchgen.manifest.units import (
    Halt,
    Moment,
    next_moment,
    parse_bytes,
    parse_moment,
    start_moment,
)
from tests.manifest.manifest_reading import T2I, read

JOBS = f"jobs:\n  - {{id: a, model: {T2I}, input: {{prompt: x}}}}\n"
EAST = timezone(timedelta(hours=1))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    clock.tzset()
    yield
    monkeypatch.undo()
    clock.tzset()


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_manifest_sets_when_to_stop() -> None:
    run = "{halt: {failed: 12.5%, after: 40}, start_at: '22:00', stop_at: 07:00, max_duration: 8h}"
    reading = read(f"version: 1\nrun: {run}\noutput: {{min_free: 1GB}}\n{JOBS}")
    assert reading.problems == []
    assert reading.manifest is not None
    policy = reading.manifest.policy
    assert policy.halt == Halt(percent=12.5, after=40)
    assert (policy.stop_at, policy.max_duration) == (time(7), 8 * 3600.0)
    assert policy.start_at == time(22)
    assert reading.manifest.output.min_free == 10**9


@pytest.mark.parametrize(
    ("text", "halt"),
    [
        ("{failed: 20%}", Halt(percent=20.0, after=25)),
        ("{failed: 100 %, after: 1}", Halt(percent=100.0, after=1)),
        ("{failed: 10}", Halt(count=10, after=1)),
        ("{failed: 10, after: 50}", Halt(count=10, after=50)),
    ],
)
def test_failures_are_a_share_or_a_number(text: str, halt: Halt) -> None:
    manifest = read(f"version: 1\nrun: {{halt: {text}}}\n{JOBS}").manifest
    assert manifest is not None
    assert manifest.policy.halt == halt


def test_by_default_nothing_stops_a_run() -> None:
    manifest = read(f"version: 1\n{JOBS}").manifest
    assert manifest is not None
    policy = manifest.policy
    assert (policy.halt, policy.stop_at, policy.max_duration) == (None, None, None)
    assert manifest.output.min_free is None


@pytest.mark.parametrize(
    ("line", "problem", "hint"),
    [
        (
            "run: {halt: 3}",
            "2:13 run.halt must be a mapping; got 3",
            "write its keys (after, failed) on the lines below it",
        ),
        ("run: {halt: {after: 3}}", "2:7 run.halt.failed is required", None),
        (
            "run: {halt: {failed: 0%}}",
            "2:22 run.halt.failed must be a share such as 20%, or a number of jobs; got '0%'",
            None,
        ),
        (
            "run: {halt: {failed: 120%}}",
            "2:22 run.halt.failed must be a share such as 20%, or a number of jobs; got '120%'",
            None,
        ),
        (
            "run: {halt: {failed: 0}}",
            "2:22 run.halt.failed must be between 1 and 1000000000; got 0",
            None,
        ),
        (
            "run: {halt: {failed: 1.0}}",
            "2:22 run.halt.failed must be text or a whole number; got 1.0",
            "put it in quotes",
        ),
        (
            "run: {halt: {failed: 20%, aftr: 3}}",
            "2:27 unknown key 'aftr' in run.halt",
            "did you mean 'after'?",
        ),
        (
            "run: {halt: {failed: 20%, after: 0}}",
            "2:34 run.halt.after must be between 1 and 1000000000; got 0",
            None,
        ),
        (
            "run: {stop_at: 25:00}",
            "2:16 a time looks like 07:00 or 2026-11-22T07:00; got '25:00'",
            "write a time of day, or a date and a time; +01:00 or Z after it is an offset",
        ),
        ("run: {stop_at: 7}", "2:16 run.stop_at must be text; got 7", "put it in quotes"),
        ("run: {stop_at: ''}", "2:16 run.stop_at is empty", None),
        (
            "run: {max_duration: 0s}",
            "2:21 a duration looks like 90s, 15m or 1h30m, up to 31d; got '0s'",
            "write a number and its unit: s, m, h or d",
        ),
        (
            "run: {max_duration: long}",
            "2:21 run.max_duration must look like 90s, 15m or 1h30m; got 'long'",
            None,
        ),
        (
            "output: {min_free: lots}",
            "2:20 output.min_free must look like 500MB, 1GB or 2GiB; got 'lots'",
            None,
        ),
        (
            "output: {min_free: -1}",
            "2:20 output.min_free must be between 0 and 1000000000000000; got -1",
            None,
        ),
    ],
)
def test_a_wrong_value_is_reported_with_its_place_and_a_hint(
    line: str, problem: str, hint: str | None
) -> None:
    reading = read(f"version: 1\n{line}\n{JOBS}")
    assert problem in reading.problems
    found = reading.hints[reading.problems.index(problem)]
    assert found == hint
    assert [job.id for job in reading.jobs] == ["a"]


@pytest.mark.parametrize(
    ("text", "stop_at"),
    [
        ("07:00", time(7)),
        ("7:30", time(7, 30)),
        (" 23:59:30 ", time(23, 59, 30)),
        ("07:00Z", time(7, tzinfo=UTC)),
        ("2026-11-22T07:00", datetime(2026, 11, 22, 7)),  # noqa: DTZ001 - local, as people mean it
        ("2026-11-22 7:00 +01:00", datetime(2026, 11, 22, 7, tzinfo=EAST)),
        ("2026-11-22t07:00z", datetime(2026, 11, 22, 7, tzinfo=UTC)),
    ],
)
def test_a_time_to_stop_is_a_time_of_day_or_a_date_and_a_time(text: str, stop_at: Moment) -> None:
    assert parse_moment(text) == stop_at


@pytest.mark.parametrize(
    "text", ["", "soon", "7", "24:00", "07:60", "T07:00", "2026-11-22", "2026-02-30T07:00", "1:2:3"]
)
def test_other_times_to_stop_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="a time looks like 07:00 or 2026-11-22T07:00"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("stop_at", "now", "moment"),
    [
        ("07:00", "2026-11-21T22:00+01:00", "2026-11-22T07:00+01:00"),
        ("07:00", "2026-11-22T06:59:59+01:00", "2026-11-22T07:00+01:00"),
        ("07:00", "2026-11-22T07:00+01:00", "2026-11-23T07:00+01:00"),
        ("07:00Z", "2026-11-22T07:30+01:00", "2026-11-22T07:00+00:00"),
        ("2026-11-22T07:00", "2026-11-21T22:00+01:00", "2026-11-22T07:00+01:00"),
        ("2026-11-22T07:00Z", "2026-12-01T00:00+01:00", "2026-11-22T07:00+00:00"),
        # The nights on which the clocks change: 9 hours become 8, and 10.
        ("07:00", "2026-03-28T22:00+01:00", "2026-03-29T07:00+02:00"),
        ("07:00", "2026-10-24T22:00+02:00", "2026-10-25T07:00+01:00"),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_the_next_such_moment_is_found_by_the_calendar(stop_at: str, now: str, moment: str) -> None:
    assert next_moment(parse_moment(stop_at), epoch(now)) == epoch(moment)


NIGHT = ("22:00", "07:00")


@pytest.mark.parametrize(
    ("start_at", "stop_at", "now", "begun", "moment"),
    [
        ("22:00", None, "2026-11-21T18:00+01:00", None, "2026-11-21T22:00+01:00"),
        ("22:00", None, "2026-11-21T22:00:01+01:00", None, "2026-11-22T22:00+01:00"),
        ("22:00", None, "2026-11-22T02:00+01:00", None, "2026-11-22T22:00+01:00"),
        # Started on time and interrupted: it continues, but not on another day.
        ("22:00", None, "2026-11-22T02:00+01:00", "2026-11-21T22:00+01:00", None),
        (
            "22:00",
            None,
            "2026-11-22T18:00+01:00",
            "2026-11-21T22:00+01:00",
            "2026-11-22T22:00+01:00",
        ),
        # The start time is known but has not come yet.
        (
            "22:00",
            None,
            "2026-11-21T20:00+01:00",
            "2026-11-21T22:00+01:00",
            "2026-11-21T22:00+01:00",
        ),
        # Between start_at and stop_at, the run starts at once.
        (*NIGHT, "2026-11-22T02:00+01:00", None, None),
        (*NIGHT, "2026-11-21T23:59+01:00", None, None),
        (*NIGHT, "2026-11-22T07:00+01:00", None, "2026-11-22T22:00+01:00"),
        (*NIGHT, "2026-11-22T21:59+01:00", None, "2026-11-22T22:00+01:00"),
        ("01:00", "05:00", "2026-11-22T00:30+01:00", None, "2026-11-22T01:00+01:00"),
        ("01:00", "05:00", "2026-11-22T04:30+01:00", None, None),
        ("2026-11-22T22:00", None, "2026-11-21T18:00+01:00", None, "2026-11-22T22:00+01:00"),
        ("2026-11-22T22:00", None, "2026-11-23T18:00+01:00", None, None),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_the_time_to_start_is_the_next_one_unless_its_night_has_begun(
    start_at: str, stop_at: str | None, now: str, begun: str | None, moment: str | None
) -> None:
    stop = None if stop_at is None else parse_moment(stop_at)
    known = None if begun is None else epoch(begun)
    found = start_moment(parse_moment(start_at), stop, epoch(now), known)
    assert found == (None if moment is None else epoch(moment))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        (0, 0),
        (123, 123),
        ("1GB", 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("500 MB", 5 * 10**8),
        ("2k", 2000),
        ("7B", 7),
    ],
)
def test_a_size_is_given_in_bytes(text: str | int, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 PB", "1e9", "10%"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="a size looks like 500MB, 1GB or 2GiB"):
        parse_bytes(text)
