"""`prompts:`: alternatives and wildcards in a job's texts, drawn once per job."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.prompts import Prompts, WildcardError
from batchgen.manifest.templates.problems import TemplateProblem
from tests.manifest.manifest_reading import HEAD, Reading, read, read_file, with_jobs

PROMPTS = "prompts: {wildcards: cards, seed: 7}\n"


def drawn(text: str, seed: int = 1, job_id: str = "boat", folder: Path | None = None) -> str:
    return str(Prompts(seed, folder).draw({"prompt": text}, job_id, {"prompt"})["prompt"])


def all_drawn(text: str, folder: Path | None = None, jobs: int = 300) -> Counter[str]:
    prompts = Prompts(1, folder)
    found = (prompts.draw({"prompt": text}, f"job-{n}", {"prompt"})["prompt"] for n in range(jobs))
    return Counter(map(str, found))


def cards(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / f"{name.replace('_in_', '/')}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def read_in(folder: Path, text: str) -> Reading:
    (folder / "boats.yaml").write_text(text, "utf-8")
    return read_file(folder / "boats.yaml")


def prompts_of(reading: Reading) -> dict[str, str]:
    assert reading.problems == []
    return {job.id: json.loads(job.body)["prompt"] for job in reading.jobs}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("A {red|blue} boat", {"A red boat", "A blue boat"}),
        ("{a|{b|c}d}", {"a", "bd", "cd"}),
        ("{ {a|b} x|y}", {" a x", " b x", "y"}),
        ("a {big |}dog", {"a big dog", "a dog"}),
        ("{a|b} and {a|b}", {"a and a", "a and b", "b and a", "b and b"}),
        ("{0::a|b}", {"b"}),
        ("{é|🚤}", {"é", "🚤"}),
        ("{a|{b}}", {"a", "{b}"}),
    ],
)
def test_alternatives_are_drawn_and_each_of_them_is_met(text: str, made: set[str]) -> None:
    assert set(all_drawn(text)) == made


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a boat", "a boat"),
        ("{plain} braces, {and {more}}", "{plain} braces, {and {more}}"),
        ("a | b } c", "a | b } c"),
        ("an open { brace", "an open { brace"),
        ('{"a": [1, 2]}', '{"a": [1, 2]}'),
        (r"\{a\|b\}", "{a|b}"),
        (r"\__colour__ and \_\_x\_\_", "__colour__ and __x__"),
        (r"C:\folder \n", r"C:\folder \n"),
        ("snake_case and ___ and __ __", "snake_case and ___ and __ __"),
    ],
)
def test_everything_else_stays_as_it_is(text: str, same: str) -> None:
    assert drawn(text) == same


def test_weights_are_relative() -> None:
    found = all_drawn("{3::a|b|.5::c}", jobs=2000)
    assert found["a"] / found["b"] == pytest.approx(3, rel=0.2)
    assert found["b"] / found["c"] == pytest.approx(2, rel=0.3)


def test_what_is_drawn_is_the_same_on_every_machine_and_for_ever() -> None:
    made = [drawn("{a|b|c|d} {a|b|c|d}", seed, f"boat-{n}") for seed in (1, 2) for n in range(4)]
    assert made == ["b c", "a b", "c a", "b c", "d c", "a a", "c a", "c a"]


def test_a_draw_does_not_depend_on_those_before_it() -> None:
    texts = [drawn("{a|b} {x|y|z|w}"), drawn("{a|b|{c|d|e}} {x|y|z|w}")]
    assert len({text.split()[-1] for text in texts}) == 1


def test_a_wildcard_is_a_line_of_its_file(tmp_path: Path) -> None:
    text = "# colours\n\nred\n  2::dark {blue|green}  \nlike a __animals/birds__\n"
    folder = cards(tmp_path / "c", colour=text, animals_in_birds="\ufeffheron\r\nwren\r\n")
    assert set(all_drawn("A __colour__ boat", folder)) == {
        "A red boat",
        "A dark blue boat",
        "A dark green boat",
        "A like a heron boat",
        "A like a wren boat",
    }


def test_two_of_one_wildcard_are_drawn_one_by_one(tmp_path: Path) -> None:
    folder = cards(tmp_path / "c", colour="red\nblue\n", hair_color="x")
    assert len(all_drawn("__colour__ and __colour__", folder)) == 4
    assert drawn("__hair_color____hair_color__", folder=folder) == "xx"


@given(st.text("ab{}|\\_: 2$", max_size=30), st.integers(0, 2**63 - 1))
def test_any_text_is_drawn_or_refused(text: str, seed: int) -> None:
    with suppress(TemplateProblem):
        assert drawn(f"x{text}", seed) == drawn(f"x{text}", seed)


def test_few_lines_cannot_make_very_many(tmp_path: Path) -> None:
    files = {f"w{n}": f"__w{n + 1}__ __w{n + 1}__" for n in range(25)}
    folder = cards(tmp_path / "c", **files, w25="x", long="y" * 60_000, empty="{|0::z}")
    with pytest.raises(TemplateProblem, match="wildcards lead to more than 10,000 others"):
        drawn("__w0__", folder=folder)
    with pytest.raises(TemplateProblem, match="more than 100,000 characters"):
        drawn("__long__ __long__", folder=folder)
    deep = cards(tmp_path / "d", **{f"w{n}": f"__w{n + 1}__" for n in range(40)}, w40="x")
    with pytest.raises(WildcardError, match="more than 30 deep"):
        drawn("__w0__", folder=deep)


def test_a_mistake_shows_whatever_is_drawn(tmp_path: Path) -> None:
    folder = cards(tmp_path / "c", colour="red\nblue __sky__\n")
    for text in ("__colour__", "{9999::a|0::__colour__}"):
        with pytest.raises(WildcardError) as caught:
            drawn(text, folder=folder)
        assert caught.value.problem.place == (str(folder / "colour.txt"), 2, 1)


def test_lines_end_as_on_any_system(tmp_path: Path) -> None:
    folder = cards(tmp_path / "c", colour="red\rblue\r\ngreen\n")
    assert set(all_drawn("__colour__", folder)) == {"red", "blue", "green"}


@pytest.mark.parametrize("line", ["a {{ name }} boat", "{{name|upper}}", "{% if x %}a{% endif %}"])
def test_a_template_in_a_wildcard_file_is_refused_rather_than_sent(
    tmp_path: Path, line: str
) -> None:
    folder = cards(tmp_path / "c", colour=f"red\n{line}\n")
    with pytest.raises(WildcardError, match="templates are not read") as caught:
        drawn("__colour__", folder=folder)
    assert caught.value.problem.line == 2


def test_nested_alternatives_at_the_start_of_a_line_are_no_template(tmp_path: Path) -> None:
    folder = cards(tmp_path / "c", colour="{{rose|yellow} gold|{red|blue}}\n")
    assert set(all_drawn("__colour__", folder)) == {"rose gold", "yellow gold", "red", "blue"}


def test_a_pipe_instead_of_a_wildcard_file_does_not_block(tmp_path: Path) -> None:
    folder = cards(tmp_path / "c")
    os.mkfifo(folder / "colour.txt")
    with pytest.raises(TemplateProblem, match="there is no wildcard file"):
        drawn("__colour__", folder=folder)


def test_without_the_key_braces_are_plain_text_and_the_warning_names_the_key(
    tmp_path: Path,
) -> None:
    reading = read_in(tmp_path, with_jobs('{id: a, input: {prompt: "A {red|blue} boat"}}'))
    assert prompts_of(reading) == {"a": "A {red|blue} boat"}
    assert "the model reads this choice as text" in reading.warnings[0]


def test_with_the_key_there_is_no_such_warning(tmp_path: Path) -> None:
    cards(tmp_path / "cards", colour="red\n")
    lines = (
        r"""{id: a, input: {prompt: 'A {red|red} __colour__ \{x\|y\} boat'}}""",
        '{id: b, matrix: {x: [sea]}, input: {prompt: "A {red|red} {{ x }} <lora:x>"}}',
    )
    reading = read_in(tmp_path, with_jobs(*lines, head=HEAD + PROMPTS))
    assert prompts_of(reading) == {"a": "A red red {x|y} boat", "b-sea": "A red sea <lora:x>"}
    assert [warning.partition(" ")[2] for warning in reading.warnings] == [
        "prompt: the model reads this tag as text; got '<lora:x>' (x: 'sea')"
    ]


def test_other_jobs_and_their_order_change_no_prompt(tmp_path: Path) -> None:
    cards(tmp_path / "cards", colour="red\nblue\ngreen\n")
    lines = [
        '{id: a, repeat: 5, input: {prompt: "{x|y|z} __colour__"}}',
        '{id: b, matrix: {n: [1, 2, 3]}, input: {prompt: "{x|y|z} __colour__ {{ n }}"}}',
        '{repeat: 3, input: {prompt: "{x|y|z} __colour__ unnamed"}}',
    ]
    head = HEAD + PROMPTS
    all_of_them = prompts_of(read_in(tmp_path, with_jobs(*lines, head=head)))
    assert len(all_of_them) == 11
    assert prompts_of(read_in(tmp_path, with_jobs(*reversed(lines), head=head))) == all_of_them
    for line in lines:
        alone = prompts_of(read_in(tmp_path, with_jobs(line, head=head)))
        assert alone.items() <= all_of_them.items()
    other = prompts_of(read_in(tmp_path, with_jobs(*lines, head=head.replace("7", "8"))))
    assert other.keys() == all_of_them.keys()
    assert other != all_of_them


def test_prompts_of_data_files_are_drawn_too(tmp_path: Path) -> None:
    cards(tmp_path / "cards", colour="red\n")
    (tmp_path / "prompts.txt").write_text("a __colour__ {boat|boat}\n", "utf-8")
    line = '{id: p, from: prompts.txt, input: {prompt: "{{ prompt }}"}}'
    reading = read_in(tmp_path, with_jobs(line, head=HEAD + PROMPTS))
    assert [*prompts_of(reading).values()] == ["a red boat"]


def test_what_is_drawn_is_checked_against_the_model(tmp_path: Path) -> None:
    cards(tmp_path / "cards", long="x" * 5000)
    reading = read_in(
        tmp_path, with_jobs('{id: a, input: {prompt: "__long__"}}', head=HEAD + PROMPTS)
    )
    (problem,) = reading.problems
    assert "prompt is 5000 characters long" in problem


def test_prompts_of_an_included_file_do_not_count(tmp_path: Path) -> None:
    job = '{id: a, input: {prompt: "{x|x} boat"}}'
    (tmp_path / "part.yaml").write_text(with_jobs(job, head=HEAD + "prompts: {seed: 1}\n"), "utf-8")
    reading = read_in(tmp_path, "version: 1\ninclude: part.yaml\n")
    assert prompts_of(reading) == {"a": "{x|x} boat"}
    reading = read_in(tmp_path, "version: 1\nprompts: {seed: 1}\ninclude: part.yaml\n")
    assert prompts_of(reading) == {"a": "x boat"}


def test_one_mistake_of_a_file_is_reported_once(tmp_path: Path) -> None:
    cards(tmp_path / "cards", colour="")
    line = '{id: a, repeat: 50, input: {prompt: "__colour__"}}'
    reading = read_in(tmp_path, with_jobs(line, head=HEAD + PROMPTS))
    assert reading.problems == ["1:1 the wildcard file has no line to draw"]


def test_a_broken_wildcard_file_is_not_a_bad_row(tmp_path: Path) -> None:
    cards(tmp_path / "cards", colour="")
    (tmp_path / "prompts.txt").write_text("a\n__colour__\n", "utf-8")
    line = '{id: p, from: prompts.txt, bad_rows: skip, input: {prompt: "{{ prompt }}"}}'
    reading = read_in(tmp_path, with_jobs(line, head=HEAD + PROMPTS))
    assert reading.problems == ["1:1 the wildcard file has no line to draw"]


def test_a_manifest_without_prompts_has_none() -> None:
    reading = read(with_jobs("{id: a, input: {prompt: a}}"))
    assert reading.manifest is not None
    assert reading.manifest.prompts is None
