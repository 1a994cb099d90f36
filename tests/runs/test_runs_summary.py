"""How a run ends, what it costs, and how it shall work: pure tables."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from batchgen.engine.events import Pause, PauseReason
from batchgen.engine.policy import MOST_RESUBMITS
from batchgen.errors import ApiUnreachableError, BatchgenError, ExitCode, InputError, TokenError
from batchgen.jobs import JobState
from batchgen.manifest.policy import ModelPolicy, OnUnknown, Policy
from batchgen.manifest.units import Rate
from batchgen.models.catalog import build_model, bundled
from batchgen.runcomfy.outcomes import Halted, NoAnswer
from batchgen.runcomfy.pricing import ModelPrice
from batchgen.runs import estimates
from batchgen.runs.estimates import price_list, request_price
from batchgen.runs.options import RunOptions, engine_policy
from batchgen.runs.summary import Summary
from batchgen.state.approvals import Held
from batchgen.state.records import Money

S, C, P = JobState, ExitCode, PauseReason
SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM
A, B = "x/a", "x/b"


def summary(
    counts: dict[JobState, int],
    pause: PauseReason | None = None,
    stopped_by: signal.Signals | None = None,
) -> Summary:
    why = None if pause is None else Pause(pause, "sentence", "next step")
    return Summary("boats", Path("out"), counts, Money(1.5, 0, 2), 1.25, 3, why, stopped_by)


@pytest.mark.parametrize(
    ("counts", "pause", "stopped_by", "code"),
    [
        ({}, None, None, C.DONE),
        ({S.DONE: 5}, None, None, C.DONE),
        ({S.DONE: 5, S.PENDING: 1}, None, None, C.DONE),
        ({S.DONE: 5, S.FAILED: 1}, None, None, C.SOME_FAILED),
        ({S.LOST: 1}, None, None, C.SOME_FAILED),
        ({S.CANCELLED: 1}, None, None, C.SOME_FAILED),
        ({S.BLOCKED: 1}, None, None, C.SOME_FAILED),
        ({S.FETCHING: 1, S.FAILED: 1}, None, None, C.STOPPED),
        ({S.UNKNOWN: 1, S.FETCHING: 1, S.FAILED: 1}, None, None, C.UNKNOWN_OUTCOMES),
        ({S.UNKNOWN: 1}, P.TOKEN_REFUSED, None, C.NO_TOKEN),
        ({S.FAILED: 1}, P.NO_BALANCE, None, C.STOPPED),
        ({}, P.BUDGET, None, C.STOPPED),
        ({}, P.THROTTLED, None, C.STOPPED),
        ({}, P.UNKNOWN_OUTCOMES, None, C.STOPPED),
        ({S.UNKNOWN: 5}, P.UNKNOWN_OUTCOMES, None, C.UNKNOWN_OUTCOMES),
        ({}, P.REDIRECTED, None, C.UNREACHABLE),
        ({}, P.BAD_CERTIFICATE, None, C.UNREACHABLE),
        ({}, P.UNREACHABLE, None, C.UNREACHABLE),
        ({}, P.DISK, None, C.IO_ERROR),
        ({}, P.DISK_NEARLY_FULL, None, C.STOPPED),
        ({S.FAILED: 5}, P.FAILURES, None, C.STOPPED),
        ({}, P.STOP_AT, None, C.STOPPED),
        ({}, P.MAX_DURATION, None, C.STOPPED),
        ({S.UNKNOWN: 1}, P.DISK, SIGINT, C.SIGINT),
        ({S.DONE: 1}, None, SIGTERM, C.SIGTERM),
    ],
)
def test_the_exit_code_says_the_most_urgent_thing(
    counts: dict[JobState, int],
    pause: PauseReason | None,
    stopped_by: signal.Signals | None,
    code: ExitCode,
) -> None:
    found = summary(counts, pause, stopped_by)
    assert found.exit_code is code
    assert found.to_json()["exit_code"] == int(code)


@pytest.mark.parametrize(
    ("counts", "held", "code"),
    [
        ({S.DONE: 5, S.PENDING: 5}, Held(to_approve=5, waiting=5), C.STOPPED),
        ({S.DONE: 5, S.PENDING: 5, S.FAILED: 1}, Held(to_approve=5, waiting=5), C.STOPPED),
        ({S.PENDING: 1}, Held(waiting=1), C.STOPPED),
        ({S.UNKNOWN: 1, S.PENDING: 1}, Held(waiting=1), C.UNKNOWN_OUTCOMES),
        ({S.DONE: 5, S.PENDING: 5}, Held(), C.DONE),
    ],
)
def test_jobs_that_wait_for_a_person_are_no_end(
    counts: dict[JobState, int], held: Held, code: ExitCode
) -> None:
    found = replace(summary(counts), held=held)
    assert found.exit_code is code
    document = found.to_json()
    assert (document["to_approve"], document["waiting"]) == (held.to_approve, held.waiting)


@pytest.mark.parametrize("reason", list(PauseReason))
def test_every_pause_has_an_exit_code(reason: PauseReason) -> None:
    assert summary({}, reason).exit_code is not C.DONE


def test_a_summary_in_json_says_why_it_paused() -> None:
    found = summary({S.DONE: 2}, P.BUDGET).to_json()
    assert found["counts"] == {"done": 2}
    assert (found["spent_usd"], found["unpriced"], found["submitted"]) == (1.5, 2, 3)
    assert found["paused"] == {
        "reason": "budget",
        "sentence": "sentence",
        "next_step": "next step",
    }
    assert summary({}).to_json()["paused"] is None


def test_the_command_line_wins_over_the_manifest() -> None:
    policy = Policy(
        concurrency=4,
        rate=Rate(60, 60.0),
        retries=2,
        timeout=99.0,
        budget=5.0,
        models={A: ModelPolicy(2, Rate(10, 60.0)), B: ModelPolicy()},
        stop_at=time(7),
        max_duration=60.0,
    )
    plain = engine_policy(policy, RunOptions())
    assert (plain.concurrency, plain.interval) == (4, 1.0)
    assert (plain.retries, plain.timeout, plain.budget, plain.resubmits) == (2, 99.0, 5.0, 0)
    assert (plain.stop_at, plain.max_duration) == (time(7), 60.0)
    flagged = engine_policy(
        policy,
        RunOptions(concurrency=16, rate=Rate(2, 1.0), stop_at=time(8), max_duration=9.0),
    )
    assert (flagged.stop_at, flagged.max_duration) == (time(8), 9.0)
    assert engine_policy(policy, RunOptions(budget=0.5)).budget == 0.5
    assert (flagged.concurrency, flagged.interval) == (16, 0.5)
    assert (flagged.limits_of(A).limit, flagged.limits_of(A).interval) == (2, 6.0)
    assert (flagged.limits_of(B).limit, flagged.limits_of(B).interval) == (16, 0.0)
    assert flagged.limits_of("x/other").limit == 16


def test_unknown_outcomes_are_resubmitted_only_where_the_manifest_says_so_and_not_for_ever() -> (
    None
):
    policy = engine_policy(Policy(on_unknown=OnUnknown.RESUBMIT), RunOptions())
    assert policy.resubmits == MOST_RESUBMITS


@pytest.mark.parametrize(
    ("unit", "body", "usd"),
    [
        ("output", "{}", 0.5),
        ("request", "{}", 0.5),
        ("image", "{}", 0.5),
        ("video", "{}", 0.5),
        ("second", "{}", 2.5),
        ("second", '{"frames": 241}', 5.0),
        ("megapixel", "{}", None),
    ],
)
def test_the_vendors_unit_makes_the_price_of_a_request(
    unit: str, body: str, usd: float | None
) -> None:
    assert request_price(ModelPrice(0.5, unit), body, bundled().find(I2V)) == usd


def test_each_file_that_an_input_asks_for_is_priced() -> None:
    properties = {"num_images": {"type": "integer", "maximum": 6, "default": 1}}
    model = build_model("x/text-to-image", {"type": "object", "properties": properties}, {})
    prices = [request_price(ModelPrice(0.5, unit), '{"num_images": 4}', model) for unit in UNITS]
    assert prices == [2.0, 2.0, 0.5]
    assert request_price(ModelPrice(0.5, "image"), "{}", model) == 0.5


UNITS = ("image", "output", "request")
I2V = "bytedance/dreamina-3-0/pro/image-to-video"


class Catalogue:
    """The one call of the API that prices need."""

    def __init__(self, **prices: ModelPrice) -> None:
        self.prices = {f"x/{name}": price for name, price in prices.items()}
        self.asked: list[str] = []

    async def price(self, model: str) -> ModelPrice | None:
        self.asked.append(model)
        return self.prices.get(model)


async def test_without_a_budget_nobody_is_asked() -> None:
    api = Catalogue()
    found = await price_list(api, Policy(), [A], bundled())  # type: ignore[arg-type]
    assert api.asked == []
    assert found.price(A, "{}") is None


async def test_the_manifests_price_wins_and_spares_the_question() -> None:
    api = Catalogue(a=ModelPrice(9.0, "output"), b=ModelPrice(1.0, "output"))
    policy = Policy(budget=5.0, models={A: ModelPolicy(price=0.25)})
    found = await price_list(api, policy, [A, B], bundled())  # type: ignore[arg-type]
    assert api.asked == [B]
    assert (found.price(A, "{}"), found.price(B, "{}")) == (0.25, 1.0)


@pytest.mark.parametrize("vendor", [{}, {"b": ModelPrice(1.0, "megapixel")}])
async def test_a_budget_without_a_price_is_refused(vendor: dict[str, ModelPrice]) -> None:
    """Row 16: a budget that cannot be kept is no budget."""
    policy = Policy(budget=5.0, models={A: ModelPolicy(price=0.25)})
    with pytest.raises(InputError) as caught:
        await price_list(Catalogue(**vendor), policy, [A, B], bundled())  # type: ignore[arg-type]
    assert caught.value.exit_code is C.BAD_INPUT
    assert str(caught.value) == (
        "run.budget needs a price for x/b, and the vendor names none\n"
        "  → add run.models.x/b.price (USD for one request), or leave the budget out"
    )


class Silent:
    """A vendor that cannot be asked for a price."""

    def __init__(self, answer: NoAnswer | Halted) -> None:
        self.answer = answer

    async def price(self, _model: str) -> NoAnswer | Halted:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (NoAnswer("HTTP 503"), ApiUnreachableError),
        (Halted(PauseReason.TOKEN_REFUSED, "HTTP 401"), TokenError),
    ],
)
async def test_a_price_that_could_not_be_asked_for_is_no_missing_price(
    monkeypatch: pytest.MonkeyPatch, answer: NoAnswer | Halted, error: type[BatchgenError]
) -> None:
    monkeypatch.setattr(estimates, "PAUSES", (0.0,))
    policy = Policy(budget=5.0)
    with pytest.raises(error):
        await price_list(Silent(answer), policy, [A], bundled())  # type: ignore[arg-type]
    # What is paid already is collected all the same, and nothing else is submitted.
    found = await price_list(Silent(answer), policy, [A], bundled(), collecting=True)  # type: ignore[arg-type]
    assert found.price(A, "{}") is None


async def test_a_model_that_later_rows_may_name_is_asked_for_and_refuses_nothing() -> None:
    api = Catalogue(a=ModelPrice(9.0, "output"))
    found = await price_list(api, Policy(budget=5.0), [A], bundled(), may_come=[A, B])  # type: ignore[arg-type]
    assert api.asked == [A, B]
    assert (found.price(A, "{}"), found.price(B, "{}")) == (9.0, None)
