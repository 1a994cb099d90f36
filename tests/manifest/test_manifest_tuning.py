"""Limits that a person changes: as they are written, kept in a line, and put into a policy."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import UsageError
from batchgen.manifest.policy import ModelPolicy, Policy
from batchgen.manifest.tuning import (
    Tuning,
    in_force,
    limits_line,
    parse_tuning,
    read_tuning,
)
from batchgen.manifest.units import Rate
from tests.shell import T2I, VIDEO

BEFORE = Policy(rate=Rate(60, 60.0), budget=10.0, models={VIDEO: ModelPolicy(2, price=0.5)})
ALL = {
    "concurrency": "32",
    "rate": "120/min",
    "budget": "40",
    "stop_at": "6:30",
    "max_duration": "8h",
}


def test_what_is_changed_is_changed_and_nothing_else() -> None:
    policy = parse_tuning(ALL).of(BEFORE)
    assert (policy.concurrency, policy.rate, policy.budget) == (32, Rate(120, 60.0), 40.0)
    assert (policy.stop_at, policy.max_duration) == (time(6, 30), 28800.0)
    assert policy.models == BEFORE.models
    assert parse_tuning({"budget": "1"}).of(BEFORE).rate == BEFORE.rate


def test_none_lifts_a_limit() -> None:
    lifted = parse_tuning({key: " None " for key in ALL if key != "concurrency"}).of(BEFORE)
    assert (lifted.rate, lifted.budget, lifted.stop_at, lifted.max_duration) == (None,) * 4


def test_a_models_limits_are_its_own() -> None:
    policy = parse_tuning({"concurrency": "none", "rate": "10/min"}, [VIDEO]).of(BEFORE)
    assert policy.models == {VIDEO: ModelPolicy(None, Rate(10, 60.0), 0.5)}
    assert policy.concurrency == BEFORE.concurrency


@pytest.mark.parametrize(
    ("values", "models", "words"),
    [
        ({}, [], "nothing is to be changed"),
        ({"concurrency": "0"}, [], "must be auto, or a number from 1 to 1000; got '0'"),
        ({"concurrency": "1001"}, [], "from 1 to 1000"),
        ({"concurrency": "many"}, [], "from 1 to 1000"),
        ({"concurrency": "none"}, [], "a run needs a concurrency"),
        ({"concurrency": "auto"}, [T2I], "auto is of the whole run"),
        ({"rate": "fast"}, [], "a rate looks like 60/min"),
        ({"budget": "0"}, [], "a budget is more than 0 USD; got '0'"),
        ({"budget": "nan"}, [], "more than 0 USD"),
        ({"budget": "inf"}, [], "more than 0 USD"),
        ({"stop_at": "25:00"}, [], "a time looks like 07:00"),
        ({"max_duration": "long"}, [], "a duration looks like"),
        ({"budget": "3"}, [T2I], "budget is of the whole run"),
    ],
)
def test_what_no_run_can_have_is_refused(
    values: dict[str, str], models: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        parse_tuning(values, models)


def test_a_change_survives_its_line() -> None:
    for tuning in (
        parse_tuning(ALL),
        parse_tuning({"budget": "none"}),
        parse_tuning({"rate": "1/s"}, [T2I]),
    ):
        assert read_tuning(tuning.to_json()) == tuning


GARBAGE: list[Any] = [
    None,
    {},
    {"set": {}, "models": []},
    {"set": {"colour": "red"}, "models": []},
    {"set": {"concurrency": 3}, "models": []},
    {"set": {"concurrency": "0"}, "models": []},
    {"set": {"budget": "1"}, "models": [T2I]},
    {"set": {"rate": "1/s"}, "models": ["\ud800"]},
    {"set": {"rate": "1/s"}, "models": 3},
    {"set": {"rate": "1/s" + " " * 100}, "models": []},
]


@pytest.mark.parametrize("row", GARBAGE)
def test_a_line_that_no_command_wrote_changes_nothing(row: Any) -> None:
    assert read_tuning(row) is None


@given(st.dictionaries(st.sampled_from([*ALL, "x"]), st.text() | st.integers() | st.none()))
def test_whatever_stands_in_a_line_is_read_or_passed_over(values: dict[str, Any]) -> None:
    tuning = read_tuning({"set": values, "models": []})
    assert tuning is None or isinstance(tuning.of(BEFORE), Policy)


def test_what_is_in_force_can_be_typed_again() -> None:
    stop = datetime(2026, 11, 22, 7, tzinfo=UTC)
    for policy in (parse_tuning(ALL).of(BEFORE), Policy(stop_at=stop, max_duration=90.0)):
        limits = in_force(policy, [VIDEO])
        texts = {key: str(limits[key]) for key in ALL}
        assert parse_tuning(texts).of(Policy()) == Policy(
            policy.concurrency,
            policy.rate,
            budget=policy.budget,
            stop_at=policy.stop_at,
            max_duration=policy.max_duration,
        )


def test_a_line_for_people_names_what_limits() -> None:
    assert limits_line(in_force(Policy(), [VIDEO])) == "concurrency auto"
    assert limits_line(in_force(Policy(concurrency=8), [VIDEO])) == "8 at once"
    assert limits_line(in_force(parse_tuning(ALL).of(BEFORE), [VIDEO, T2I])) == (
        "32 at once · 120/min · budget 40.00 USD · until 06:30 · for 8 h · i2v: 2 at once"
    )
    assert str(Tuning({"rate": None}, (VIDEO,))) == "i2v: rate none"
