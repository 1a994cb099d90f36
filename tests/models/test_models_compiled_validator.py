"""The compiled schema and the validator: they agree, and the validator decides."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from batchgen.jobs import JsonValue, canonical_json
from batchgen.models.catalog import Model, bundled
from batchgen.models.compiled_validator import compile_schema
from batchgen.models.fields import with_full_size
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.urls import (
    LONGEST_URL,
    UnfitUrlError,
    _require_public_url,
    is_public_or_loopback_url,
    is_public_url,
    require_public_url,
)
from batchgen.models.validator import build_validator

MODELS = list(bundled().models.values())
COMPILED = {
    (model.id, rehearsal): compile_schema(model.schema, rehearsal=rehearsal)
    for model in MODELS
    for rehearsal in (False, True)
}
VALIDATORS = {
    (model.id, rehearsal): build_validator(model.schema, rehearsal=rehearsal)
    for model in MODELS
    for rehearsal in (False, True)
}

URLS = (
    "https://files.example.org/a.jpg",
    "https://files.example.org:8443/a.jpg?x=1",
    "http://127.0.0.1:8080/a.png",
    "http://localhost/a.png",
    "https://localhost/a.png",
    "https://10.0.0.1/a.png",
    "https://nas.local/a.png",
    "https://printer.home.arpa",
    "https://a.example.org@b.example.org/",
    "https://files.example.org/a b.jpg",
    "http://files.example.org/a.jpg",
    "https://files.example.org/" + "x" * LONGEST_URL,
    "not a url",
    "",
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.0, -0.0, 0.5, 1.0, 1.0000001, 121, 121.0, 241, 100),
    *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**400, 2.0**63, 1e308, 5e-324),
    *(math.nan, math.inf, -math.inf),
    *("", "x", "é" * 800, "é" * 801, "\U0001f6a2" * 800, "\U0001f6a2" * 801, "\0", "\ud800"),
    *("1", "true", "2048x2048", "2048x2048(1:1)", "2048X2048(1:1)", "null"),
    *([], [[]], [1], [None], [True], {}, {"a": 1}, [{}]),
    *([url] for url in URLS),
    *([URLS[0]] * count for count in (2, 10, 11)),
    [*URLS[:1], ""],
)

odd_values: st.SearchStrategy[Any] = (
    st.sampled_from(ODD_VALUES)
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.lists(st.sampled_from(URLS), max_size=12)
)


def sound_value(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in part:
        return st.sampled_from(part["enum"])
    kind = part["type"]
    if kind == "array":
        sizes = {"min_size": part["minItems"], "max_size": part["maxItems"]}
        return st.lists(st.just(URLS[0]), **sizes)
    return {
        "string": st.text(max_size=20),
        "float": st.floats(0, 1) | st.integers(0, 1),
        "integer": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
    }[kind]


@st.composite
def inputs(draw: st.DrawFn, model: Model) -> dict[str, Any]:
    """Draw a valid input, then spoil up to two places of it."""
    parts = model.schema["properties"]
    required = {name: sound_value(parts[name]) for name in model.schema["required"]}
    optional = {name: sound_value(part) for name, part in parts.items() if name not in required}
    values: dict[str, Any] = draw(st.fixed_dictionaries(required, optional=optional))
    for key in draw(st.lists(st.sampled_from([*parts, "promt", "size", "", "\ud800"]), max_size=2)):
        if draw(st.booleans()):
            values[key] = draw(odd_values)
        else:
            values.pop(key, None)
    return values


@pytest.mark.parametrize("rehearsal", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.alias)
@given(data=st.data())
def test_both_agree_on_inputs_near_the_schema(
    model: Model, data: st.DataObject, *, rehearsal: bool
) -> None:
    values = data.draw(inputs(model))
    validator = VALIDATORS[model.id, rehearsal]
    assert COMPILED[model.id, rehearsal](values) is validator.is_valid(values)


@pytest.mark.parametrize("rehearsal", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.alias)
def test_both_agree_on_every_odd_value_of_every_field(model: Model, *, rehearsal: bool) -> None:
    sound: dict[str, Any] = {"prompt": "x"}
    if "image_urls" in model.schema["properties"]:
        sound["image_urls"] = [URLS[0]]
    accepts, validator = COMPILED[model.id, rehearsal], VALIDATORS[model.id, rehearsal]
    for key in [*model.schema["properties"], "promt"]:
        for value in ODD_VALUES:
            spoilt = {**sound, key: value}
            assert accepts(spoilt) is validator.is_valid(spoilt), (key, value)
    for whole in [*ODD_VALUES, *({k: v for k, v in sound.items() if k != key} for key in sound)]:
        assert accepts(whole) is validator.is_valid(whole), whole


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.alias)
@given(data=st.data())
def test_an_input_passes_exactly_where_the_validator_accepts_it(
    model: Model, data: st.DataObject
) -> None:
    values = data.draw(inputs(model))
    assume("size" not in values)
    answer = check_input(model, values)
    if isinstance(answer, CheckedInput):
        assert VALIDATORS[model.id, False].is_valid(answer.values)
        assert json.loads(answer.body) == answer.values
    else:
        assert answer
        assert not VALIDATORS[model.id, False].is_valid(with_full_size(values, model.sizes)) or any(
            word in problem.message for problem in answer for word in ("NUL", "surrogate")
        )


numbers = st.integers(-3, 3) | st.sampled_from([0.5, -0.5, 2.0**70, 2**70, -(2**70)])
keywords: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["string", "float", "number", "integer", "boolean", "null", "array"])
    | st.lists(st.sampled_from(["string", "integer", "number", "null"]), min_size=1, unique=True),
    **dict.fromkeys(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], numbers),
    **dict.fromkeys(["minLength", "maxLength", "minItems", "maxItems"], st.integers(0, 3)),
    "enum": st.lists(st.sampled_from([1, 1.0, True, 0, False, None, "a", "1"]), min_size=1),
    "const": st.sampled_from([1, 2.0, True, False, None, "a"]),
    "multipleOf": st.just(2),
    "pattern": st.sampled_from(["^a+$", "a", "^$", "(a$|b)", r"[\u00e4]", r"^\S+$", r"^\D$"])
    | st.sampled_from([r"^a\.b$", r"^(?!\.{1,2}$)[^/\\]+$", r"[^\]\-]$"]),
    "format": st.sampled_from(["image_uri", "email"]),
    "items": st.sampled_from([{"type": "integer"}, {"type": "float", "maximum": 1}]),
    "description": st.just("words"),
}
schemas = st.fixed_dictionaries({}, optional=keywords).map(
    lambda part: {"type": "object", "properties": {"key": part}}
)
values_of_a_key = (
    st.sampled_from(ODD_VALUES)
    | st.sampled_from(
        ["a", "aa", "a\n", "b\n", "ä", "1", "\x85", "\u0660", 2, 3.0, [1, 2.0], [math.nan], [True]]
    )
    | st.sampled_from(["a.b", "a+b", "..", "/", "\\", "a]", "a-"])
    | numbers
)


@given(schemas, values_of_a_key)
@example({"properties": {"key": {"minimum": 0}}}, math.nan)
@example({"properties": {"key": {"type": "number", "minimum": 2**70}}}, 2**71)
@example({"properties": {"key": {"type": "integer", "exclusiveMinimum": 1, "minimum": 1}}}, 1)
def test_a_compiled_schema_is_never_more_lenient_for_any_schema(
    schema: dict[str, Any], value: JsonValue
) -> None:
    whole = {"key": value}
    assert not compile_schema(schema)(whole) or build_validator(schema).is_valid(whole)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"type": "integer", "multipleOf": 2}, 2),
        ({"type": "integer", "exclusiveMinimum": 0}, 2),
        ({"pattern": r"\S"}, "x"),
        ({"anyOf": [{"type": "string"}]}, "x"),
        ({"uniqueItems": True}, ["x"]),
        ({"required": []}, {}),
    ],
)
def test_what_has_no_translation_is_left_to_the_validator(
    part: dict[str, Any], value: JsonValue
) -> None:
    schema = {"type": "object", "properties": {"key": part}}
    assert build_validator(schema).is_valid({"key": value})
    assert not compile_schema(schema)({"key": value})


def test_one_field_without_translation_spoils_no_other() -> None:
    parts = {"odd": {"multipleOf": 2}, "plain": {"type": "string"}}
    assert compile_schema({"type": "object", "properties": parts})({"plain": "x"})


plain_urls = st.from_regex(
    r"https://([a-z0-9][a-z0-9-]{0,5}\.){1,3}(local|localhost|internal|arpa|home|com|org|x1|1|[a-z]{2,4})"
    r"([/?#:@][!-~]{0,10})?",
    fullmatch=True,
)


@settings(deadline=None)
@given(plain_urls | plain_urls.map(lambda url: url + "\n") | st.sampled_from(URLS))
def test_a_url_that_passes_the_quick_check_passes_the_full_one(url: str) -> None:
    reasons = []
    for look in (require_public_url, _require_public_url):
        reason = None
        try:
            look(url)
        except UnfitUrlError as exc:
            reason = str(exc)
        reasons.append(reason)
    assert reasons[0] == reasons[1]
    assert is_public_url(url) is (reasons[0] is None)
    assert is_public_or_loopback_url(url) or not is_public_url(url)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=6,
    )
)
def test_the_canonical_text_is_what_json_dumps_gives(value: JsonValue) -> None:
    with suppress(ValueError):
        text = json.dumps(
            value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        assert canonical_json(value) == text
