"""From a data file to the input that is sent: what spreadsheets and lists of prompts hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchgen.cli import main
from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from tests.manifest.manifest_reading import EDIT, HEAD, VIDEO, Reading, read, read_file, with_jobs

URL = "https://files.example.com"
FRAME = f'prompt: go, image_urls: ["{URL}/a.png"]'


def swept(file: str, given: str, *more: str, head: str = HEAD) -> str:
    item = ('id: "x-{{ index }}"', f"from: {file}", f"input: {{{given}}}", *more)
    return with_jobs("\n    ".join(item), head=head)


def read_with(folder: Path, name: str, content: str | bytes, text: str) -> Reading:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "boats.yaml").write_text(text, encoding="utf-8")
    return read_file(folder / "boats.yaml")


def inputs(reading: Reading) -> list[dict[str, Any]]:
    assert reading.problems == []
    return [json.loads(job.body) for job in reading.jobs]


@pytest.mark.parametrize("ending", [".csv", ".png", "/*.png", "/boats/*.png"])
def test_a_path_that_no_disk_can_have_is_a_problem_with_a_place(ending: str) -> None:
    (problem,) = read(swept(f"'{'x' * 300}{ending}'", "prompt: go")).problems
    assert problem.startswith("5:11 ")
    assert problem.endswith(("no such file", "no such folder", "File name too long"))


# Numbers that a spreadsheet wrote


def test_excels_semicolons_are_read_and_its_decimal_comma_is_named(tmp_path: Path) -> None:
    rows = '\ufeffid;prompt;scale\r\n1;Ein Boot, früh;0,5\r\n2;"Hafen; nachts";\r\n'
    text = swept("p.csv", 'prompt: "{{ prompt }}", scale: "{{ scale or 0.3 }}"')
    found = read_with(tmp_path, "p.csv", rows, text)
    (problem,) = found.problems
    assert problem.startswith("2:1 scale must be a number; got '0,5'")
    (hint,) = found.hints
    assert hint == "a decimal comma? write a point, or in the template: |replace(',', '.')"
    cured = text.replace("scale or 0.3", "scale|replace(',', '.') or 0.3")
    assert inputs(read_with(tmp_path, "p.csv", rows, cured)) == [
        {"prompt": "Ein Boot, früh", "scale": 0.5},
        {"prompt": "Hafen; nachts", "scale": 0.3},
    ]


def test_the_filter_float_names_the_decimal_comma(tmp_path: Path) -> None:
    text = swept("p.csv", 'prompt: x, scale: "{{ scale|float }}"')
    found = read_with(tmp_path, "p.csv", 'scale\n"0,5"\n', text)
    assert found.hints == ["a decimal comma? write a point, or in the template: |replace(',', '.')"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("seed", ["1.23457E+15", "1.23E+09", "1E+09", "1234567890123450000"])
def test_a_seed_that_a_spreadsheet_rounded_is_refused(
    tmp_path: Path, seed: str, ending: str
) -> None:
    separator = "," if ending == "csv" else "\t"
    rows = f"id{separator}seed\n1{separator}{seed}\n2{separator}156680208700286\n"
    text = swept(f"p.{ending}", f'{FRAME}, seed: "{{{{ seed }}}}"')
    text = text.replace(HEAD, f"version: 1\ndefaults: {{model: {VIDEO}}}\n")
    found = read_with(tmp_path, f"p.{ending}", rows, text)
    (problem,) = found.problems
    assert problem.startswith(f"2:1 seed must be a whole number; got '{seed}'")
    assert "format its column as text" in (found.hints[0] or "")
    assert [json.loads(job.body)["seed"] for job in found.jobs] == [156680208700286]


def test_a_rounded_seed_gets_through_int_only_where_all_its_digits_are_there(
    tmp_path: Path,
) -> None:
    head = f"version: 1\ndefaults: {{model: {VIDEO}}}\n"
    text = swept("p.csv", f'{FRAME}, seed: "{{{{ seed|int }}}}"', head=head)
    rows = "seed\n1234567890123450000\n1.23457E+15\n"
    found = read_with(tmp_path, "p.csv", rows, text)
    (problem,) = found.problems
    assert problem.startswith("3:1 the filter 'int' cannot use '1.23457E+15'")
    assert "format its column as text" in (found.hints[0] or "")
    assert [json.loads(job.body)["seed"] for job in found.jobs] == [1234567890123450000]


# Several URLs

EDITS = f"version: 1\ndefaults: {{model: {EDIT}}}\n"


@pytest.mark.parametrize(
    ("between", "template"),
    [
        ("|", "urls | split"),
        (" ", "urls | split"),
        (";", "urls | split"),
        (", ", "urls | split"),
        ("\n", "urls | split"),
        ("|", "urls | split('|')"),
        (" + ", "urls | split('+')"),
    ],
)
def test_several_urls_in_one_cell_are_split(tmp_path: Path, between: str, template: str) -> None:
    rows = f'id,urls\n1,"{URL}/a.png{between}{URL}/b.png"\n2,{URL}/c.png\n'
    text = swept("p.csv", f'prompt: x, image_urls: "{{{{ {template} }}}}"', head=EDITS)
    assert [one["image_urls"] for one in inputs(read_with(tmp_path, "p.csv", rows, text))] == [
        [f"{URL}/a.png", f"{URL}/b.png"],
        [f"{URL}/c.png"],
    ]


def test_a_list_of_json_is_split_already(tmp_path: Path) -> None:
    rows = json.dumps({"urls": [f"{URL}/a.png"]})
    text = swept("p.jsonl", 'prompt: x, image_urls: "{{ urls | split }}"', head=EDITS)
    (one,) = inputs(read_with(tmp_path, "p.jsonl", rows, text))
    assert one["image_urls"] == [f"{URL}/a.png"]


@pytest.mark.parametrize(
    "written",
    ['["{{ a or none }}", "{{ b or none }}"]', '"{{ [a, b] if a and b else [a or b] }}"'],
)
def test_an_item_that_gives_none_is_left_out_of_its_list(tmp_path: Path, written: str) -> None:
    rows = f"a,b\n{URL}/a.png,\n,{URL}/b.png\n{URL}/a.png,{URL}/b.png\n"
    text = swept("p.csv", f"prompt: x, image_urls: {written}", head=EDITS)
    assert [one["image_urls"] for one in inputs(read_with(tmp_path, "p.csv", rows, text))] == [
        [f"{URL}/a.png"],
        [f"{URL}/b.png"],
        [f"{URL}/a.png", f"{URL}/b.png"],
    ]


def test_a_list_of_which_every_item_gives_none_is_left_out_itself(tmp_path: Path) -> None:
    text = swept("p.csv", 'prompt: x, image_urls: ["{{ a or none }}"]', head=EDITS)
    found = read_with(tmp_path, "p.csv", "id,a\n1,\n", text)
    assert [one.partition(" (")[0] for one in found.problems] == ["2:1 image_urls is required"]


def test_a_wrong_item_after_one_that_is_left_out_is_reported_where_it_is_written() -> None:
    item = (
        'id: "x-{{ n }}"\n    matrix: {n: [1]}\n    input:\n      prompt: x\n      image_urls:\n'
        '        - "{{ none }}"\n        - "{{ n }}"\n'
    )
    found = read(EDITS + f"jobs:\n  - {item}")
    (problem,) = found.problems
    assert problem.startswith("10:11 ")


def test_null_in_a_list_is_reported_with_a_hint() -> None:
    found = read(with_jobs(f'input: {{prompt: x, image_urls: ["{URL}/a.png", null]}}', head=EDITS))
    assert found.problems == ["4:72 item 2 of image_urls must be text; got null"]
    assert "leave the item out" in (found.hints[0] or "")


def test_a_python_call_gets_a_hint_with_the_filter_to_use() -> None:
    item = "input: {prompt: x, image_urls: \"{{ urls.split('|') }}\"}"
    found = read(with_jobs(f"matrix: {{urls: [a]}}\n    {item}", head=EDITS))
    assert found.hints == ["write it as a filter: {{ … | split }}"]


def test_jinjas_filters_for_items_get_a_hint_how_to_leave_an_item_out() -> None:
    item = 'input: {prompt: x, image_urls: "{{ [a, b] | select | list }}"}'
    found = read(with_jobs(f"matrix: {{a: [u], b: [v]}}\n    {item}", head=EDITS))
    assert found.hints == [
        "write the list out: '{{ b or none }}' leaves an item out where b is empty"
    ]


# Lists of prompts as found in practice

PROMPT = 'prompt: "{{ prompt }}"'
LONG = "a harbour at dawn, " * 50


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", "a boat, at sea\n\na car\n"),
        ("list.json", '["a boat, at sea", "a car"]'),
        ("list.json", '[{"prompt": "a boat, at sea"}, {"prompt": "a car", "id": 2}]'),
    ],
)
def test_a_list_of_prompts_makes_a_job_of_each(tmp_path: Path, name: str, content: str) -> None:
    found = read_with(tmp_path, name, content, swept(name, PROMPT))
    assert inputs(found) == [{"prompt": "a boat, at sea"}, {"prompt": "a car"}]
    line_or_number = "3" if name == "list.txt" else "2"
    assert [job.id for job in found.jobs] == ["x-1", f"x-{line_or_number}"]


def test_a_key_that_some_objects_of_a_list_lack_is_reported_with_its_row(tmp_path: Path) -> None:
    text = swept("p.json", 'prompt: "{{ prompt }} {{ look }}"')
    content = '[\n{"prompt": "a", "look": "ink"},\n{"prompt": "b"}\n]'
    found = read_with(tmp_path, "p.json", content, text)
    (problem,) = found.problems
    assert problem.startswith("3:1 no variable 'look'")


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.csv", "id,prompt\n"), ("p.jsonl", ""), ("p.json", "[]"), ("p.txt", "\n \n")],
)
@pytest.mark.parametrize("more", [(), ("where: {prompt: x}",), ("bad_rows: skip",)])
def test_a_file_without_rows_is_reported(
    tmp_path: Path, name: str, content: str, more: tuple[str, ...]
) -> None:
    found = read_with(tmp_path, name, content, swept(name, PROMPT, *more))
    assert found.problems == [f"5:11 {name} has no rows"]
    assert found.hints == ["each row makes a job: the file needs at least one"]


def test_a_prompt_that_is_too_long_is_reported_with_a_template_that_cuts_it(tmp_path: Path) -> None:
    rows = json.dumps({"prompt": LONG})
    found = read_with(tmp_path, "p.jsonl", rows, swept("p.jsonl", PROMPT))
    assert found.hints == ["'{{ prompt[:800] }}' cuts it; 'bad_rows: skip' leaves such rows out"]
    cut = swept("p.jsonl", 'prompt: "{{ prompt[:800] }}"')
    assert inputs(read_with(tmp_path, "p.jsonl", rows, cut)) == [{"prompt": LONG[:800]}]


def test_a_part_of_a_prompt_that_makes_it_too_long_is_named() -> None:
    text = with_jobs(f'matrix: {{part: ["{LONG}"]}}\n    input: {{prompt: "ink: {{{{ part }}}}"}}')
    assert read(text).hints == ["'{{ part[:N] }}' cuts it"]


def test_where_chooses_rows_by_length_and_by_number(tmp_path: Path) -> None:
    rows = f"prompt,score\na boat,0.9\n{'x' * 801},0.9\na car,0.2\na hen,\n".replace(",", ";")
    more = "where: {prompt: {maxLength: 800}, score: {minimum: 0.5}}"
    found = read_with(tmp_path, "p.csv", rows, swept("p.csv", PROMPT, more))
    assert inputs(found) == [{"prompt": "a boat"}]


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("{score: {min: 0.5}}", "unknown key 'min' in where.score"),
        ("{score: {}}", "where.score is empty"),
        ("{score: {minimum: high}}", "where.score.minimum must be a number; got 'high'"),
        ("{prompt: {maxLength: -1}}", "where.prompt.maxLength must be at least 0; got -1"),
        ("{score: {not: {minimum: 1}}}", "where.score.not must be text"),
    ],
)
def test_an_invalid_comparison_is_reported(tmp_path: Path, where: str, problem: str) -> None:
    text = swept("p.csv", PROMPT, f"where: {where}")
    found = read_with(tmp_path, "p.csv", "prompt,score\na,1\n", text)
    assert problem in found.problems[0]


def warnings_of(folder: Path) -> list[str]:
    log = ProblemLog()
    manifest = read_manifest(folder / "boats.yaml", log, env={})
    assert manifest is not None
    list(checked_jobs(manifest, log))
    return [f"{one.line} {one.message}" for one in log.warnings]


def test_bad_rows_can_be_skipped_and_are_counted_with_their_lines(tmp_path: Path) -> None:
    rows = ["a boat", LONG, "a car", f"{LONG} too", "", "x"]
    content = "id,prompt\n" + "".join(f'{n},"{row}"\n' for n, row in enumerate(rows)) + "7\n8,y\n"
    text = swept("p.csv", PROMPT, "bad_rows: skip")
    found = read_with(tmp_path, "p.csv", content, text)
    assert [one["prompt"] for one in inputs(found)] == ["a boat", "a car", "x", "y"]
    # The remaining jobs keep their numbers.
    assert [job.id for job in found.jobs] == ["x-1", "x-3", "x-6", "x-8"]
    assert warnings_of(tmp_path) == [
        "3 skipped: prompt is 950 characters long; at most 800 are allowed (in 2 rows: lines 3, 5)",
        "6 skipped: prompt is empty in this row",
        "8 skipped: the row has 1 field; the header has 2",
    ]


@pytest.mark.parametrize("command", [["validate"], ["plan", "--offline"]])
def test_commands_list_the_skipped_rows_and_strict_refuses_them(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = swept("p.txt", PROMPT, "bad_rows: skip")
    read_with(tmp_path, "p.txt", f"a boat\n{LONG}\na car\n{LONG}\n", text)
    manifest = str(tmp_path / "boats.yaml")
    assert main([*command, manifest]) == 0
    printed = capsys.readouterr().err
    assert "p.txt:2:1: warning: skipped: prompt is 949 characters long; at most 800" in printed
    assert "(in 2 rows: lines 2, 4)" in printed
    assert "'{{ prompt[:800] }}' cuts it" in printed
    assert main([*command, manifest, "--strict"]) == 65


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", 'id,prompt\n1,a\n2,"never closed\n3,b\n'),
        ("p.json", '["a", "b" "c", "d"]'),
    ],
)
def test_what_was_not_read_at_all_is_no_row_to_skip(
    tmp_path: Path, name: str, content: str
) -> None:
    found = read_with(tmp_path, name, content, swept(name, PROMPT, "bad_rows: skip"))
    (problem,) = found.problems
    assert "nothing after it was read" in problem


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (f"prompt\n{'x' * 801}\n", "6:15 every job of this item was skipped"),
        ("id,prompt\n1\n", "5:11 no row of p.csv can be read: all were skipped"),
    ],
)
def test_an_item_of_which_nothing_is_left_is_refused(
    tmp_path: Path, rows: str, problem: str
) -> None:
    text = with_jobs(f"id: x\n    from: p.csv\n    bad_rows: skip\n    input: {{{PROMPT}}}")
    found = read_with(tmp_path, "p.csv", rows, text)
    assert found.problems == [problem]


def test_what_is_wrong_with_the_item_itself_is_not_skipped(tmp_path: Path) -> None:
    text = swept("p.csv", f"{PROMPT}, scale: 7", "bad_rows: skip")
    found = read_with(tmp_path, "p.csv", "prompt\na\nb\n", text)
    (problem,) = found.problems
    assert "scale must be between 0 and 1; got 7" in problem


def test_a_need_whose_row_was_skipped_is_reported_as_such(tmp_path: Path) -> None:
    columns = 'from: p.csv\n    bad_rows: skip\n    input: {prompt: "{{ p }}"'
    text = with_jobs(
        f'id: "still-{{{{ sku }}}}"\n    {columns}, scale: "{{{{ s }}}}"}}',
        f'id: "edit-{{{{ sku }}}}"\n    {columns}}}\n    needs: ["still-{{{{ sku }}}}"]',
    )
    found = read_with(tmp_path, "p.csv", "sku,p,s\n1,fox,0.5\n2,hen,much\n", text)
    assert found.problems == ["3:1 it needs 'still-2', and no job has this id"]
    (hint,) = found.hints
    assert hint == (
        "if its row was skipped, leave it out here, too, with 'where'; "
        "otherwise: did you mean 'still-1'?"
    )
