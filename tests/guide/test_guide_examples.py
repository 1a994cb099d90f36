"""Every example in README.md and in the manual works: examples.py says how each kind is tested."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from batchgen.cli import cli, main
from batchgen.commands.emulator import read_faults
from batchgen.errors import ExitCode
from tests.guide.examples import ALL_BLOCKS, ALL_PAGES, Block, Command, commands_in, inline_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BASE = """\
version: 1
defaults: {model: t2i}
jobs: [{id: boat, input: {prompt: a boat}}]
"""
AFTER_A_RUN = ("run first", "run after", "keys of: ")

runnable = [block for block in ALL_BLOCKS if block.note.startswith("run")]


def of(*languages: str) -> list[Block]:
    return [block for block in ALL_BLOCKS if block.language in languages]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("RUNCOMFY_", "BATCHGEN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAIL", "user:password")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where only `batchgen init` was run, and other files that examples take for granted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes/harbour.yaml").write_text(BASE, "utf-8")
    assert main(["init", "boats.yaml"]) == 0
    return tmp_path


@pytest.fixture(scope="module")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the README's first use has been followed."""
    folder = tmp_path_factory.mktemp("after-a-run")
    before = Path.cwd()
    os.chdir(folder)
    try:
        (first_use,) = [block for block in ALL_BLOCKS if block.note == "run first"]
        for command in first_use.commands():
            run_command(command, first_use)
        yield folder
    finally:
        os.chdir(before)


def write_files(page: Path, folder: Path) -> None:
    """What the page asks its reader to save."""
    for block in ALL_BLOCKS:
        if block.page == page and block.file:
            (folder / block.file).write_text(block.text, "utf-8")


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_every_manifest_validates(
    block: Block, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(block.page, folder)
    path = folder / "example.yaml"
    path.write_text((BASE if block.note == "in: top" else "") + block.text, "utf-8")
    if block.note == "in: faults":
        assert read_faults(path)
        return
    code = main(["validate", "example.yaml"])
    expected = ExitCode.BAD_INPUT if "problems" in block.note else 0
    assert code == expected, capsys.readouterr()


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_every_json_document_parses(block: Block) -> None:
    assert json.loads(block.text)


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
        elif len(words) > 1 and words[0] in cli.commands:
            parse(words, whole=False)


def parse(words: Sequence[str], *, whole: bool = True) -> None:
    """Let click read the words, and carry nothing out. Raises click's and our usage errors."""
    context = cli.make_context("batchgen", [*words], resilient_parsing=not whole)
    with context:
        if not words or words[0].startswith("-"):
            return
        name, verb, rest = cli.resolve_command(context, [*words])
        assert verb is not None
        try:
            verb.make_context(name, rest, parent=context)
        except click.MissingParameter:
            if whole:
                raise


@pytest.mark.parametrize("block", [*runnable, *of("json")], ids=str)
def test_an_example_does_what_it_says(
    block: Block, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    after_a_run = block.note.startswith(AFTER_A_RUN)
    write_files(block.page, request.getfixturevalue("after_a_run" if after_a_run else "folder"))
    capsys.readouterr()
    match block.language:
        case "python":
            run_program(block.text)
        case "json":
            compare_keys(block, capsys)
        case "console":
            compare_output(block, capsys)
        case _ if block.note != "run first":
            for command in block.commands():
                run_command(command, block)


def run_command(command: Command, block: Block) -> None:
    code = main([*command.words, *rehearsal(command.words)])
    if block.language != "console":
        assert code == command.exit_code, command


def rehearsal(words: Sequence[str]) -> list[str]:
    more = [] if "--emulator" in words else ["--emulator"]
    if words[0] in {"run", "retry"}:
        return [*more, "--latency", "0"]
    return more if words[0] == "plan" else []


def run_program(text: str) -> None:
    code = compile(text, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"__name__": "__main__"}
    result = eval(code, names)
    if inspect.iscoroutine(result):
        asyncio.run(result)


def compare_output(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    for command in block.commands():
        run_command(command, block)
    said = capsys.readouterr()
    shown = [f"{line}\n" for line in block.text.splitlines() if not line.startswith("$ ")]
    assert without_times(said.out + said.err) == without_times("".join(shown))


def compare_keys(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    if not block.note.startswith("keys of: "):
        return
    (command,) = commands_in(block.note.removeprefix("keys of: "))
    run_command(command, block)
    assert keys(json.loads(capsys.readouterr().out)) == keys(json.loads(block.text))


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
