"""The command line: one module per verb, with its options and its work, loaded when it is used.

VERBS             every verb, with the line that `batchgen --help` shows
options.py        options that several verbs have
completion.py     what a shell completes
console.py        how text, JSON and errors are printed
run_lines.py      lines about a run that `status` and the end of a run share
job_details.py    one job in full, for `show` and `plan --jobs`
progress.py       progress bars
on_done.py        the command of `--on-done`
browser.py        opening a page, for `report` and `watch`
models_added.py   `batchgen models add` and `update`
unknown_models.py whether the vendor has a model that a manifest names
markdown.py       the manual in a terminal
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
import traceback
from importlib import import_module
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from batchgen.cli.console import print_error, print_problems, print_text
from batchgen.cli.unknown_models import print_offers
from batchgen.cluster.address import LOCAL, is_address
from batchgen.errors import BatchgenError, ExitCode, ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE, errno.EBADF})

COMPLETION = "_BATCHGEN_COMPLETE"
"""The variable with which a shell asks for completions."""

VERBS = {
    "init": "Write a commented manifest to start from.",
    "validate": "Show every problem in manifests; nothing is sent.",
    "plan": "Show what a run would do, its cost and duration; nothing is sent.",
    "run": "Start, continue or finish a run.",
    "retry": "Run again, including what failed.",
    "emulator": "Serve the vendor's API on this machine.",
    "status": "Show how a run is going.",
    "tune": "Change the limits of the run in progress.",
    "show": "Show jobs: the exact input, and everything that happened to them.",
    "report": "Make a page of the results, the failures and how the run went.",
    "watch": "Serve the live page of results on this machine.",
    "models": "Show the models, or every field of one.",
    "guide": "Show the manual: the list of topics, or the page of one.",
    "cancel": "Cancel jobs, sent or not.",
    "resolve": "Decide about submits whose outcome is unknown.",
    "approve": "Approve results, so that jobs waiting for them can start.",
    "pick": "Keep or reject results.",
    "verify": "Compare the files, on the disk or in the bucket, with the state.",
    "repair": "Download missing and damaged files again; never pays.",
    "check": "Find blank, damaged, wrong or duplicate results.",
    "export": "Make a dataset of the results, in a folder or a bucket.",
    "index": "Rebuild the index of finished results, which --reuse looks into.",
}
"""Each with the first line of its help, so that the list loads none of the modules."""


def load(verb: str) -> click.Command:
    """Import the module of a verb and return its command."""
    command: click.Command = getattr(import_module(f"{__name__}.{verb}"), verb)
    return command


class _Verbs(click.Group):
    """Knows names and first lines; a verb is loaded once the command line names it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(str(command.name)), with_addresses(rest)


def with_addresses(words: Sequence[str]) -> list[str]:
    """Give each `--ray` without an address that of a local cluster: click would take any word."""
    followed = zip_longest(words, words[1:], fillvalue="")
    return [
        f"--ray={LOCAL}" if word == "--ray" and not is_address(behind) else word
        for word, behind in followed
    ]


@click.group(
    cls=_Verbs,
    commands={verb: click.Command(verb, help=line) for verb, line in VERBS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="batchgen")
def cli() -> None:
    """Turn a manifest of generation jobs into verified files, and pay for none of them twice.

    Start with `batchgen init`, rehearse with `batchgen run MANIFEST --emulator`, and after any stop
    run the same command again: it continues. `batchgen guide` is the manual.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: the only place where errors become one."""
    if argv is None:
        _use_utf8_for_names()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows an escape instead of ending the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(
            args=argv, prog_name="batchgen", complete_var=COMPLETION, standalone_mode=False
        )
    except ManifestError as exc:
        print_problems(exc)
        print_offers(exc, argv)
        return exc.exit_code
    except BatchgenError as exc:
        print_error(exc)
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.SIGINT
    except OSError as exc:
        if exc.errno not in OUTPUT_FAILED:
            return _bug()
        # The rooms translate theirs; this one is stdout's or stderr's own: a full disk behind it.
        with contextlib.suppress(OSError):
            why = f"cannot write to standard output: {exc.strerror}"
            print_text(f"batchgen: {why}", to_stderr=True)
        sys.stdout = None  # or Python tries once more at its exit, and changes the exit code
        return ExitCode.IO_ERROR
    except SystemExit as exc:
        # click exits by itself after a completion, and with 1 where the reader of a pipe left, as
        # `| head` does; 1 would mean failed jobs. A signal exits with its own code.
        if COMPLETION in os.environ or exc.code != 1:
            raise
        return ExitCode.IO_ERROR
    except Exception:  # noqa: BLE001 - the one at the very top
        return _bug()
    return int(code or 0)


def _use_utf8_for_names() -> None:
    """Start again where file names could not hold every id; the terminal keeps its encoding."""
    if os.name != "posix" or not sys.executable or sys.flags.utf8_mode:
        return
    if codecs.lookup(sys.getfilesystemencoding()).name == "utf-8":
        return
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding and "PYTHONIOENCODING" not in os.environ:
        os.environ["PYTHONIOENCODING"] = f"{encoding}:backslashreplace"
    # For the processes that it starts as well.
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself


def _bug() -> int:
    traceback.print_exc()
    print_text(
        "batchgen: this is a bug; the state is safe: run the same command again to continue",
        to_stderr=True,
    )
    return ExitCode.BUG
