"""`batchgen guide`: the manual, one Markdown page a topic, in the terminal."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from batchgen.errors import UsageError
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parents[1] / "guide"
WIDEST = 100
"""Columns. Longer lines are hard to read, however wide the terminal is."""

_COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)
_LINK = re.compile(r"\[([^]]+)\]\(([a-z-]+)\.md(?:#[a-z-]+)?\)")


def pages() -> Mapping[str, str]:
    """The text of each topic's page."""
    return {page.stem: page.read_text("utf-8") for page in sorted(FOLDER.glob("*.md"))}


def summary(page: str) -> str:
    """The sentence below the title says what the page is about."""
    return page.split("\n\n")[1].replace("`", "")


def _complete(
    _context: click.Context, _argument: click.Parameter, begin: str
) -> list[CompletionItem]:
    return [
        CompletionItem(topic, help=summary(page))
        for topic, page in pages().items()
        if topic.startswith(begin)
    ]


@click.command()
@click.argument("topic", required=False, shell_complete=_complete)
def guide(topic: str | None) -> int:
    """Show the manual: the list of topics, or the page of one."""
    known = pages()
    if topic is None:
        _list_topics(known)
        return 0
    if topic not in known:
        raise UsageError(f"there is no topic '{topic}'", next_step=did_you_mean(topic, known))
    columns, rows = shutil.get_terminal_size()
    text = rendered(known[topic], min(columns, WIDEST), colour=sys.stdout.isatty())
    if text.count("\n") < rows:
        click.echo(text)
    else:
        click.echo_via_pager(text)
    return 0


def _list_topics(known: Mapping[str, str]) -> None:
    formatter = click.HelpFormatter(width=min(shutil.get_terminal_size().columns, WIDEST))
    with formatter.section("Topics"):
        formatter.write_dl([(topic, summary(page)) for topic, page in known.items()])
    click.echo(formatter.getvalue())
    click.echo("batchgen guide TOPIC shows a page.")


def rendered(page: str, columns: int, *, colour: bool) -> str:
    """The page for a terminal, or as plain text."""
    from batchgen.cli.markdown import render

    text = _COMMENT.sub("", page)
    return render(_LINK.sub(_in_terminal, text), columns, colour=colour)


def _in_terminal(link: re.Match[str]) -> str:
    """Name the command that shows the page of a link."""
    text, topic = link.groups()
    command = f"`batchgen guide {topic}`"
    return command if text == topic else f"{text} ({command})"
