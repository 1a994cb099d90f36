"""`batchgen guide`: a list of topics, and a page for any terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest
from click.shell_completion import ShellComplete

from batchgen.cli import cli, main
from batchgen.cli.guide import rendered
from batchgen.errors import ExitCode
from tests.guide.examples import PAGES, inline_code

NARROW = 60
COLOURS = "\x1b["


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_topic_all_are_listed_with_what_they_are_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["guide"]) == 0
    listed = capsys.readouterr().out
    for topic in PAGES:
        assert f"\n  {topic} " in listed
    assert "The YAML file that lists your jobs" in listed


def test_an_unknown_topic_is_a_mistake_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["guide", "runing"]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no topic 'runing'" in said.err
    assert "did you mean 'running'?" in said.err


@pytest.mark.parametrize("topic", PAGES)
def test_a_page_is_plain_text_where_nobody_watches(
    topic: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(NARROW))
    assert main(["guide", topic]) == 0
    page = capsys.readouterr().out
    title, underline, empty, *_ = page.splitlines()
    assert PAGES[topic].read_text("utf-8").startswith(f"# {title}\n")
    assert (set(underline), empty) == ({"═"}, "")
    assert COLOURS not in page
    for mark in ("<!--", "```", "]("):
        assert mark not in page


@pytest.mark.parametrize("topic", PAGES)
def test_a_narrow_terminal_cuts_nothing_off(topic: str) -> None:
    page = rendered(PAGES[topic].read_text("utf-8"), NARROW, colour=False)
    for code in inline_code(PAGES[topic]):
        if re.fullmatch(r"[\w.-]+", code):
            assert f"`{code}`" in page


def test_prose_fits_a_narrow_terminal_and_commands_stay_whole() -> None:
    page = (
        "# Title\n\n" + "words " * 40 + "\n\n```sh\nbatchgen run boats.yaml "
        "--tag hero --model i2v --limit 3   # one line\nbatchgen plan boats.yaml   # short\n```\n"
    )
    lines = rendered(page, NARROW, colour=False).splitlines()
    assert max(len(line) for line in lines if line.startswith("words")) <= NARROW
    assert lines[-3:] == [
        "  # one line",
        "  batchgen run boats.yaml --tag hero --model i2v --limit 3",
        "  batchgen plan boats.yaml   # short",
    ]


def test_a_link_says_which_command_shows_the_page() -> None:
    page = "# A\n\nSee [money](money.md) and [keep and reject](live-page.md#keep-and-reject).\n"
    text = rendered(page, NARROW * 2, colour=False)
    assert "See `batchgen guide money` and keep and reject (`batchgen guide live-page`)." in text


@pytest.mark.parametrize(("rows", "paged"), [("20", True), ("2000", False)])
def test_a_terminal_gets_colours_and_a_pager_for_more_than_a_screen(
    rows: str, paged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("click.echo_via_pager", shown.append)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("LINES", rows)
    assert main(["guide", "checks"]) == 0
    if paged:
        assert COLOURS in shown[0]
    else:
        assert shown == []
        assert COLOURS in terminal.getvalue()


def test_topics_are_completed() -> None:
    completed = ShellComplete(cli, {}, "batchgen", "_BATCHGEN_COMPLETE")
    found = completed.get_completions(["guide"], "mo")
    assert [one.value for one in found] == ["models", "money", "morning-after"]
    assert all(one.help for one in found)
