from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.jobs import JsonObject, JsonValue
from batchgen.models.catalog import bundled
from batchgen.models.fields import short_sizes
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.messages import InputProblem, format_value

T2I = bundled().models["bytedance/dreamina-4-0/text-to-image"]
EDIT = bundled().models["bytedance/dreamina-4-0/edit"]
VIDEO = bundled().models["bytedance/dreamina-3-0/pro/image-to-video"]
MODELS = {"t2i": T2I, "edit": EDIT, "i2v": VIDEO}
IMAGE = "https://files.example.org/a.jpg"
FULL_KEY = "width×height"  # noqa: RUF001 - the vendor's key
SHORT_SIZES = (
    "1024x1024, 2048x2048, 2304x1728, 2496x1664, 2560x1440, 3024x1296, 4096x4096, 4694x3520, "
    "4992x3328, 5404x3040, 6198x2656"
)


def problems_of(alias: str, given: JsonObject) -> list[InputProblem]:
    answer = check_input(MODELS[alias], given)
    assert isinstance(answer, list)
    return answer


def sound(alias: str, given: JsonObject, *, rehearsal: bool = False) -> CheckedInput:
    answer = check_input(MODELS[alias], given, rehearsal=rehearsal)
    assert isinstance(answer, CheckedInput), answer
    return answer


def test_a_valid_input_becomes_the_text_that_is_sent() -> None:
    answer = sound("t2i", {"scale": 0.5, "prompt": "a boat"})
    assert answer.body == '{"prompt":"a boat","scale":0.5}'


def test_defaults_of_the_page_are_not_sent() -> None:
    assert json.loads(sound("i2v", {"prompt": "x", "image_urls": [IMAGE]}).body) == {
        "prompt": "x",
        "image_urls": [IMAGE],
    }


VALID: dict[str, dict[str, JsonValue]] = {
    "t2i": {"prompt": "x"},
    "edit": {"prompt": "x", "image_urls": [IMAGE]},
    "i2v": {"prompt": "x", "image_urls": [IMAGE]},
}


@pytest.mark.parametrize(
    ("alias", "change", "message", "hint"),
    [
        (
            "t2i",
            {"prompt": "x" * 801},
            "prompt is 801 characters long; at most 800 are allowed",
            None,
        ),
        ("i2v", {"frames": 100}, "frames must be one of 121, 241; got 100", None),
        ("t2i", {"scale": 2}, "scale must be between 0 and 1; got 2", None),
        ("t2i", {"scale": -0.1}, "scale must be between 0 and 1; got -0.1", None),
        ("edit", {"image_urls": [IMAGE] * 11}, "image_urls: 11 images given; at most 10", None),
        ("edit", {"image_urls": []}, "image_urls: 0 images given; at least 1", None),
        ("t2i", {"promt": "x"}, "unknown key 'promt'", "did you mean 'prompt'?"),
        ("t2i", {"sise": "x"}, "unknown key 'sise'", "did you mean 'size'?"),
        (
            "i2v",
            {"size": "2048x2048"},
            "unknown key 'size'",
            "known: frames, image_urls, prompt, seed",
        ),
        ("t2i", {"scale": True}, "scale must be a number; got true", None),
        ("t2i", {"scale": "0.5"}, "scale must be a number; got '0.5'", "remove the quotes"),
        ("t2i", {"scale": float("nan")}, "scale must be a finite number; got nan", None),
        ("t2i", {"scale": float("inf")}, "scale must be a finite number; got inf", None),
        ("i2v", {"seed": False}, "seed must be a whole number; got false", None),
        ("i2v", {"seed": 1.5}, "seed must be a whole number; got 1.5", None),
        ("i2v", {"seed": 7.0}, "seed must be a whole number; got 7.0", None),
        ("i2v", {"seed": 2**63}, "seed must fit in 64 bits; got 9223372036854775808", None),
        ("i2v", {"seed": 10**399}, "seed must fit in 64 bits; got an integer of 400 digits", None),
        (
            "i2v",
            {"seed": 10**3999},
            "seed must fit in 64 bits; got an integer of 4000 digits",
            None,
        ),
        ("i2v", {"frames": "121"}, "frames must be a whole number; got '121'", "remove the quotes"),
        ("t2i", {"prompt": 12}, "prompt must be text; got 12", "put it in quotes"),
        ("t2i", {"prompt": None}, "prompt must be text; got null", None),
        (
            "t2i",
            {"prompt": ["x"]},
            "prompt must be text; got a list",
            "put all of the text in quotes",
        ),
        (
            "t2i",
            {"force_single": "yes"},
            "force_single must be true or false; got 'yes'",
            "write true",
        ),
        (
            "t2i",
            {"force_single": "off"},
            "force_single must be true or false; got 'off'",
            "write false",
        ),
        (
            "t2i",
            {"force_single": "True"},
            "force_single must be true or false; got 'True'",
            "remove the quotes",
        ),
        (
            "edit",
            {"image_urls": IMAGE},
            f"image_urls must be a list; got '{IMAGE}'",
            "write a list of one item as [ … ]",
        ),
        ("edit", {"image_urls": {"a": 1}}, "image_urls must be a list; got a mapping", None),
        (
            "edit",
            {"image_urls": [IMAGE, 3]},
            "item 2 of image_urls must be text; got 3",
            "put it in quotes",
        ),
        (
            "edit",
            {"image_urls": ["http://a.org/b"]},
            "item 1 of image_urls must begin with https://; got 'http://a.org/b'",
            "the vendor's servers fetch the file: HTTPS, public, without login",
        ),
        ("t2i", {"size": "3000x1000"}, f"size must be one of {SHORT_SIZES}; got '3000x1000'", None),
        (
            "t2i",
            {"size": "2304x172"},
            f"size must be one of {SHORT_SIZES}; got '2304x172'",
            "did you mean '2304x1728'?",
        ),
        ("t2i", {"size": 2048}, f"size must be one of {SHORT_SIZES}; got 2048", None),
        ("t2i", {FULL_KEY: "9x9"}, f"{FULL_KEY} must be one of {SHORT_SIZES}; got '9x9'", None),
        ("t2i", {"prompt": "a\0b"}, "prompt has a NUL character, which text must not have", None),
        (
            "t2i",
            {"prompt": "\ud800"},
            "prompt has half a character (a lone surrogate)",
            "write the character itself",
        ),
    ],
)
def test_problems_are_reported_in_plain_words(
    alias: str, change: JsonObject, message: str, hint: str | None
) -> None:
    """Rows 8, 9 and 10."""
    (problem,) = problems_of(alias, {**VALID[alias], **change})
    assert (problem.message, problem.hint) == (message, hint)


