"""YAML itself: values, places, and everything that is refused."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.manifest.parsing import composer, events, nodes, source
from batchgen.manifest.parsing.source import UnreadableYamlError
from tests.manifest.manifest_reading import HEAD, problems, read

SMALL = HEAD + "jobs:\n  - {id: a, input: {prompt: x}}\n"


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ('a: "x', "3:4 a quotation mark is opened here and never closed"),
        ("a: b: c", "3:5 a ':' is not allowed here"),
        ("\ta: 1", "3:1 a value cannot begin with this character"),
        ("a: @x", "3:4 a value cannot begin with this character"),
        ("a: [1, 2", "4:1 a ',' or a closing bracket is missing"),
        ("a:\n  b: 1\n c: 2", "5:2 a key was expected here"),
        ("a:\n  - b\n  c: 1", "5:3 a '- ' was expected here"),
        ("a: - b", "3:4 a list cannot begin here"),
        ("a: }", "3:4 a value is missing here"),
        ('a: "\\q"', "3:5 this backslash escape does not exist"),
        (
            'a: "\\ud800"',
            "3:7 this escape is half a character (a lone surrogate) or not a character",
        ),
        ("a: |x\n  y", "3:5 text cannot follow | or > on its line"),
        ("a: *", "3:5 the name after this & or * is missing"),
    ],
)
def test_a_syntax_error_is_reported_plainly_with_line_and_column(bad: str, problem: str) -> None:
    """Row 4."""
    assert problems(HEAD + bad + "\n")[-1] == problem


def test_something_after_the_root_is_a_syntax_error() -> None:
    assert problems("{version: 1}\nx\n")[-1] == "2:1 there is unexpected text here"


def test_problems_before_a_syntax_error_are_reported_too() -> None:
    """Row 4."""
    found = problems(HEAD + "jobs:\n  - {id: a, input: {}}\n  - {id: 'b}\n")
    assert found == [
        "4:13 prompt is required",
        "5:10 a quotation mark is opened here and never closed",
    ]


def test_a_missing_version_is_not_reported_if_the_file_breaks_off() -> None:
    assert problems("jobs:\n  - [a\n") == ["3:1 a ',' or a closing bracket is missing"]


def test_the_plain_parser_is_used_if_libyaml_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOADER", yaml.SafeLoader)
    assert [job.id for job in read(SMALL).jobs] == ["a"]
    assert problems(HEAD + "x-a: b: c") == ["3:7 a ':' is not allowed here"]
    assert problems('a: "\\ud800"')[0] == "1:1 version is required"
    assert "1:4 half a character (a lone surrogate) is escaped in this text" in problems(
        'a: "\\ud800"'
    )


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + SMALL.encode(),
        SMALL.replace("\n", "\r\n").encode(),
        SMALL.replace("\n", "\r").encode(),
        codecs.BOM_UTF8 + SMALL.replace("\n", "\r\n").encode(),
        SMALL.encode("utf-16"),
        codecs.BOM_UTF16_BE + SMALL.encode("utf-16-be"),
        SMALL.encode("utf-32"),
    ],
)
def test_marks_line_ends_and_encodings_of_editors_are_read(data: bytes) -> None:
    """Row 5."""
    reading = read(data)
    assert reading.problems == []
    assert [(job.id, job.line) for job in reading.jobs] == [("a", 4)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"x: a\0b", "5:5 there is a NUL character here"),
        (b"x: a\x1bb", "5:5 there is the control character U+001B here"),
        (b"x: a\xffb", "5:5 this is not UTF-8"),
        (b"x: a\xed\xa0\x80", "5:5 this is not UTF-8"),
        (b"x: \xc3\xa9\xc3", "5:5 this is not UTF-8"),
        (b"x: \xef\xbb\xbfb", "5:4 there is the control character U+FEFF here"),
    ],
)
def test_wrong_bytes_are_refused_at_their_place(line: bytes, problem: str) -> None:
    """Row 5."""
    assert problems(SMALL.encode() + line + b"\n") == [problem]


def test_wrong_utf16_is_refused_too() -> None:
    """Row 5."""
    data = codecs.BOM_UTF16_LE + SMALL.encode("utf-16-le") + b"\x00\xd8"
    assert problems(data) == ["5:1 this is not UTF-16-LE"]


def test_a_cut_line_makes_no_phantom_job() -> None:
    text = HEAD + "jobs:\n  - {id: a, input: {prompt: x}}\n  - {id: b, input: {}}"
    assert problems(text.encode() + b"\0, more") == ["5:23 there is a NUL character here"]


def test_an_invalid_byte_far_into_the_file_has_its_line() -> None:
    job = "  - {id: %d, input: {prompt: some words to fill the chunks}}\n"
    text = HEAD + "jobs:\n" + "".join(job % number for number in range(5000))
    assert problems(text.encode() + b"# \xff") == ["5004:3 this is not UTF-8"]


def test_a_value_without_end_is_not_read_into_memory() -> None:
    text = SMALL + "x-long: '" + "y" * (source.LONGEST_VALUE + 3 * source.CHUNK) + "'\n"
    assert problems(text) == ["5:7 the value or comment after this place is too long"]


def test_an_alias_bomb_is_refused() -> None:
    """Row 7."""
    lines = ["x-a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (problem, *_) = problems("\n".join(lines))
    assert (
        problem
        == f"5:22 one job, or one key of the header, holds more than {nodes.MOST_NODES} values"
    )


def test_a_bomb_of_merge_keys_is_refused() -> None:
    """Row 7."""
    lines = ["x-a0: &a0 {a: 1, b: 2}"]
    lines += [f"x-a{n}: &a{n} {{<<: *a{n - 1}, c{n}: *a{n - 1}}}" for n in range(1, 30)]
    assert "holds more than" in problems("\n".join(lines))[0]


def test_deep_nesting_is_refused() -> None:
    assert problems("a: " + "[" * 60) == ["1:54 this is nested more than 50 levels deep"]
    assert problems(SMALL + "  - " + "{a: " * 5000)[0].startswith("5:")


def test_many_anchors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 6."""
    monkeypatch.setattr(composer, "MOST_ANCHORED", 2000)
    jobs = "".join(f"  - &a{n} [{'x, ' * 199}]\n" for n in range(11))
    found = problems(HEAD + "jobs:\n" + jobs)
    assert "anchors name more than 2000 values" in found[-1]


