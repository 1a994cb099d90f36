"""Templates in the manifest's texts."""

from __future__ import annotations

import json
from collections import ChainMap
from contextlib import suppress
from typing import Any

import pytest

from batchgen.manifest.templates.problems import RAW_HINT, TemplateProblem
from batchgen.manifest.templates.texts import compile_text
from tests.manifest.manifest_reading import read, with_jobs

CSV_HINT = "a value from a CSV file is text: |float turns it into a number"
CELL: dict[str, Any] = {
    "hour": "dawn",
    "look": "oil",
    "scale": 0.5,
    "sku": "007",
    "index": 7,
    "flag": True,
    "nothing": None,
    "tags": ["hero", "v1"],
    "style": {"name": "pastel", "items": 3},
    "row": {"my column": "{{ hour }}", "self": "me"},
    "env": {"DATASET": "boats"},
    "long": "x" * 90_000,
}


def render(text: str) -> Any:
    return compile_text(text).render(CELL)


def problem(text: str) -> TemplateProblem:
    with pytest.raises(TemplateProblem) as caught:
        compile_text(text).render(CELL)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ scale }}", 0.5),
        ("{{scale}}", 0.5),
        ("{{ tags }}", ["hero", "v1"]),
        ("{{ style }}", {"name": "pastel", "items": 3}),
        ("{{ nothing }}", None),
        ("{{ flag }}", True),
        ("{{ 0.5 }}", 0.5),
        ("{{ index * 2 - 1 }}", 13),
        ("{{ index // 2 }}", 3),
        ("{{ sku|int + 1 }}", 8),
        ("{{ 'x'|int(0) }}", 0),
        ("{{ 'first' if index == 1 else none }}", None),
        ("{{ 'first' if index == 1 }}", None),
        ("{{ [hour, none if flag] }}", ["dawn", None]),
        ("{{ hour in ['dawn', 'dusk'] }}", True),
        ("{{ tags[-1] }}", "v1"),
        ("{{ index is odd }}", True),
        ("{{ index is divisibleby(7) and hour is string }}", True),
        ("{{ tags[1:] }}", ["v1"]),
        ("{{ missing|default(5) }}", 5),
        ("{{ style.weight|d(2) }}", 2),
    ],
)
def test_a_text_that_is_one_expression_gives_the_value_itself(text: str, value: object) -> None:
    assert (render(text), type(render(text))) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("A harbour at {{ hour }}, {{ look }}", "A harbour at dawn, oil"),
        (" {{ scale }}", " 0.5"),
        ("100% {{ hour }} %s", "100% dawn %s"),
        ("{{ hour }}\n", "dawn\n"),
        ("{{ style.items }} by {{ style['name'] }}", "3 by pastel"),
        ("{{ row['my column'] }}!", "{{ hour }}!"),
        ("{% if hour == 'dawn' %}early{% else %}late{% endif %}", "early"),
        ("{% raw %}{{ hour }}{% endraw %}", "{{ hour }}"),
        ("frame-{{ '%04d'|format(index) }}", "frame-0007"),
        ("{{ hour|upper }} {{ tags|join('+') }}", "DAWN hero+v1"),
        ("{{ hour ~ '-' ~ index ~ nothing ~ flag }}", "dawn-7true"),
        ("{{ hour }} }} { %}", "dawn }} { %}"),
        ("{{ 'é ü'|urlencode }}", "%C3%A9%20%C3%BC"),
        ("{{ hour|replace('d', 'D') }}", "Dawn"),
        ("{{ hour[1:3] }}", "aw"),
    ],
)
def test_anything_else_gives_text(text: str, made: str) -> None:
    assert render(text) == made


def test_true_lists_and_mappings_are_written_as_json_and_null_as_nothing() -> None:
    text = "[{{ flag }}] [{{ nothing }}] {{ tags }} {{ style }}"
    assert render(text) == '[true] [] ["hero", "v1"] {"name": "pastel", "items": 3}'


