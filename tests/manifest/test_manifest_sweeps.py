"""Sweeps: the ids of their jobs, their templates, and where a mistake is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.manifest.manifest_reading import HEAD, Reading, read, read_file, with_jobs

ROWS = "sku,prompt\na,A fox\nb,A hen\n"
PROMPT = 'input: {prompt: "{{ prompt }}"}'
HOURS = "matrix: {hour: [dawn, dusk]}"


def read_with(folder: Path, text: str, rows: str = ROWS) -> Reading:
    (folder / "p.csv").write_text(rows, encoding="utf-8")
    (folder / "boats.yaml").write_text(text, encoding="utf-8")
    return read_file(folder / "boats.yaml")


def ids(reading: Reading) -> list[str]:
    assert reading.problems == []
    return [job.id for job in reading.jobs]


def swept(*lines: str, head: str = HEAD) -> str:
    return with_jobs("\n    ".join(lines), head=head)


def test_rows_are_distinguished_by_number_even_if_columns_are_added(tmp_path: Path) -> None:
    text = swept("id: poster", "from: p.csv", "where: {sku: b}", PROMPT)
    assert ids(read_with(tmp_path, text)) == ["poster-2"]
    wider = "sku,prompt,note\na,A fox,x\nb,A hen,y\n"
    assert ids(read_with(tmp_path, text, wider)) == ["poster-2"]


def test_a_job_of_a_row_is_needed_by_its_number(tmp_path: Path) -> None:
    clip = 'id: "clip-{{ sku }}"\n    from: p.csv\n    input: {prompt: go}\n    needs: [poster]'
    text = with_jobs(f"id: poster\n    from: p.csv\n    {PROMPT}", clip)
    found = read_with(tmp_path, text)
    assert ids(found) == ["poster-1", "poster-2", "clip-a", "clip-b"]
    assert [job.needs for job in found.jobs[2:]] == [("poster-1",), ("poster-2",)]


def test_axes_written_in_another_order_rename_no_job() -> None:
    item = 'input: {prompt: "{{ hour }} {{ art }}"}'
    one = read(swept("id: x", "matrix: {hour: [dawn, dusk], art: [ink, oil]}", item))
    other = read(swept("id: x", "matrix: {art: [ink, oil], hour: [dawn, dusk]}", item))
    assert ids(one) == ["x-ink-dawn", "x-oil-dawn", "x-ink-dusk", "x-oil-dusk"]
    assert sorted(ids(other)) == sorted(ids(one))


def test_a_job_knows_its_axes_in_the_manifests_order_and_its_repeat_last() -> None:
    item = 'input: {prompt: "{{ hour }} {{ art }}"}'
    found = read(swept("id: x", "matrix: {hour: [dawn], art: [ink]}", "repeat: 2", item))
    assert ids(found) == ["x-ink-dawn", "x-ink-dawn-2"]
    axes = [list(json.loads(job.axes).items()) for job in found.jobs]
    assert axes == [[("hour", "dawn"), ("art", "ink"), ("repeat", number)] for number in (1, 2)]
    mine = 'input: {prompt: "{{ repeat }}"}'
    (own, _) = read(swept("id: x", "matrix: {repeat: [never]}", "repeat: 2", mine)).jobs
    assert json.loads(own.axes) == {"repeat": "never"}


def test_two_sweeps_of_one_id_are_reported_once_at_the_second() -> None:
    item = f"id: still\n    {HOURS}\n    input: {{prompt: '{{{{ hour }}}}'}}"
    found = read(with_jobs(item, "id: other\n    input: {prompt: x}", item))
    (problem,) = found.problems
    assert problem.startswith("9:5 two sweeps are called 'still': ")
    assert problem.endswith("boats.yaml:9")
    assert "boats.yaml:4 and" in problem
    assert found.hints == ["give one of them another id"]


def test_two_sweeps_of_one_id_are_found_across_files(tmp_path: Path) -> None:
    item = f"id: still\n    {HOURS}\n    input: {{prompt: '{{{{ hour }}}}'}}"
    (tmp_path / "more.yaml").write_text(with_jobs(item), encoding="utf-8")
    text = f"{HEAD}include: more.yaml\n" + with_jobs(item, head="")
    (problem,) = read_with(tmp_path, text).problems
    assert "more.yaml:4 and " in problem


def test_a_bad_row_is_named_for_a_template_in_the_defaults(tmp_path: Path) -> None:
    head = HEAD.replace("}\n", ', input: {scale: "{{ scale }}"}}\n')
    text = swept('id: "{{ sku }}"', "from: p.csv", "input: {prompt: x}", head=head)
    (problem,) = read_with(tmp_path, text, "sku,scale\na,0.5\nb,big\n").problems
    assert problem == "3:1 scale must be a number; got 'big' (in the job of boats.yaml:4)"


def test_a_bad_cell_is_named_for_a_template_in_the_defaults() -> None:
    head = HEAD.replace("}\n", ', input: {scale: "{{ scale }}"}}\n')
    text = swept("id: x", "matrix: {scale: [0.5, big]}", "input: {prompt: x}", head=head)
    (problem,) = read(text).problems
    assert problem.startswith("2:")
    assert problem.endswith("scale must be a number; got 'big' (scale: 'big')")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (swept("id: x", "input: {prompt: y}", head=f'{HEAD}vars: {{a: "{{{{ b }}}}"}}\n'), "3:11"),
        (swept("id: x", "input: {prompt: y}", head=f'{HEAD}include: ["{{{{ b }}}}"]\n'), "3:11"),
        (swept("id: x", 'matrix: {hour: ["{{ b }}"]}', "input: {prompt: y}"), "5:21"),
        (swept("id: x", "from: p.csv", 'where: {sku: "{{ b }}"}', PROMPT), "6:18"),
        (swept("id: x", 'from: "{{ b }}.csv"', PROMPT), "5:11"),
    ],
)
def test_a_template_where_none_is_read_is_refused(tmp_path: Path, text: str, place: str) -> None:
    found = read_with(tmp_path, text)
    assert f"{place} templates are not read here" in found.problems
    assert all(found.hints)


def test_braces_in_the_rows_stay_as_they_are(tmp_path: Path) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", PROMPT)
    (job,) = read_with(tmp_path, text, "sku,prompt\na,{{ b }}\n").jobs
    assert '"{{ b }}"' in job.body


ALIAS = 'write needs: {still: "still-{{ sku }}"}, and jobs.still.image'
STILL = f'id: "still-{{{{ sku }}}}"\n    from: p.csv\n    {PROMPT}'
EDIT = "model: bytedance/dreamina-4-0/edit"


@pytest.mark.parametrize(
    ("needs", "reference"),
    [
        ("", "jobs['still-{{ sku }}'].image"),
        ('\n    needs: ["still-{{ sku }}"]', "jobs.still.image"),
    ],
)
def test_a_job_whose_id_is_a_template_is_to_get_a_name(
    tmp_path: Path, needs: str, reference: str
) -> None:
    made = f'input: {{prompt: x, image_urls: ["{{{{ {reference} }}}}"]}}'
    edit = f'id: "e-{{{{ sku }}}}"\n    from: p.csv\n    {EDIT}\n    {made}{needs}'
    assert read_with(tmp_path, with_jobs(STILL, edit)).hints == [ALIAS]


def test_the_form_that_the_hint_names_works(tmp_path: Path) -> None:
    made = 'input: {prompt: x, image_urls: ["{{ jobs.still.image }}"]}'
    edit = f'id: "e-{{{{ sku }}}}"\n    from: p.csv\n    {EDIT}\n    {made}'
    aliased = f'{edit}\n    needs: {{still: "still-{{{{ sku }}}}"}}'
    found = read_with(tmp_path, with_jobs(STILL, aliased))
    assert ids(found)[2:] == ["e-a", "e-b"]
    assert [job.needs for job in found.jobs[2:]] == [("still-a",), ("still-b",)]


def test_a_column_in_single_braces_is_reported_once(tmp_path: Path) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", 'input: {prompt: "a photo of {prompt}"}')
    found = read_with(tmp_path, text)
    assert [one.partition(" ")[2] for one in found.problems] == [
        "'{prompt}' is plain text; a template has two braces: {{ prompt }}"
    ]
    assert found.hints == ["if it is meant literally: {% raw %}{prompt}{% endraw %}"]


@pytest.mark.parametrize("prompt", ["{other} x", "{% raw %}{prompt}{% endraw %}", "{ {} }"])
def test_other_braces_are_text(tmp_path: Path, prompt: str) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", f'input: {{prompt: "{prompt}"}}')
    assert ids(read_with(tmp_path, text)) == ["a", "b"]


@pytest.mark.parametrize("blank", ["  ", "{{ '  ' }}"])
def test_an_id_of_spaces_is_refused(blank: str) -> None:
    (problem,) = read(swept(f'id: "{blank}"', "input: {prompt: x}")).problems
    assert problem == "4:9 id is empty here"


def test_an_empty_prompt_from_a_row_is_refused(tmp_path: Path) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", PROMPT)
    (problem,) = read_with(tmp_path, text, 'sku,prompt\na,A fox\nb," "\n').problems
    assert problem == "3:1 prompt is empty in this row (in the job of boats.yaml:4)"


def test_a_number_that_yaml_reads_differently_gets_a_hint_to_quote_it(tmp_path: Path) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", "where: {sku: 007}", PROMPT)
    found = read_with(tmp_path, text, "sku,prompt\n007,A fox\n")
    assert found.problems == ["5:11 no row of p.csv is chosen"]
    assert found.hints == ["YAML reads 007 as 7: put it in quotes"]


HIGHER = f'{HEAD}output: {{name: "{{{{ hor }}}}"}}\n'
TAGGED = HEAD.replace("}\n", ', tags: ["{{ hor }}"]}\n')
MODELLED = 'version: 1\ndefaults: {model: "{{ hor }}"}\n'


@pytest.mark.parametrize(
    ("head", "place", "what"),
    [
        (HIGHER, "3:16", "the template of a name has no variable 'hor'"),
        (TAGGED, f"2:{TAGGED.splitlines()[1].index('[') + 2}", "no variable 'hor'"),
        (MODELLED, "2:19", "no variable 'hor'"),
    ],
)
def test_an_unknown_name_from_above_is_reported_once_at_its_place(
    head: str, place: str, what: str
) -> None:
    text = swept('id: "x-{{ hour }}"', HOURS, "input: {prompt: x}", head=head)
    found = read(text)
    assert [one.removesuffix(" (hour: 'dawn')") for one in found.problems] == [f"{place} {what}"]
    assert found.hints == ["did you mean 'hour'?"]


def test_a_template_that_is_wrong_for_many_rows_is_reported_once_at_its_own_line(
    tmp_path: Path,
) -> None:
    text = swept(
        'id: "{{ index }}"', "from: p.csv", "input:", "  prompt: x", '  scale: "{{ s|int }}"'
    )
    rows = "s\n" + "".join(f"x{number}\n" for number in range(300))
    assert read_with(tmp_path, text, rows).problems == [
        "8:14 the filter 'int' cannot use 'x0' (in 300 rows: p.csv lines 2, 3, 4, 5, 6, …)"
    ]


def test_a_template_in_the_defaults_that_is_wrong_for_every_row_is_reported_there(
    tmp_path: Path,
) -> None:
    head = HEAD.replace("}\n", ", input: {scale: '{{ s|int }}'}}\n")
    text = swept('id: "{{ index }}"', "from: p.csv", "input: {prompt: x}", head=head)
    (message,) = read_with(tmp_path, text, "s\na\nb\nc\n").problems
    assert message.startswith("2:")
    assert message.endswith("(in 3 rows: p.csv lines 2, 3, 4)")


def test_a_mistake_that_several_rows_share_is_reported_once_at_the_first_of_them(
    tmp_path: Path,
) -> None:
    text = swept('id: "x-{{ index }}"', "from: p.csv", 'input: {prompt: "{{ prompt }}"}')
    rows = "prompt\n" + "A fox\n" * 5 + f"{'long ' * 300}\n" * 4
    found = read_with(tmp_path, text, rows)
    assert len(found.jobs) == 5
    (message,) = found.problems
    assert message.startswith("7:1 prompt is ")
    assert message.endswith("(in the job of boats.yaml:4, in 4 rows: lines 7, 8, 9, 10)")


def test_a_mistake_that_several_cells_share_is_one_problem() -> None:
    text = swept(
        "id: x", "matrix: {hour: [dawn, dusk], n: [1, 2, 3]}", 'input: {prompt: "{{ hour.x }}"}'
    )
    (message,) = read(text).problems
    assert message.startswith("6:21 hour is text, and has no 'x' (in 6 jobs: hour: 'dawn', n: 1; ")
    assert message.endswith("; …)")


def test_after_very_many_wrong_rows_the_rest_is_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.manifest.problem_location.MOST_WRONG", 50)
    text = swept('id: "{{ index }}"', "from: p.csv", 'input: {prompt: x, scale: "{{ scale }}"}')
    message = read_with(tmp_path, text, "scale\n" + "big\n" * 100).problems
    assert message[0] == "4:5 50 of its jobs are wrong; the others are not checked"
    assert message[1].endswith("(in 50 rows: p.csv lines 2, 3, 4, 5, 6, …)")


@pytest.mark.parametrize(
    ("sweep", "axes"),
    [
        ("matrix: {look: [ink], hour: [dawn]}", [{"look": "ink", "hour": "dawn"}]),
        ("matrix: {size: [1, 2.5]}", [{"size": 1}, {"size": 2.5}]),
        ("repeat: 2", [{"repeat": 1}, {"repeat": 2}]),
        ("matrix: {repeat: [a]}\n    repeat: 2", [{"repeat": "a"}, {"repeat": "a"}]),
        ("matrix: {include: [{odd: .nan}]}", [{"odd": float("nan")}]),
        ('matrix: {word: ["\u202e<b>\U0001f6a4"]}', [{"word": "\u202e<b>\U0001f6a4"}]),
    ],
)
def test_a_job_knows_its_place_in_the_sweep(sweep: str, axes: list[dict[str, Any]]) -> None:
    found = read(f"{HEAD}jobs:\n  - id: still\n    {sweep}\n    input: {{prompt: x}}\n")
    assert [str(json.loads(job.axes)) for job in found.jobs] == [str(one) for one in axes]


@pytest.mark.parametrize(
    ("job_id", "sweep", "ids_made"),
    [
        (
            "x-{{ hour }}",
            "matrix: {hour: [dawn, dusk], look: [ink, oil]}",
            "x-dawn-ink x-dawn-oil x-dusk-ink x-dusk-oil",
        ),
        ("{{ place }}", "matrix: {hour: [dawn, dusk]}", "town-dawn town-dusk"),
        (
            "x-{{ hour }}",
            "matrix: {hour: [dawn, dusk]}, repeat: 2",
            "x-dawn x-dawn-2 x-dusk x-dusk-2",
        ),
        (
            "x-{{ s.id }}",
            "matrix: {s: [{id: a, n: 1}, {id: b, n: 2}], b: [1, 2]}",
            "x-a-1 x-a-2 x-b-1 x-b-2",
        ),
        ("x-{{ a }}", "matrix: {include: [{a: p, b: q}, {a: p, b: r}]}", "x-p-q x-p-r"),
    ],
)
def test_an_id_that_does_not_name_all_axes_gets_their_values(
    job_id: str, sweep: str, ids_made: str
) -> None:
    item = f"{{id: '{job_id}', {sweep}, input: {{prompt: x}}}}"
    found = read(with_jobs(item, head=f"vars: {{place: town}}\n{HEAD}"))
    assert ids(found) == ids_made.split()


@pytest.mark.parametrize(
    ("job_id", "sweep", "ids_made"),
    [
        ("x-{{ look }}", "matrix: {hour: [dawn], look: [ink, oil]}", "x-ink x-oil"),
        ("x-{{ index }}", "matrix: {hour: [dawn, dusk]}, repeat: 2", "x-1 x-2 x-3 x-4"),
        ("{{ a }}", "matrix: {include: [{a: p, b: long words}, {a: q, b: others}]}", "p q"),
        (
            "x-{{ a }}",
            "matrix: {a: [1, 2], b: [1, 2], exclude: [{a: 1, b: 1}, {a: 2, b: 2}]}",
            "x-1 x-2",
        ),
        ("x-{{ a }}", "matrix: {a: [1, 2], b: [3]}, repeat: 1", "x-1 x-2"),
        ("x-{{ hour }}-{{ repeat }}", "matrix: {hour: [dawn]}, repeat: 2", "x-dawn-1 x-dawn-2"),
    ],
)
def test_an_id_that_already_distinguishes_all_jobs_stays(
    job_id: str, sweep: str, ids_made: str
) -> None:
    item = f"{{id: '{job_id}', {sweep}, input: {{prompt: x}}}}"
    assert ids(read(with_jobs(item))) == ids_made.split()


def test_an_id_that_names_no_column_gets_the_number_of_the_row(tmp_path: Path) -> None:
    text = swept('id: "p-{{ hour }}"', "from: p.csv", HOURS, PROMPT)
    found = ids(read_with(tmp_path, text))
    assert found == ["p-dawn-1", "p-dusk-1", "p-dawn-2", "p-dusk-2"]
    assert ids(read_with(tmp_path, text, "prompt\nA fox\n")) == ["p-dawn", "p-dusk"]
    named = swept('id: "{{ row.sku }}"', "from: p.csv", HOURS, PROMPT)
    assert ids(read_with(tmp_path, named)) == ["a-dawn", "a-dusk", "b-dawn", "b-dusk"]


def test_a_column_that_has_a_value_twice_is_reported_as_before(tmp_path: Path) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", PROMPT)
    found = read_with(tmp_path, text, "sku,prompt\na,A fox\na,A hen\n")
    assert found.problems == ["3:1 duplicate id 'a': lines 2 and 3"]


def test_a_hole_from_an_empty_cell_is_reported_with_row_and_column(tmp_path: Path) -> None:
    prompt = 'input: {prompt: "a fox in {{ colour }}, {{ mood }}"}'
    text = swept('id: "{{ sku }}"', "from: p.csv", prompt)
    rows = "sku,colour,mood\na,red,calm\nb,,calm\nc,blue,calm\nd,red,\ne,blue,calm\nf,,calm\n"
    found = read_with(tmp_path, text, rows)
    assert found.problems == []
    assert len(found.jobs) == 6
    message = "prompt: a hole is left where"
    within = "in the job of boats.yaml:4"
    assert found.warnings == [
        f"3:1 {message} 'colour' is empty; got 'a fox in , calm' ({within}, in 2 rows: lines 3, 7)",
        f"5:1 {message} 'mood' is empty; got 'a fox in red, ' ({within})",
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox{% if colour %} in {{ colour }}{% endif %}, at dawn",
        "a fox in {{ colour or 'red' }}, at dawn",
        "a fox{{ colour }}",
        "a fox,  with two spaces{{ colour }}",
    ],
)
def test_an_empty_cell_that_leaves_no_hole_is_not_reported(tmp_path: Path, prompt: str) -> None:
    text = swept('id: "{{ sku }}"', "from: p.csv", f'input: {{prompt: "{prompt}"}}')
    found = read_with(tmp_path, text, "sku,colour\na,\nb,red\n")
    assert (found.problems, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("prompt", "what", "mark"),
    [
        ("a {red|blue} car", "choice", "{red|blue}"),
        ("a [cat|dog]", "choice", "[cat|dog]"),
        ("a __colour__ car", "wildcard", "__colour__"),
        ("ink <lora:ink:0.8>", "tag", "<lora:ink:0.8>"),
        ("a (red:1.2) car", "weight", "(red:1.2)"),
        ("a car --ar 16:9", "option", "--ar 16:9"),
    ],
)
def test_syntax_of_other_tools_is_reported(
    tmp_path: Path, prompt: str, what: str, mark: str
) -> None:
    message = f"prompt: the model reads this {what} as text; got '{mark}'"
    written = [f"id: {job_id}\n    input: {{prompt: '{prompt}'}}" for job_id in "abc"]
    found = read(with_jobs(*written))
    assert found.warnings == [f"5:21 {message} (in 3 jobs: lines 5, 7, 9)"]
    text = swept('id: "{{ sku }}"', "from: p.csv", PROMPT)
    rows = f"sku,prompt\na,A fox\nb,{prompt}\n"
    assert read_with(tmp_path, text, rows).warnings == [
        f"3:1 {message} (in the job of boats.yaml:4)"
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "at 12:30 (early)", "a sign (open 9:00)", "snake_case__name", "a -- b", "<3", "|",
        "ratio (16:9)x", "dunder __ init __",
    ],
)  # fmt: skip
def test_plain_texts_that_only_look_like_it_are_not_reported(prompt: str) -> None:
    assert read(with_jobs(f'{{id: a, input: {{prompt: "{prompt}"}}}}')).warnings == []
