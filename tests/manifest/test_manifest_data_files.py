"""From a data file to the input that is sent: what spreadsheets and lists of prompts hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.manifest.manifest_reading import EDIT, HEAD, VIDEO, Reading, read, read_file, with_jobs

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_wrong_item_behind_one_that_is_left_out_is_told_where_it_is_written() -> None:
    item = (
        'id: "x-{{ n }}"\n    matrix: {n: [1]}\n    input:\n      prompt: x\n      image_urls:\n'
        '        - "{{ none }}"\n        - "{{ n }}"\n'
    )
    found = read(EDITS + f"jobs:\n  - {item}")
    (problem,) = found.problems
    assert problem.startswith("10:11 ")


def test_null_in_a_list_is_told_with_what_to_do() -> None:
    found = read(with_jobs(f'input: {{prompt: x, image_urls: ["{URL}/a.png", null]}}', head=EDITS))
    assert found.problems == ["4:72 item 2 of image_urls must be text; got null"]
    assert "leave the item out" in (found.hints[0] or "")


def test_a_call_of_python_is_told_as_the_filter_that_it_means() -> None:
    item = "input: {prompt: x, image_urls: \"{{ urls.split('|') }}\"}"
    found = read(with_jobs(f"matrix: {{urls: [a]}}\n    {item}", head=EDITS))
    assert found.hints == ["write it as a filter: {{ … | split }}"]
