"""Manifests with one typical mistake each, and what `batchgen validate` prints about them.

    python -m tests.manifest.wrong_manifests --renew     after changing a message; read the diff

NNN-name.txt is what is printed about NNN-name.yaml, run in the folder itself.
"""

from __future__ import annotations

import io
import sys
from contextlib import chdir, redirect_stderr
from pathlib import Path

from batchgen.cli import main
from batchgen.errors import ExitCode

FOLDER = Path(__file__).parent / "wrong"


def wrong_manifests() -> list[Path]:
    return sorted(FOLDER.glob("[0-9][0-9][0-9]-*.yaml"))


def printed_by_validate(manifest: Path) -> tuple[int, str]:
    """The exit code and what is printed."""
    printed = io.StringIO()
    with chdir(manifest.parent), redirect_stderr(printed):
        code = main(["validate", manifest.name])
    return code, printed.getvalue()


def renew() -> None:
    for stale in FOLDER.glob("[0-9][0-9][0-9]-*.txt"):
        stale.unlink()
    for manifest in wrong_manifests():
        code, text = printed_by_validate(manifest)
        if code != ExitCode.BAD_INPUT:
            raise SystemExit(f"{manifest.name} is not refused")
        manifest.with_suffix(".txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--renew"]:
        raise SystemExit(__doc__)
    renew()
