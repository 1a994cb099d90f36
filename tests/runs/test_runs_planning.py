"""The parts of a plan: time, money, what changed, and what the vendor says today."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.models.catalog import bundled
from batchgen.runcomfy.pricing import ModelPrice
from batchgen.runs.drift import schema_differences
from batchgen.runs.estimates import (
    Alike,
    Cost,
    LaneWork,
    PriceSources,
    cost_of,
    lane_seconds,
    run_seconds,
    suffices,
)
from batchgen.runs.plan import FieldChange, cut_pair, input_changes
from batchgen.state.records import Money

A, B = "x/a", "x/b"
EDIT = "bytedance/dreamina-4-0/edit"
T2I = "bytedance/dreamina-4-0/text-to-image"


@pytest.mark.parametrize(
    ("lane", "seconds"),
    [
        (LaneWork(A, 0, None, 8, 0.0), 0.0),
        (LaneWork(A, 1, 10.0, 8, 0.0), 10.0),
        (LaneWork(A, 16, 10.0, 8, 0.0), 20.0),
        (LaneWork(A, 17, 10.0, 8, 0.0), 30.0),
        # Six a minute: the last one is sent after 90 s, and takes its own 10.
        (LaneWork(A, 10, 10.0, 8, 10.0), 100.0),
        (LaneWork(A, 3, None, 8, 1.0), None),
    ],
)
def test_a_model_takes_as_long_as_its_room_and_its_rate_allow(
    lane: LaneWork, seconds: float | None
) -> None:
    assert lane_seconds(lane) == seconds


def test_the_room_of_the_run_is_shared_by_its_models() -> None:
    lanes = [LaneWork(A, 8, 10.0, 8, 0.0), LaneWork(B, 8, 10.0, 8, 0.0)]
    assert run_seconds(lanes, limit=16, interval=0.0) == 10.0
    assert run_seconds(lanes, limit=8, interval=0.0) == 20.0
    assert run_seconds(lanes, limit=8, interval=2.0) == 40.0


def test_a_model_that_was_never_timed_is_left_out_and_alone_gives_no_time() -> None:
    untimed = LaneWork(A, 5, None, 8, 0.0)
    assert run_seconds([untimed], 8, 0.0) is None
    assert run_seconds([untimed, LaneWork(B, 1, 7.0, 8, 0.0)], 8, 0.0) == 7.0
    assert run_seconds([LaneWork(A, 0, None, 8, 0.0)], 8, 0.0) == 0.0


lanes = st.lists(
    st.builds(
        LaneWork,
        st.just(A),
        st.integers(1, 1000),
        st.floats(0.1, 600),
        st.integers(1, 50),
        st.floats(0, 60),
    ),
    min_size=1,
    max_size=4,
)


@given(lanes, st.integers(1, 50), st.floats(0, 10))
def test_no_forecast_is_shorter_than_its_longest_lane_or_longer_than_one_after_another(
    work: list[LaneWork], limit: int, interval: float
) -> None:
    seconds = run_seconds(work, limit, interval)
    alone = [lane_seconds(lane) or 0.0 for lane in work]
    one_by_one = sum(lane.jobs * ((lane.seconds or 0) + lane.interval + interval) for lane in work)
    assert seconds is not None
    assert max(alone) <= seconds <= one_by_one + max(lane.seconds or 0 for lane in work) + 1e-6


I2V = "bytedance/dreamina-3-0/pro/image-to-video"
SECOND, IMAGE, ODD = ModelPrice(0.08, "second"), ModelPrice(0.03, "image"), ModelPrice(9, "moon")


def test_the_manifests_price_is_known_and_the_vendors_an_estimate() -> None:
    work = [Alike('{"prompt":"p"}', 10)]
    assert cost_of(work, PriceSources(0.5, IMAGE, 9.0)) == Cost(known=5.0)
    assert cost_of(work, PriceSources(None, IMAGE, 9.0)) == Cost(estimated=0.3)
    assert cost_of(work, PriceSources(None, ODD, 9.0)) == Cost(estimated=90.0)
    assert cost_of(work, PriceSources(None, None, None)) == Cost(unpriced=10)


def test_a_price_a_second_depends_on_the_frames() -> None:
    work = [Alike('{"frames":121}', 2), Alike('{"frames":241}', 1)]
    assert cost_of(
        work, PriceSources(vendor=SECOND, model=bundled().find(I2V))
    ).estimated == pytest.approx(1.6)


def test_a_cost_says_what_is_known_estimated_and_unknown_and_never_a_silent_zero() -> None:
    assert (
        Cost(12.4, 3.1, 40).words()
        == "12.40 USD known + ~3.10 USD estimated + 40 jobs without a known price"
    )
    assert Cost(unpriced=1).words() == "1 job without a known price"
    assert Cost(estimated=0.0004).words() == "~0.0004 USD estimated"
    assert Cost(1234.5).words() == "1,234.50 USD known"


@pytest.mark.parametrize(
    ("cost", "spent", "enough"),
    [
        (Cost(known=5.0), Money(5.0, 0.0, 0), True),
        (Cost(known=5.01), Money(5.0, 0.0, 0), False),
        (Cost(known=1.0), Money(5.0, 2.0, 0, 2.5), False),
        (Cost(known=1.0, unpriced=1), Money(5.0, 0.0, 0), None),
        (Cost(known=1.0), Money(5.0, 0.0, 1), None),
        (Cost(known=9.0, unpriced=1), Money(5.0, 0.0, 0), False),
    ],
)
def test_a_budget_suffices_does_not_or_nobody_can_tell(
    cost: Cost, spent: Money, enough: bool | None
) -> None:
    assert suffices(10.0, spent, cost) is enough


def test_a_changed_input_is_told_key_by_key() -> None:
    changes = input_changes(
        '{"prompt":"a","scale":0.5,"seed":7}', '{"prompt":"b","scale":0.5,"size":"x"}'
    )
    assert [change.words(40) for change in changes] == [
        'prompt: "a" → "b"',
        "seed: 7 → nothing",
        'size: nothing → "x"',
    ]
    assert [change.to_json() for change in changes] == [
        {"key": "prompt", "before": "a", "now": "b"},
        {"key": "seed", "before": 7},
        {"key": "size", "now": "x"},
    ]


def test_long_texts_are_cut_around_their_difference() -> None:
    same = "a beautiful girl is sitting on the boat, " * 5
    before, now = cut_pair(f"{same}at dawn, fog{same}", f"{same}at dusk, fog{same}", 30)
    assert "dawn" in before
    assert "dusk" in now
    assert max(len(before), len(now)) <= 30


@given(st.text(), st.text(), st.text(), st.integers(8, 60))
def test_a_cut_keeps_the_place_where_two_texts_begin_to_differ(
    same: str, one: str, other: str, width: int
) -> None:
    before, now = cut_pair(same + one, same + other, width)
    assert max(len(before), len(now)) <= width
    assert (before == now) is (one == other)


def test_a_text_that_is_cut_keeps_both_its_quotes() -> None:
    before = json.dumps("a boat on the water, in pencil and ink")
    now = json.dumps("a boat on the water, in pencil and watercolour, at dusk, with much fog")
    for side in cut_pair(before, now, 24):
        assert len(side) <= 24
        assert side[0] == side[-1] == '"'
    assert cut_pair(before, "nothing", 12) == ('"a boat on…"', "nothing")


def test_a_prompt_cannot_steer_the_terminal() -> None:
    change = FieldChange("prompt", json.dumps("a\u202e", ensure_ascii=False), '"\x9b2J"')
    words = change.words(60)
    assert words.isprintable()
    assert "\\u202e" in words
    assert "\\x9b2J" in words


def live(model: str) -> dict[str, Any]:
    return copy.deepcopy(dict(bundled().models[model].schema))


@pytest.mark.parametrize("model", list(bundled().models))
def test_a_schema_does_not_differ_from_itself(model: str) -> None:
    assert schema_differences(bundled().models[model].schema, live(model)) == []


def test_titles_descriptions_defaults_and_order_are_no_differences() -> None:
    schema = live(EDIT)
    schema["properties"] = dict(reversed(schema["properties"].items()))
    schema["required"] = list(reversed(schema["required"]))
    for field in schema["properties"].values():
        field |= {"title": "new", "description": "new", "default": None}
    assert schema_differences(bundled().models[EDIT].schema, schema) == []


def test_each_difference_names_the_field_and_both_values() -> None:
    schema = live(EDIT)
    schema["properties"]["image_urls"]["maxItems"] = 6
    schema["properties"]["prompt"]["type"] = "array"
    schema["properties"]["mood"] = {"type": "string"}
    schema["required"] = ["image_urls", "mood"]
    known = bundled().models[EDIT].schema
    most = known["properties"]["image_urls"]["maxItems"]
    found = schema_differences(known, schema)
    assert f"image_urls.maxItems is 6, bundled {most}" in found
    assert 'prompt.type is "array", bundled "string"' in found
    assert "prompt is optional now" in found
    assert "mood is a new required field" in found


def test_choices_that_came_and_went_are_named() -> None:
    schema = live(T2I)
    size = schema["properties"]["width×height"]  # noqa: RUF001 - the vendor's own spelling
    gone = size["enum"].pop(0)
    size["enum"].append("9x9(1:1)")
    assert schema_differences(bundled().models[T2I].schema, schema) == [
        'width×height takes "9x9(1:1)" too',  # noqa: RUF001 - as above
        f'width×height no longer takes "{gone}"',  # noqa: RUF001 - as above
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["properties", "required", "items", "enum"]), json_values))
def test_whatever_a_server_calls_a_schema_is_compared_in_printable_words(
    schema: dict[str, Any],
) -> None:
    found = schema_differences(bundled().models[EDIT].schema, schema)
    assert all(sentence.isprintable() for sentence in found)