@pytest.mark.parametrize("text", ["", "plain", "{ a }", "100%", "}} {", "a\r\n"])
def test_a_text_without_template_braces_is_unchanged(text: str) -> None:
    compiled = compile_text(text)
    assert compiled.is_literal
    assert compiled.render({}) == text


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("{{ hoor }}", "no variable 'hoor'", "did you mean 'hour'?"),
        ("at {{ hoor|upper }}", "no variable 'hoor'", "did you mean 'hour'?"),
        ("{{ [hoor] }}", "no variable 'hoor'", "did you mean 'hour'?"),
        ("{{ hoor + 1 }}", "no variable 'hoor'", "did you mean 'hour'?"),
        (
            "{{ zebra }}",
            "no variable 'zebra'",
            f"known: env, flag, hour, index, long, look, nothing, row, …; {RAW_HINT}",
        ),
        ("{{ style.nmae }}", "style has no 'nmae'", "did you mean 'name'?"),
        ("a {{ style['nmae'] }}", "style has no 'nmae'", "did you mean 'name'?"),
        ("{{ row.other.x }}", "row has no 'other'", "known: my column, self"),
        ("{{ style.__class__ }}", "style has no '__class__'", "known: items, name"),
        ("{{ env.HOME }}", "env has no 'HOME'", "name it in the manifest, and set it: env: [HOME]"),
        ("{{ hour.length }}", "hour is text, and has no 'length'", None),
        ("{{ style.name.x }}", "style.name is text, and has no 'x'", None),
        ("{{ nothing.x }}", "nothing is null, and has no 'x'", None),
        (
            "{{ 5[1:] }}",
            "the filter '[:]' cannot use 5 with 1, null, null",
            None,
        ),
        ("{{ index is even(1) }}", "the test 'even' cannot take these arguments", None),
        ("{{ hoor is none }}", "no variable 'hoor'", "did you mean 'hour'?"),
        ("{{ style[hoor] }}", "no variable 'hoor'", "did you mean 'hour'?"),
        ("{{ -hour }}", "'-' works on numbers only", CSV_HINT),
        ("{{ 5 in hour }}", "'in' cannot be used with these values", CSV_HINT),
        ("{{ tags[5] }}", "list object has no element 5", None),
        (
            "{{ hour|round }}",
            "the filter 'round' cannot use 'dawn'",
            "turn it into a number first: |float",
        ),
        ("{{ hour|int }}", "the filter 'int' cannot use 'dawn'", None),
        ("{{ hour|replace }}", "the filter 'replace' cannot take these arguments", None),
        ("{{ hour|default(b=1) }}", "the filter 'default' cannot take these arguments", None),
        (
            "{{ scale < hour }}",
            "'<' compares numbers with numbers and text with text",
            CSV_HINT,
        ),
        (
            "{{ index // 0 }}",
            "this template divides by zero",
            None,
        ),
    ],
)
def test_a_template_that_its_values_cannot_fill_is_reported_with_the_reason(
    text: str, what: str, hint: str | None
) -> None:
    found = problem(text)
    assert (found.what, found.next_step) == (what, hint)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ hour", "the '{{' is never closed"),
        ("{{ hour }", "the '{{' is never closed"),
        ("{% if flag", "the '{%' is never closed"),
        ("{# hour", "the '{#' is never closed"),
        ("colour {# warm #}", "'{#' begins a comment"),
        ("{{ }}", "'{{ }}' is empty"),
        ("{% if flag %}x", "the '{% if %}' has no '{% endif %}'"),
        ("{% raw %}x", "the '{% raw %}' has no '{% endraw %}'"),
        ("{% when x %}", "there is no '{% when %}'"),
        ("{{ hour hour }}", "this template cannot be parsed: expected token"),
        ("{{ hour|uper }}", "this template cannot be parsed: No filter named 'uper'."),
        ("{{ hour is evne }}", "this template cannot be parsed: No test named 'evne'."),
        ("{{ \N{FEMININE ORDINAL INDICATOR} ~ a }}", "two names in this template differ only in"),
        ("{{ d(a=1, a=2) }}", "a template cannot have 'call'"),
        (
            "{{ hour|d(a=1, a=2) }}",
            "this template cannot be parsed: keyword argument repeated: a",
        ),
    ],
)
def test_a_template_that_is_not_understood_is_refused(text: str, what: str) -> None:
    with pytest.raises(TemplateProblem) as caught:
        compile_text(text)
    assert caught.value.what.startswith(what)


@pytest.mark.parametrize(
    ("text", "braces"),
    [("{{ hour", "{{"), (r"\frac{{a}}{{b}}", "{{"), ("{{hour|zebra}}", "{{"), ("{#1#}", "{#")],
)
def test_the_hint_of_braces_that_are_no_template_itself_works(text: str, braces: str) -> None:
    with pytest.raises(TemplateProblem) as caught:
        compile_text(text).check_names({"hour", "index"})
    hint = caught.value.next_step
    assert hint is not None
    assert render(hint[hint.index("literally: ") :].partition(": ")[2]) == braces


