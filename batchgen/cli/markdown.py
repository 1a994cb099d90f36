"""Markdown for a terminal, by rich, which is slow to load. Examples stay whole, to be copied."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console
from rich.markdown import CodeBlock, Heading, Markdown
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions

INDENT = "  "
THEME = Theme({"markdown.code": "cyan", "markdown.h1": "bold", "markdown.h2": "bold"})

_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_COMMENTED = re.compile(r"(?P<command>\S.*?)\s{2,}(?P<comment># .*)")


def render(page: str, columns: int, *, colour: bool) -> str:
    """Wrap lines at so many columns, except commands and examples: those stay whole."""
    out = StringIO()
    console = Console(file=out, width=columns, force_terminal=colour, theme=THEME)
    console.print(_Page(page if colour else _with_marks(page), hyperlinks=False), crop=False)
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


def _with_marks(page: str) -> str:
    """Keep the marks of code: without colours, only they distinguish it from prose."""
    parts = _FENCED.split(page)
    return "".join(
        part if part.startswith("```") else _INLINE.sub(r"`` `\1` ``", part) for part in parts
    )


class _Underlined(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        line = "═" if self.tag == "h1" else "─"
        yield self.text
        yield Text(line * self.text.cell_len)


class _Whole(CodeBlock):
    """An example, never broken: a terminal that breaks a line still copies it whole."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = str(self.text).rstrip().splitlines()
        if self.lexer_name == "sh":
            lines = [one for line in lines for one in _fitting(line, options.max_width)]
        code = "\n".join(f"{INDENT}{line}".rstrip() for line in lines)
        text = Syntax(code, self.lexer_name, theme="ansi_dark").highlight(code)
        text.rstrip()
        text.no_wrap, text.overflow = True, "ignore"
        yield text


def _fitting(line: str, columns: int) -> list[str]:
    """Put the comment of a command above it if both do not fit on one line."""
    found = _COMMENTED.fullmatch(line)
    if found is None or len(INDENT) + len(line) <= columns:
        return [line]
    return [found["comment"], found["command"]]


class _Page(Markdown):
    elements: ClassVar = {
        **Markdown.elements,
        "heading_open": _Underlined,
        "fence": _Whole,
        "code_block": _Whole,
    }
