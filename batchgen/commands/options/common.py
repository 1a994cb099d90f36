"""Options that several commands share, and how options are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from batchgen.commands.options.completing import MANIFESTS, complete_files
from batchgen.errors import InputError, UsageError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def read_by(
    parse: Callable[[str], T],
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make a callback for click. It raises UsageError, which names the option."""

    def read(_context: click.Context, option: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except InputError as exc:
            raise UsageError(exc.what, where=option.opts[0], next_step=exc.next_step) from exc

    return read


MANIFEST = click.argument(
    "manifest", type=click.Path(path_type=Path), shell_complete=complete_files(*MANIFESTS)
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
QUIET = click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
EMULATOR = click.option(
    "--emulator", is_flag=True, help="Rehearse on this machine: no token, no money."
)
OFFLINE = click.option(
    "--offline", is_flag=True, help="Do not ask the vendor for prices and schemas."
)
STRICT = click.option("--strict", is_flag=True, help="Treat warnings as errors.")
ACCEPT_COPY = click.option("--accept-copy", is_flag=True, help="Continue with a copied state file.")

RECOVER = click.option(
    "--recover",
    is_flag=True,
    help="If the state is missing: follow the requests that run.log names, and pay for"
    " none of them.",
)
START_OVER = click.option(
    "--start-over",
    is_flag=True,
    help="If the state is missing: pay for all jobs again, and move what is in the folder"
    " to earlier-N.",
)
TAKE_OVER = click.option(
    "--take-over",
    is_flag=True,
    help="Take over a folder that another manifest was last run into.",
)
WHOSE = (ACCEPT_COPY, RECOVER, START_OVER, TAKE_OVER)


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Stack options in the order in which --help shows them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
