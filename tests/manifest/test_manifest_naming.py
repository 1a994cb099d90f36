"""Names of files from templates."""

from __future__ import annotations

import pytest

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
        ("{{ range(10) }}", "a name's template cannot have 'call'"),
        ("{{ id.upper() }}", "a name's template cannot have 'call'"),
        ("{% for a in tags %}x{% endfor %}", "a name's template cannot have 'for'"),
        ("{{ id * 999999999 }}", "a name's template cannot have 'mul'"),
        ("{{ id|centre }}", "this template is not understood: No filter named 'centre'."),
        (
            "{{ id|center(999999999) }}",
            "this template is not understood: No filter named 'center'.",
        ),
        ("{% include 'x' %}", "a name's template cannot have 'include'"),
        ("{{ tags[5] }}", "the name '{{ tags[5] }}' cannot be made: list object has no element 5"),
        (
            "{{ id|round }}",
            "the name '{{ id|round }}' cannot be made: type str doesn't define __round__ method",
        ),
        ("{{ '' }}", "the name of its files is empty"),
        (
            "{{ input.prompt }}",
            "the name of its files is 700 characters long; at most 500 are allowed",
        ),
        ("{{ input.prompt|replace('x', input.prompt) }}", "'replace' makes too much text"),
        ("{{ input.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_cannot_give_a_name_is_refused(template: str, message: str) -> None:
    reading = read(with_jobs(f'{{id: a, name: "{template}", input: {{prompt: {"x" * 700}}}}}'))
    assert len(reading.problems) == 1
    assert message in reading.problems[0]
