"""`batchgen emulator`: the vendor's API on this machine, as a server of its own."""

from __future__ import annotations

import asyncio
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.completion import FAULTS, complete_files
from batchgen.cli.console import print_text
from batchgen.cli.options import PORT, read_by
from batchgen.errors import InputError, MissingFileError, OutputError, Problem, UsageError
from batchgen.manifest.units import parse_duration, parse_rate
from batchgen.text import command_line

if TYPE_CHECKING:
    from batchgen.emulator import Emulator, EmulatorSettings, Fault
    from batchgen.manifest.parsing.composer import Composer
    from batchgen.manifest.parsing.nodes import Node, Place
    from batchgen.manifest.units import Rate


@click.command()
@PORT
@click.option(
    "--latency",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How many seconds a request takes. Default 1 for a picture, 2 for a video.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file that keeps requests, so that the emulator can be restarted.",
)
@click.option("--token", help="The only token to accept; by default, any.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=8,
    metavar="N",
    help="How many requests of one model are worked on at once; the others queue. Default 8.",
)
@click.option(
    "--parallel",
    "max_parallel",
    type=click.IntRange(1),
    metavar="N",
    help="Allow at most N unfinished requests; a submit beyond that is answered with 429.",
)
@click.option(
    "--rate",
    metavar="N/min",
    callback=read_by(parse_rate),
    help="Allow submits at most this often; one beyond that is answered with 429 and Retry-After.",
)
@click.option(
    "--images",
    "images_per_request",
    type=click.IntRange(1, 100),
    default=1,
    metavar="N",
    help="How many pictures a request makes, unless it asks for force_single. Default 1.",
)
@click.option(
    "--url-lifetime",
    "url_ttl",
    metavar="15m",
    callback=read_by(parse_duration),
    help="How long a result's URL is valid; by default, forever.",
)
@click.option(
    "--balance",
    type=click.FloatRange(0),
    metavar="USD",
    help="What the wallet holds; submits that it does not cover are refused.",
)
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    shell_complete=complete_files(*FAULTS),
    help="Fail from the start: a list of faults in YAML or JSON, see `batchgen guide emulator`.",
)
@click.option(
    "--schemas",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Serve the models of this folder too, as `batchgen models add` writes it; repeatable.",
)
def emulator(rate: Rate | None, faults_file: Path | None, **asked: Any) -> int:
    """Serve the vendor's API on this machine.

    The first line gives the address; Ctrl-C ends it.
    """
    from batchgen.emulator import EmulatorError, EmulatorSettings

    for folder in asked["schemas"]:
        if not folder.is_dir():
            raise MissingFileError("there is no such folder", where=f"--schemas {folder}")
    faults = () if faults_file is None else read_faults(faults_file)
    try:
        settings = EmulatorSettings(**asked, faults=faults)
        if rate is not None:
            settings = replace(settings, rate=rate.count, rate_seconds=rate.seconds)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    try:
        asyncio.run(_serve(settings))
    except EmulatorError as exc:
        raise OutputError(exc.what, next_step=exc.next_step) from exc
    return 0


async def _serve(settings: EmulatorSettings) -> None:
    from batchgen.concurrency import on_signals
    from batchgen.emulator import running_emulator

    stop = asyncio.Event()
    with on_signals(lambda _: stop.set(), signal.SIGINT, signal.SIGTERM):
        async with running_emulator(settings, on_failure=stop.set) as server:
            print_text(f"listening on {server.base_url}")
            print_text(f"  → in another terminal: {_command(server, settings)}", to_stderr=True)
            await stop.wait()


def _command(server: Emulator, settings: EmulatorSettings) -> str:
    """Build the command to copy. The token is the emulator's own, and opens nothing else."""
    token = shlex.quote(settings.token or "any")
    base = f"RUNCOMFY_MODEL_API_BASE={server.base_url}"
    return f"{base} RUNCOMFY_TOKEN={token} {command_line('run', 'MANIFEST')}"


def read_faults(path: Path) -> tuple[Fault, ...]:
    """Read a list of faults, as YAML or JSON, with or without the key `faults` above it.

    Raises InputError with everything that is wrong, line by line; MissingFileError.
    """
    from batchgen.emulator import fault_problems, parse_faults
    from batchgen.manifest.parsing.composer import Composer
    from batchgen.manifest.parsing.events import YamlEvents
    from batchgen.manifest.parsing.nodes import place_of
    from batchgen.manifest.parsing.source import UnreadableYamlError

    problems: list[Problem] = []

    def report(place: Place, message: str, hint: str | None) -> None:
        problems.append(Problem(str(path), *place, message, hint))

    try:
        with path.open("rb") as file:
            node = _only_document(Composer(YamlEvents(file), report))
    except UnreadableYamlError as exc:
        raise InputError(
            exc.what, where=f"{path}:{exc.line}:{exc.column}", next_step=exc.next_step
        ) from exc
    except OSError as exc:
        what = f"the faults cannot be read: {exc.strerror}"
        raise MissingFileError(what, where=str(path), next_step="check the path") from exc
    document = {"faults": node.value} if isinstance(node.value, list) else node.value
    above = 1 if isinstance(node.value, list) else 0
    if not problems:
        for found in fault_problems(document):
            report(place_of(node, found.path[above:]), found.message, None)
    if problems:
        hint = "`batchgen guide emulator` lists the kinds and the fields of each"
        raise InputError("\n".join(map(str, problems)), next_step=hint)
    return parse_faults(document)


def _only_document(composer: Composer) -> Node:
    import yaml

    from batchgen.manifest.parsing.source import UnreadableYamlError

    composer.next_event()
    event = composer.next_event()
    if isinstance(event, yaml.StreamEndEvent):
        raise UnreadableYamlError(
            1, 1, "the file is empty", "write a list: - {on: submit, kind: …}"
        )
    node = composer.compose()
    composer.next_event()
    if not isinstance(event := composer.next_event(), yaml.StreamEndEvent):
        raise UnreadableYamlError(event.start_mark.line + 1, 1, "a second document begins here")
    return node
