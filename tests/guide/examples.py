"""The examples in README.md and in the pages of batchgen/guide, as blocks that tests can run.

Every fenced block is tested by its language: `yaml` is a whole manifest that validates; the
`batchgen` commands of `sh` and `console` have options that exist; `json` and `python` parse. A
comment right above a block asks for something else, or for more:

    <!-- in: top -->            keys to be added to a small manifest
    <!-- in: faults -->         a file for `batchgen emulator --faults`
    <!-- file: NAME -->         write the block to NAME for the page's other examples; with
                                `; it has problems` after it, it does not validate
    <!-- run -->                run the commands, or the program, in a folder with `boats.yaml` as
                                `batchgen init` writes it; `console` shows what they print
    <!-- run first -->          run the commands in an empty folder (README's first use)
    <!-- run after a run -->    run them after those
    <!-- run during a run -->   run them while such a run goes on
    <!-- keys of: COMMAND -->   the JSON that COMMAND prints after those has these keys

Where they are run, `run`, `retry` and `plan` are rehearsals that take no time; a command of `sh`
ends with 0 unless its comment says `exit code N`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = {path.stem: path for path in sorted((ROOT / "batchgen/guide").glob("*.md"))}
ALL_PAGES = (README, *PAGES.values())

_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`([^`]+)`")
_ENDS_COMMAND = {"&&", "||", "|", ";", ">"}
_OPENS_OUTPUT = "$ "


@dataclass(frozen=True)
class Command:
    """`batchgen` and its words, and the exit code that the comment behind it announces."""

    words: tuple[str, ...]
    exit_code: int = 0


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str | None:
        return self.note.removeprefix("file: ").partition(";")[0] if "file: " in self.note else None

    def commands(self) -> Iterator[Command]:
        """The commands of a shell's block, each line by itself."""
        for line in self.text.splitlines():
            if self.language == "sh":
                yield from commands_in(line)
            elif self.language == "console" and line.startswith(_OPENS_OUTPUT):
                yield from commands_in(line.removeprefix(_OPENS_OUTPUT))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            found["note"] or "",
            found["text"],
        )
        for found in _BLOCK.finditer(text)
    ]


ALL_BLOCKS = [block for page in ALL_PAGES for block in blocks_of(page)]


def commands_in(line: str) -> Iterator[Command]:
    announced = re.search(r"# .*exit code (\d+)", line)
    words = shlex.split(line, comments=True)
    for at, word in enumerate(words):
        if Path(word).name == "batchgen":
            own = takewhile(lambda word: word not in _ENDS_COMMAND, words[at + 1 :])
            yield Command(tuple(own), int(announced[1]) if announced else 0)


def prose_of(page: Path) -> str:
    """The page without its blocks."""
    return _BLOCK.sub("", page.read_text("utf-8"))


def inline_code(page: Path) -> list[str]:
    return [" ".join(code.split()) for code in _INLINE.findall(prose_of(page))]
