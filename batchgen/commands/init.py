"""`batchgen init`: a commented manifest to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.commands.console import command_for, say
from batchgen.errors import OutputError, UsageError
from batchgen.manifest import starter_manifest

if TYPE_CHECKING:
    from pathlib import Path


def init(path: Path) -> int:
    """Write the starter; an existing file stays as it is. Raises UsageError, OutputError."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter_manifest(path.stem))
    except FileExistsError as exc:
        raise UsageError(
            "the file exists already, and stays as it is",
            where=str(path),
            next_step="name another file: batchgen init other.yaml",
        ) from exc
    except OSError as exc:
        raise OutputError(
            f"the manifest cannot be written: {exc.strerror}",
            where=str(path),
            next_step="check the folder and its permissions",
        ) from exc
    say(f"{path} is written.")
    say(f"  → try it without token and money: {command_for('run', path, emulator=True)}")
    return 0
