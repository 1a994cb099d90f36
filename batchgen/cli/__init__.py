"""The command line: options and exit codes, no logic. Each verb's work is in commands/."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING

import click

from batchgen.cli import decisions, guide, results, runs, views
from batchgen.commands.console import print_error, say
from batchgen.errors import BatchgenError, ExitCode, ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE, errno.EBADF})

COMPLETION = "_BATCHGEN_COMPLETE"
"""The variable by which a shell asks for completions."""

VERBS = (
    runs.init,
    runs.validate,
    runs.plan,
    runs.run,
    runs.retry,
    runs.emulator,
    views.status,
    views.show,
    views.report,
    views.watch,
    views.models,
    guide.guide,
    decisions.cancel,
    decisions.resolve,
    decisions.approve,
    decisions.pick,
    results.verify,
    results.repair,
    results.check,
    results.export,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="batchgen")
def cli() -> None:
    """Turn a manifest of generation jobs into verified files, and pay for none of them twice.

    Start with `batchgen init`, rehearse with `batchgen run MANIFEST --emulator`, and after any stop
    run the same command again: it continues. `batchgen guide` is the manual.
    """


for verb in VERBS:
    cli.add_command(verb)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: the only place where errors become one."""
    if argv is None:
        _use_utf8_for_names()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has not every character shows an escape instead of ending the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(
            args=argv, prog_name="batchgen", complete_var=COMPLETION, standalone_mode=False
        )
    except ManifestError as exc:
        from batchgen.commands.validate import say_problems  # noqa: PLC0415 - only then

        say_problems(exc)
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
            say(f"batchgen: cannot write what is to be said: {exc.strerror}", to_stderr=True)
        sys.stdout = None  # else Python tries once more at its exit, and changes the exit code
        return ExitCode.IO_ERROR
    except SystemExit as exc:
        # click leaves by itself after a completion, and where the reader of a pipe left, as
        # `| head` does: with 1, which would mean failed jobs. A signal leaves with its own code.
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
    say(
        "batchgen: this is a bug; the state is safe: run the same command again to continue",
        to_stderr=True,
    )
    return ExitCode.BUG
