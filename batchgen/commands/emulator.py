"""`batchgen emulator`: the vendor's API on this machine, as a server of its own."""

from __future__ import annotations

import asyncio
import shlex
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from batchgen.commands.console import say
from batchgen.concurrency import on_signals
from batchgen.emulator import (
    EmulatorError,
    EmulatorSettings,
    fault_problems,
    parse_faults,
    running_emulator,
)
from batchgen.errors import InputError, MissingFileError, OutputError, Problem, UsageError
from batchgen.manifest.parsing.composer import Composer
from batchgen.manifest.parsing.events import YamlEvents
from batchgen.manifest.parsing.nodes import place_of
from batchgen.manifest.parsing.source import UnreadableYamlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.emulator import Emulator, Fault
    from batchgen.manifest import Rate
    from batchgen.manifest.parsing.nodes import Node, Place


def emulate(asked: Mapping[str, Any], rate: Rate | None, faults: Path | None) -> int:
    """Serve until a signal comes. `asked` are fields of EmulatorSettings.

    Raises UsageError, InputError, MissingFileError, OutputError.
    """
    armed = () if faults is None else read_faults(faults)
    try:
        settings = EmulatorSettings(**asked, faults=armed)
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
    stop = asyncio.Event()
    with on_signals(lambda _: stop.set(), signal.SIGINT, signal.SIGTERM):
        async with running_emulator(settings) as emulator:
            say(f"listening on {emulator.base_url}")
            say(f"  → in another terminal: {_command(emulator, settings)}", to_stderr=True)
            await stop.wait()


def _command(emulator: Emulator, settings: EmulatorSettings) -> str:
    """Give the command to copy. The token is the emulator's own, and opens nothing else."""
    token = shlex.quote(settings.token or "any")
    base = f"RUNCOMFY_MODEL_API_BASE={emulator.base_url}"
    return f"{base} RUNCOMFY_TOKEN={token} batchgen run MANIFEST"


def read_faults(path: Path) -> tuple[Fault, ...]:
    """Read a list of faults, as YAML or JSON, with or without the key `faults` above it.

    Raises InputError with all that is wrong, each with its line; MissingFileError.
    """
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
        hint = "`batchgen guide emulator` lists the kinds, and what each reads"
        raise InputError("\n".join(map(str, problems)), next_step=hint)
    return parse_faults(document)


def _only_document(composer: Composer) -> Node:
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