def test_all_problems_are_reported_at_once() -> None:
    found = problems_of("edit", {"promt": "x", "scale": 2, "size": "1x1"})
    paths = {problem.path for problem in found}
    assert paths == {("image_urls",), ("prompt",), ("scale",), ("promt",), ("size",)}
    assert {"image_urls is required", "prompt is required"} <= {one.message for one in found}


@pytest.mark.parametrize(
    "given",
    [
        {"size": "2048x2048"},
        {"size": "2048x2048(1:1)"},
        {FULL_KEY: "2048x2048"},
        {FULL_KEY: "2048x2048(1:1)"},
    ],
)
def test_every_way_to_write_a_size_is_the_same_size(given: JsonObject) -> None:
    body = sound("t2i", {"prompt": "x", **given}).body
    assert json.loads(body) == {"prompt": "x", FULL_KEY: "2048x2048(1:1)"}


def test_a_size_given_twice_is_a_problem() -> None:
    (problem,) = problems_of(
        "t2i", {"prompt": "x", "size": "1024x1024", FULL_KEY: "2048x2048(1:1)"}
    )
    assert problem.message == f"'size' and '{FULL_KEY}' mean the same"
    assert problem.hint == "keep 'size'"


def test_sizes_with_the_same_beginning_have_no_short_form() -> None:
    assert short_sizes(["1x1(a)", "1x1(b)", "2x2(c)"]) == {
        "1x1(a)": "1x1(a)",
        "1x1(b)": "1x1(b)",
        "2x2": "2x2(c)",
    }


def test_a_backslash_that_only_looks_like_nul_is_valid() -> None:
    assert json.loads(sound("t2i", {"prompt": "a\\u0000b"}).body)["prompt"] == "a\\u0000b"


def test_a_prompt_of_exactly_800_characters_passes() -> None:
    assert sound("t2i", {"prompt": "é" * 800}).values == {"prompt": "é" * 800}


def test_files_on_this_machine_pass_only_in_a_rehearsal() -> None:
    given: JsonObject = {"prompt": "x", "image_urls": ["http://127.0.0.1:8080/a.png"]}
    assert sound("edit", given, rehearsal=True).values == given
    assert len(problems_of("edit", given)) == 1


def test_a_value_in_a_message_is_one_short_line() -> None:
    assert (
        format_value("a\nb\x1b[31m") == "'a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m'"
    )
    assert len(format_value("x" * 1000)) == 60


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*T2I.keys, *VIDEO.keys]) | st.text()


@given(st.sampled_from(list(MODELS)), st.dictionaries(keys, json_values, max_size=6))
def test_any_input_is_either_valid_json_or_has_problems(alias: str, given: JsonObject) -> None:
    answer = check_input(MODELS[alias], given)
    if isinstance(answer, CheckedInput):
        assert json.loads(answer.body.encode()) == answer.values
    else:
        assert answer
        assert all(problem.message for problem in answer)