def test_a_job_that_is_broken_as_yaml_is_left_out_and_the_others_go_on() -> None:
    text = HEAD + "jobs:\n- {id: a, id: b}\n- {id: c, input: {prompt: x}}\n"
    reading = read(text)
    assert [job.id for job in reading.jobs] == ["c"]
    assert reading.problems == ["4:11 duplicate key 'id': lines 4 and 4"]


@settings(deadline=None)
@given(st.text() | st.text("ab:-?[]{}\n #&*!|>'\"%@`<0.\t\\u", max_size=200))
def test_any_text_gives_jobs_or_problems(text: str) -> None:
    """Rows 4 and 7."""
    reading = read(text.encode("utf-8", "surrogatepass"))
    assert reading.problems


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_give_problems(data: bytes) -> None:
    assert read(data).problems


@settings(deadline=None)
@given(st.text("ab:-?[]{}\n #&*!|>'\"<0.\t\\", max_size=80))
def test_any_text_among_the_jobs_gives_jobs_or_problems(text: str) -> None:
    reading = read(f"{HEAD}jobs:\n  - {text}\n")
    assert reading.problems or reading.jobs


def test_the_parsers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).parents[2].joinpath("manifests/overnight.yaml").read_text("utf-8")
    fast = read(text)
    monkeypatch.setattr(events, "LOADER", yaml.SafeLoader)
    assert read(text).jobs == fast.jobs


def test_an_unreadable_file_has_its_place() -> None:
    error = UnreadableYamlError(3, 4, "what", "next")
    assert str(error) == "3:4: what\n  → next"


QUOTED = "put all of the text in quotes"


@pytest.mark.parametrize(
    ("written", "quoted"),
    [
        ("Portrait: a girl in a red coat", '"Portrait: a girl in a red coat"'),
        ("@mkdir style, a cat", '"@mkdir style, a cat"'),
        ("*bold* title card", '"*bold* title card"'),
        ("*bold title card", '"*bold title card"'),
        ("!important a cat", '"!important a cat"'),
        ("%A cat", '"%A cat"'),
        ("[cinematic] a girl on a boat", '"[cinematic] a girl on a boat"'),
        ("{red|blue} car on a road", '"{red|blue} car on a road"'),
        ('"Hello" written on a wall', "'\"Hello\" written on a wall'"),
        ("'Hello' written on a wall", "\"'Hello' written on a wall\""),
        ("'tis the season, a fir tree", '"\'tis the season, a fir tree"'),
        ("- a cat", '"- a cat"'),
        ("| a cat", '"| a cat"'),
        ("> a cat", '"> a cat"'),
        ("a cat: ", '"a cat:"'),
        ("? a cat", '"? a cat"'),
        ("& cat", '"& cat"'),
        ("`code` on a wall", '"`code` on a wall"'),
    ],
)
def test_a_text_that_looks_like_yaml_gets_a_hint_to_quote_all_of_it(
    written: str, quoted: str
) -> None:
    text = f"{HEAD}jobs:\n  - id: a\n    input:\n      prompt: WRITTEN\n      size: 1024x1024\n"
    found = read(text.replace("WRITTEN", written))
    assert found.hints[0] == f"{QUOTED}: prompt: {quoted}"
    assert found.problems[0].startswith("6:")
    assert read(text.replace("WRITTEN", quoted)).problems == []


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("1984", "put it in quotes"),
        ("true", "put it in quotes"),
        ("[cinematic]", QUOTED),
        ("{red|blue}", QUOTED),
        ("a {#ff8800} palette", "to write it literally: {% raw %}{#{% endraw %}"),
    ],
)
def test_a_text_that_is_read_as_something_else_gets_a_hint(written: str, hint: str) -> None:
    found = read(f"{HEAD}jobs:\n  - id: a\n    input:\n      prompt: {written}\n")
    assert found.hints == [hint]


