"""Every example in README.md and in the manual works: examples.py says how each kind is tested."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from batchgen.cli import VERBS, cli
from batchgen.cli.emulator import read_faults
from batchgen.emulator.faults import parse_faults
from batchgen.errors import ExitCode
from tests.guide.examples import ALL_BLOCKS, ALL_PAGES, Block, Command, commands_in, inline_code
from tests.shell import Done, Shell, wait_until

BASE = """\
version: 1
defaults: {model: t2i}
jobs: [{id: boat, input: {prompt: a boat}}]
"""
AFTER_A_RUN = ("run first", "run after", "keys of: ")

runnable = [block for block in ALL_BLOCKS if block.note.startswith("run")]


def of(*languages: str) -> list[Block]:
    return [block for block in ALL_BLOCKS if block.language in languages]


@pytest.fixture
def before_a_run(tmp_path: Path) -> Shell:
    """Where only `batchgen init` was run, beside other files that examples take for granted."""
    shell = Shell(tmp_path, {"MAIL": "user:password"})
    (tmp_path / "scenes").mkdir()
    shell.write(BASE, "scenes/harbour.yaml")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (640, 480), "navy").save(tmp_path / "photos/boat.jpg")
    shell.write("a boat", "photos/boat.txt")
    shell.expect(0, "init", "boats.yaml")
    return shell


@pytest.fixture(scope="module")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Where the README's first use was followed."""
    shell = Shell(tmp_path_factory.mktemp("after-a-run"))
    (first_use,) = [block for block in ALL_BLOCKS if block.note == "run first"]
    for command in first_use.commands():
        run(command, shell)
    return shell


def write_files(page: Path, shell: Shell) -> None:
    """What the page asks its reader to save."""
    for block in ALL_BLOCKS:
        if block.page == page and block.file:
            shell.write(block.text, block.file)


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_every_manifest_validates(block: Block, before_a_run: Shell) -> None:
    write_files(block.page, before_a_run)
    before_a_run.write((BASE if block.note == "in: top" else "") + block.text, "example.yaml")
    if block.note == "in: faults":
        assert read_faults(before_a_run.folder / "example.yaml")
    else:
        code = ExitCode.BAD_INPUT if "problems" in block.note else ExitCode.DONE
        before_a_run.expect(code, "validate", "example.yaml")


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_every_json_document_parses(block: Block) -> None:
    assert json.loads(block.text)


def test_faults_that_are_posted_exist() -> None:
    bodies = [body for block in of("sh") for body in re.findall(r"curl -d '(.*?)'", block.text)]
    assert bodies
    assert all(parse_faults(json.loads(body)) for body in bodies)


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_every_program_is_run(block: Block) -> None:
    assert block in runnable


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_every_command_has_options_that_exist(page: Path) -> None:
    for block in ALL_BLOCKS:
        if block.page == page:
            for command in block.commands():
                parse(command.words)
    for code in inline_code(page):
        words = code.split()
        if words[0] == "batchgen":
            parse(words[1:], whole=False)
        elif len(words) > 1 and words[0] in VERBS:
            parse(words, whole=False)


def parse(words: Sequence[str], *, whole: bool = True) -> None:
    """Let click read the words, and carry nothing out. Raises click's and our usage errors."""
    with cli.make_context("batchgen", [*words], resilient_parsing=not whole) as context:
        if not words or words[0].startswith("-"):
            return
        name, verb, rest = cli.resolve_command(context, [*words])
        assert verb is not None
        try:
            verb.make_context(name, rest, parent=context)
        except click.MissingParameter:
            if whole:
                raise


def is_limited(shell: Shell) -> bool:
    return shell.expect(0, "status", "boats.yaml", "--json").document.get("limits") is not None


@pytest.mark.parametrize("block", [*runnable, *of("json")], ids=str)
def test_an_example_does_what_it_says(block: Block, request: pytest.FixtureRequest) -> None:
    here = "after_a_run" if block.note.startswith(AFTER_A_RUN) else "before_a_run"
    shell: Shell = request.getfixturevalue(here)
    write_files(block.page, shell)
    match block.language:
        case "python":
            run_program(block.text, shell)
        case "json" if block.note.startswith("keys of: "):
            (command,) = commands_in(block.note)
            assert keys(run(command, shell).document) == keys(json.loads(block.text))
        case "console":
            assert without_times(block.text) == without_times(transcript(block, shell))
        case "sh" if block.note == "run during a run":
            with shell.start("run", "boats.yaml", "--emulator", "--latency", "60") as going:
                wait_until(lambda: is_limited(shell), "a run with its limits")
                for command in block.commands():
                    run(command, shell)
                going.terminate()
        case "sh" if block.note != "run first":
            for command in block.commands():
                run(command, shell)


def run(command: Command, shell: Shell) -> Done:
    return shell.expect(command.exit_code, *command.words, *rehearsal(command.words))


def rehearsal(words: Sequence[str]) -> list[str]:
    more = [] if "--emulator" in words else ["--emulator"]
    if words[0] in {"run", "retry"}:
        return [*more, "--latency", "0"]
    return more if words[0] == "plan" else []


def transcript(block: Block, shell: Shell) -> str:
    """What a terminal shows of the commands of a block."""
    lines = []
    for command in block.commands():
        done = shell.run(*command.words)
        lines += [f"$ batchgen {' '.join(command.words)}\n", done.out, done.err]
    return "".join(lines)


def run_program(text: str, shell: Shell) -> None:
    code = compile(text, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with shell.at_home():
        result = eval(code, {"__name__": "__main__"})
        if inspect.iscoroutine(result):
            asyncio.run(result)


def keys(value: Any) -> Any:
    """The shape of a document; of a list, that of its first item."""
    match value:
        case dict():
            return {key: keys(one) for key, one in value.items()}
        case [first, *_]:
            return [keys(first)]
    return None


def without_times(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? s\b", "N s", text)
