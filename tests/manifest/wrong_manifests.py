"""Manifests with one mistake each, as people make them, and what `batchgen validate` says.

    python -m tests.manifest.wrong_manifests --renew     after a sentence was changed; read the diff

Beside each NNN-name.yaml stands NNN-name.txt, what is printed in the folder itself.
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


def what_is_said(manifest: Path) -> tuple[int, str]:
    """The exit code and what a person reads."""
    printed = io.StringIO()
    with chdir(manifest.parent), redirect_stderr(printed):
        code = main(["validate", manifest.name])
    return code, printed.getvalue()


def renew() -> None:
    for stale in FOLDER.glob("[0-9][0-9][0-9]-*.txt"):
        stale.unlink()
    for manifest in wrong_manifests():
        code, text = what_is_said(manifest)
        if code != ExitCode.BAD_INPUT:
            raise SystemExit(f"{manifest.name} is not refused")
        manifest.with_suffix(".txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--renew"]:
        raise SystemExit(__doc__)
    renew()
