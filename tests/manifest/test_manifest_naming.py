"""File names from templates."""

from __future__ import annotations

import pytest

from batchgen.manifest.naming import NameTemplateError, NameValues, check_template, render_name
from tests.manifest.manifest_reading import HEAD, T2I, read, with_jobs


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ id }}", "boat"),
        ("plain", "plain"),
        ("{{ model }}/{{ id }}", "t2i/boat"),
        ("{{ model_id }}", T2I),
        ("{{ input.prompt|replace(' ', '-')|truncate(6, true, '') }}", "a-boat"),
        ("{{ input.size }}", "1024x1024"),
        ("{{ tags|join('+') }}", "hero+v1"),
        ("{{ tags[0] }}{% if 'v1' in tags %}-one{% endif %}", "hero-one"),
        ("{{ input.seed|default(0) }}", "0"),
        ("{{ input['prompt']|upper }}", "A BOAT"),
    ],
)
def test_a_name_is_made_from_its_template(template: str, name: str) -> None:
    job = "{id: boat, input: {prompt: a boat, size: 1024x1024}, tags: [hero, v1]}"
    head = f'{HEAD}output: {{name: "{template}"}}\n'
    assert [one.name for one in read(with_jobs(job, head=head)).jobs] == [name]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ range(10) }}", "the template of a name cannot have 'call'"),
        ("{{ id.upper() }}", "the template of a name cannot have 'call'"),
        ("{% for a in tags %}x{% endfor %}", "the template of a name cannot have 'for'"),
        (
            "{{ id * 999999999 }}",
            "the name '{{ id * 999999999 }}' cannot be made: '*' works on numbers only, not on 'a'",
        ),
        ("{{ id|centre }}", "this template cannot be parsed: No filter named 'centre'."),
        (
            "{{ id|center(999999999) }}",
            "this template cannot be parsed: No filter named 'center'.",
        ),
        ("{% include 'x' %}", "the template of a name cannot have 'include'"),
        ("{{ tags[5] }}", "the name '{{ tags[5] }}' cannot be made: list object has no element 5"),
        (
            "{{ id|round }}",
            "the name '{{ id|round }}' cannot be made: the filter 'round' cannot use 'a'",
        ),
        ("{{ '' }}", "the name of its files is empty"),
        (
            "{{ input.prompt }}",
            "the name of its files is 700 characters long; at most 500 are allowed",
        ),
        ("{{ input.prompt|replace('x', input.prompt) }}", "'replace' makes too much text"),
        ("{{ input.__class__.__mro__ }}", "input has no '__class__'"),
    ],
)
def test_a_template_that_cannot_give_a_name_is_refused(template: str, message: str) -> None:
    reading = read(with_jobs(f'{{id: a, name: "{template}", input: {{prompt: {"x" * 700}}}}}'))
    assert len(reading.problems) == 1
    assert message in reading.problems[0]


VALUES = NameValues(
    "boat", "t2i", T2I, {"prompt": "a boat"}, ("hero",), {"hour": "dawn", "repeat": 2, "id": "row"}
)


@pytest.mark.parametrize(
    ("template", "name"),
    [("{{ hour }}-{{ repeat }}", "dawn-2"), ("{{ repeat }}", "2"), ("{{ id }}", "boat")],
)
def test_a_name_has_the_variables_of_its_cell_below_the_jobs_own(template: str, name: str) -> None:
    check_template(template, ("hour", "repeat"))
    assert render_name(template, VALUES) == name


def test_a_variable_that_no_cell_has_is_refused_with_the_nearest() -> None:
    for look in (
        lambda: check_template("{{ hoor }}", ("hour",)),
        lambda: render_name("{{ hoor }}", VALUES),
    ):
        with pytest.raises(
            NameTemplateError, match="the template of a name has no variable 'hoor'"
        ) as caught:
            look()
        assert caught.value.next_step == "did you mean 'hour'?"


def test_unknown_variables_pass_while_the_cells_are_not_known_yet() -> None:
    check_template("{{ hoor }}", None)
    with pytest.raises(NameTemplateError, match="the template of a name cannot have 'call'"):
        check_template("{{ hoor() }}", None)


@pytest.mark.parametrize("extra", [(), ("jobs",), None])
def test_a_name_cannot_be_made_from_another_jobs_result(extra: tuple[str, ...] | None) -> None:
    with pytest.raises(NameTemplateError, match="the template of a name has no variable 'jobs'"):
        check_template("{{ jobs.still.image }}", extra)
