"""The manual and README.md say all there is: each option, key, code and kind has its place."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import click
import pytest

from batchgen.check.kinds import Kind
from batchgen.cli import VERBS, load
from batchgen.emulator.faults import KINDS
from batchgen.engine.events import PauseReason
from batchgen.errors import ExitCode
from batchgen.jobs import JobState
from tests.guide.examples import ALL_BLOCKS, ALL_PAGES, PAGES, README, ROOT

LONGEST_README = 180
LONGEST_SUMMARY = 80
SCHEMA = json.loads((ROOT / "batchgen/manifest/schema.json").read_text("utf-8"))

_LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]+))?\)")
_MODULE = re.compile(r"-m (tests\.[a-z_.]+)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def guide_text() -> str:
    return "\n".join(map(text_of, PAGES.values()))


def options() -> dict[str, set[str]]:
    """The long options of each command."""
    return {
        verb: {
            option
            for command in (load(verb), *getattr(load(verb), "commands", {}).values())
            for one in command.params
            if isinstance(one, click.Option)
            for option in one.opts
            if option.startswith("--")
        }
        for verb in VERBS
    }


def test_the_readme_is_short() -> None:
    assert text_of(README).count("\n") <= LONGEST_README


def test_the_readme_names_every_command_and_every_page() -> None:
    readme = text_of(README)
    assert [name for name in VERBS if f"| `batchgen {name}` |" not in readme] == []
    assert [topic for topic in PAGES if f"batchgen/guide/{topic}.md" not in readme] == []


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.stem)
def test_a_page_begins_with_its_title_and_one_sentence(page: Path) -> None:
    title, summary, *_ = text_of(page).split("\n\n")
    assert title.startswith("# ")
    assert len(summary) <= LONGEST_SUMMARY
    assert "\n" not in summary


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in _LINK.findall(text_of(page)):
        there = page.parent / target if target else page
        assert there.exists(), target
        if heading:
            assert heading in anchors(there)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_option_is_explained_and_no_other() -> None:
    written = set(_OPTION.findall(guide_text()))
    known = set().union(*options().values())
    assert known - written == set()
    foreign = {
        "--help",
        "--seeds",
        "--kills",
        "--store",
        "--full",
        "--trace",
        "--first",
        "--pairs",
        "--address",
    }
    assert written - known - foreign == set()


def test_every_key_of_a_manifest_is_explained() -> None:
    manual = guide_text()
    places = (
        SCHEMA["properties"],
        SCHEMA["properties"]["run"]["properties"],
        SCHEMA["properties"]["output"]["properties"],
        SCHEMA["$defs"]["job"]["properties"],
        SCHEMA["$defs"]["model_policy"]["properties"],
    )
    assert [key for place in places for key in place if f"`{key}`" not in manual] == []


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ("running", list(JobState)),
        ("exit-codes", list(PauseReason)),
        ("checks", list(Kind)),
        ("emulator", list(KINDS)),
    ],
)
def test_a_page_lists_all_there_are(topic: str, names: list[str]) -> None:
    page = text_of(PAGES[topic])
    assert [str(name) for name in names if f"`{name}`" not in page] == []


def test_every_exit_code_has_its_row() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", text_of(PAGES["exit-codes"]), re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(", ")} == {*map(int, ExitCode)}


def test_every_measurement_that_is_named_exists() -> None:
    names = {name for page in ALL_PAGES for name in _MODULE.findall(text_of(page))}
    assert names
    assert [name for name in names if importlib.util.find_spec(name) is None] == []


def test_no_example_stands_in_a_list() -> None:
    """There it could not be shown whole in a terminal."""
    assert not re.search(r"^ +```", guide_text(), re.MULTILINE)


def test_every_language_of_an_example_has_its_test() -> None:
    languages = {block.language for block in ALL_BLOCKS}
    # A csv or a text is a file for other examples; without a language it is a picture.
    assert languages == {"yaml", "json", "python", "sh", "console", "csv", "text", ""}