@pytest.mark.parametrize("block", ["if", "raw"])
def test_an_open_block_gets_a_hint_how_to_close_it(block: str) -> None:
    opener = "{% if flag %}" if block == "if" else "{% raw %}"
    assert problem(f"{opener}x").next_step == f"close it with {{% end{block} %}}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ range(10) }}",
        "{{ hour.upper() }}",
        "{% for a in tags %}x{% endfor %}",
        "{% set a = 1 %}",
        "{% macro a() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% filter upper %}x{% endfilter %}",
        "{{ 10 ** 9 }}",
        "{{ {'a': 1} }}",
        "{{ (1, 2) }}",
        "{{ self }}",
    ],
)
def test_what_only_a_program_needs_is_refused(text: str) -> None:
    with pytest.raises(TemplateProblem, match="a template cannot have"):
        compile_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ hour * 1000000000 }}",
        "{{ 1000000000 * 'x' }}",
        "{{ '%999999999d' % 1 }}",
        "{{ tags * 1000000000 }}",
        "{{ hour + look }}",
        "{{ flag + 1 }}",
        "{{ '%999999999d' is even }}",
        "{{ '%999999999d' is divisibleby(1) }}",
        "{{ 4 is divisibleby('2') }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '%.999999999f'|format(1) }}",
        "{{ '%*d'|format(999999999, 1) }}",
        "{{ ('%' ~ '9' * 5000)|format(1) }}",
        "{{ long|replace('x', long) }}",
        "{{ long|replace('', long) }}",
        "{{ long|join(long) }}",
        "{{ long ~ long }}",
        "{{ long }}{{ long }}",
        "{{ 5|round(-999999999) }}",
        "{{ 1|round(999999999, 'ceil') }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "-" * 100 + "1 }}",
        "{{ " + "{% if flag %}" * 60 + "{% endif %}" * 60,
        "{{ " + "9" * 5000 + " }}",
        "{{ hour }}" + "x" * 20_000,
    ],
)
def test_nothing_makes_much_out_of_little(text: str) -> None:
    assert len(problem(text).what) < 200


def test_a_name_that_no_cell_has_is_found_before_the_rows_are_read() -> None:
    compile_text("{{ hour }} {{ weather|default('fair') }}").check_names({"hour"})
    compile_text("{% if weather is defined %}{{ weather }}{% endif %}").check_names(set())
    with pytest.raises(TemplateProblem, match="no variable 'hoor'") as caught:
        compile_text("{{ look }} {{ hoor }}").check_names(("hour", "look"))
    assert caught.value.next_step == "did you mean 'hour'?"


def test_the_values_of_a_cell_may_come_in_layers() -> None:
    layers: Any = ChainMap({"hour": "dusk"}, CELL)
    assert compile_text("{{ hour }}, {{ look|upper }}").render(layers) == "dusk, OIL"


@pytest.mark.parametrize(
    "text",
    ["{{ jobs }}", "{{ jobs[hour].image }}", "{{ jobs[0].image }}", "{{ jobs['a' ~ hour].image }}"],
)
def test_a_job_is_named_by_a_written_name(text: str) -> None:
    with pytest.raises(TemplateProblem, match="the name after 'jobs' must be written out"):
        compile_text(text)


def test_the_names_and_the_jobs_of_a_template_are_known() -> None:
    compiled = compile_text("{{ jobs.still.image }}{{ jobs['a b'].images[0] }}{{ style.x ~ hour }}")
    assert compiled.names == {"jobs", "style", "hour"}
    assert compiled.job_names == {"still", "a b"}


DEEP = json.loads("[" * 900 + "]" * 900)
HOSTILE = (
    "1e400", "-1e400", "1e400|int", "1e400|float", "1e400|round", "1e400 - 1e400", "1e400 // 1",
    "1e400 % 2", "1e308 * 10", "1e308 * -10", "'1e400'|int", "'1e400'|float", "'nan'|float",
    "'inf'|float|int", "x ~ 1e400", "[1e400]", "[1e400]|first|int", "x|truncate(1e400)",
    "x|replace('', 'y', 1e400)", "x|join(1e400)", "x[1e400:]", "x[1e400]", "y|default(1e400)",
    "x|int(base=1e400)", "x|int(default=1e400)", "'%d'|format(1e400)", "1 / 0", "1 // 0", "1 % 0",
    "0.0 / 0", "big / 0", "y|default(1 / 0)", "'%c'|format(55296)", "'%c'|format(1114112)",
    "'\\ud800'", "'\\ud800' ~ x", "huge|int|string", "huge|float", "(huge|int) * (huge|int)",
    "deep", "deep|string", "deep ~ x", "'%s'|format(deep)", "1.5|round(400)", "x[::0]",
)  # fmt: skip


@pytest.mark.parametrize("frame", ["{{ %s }}", "a {{ %s }}", "{%% if %s %%}a{%% endif %%}"])
@pytest.mark.parametrize("expression", HOSTILE)
def test_what_python_cannot_work_out_is_a_problem_of_the_template(
    expression: str, frame: str
) -> None:
    variables = {"x": "abc", "big": 10**18, "huge": "9" * 5000, "deep": DEEP}
    with suppress(TemplateProblem):
        made = compile_text(frame % expression).render(variables)
        # The result can be sent, or checked by the model's validator.
        json.dumps(made, allow_nan=False).encode()
        str(made).encode()
        assert not {"inf", "nan"} & set(str(made).split())


def test_a_number_that_is_too_large_is_reported_at_its_place_with_a_hint() -> None:
    found = read(with_jobs('id: x\n    input: {prompt: x, scale: "{{ 1e400|int }}"}'))
    assert found.problems == ["5:31 a number in this template is too large"]
    assert found.hints == ["write a smaller one"]