@pytest.mark.parametrize("written", ["2026-11-22", "50% off }} sale", "“smart quotes” on a wall"])
def test_a_text_that_only_looks_odd_is_read_unchanged(written: str) -> None:
    found = read(f"{HEAD}jobs:\n  - id: a\n    input:\n      prompt: {written}\n")
    assert found.problems == []
    assert json.loads(found.jobs[0].body)["prompt"] == written


def test_text_below_a_cut_line_gets_a_hint_to_quote_it() -> None:
    text = f"{HEAD}jobs:\n  - id: a\n    input:\n      prompt: jersey #7\n        at night\n"
    assert f"{QUOTED}: a ' #' in it begins a comment" in read(text).hints


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("{prompt: a fox #1, size: 2048x2048}", f"{QUOTED}: a ' #' in it begins a comment"),
        ("{size: 2048x2048, prompt: a fox, red #1}", f"{QUOTED}: a ' #' in it begins a comment"),
        ("{prompt: [cinematic] a fox}", QUOTED),
        ('{size: 2048x2048, prompt: "Hello" on a wall}', QUOTED),
        ("{prompt: {red|blue} car, size: 2048x2048}", QUOTED),
    ],
)
def test_text_in_braces_that_yaml_cuts_gets_a_hint(given: str, hint: str) -> None:
    assert read(f"{HEAD}jobs:\n  - id: a\n    input: {given}\n  - id: b\n").hints == [hint]


def test_text_after_a_comma_in_braces_gets_a_hint_to_quote_it() -> None:
    found = read(f"{HEAD}jobs:\n  - id: a\n    input: {{prompt: a fox, in the snow}}\n")
    assert found.problems == ["5:28 unknown key 'in the snow'"]
    assert found.hints == ["if it is text after a comma, put all of the text in quotes"]


def test_a_bracket_missing_after_a_genuine_comment_gets_no_hint_to_quote() -> None:
    text = f"{HEAD}jobs:\n  - id: a\n    input: {{prompt: fox,  # red\n      scale: 1\n  - id: b\n"
    assert read(text).hints == ["check the brackets of this list or mapping"]


HASHED = """\
version: 1
vars: {place: a house}
defaults: {model: bytedance/dreamina-4-0/text-to-image, input: {size: 1024x1024}}
jobs:
  - id: jersey  # the first
    tags: [hero]  # an honest comment
    input:
      prompt: a player wearing jersey #7, at night
      size: 1024x1024  # square
  - id: folded
    input:
      prompt: >-
        a football player wearing jersey #7
        stadium at night
  - id: plain
    matrix:
      hour:
        - dawn  # early
        - dusk in town #5
    input:
      prompt: a house
        of {{ hour }} #ffffff
"""


def test_a_text_that_a_hash_cuts_is_reported_with_line_kept_and_lost_text() -> None:
    found = read(HASHED)
    assert found.problems == []
    assert found.warnings == [
        "8:39 only 'a player wearing jersey' is read: '#7, at night' is taken for a comment",
        "19:24 only 'dusk in town' is read: '#5' is taken for a comment",
        "22:23 only 'a house of {{ hour }}' is read: '#ffffff' is taken for a comment",
    ]
    prompts = [json.loads(job.body)["prompt"] for job in found.jobs]
    assert prompts[1] == "a football player wearing jersey #7 stadium at night"


def test_a_cut_text_of_the_header_is_reported_too() -> None:
    head = HEAD + "vars:\n  place: a house #7\n  mood: calm # always\n"
    head = head.replace("}\n", ", input: {prompt: a fox # red\n  }}\n", 1)
    found = read(head + "jobs:\n  - id: a\n")
    assert [one.partition(" ")[0] for one in found.warnings] == ["2:79", "5:18"]


def test_a_comment_is_seen_wherever_a_chunk_of_the_file_ends() -> None:
    for filler in range(65_440, 65_540):
        text = f"#{'x' * filler}\n{HEAD}jobs:\n  - id: a\n    input:\n      prompt: a fox #7\n"
        assert len(read(text).warnings) == 1, filler
