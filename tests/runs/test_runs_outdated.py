"""What the vendor's schema of today no longer takes stops a run before anything is submitted."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.models.catalog import find_model
from batchgen.runs import ingest, startup
from batchgen.runs.drift import broken_rules
from tests.shell import Emulator, Shell, emulating

T2I = "bytedance/dreamina-4-0/text-to-image"
SIZE = "width×height"  # noqa: RUF001 - the vendor's own spelling
BODY: dict[str, Any] = {"prompt": "a boat", "scale": 0.5, SIZE: "1024x1024(1:1)"}


def bundled() -> dict[str, Any]:
    model = find_model(T2I)
    assert model is not None
    return copy.deepcopy(dict(model.schema))


def today(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    schema = bundled()
    change(schema)
    return schema


def broken(live: Any, body: dict[str, Any] | None = None, *accepted: str) -> list[str]:
    found = broken_rules(bundled(), live, body or BODY, accepted)
    return [f"{one.rule}; got {one.got}" if one.got else one.rule for one in found]


def test_the_schema_of_the_bundle_refuses_nothing() -> None:
    assert broken(bundled()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda one: one["properties"]["scale"].update(maximum=0.25),
            ["scale.maximum is 0.25, bundled 1; got 0.5"],
        ),
        (
            lambda one: one["properties"]["prompt"].update(maxLength=3),
            ['prompt.maxLength is 3, bundled 800; got "a boat"'],
        ),
        (
            lambda one: one["properties"]["scale"].update(type="string"),
            ['scale.type is "string", bundled "number"; got 0.5'],
        ),
        (
            lambda one: one["properties"][SIZE].update(enum=["512x512(1:1)"]),
            [f'{SIZE} takes "512x512(1:1)"; got "1024x1024(1:1)"'],
        ),
        (lambda one: one["properties"].pop("scale"), ["scale is gone"]),
        (lambda one: one["required"].append("force_single"), ["force_single is required now"]),
    ],
)
def test_a_rule_that_is_stricter_today_is_named_with_both_values(
    change: Callable[[dict[str, Any]], object], words: list[str]
) -> None:
    assert broken(today(change)) == words


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["properties"]["scale"].update(maximum=9),
        lambda one: one["properties"].update(lora={"type": "string"}),
        lambda one: one["properties"]["prompt"].update(pattern="(a+)+$"),
        lambda one: one["properties"]["scale"].update(type="seedling"),
        lambda one: one["properties"]["scale"].update(maximum="lots"),
        lambda one: one["properties"]["scale"].update(type=["number", "string"]),
        lambda one: one["properties"]["scale"].update(enum=[]),
        lambda one: one.update(required="prompt"),
        lambda one: one.update(properties={"body": {"type": "object"}}),
        lambda one: one.update(properties=None),
        lambda one: (one["properties"].pop("scale"), one.update(additionalProperties=True)),
    ],
)
def test_what_is_looser_or_cannot_be_understood_stops_nobody(
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert broken(today(change)) == []


def test_a_key_that_is_accepted_by_name_is_not_judged() -> None:
    live = today(lambda one: one["properties"].pop("scale"))
    assert broken(live, None, "scale") == []
    assert broken(live, {"prompt": "a boat", "lora": "x"}, "lora") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values, json_values, json_values)
def test_no_schema_of_a_stranger_crashes_the_judge(part: Any, rule: Any, whole: Any) -> None:
    live = today(lambda one: one["properties"].update(scale=part))
    live["properties"]["prompt"] = {"type": rule, "maxLength": rule, "enum": rule, "const": None}
    live["required"] = whole
    broken(live)
    if isinstance(whole, dict):
        broken(whole)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulating() as emulator:
        yield emulator


@pytest.fixture
def user(tmp_path: Path, emulator: Emulator) -> Shell:
    return Shell(tmp_path).using(emulator)


def publish(emulator: Emulator, schema: dict[str, Any]) -> None:
    page = {"model_id": T2I, "base_price_usd": 0.03, "price_unit": "output"}
    body = {**page, "input_schema": schema}
    emulator.arm("model", "status", status=200, body=json.dumps(body), times=None)


def scaled(*scales: float) -> list[dict[str, Any]]:
    return [
        {"id": f"boat-{number}", "input": {"prompt": "a boat", "scale": scale}}
        for number, scale in enumerate(scales)
    ]


def test_a_run_stops_before_the_first_submit_and_says_the_ways_out(
    user: Shell, emulator: Emulator
) -> None:
    publish(emulator, today(lambda one: one["properties"]["scale"].update(maximum=0.25)))
    user.manifest(scaled(0.2, 0.5, 0.7, 0.8, 0.9))
    words = "t2i: scale.maximum is 0.25, bundled 1; got 0.5 (job boat-1, boat-2, boat-3 and 1 more)"
    plan = user.expect(0, "plan", "m.yaml")
    assert "run refuses (exit code 65): the vendor no longer takes the input of" in plan.out
    assert words in " ".join(plan.out.split())
    assert "accept_fields: [KEY]" in plan.out
    document = user.expect(0, "plan", "m.yaml", "--json").document
    assert document["vendor"]["no_longer_taken"] == [words]
    err = user.expect(65, "run", "m.yaml").err
    assert words in err
    assert "nothing is submitted" in err
    assert "--model '!t2i'" in err
    assert emulator.charges() == []
    assert user.status()["counts"] == {"pending": 5}


def test_the_jobs_that_the_vendor_takes_go_when_they_are_chosen(
    user: Shell, emulator: Emulator
) -> None:
    publish(emulator, today(lambda one: one["properties"]["scale"].update(maximum=0.25)))
    user.manifest(scaled(0.2, 0.5))
    user.expect(0, "run", "m.yaml", "--job", "boat-0")
    assert len(emulator.charges()) == 1


def test_what_is_paid_is_collected_and_nothing_else_is_submitted(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(scaled(0.5))
    for call in ("result", "status"):
        emulator.arm(call, "status", status=401, times=None)
    user.expect(77, "run", "m.yaml")
    emulator.disarm()
    publish(emulator, today(lambda one: one["properties"]["scale"].update(maximum=0.25)))
    user.manifest(scaled(0.5, 0.6))
    done = user.expect(65, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "schema"
    assert user.states() == {"boat-0": "done", "boat-1": "pending"}
    assert len(emulator.charges()) == 1


def test_a_field_is_accepted_by_name_and_sent_as_it_is(user: Shell, emulator: Emulator) -> None:
    publish(
        emulator,
        today(
            lambda one: (
                one["properties"].update(lora={"type": "string"}),
                one["properties"].pop("scale"),
            )
        ),
    )
    jobs = [{"id": "a", "input": {"prompt": "a boat", "lora": "oil", "scale": 0.5}}]
    user.manifest(jobs)
    assert "unknown key 'lora'" in user.expect(65, "run", "m.yaml").err
    user.manifest(jobs, run={"models": {T2I: {"accept_fields": ["lora", "scale"]}}})
    user.expect(0, "run", "m.yaml")
    (charge,) = emulator.charges()
    assert charge["input"]["lora"] == "oil"


def test_a_size_that_the_bundled_schema_does_not_have_is_accepted_by_name(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(
        [{"id": "a", "input": {"prompt": "a boat", "size": "4242x4242(1:1)"}}],
        run={"models": {T2I: {"accept_fields": ["size"]}}},
        defaults={"model": T2I, "input": {"lora": "oil"}},
    )
    assert "no model has the key 'lora'" in user.expect(65, "plan", "m.yaml").err
    user.manifest(
        [{"id": "a", "input": {"prompt": "a boat", "size": "4242x4242(1:1)"}}],
        run={"models": {T2I: {"accept_fields": ["size", "lora"]}}},
        defaults={"model": T2I, "input": {"lora": "{{ 'oil' }}"}},
    )
    assert user.expect(0, "plan", "m.yaml", "--json").document["total"]["to_do"] == 1


def test_later_rows_of_a_huge_first_run_are_held_against_it_too(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "CHECKED_AT_ONCE", 2)
    monkeypatch.setattr(ingest, "PAGE", 2)
    publish(emulator, today(lambda one: one["properties"]["scale"].update(maximum=0.25)))
    user.manifest(scaled(0.1, 0.1, 0.2, 0.2, 0.5, 0.9))
    err = user.expect(65, "run", "m.yaml").err
    assert "job boat-4: scale.maximum is 0.25, bundled 1 in the vendor's current schema" in err
    assert "job boat-5: scale.maximum" in err
    charged = {charge["input"]["scale"] for charge in emulator.charges()}
    assert charged <= {0.1, 0.2}
