"""batchgen: a YAML manifest of generation jobs becomes verified files on disk, none paid twice."""

# Imported before anybody listens for Ctrl-C, so it imports nothing itself.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from batchgen.manifest import Rate
    from batchgen.runs.api import run, run_async
    from batchgen.runs.options import RunOptions
    from batchgen.runs.summary import Summary
    from batchgen.state.merge import OnChanged
    from batchgen.state.queries import Selection

__all__ = ["OnChanged", "Rate", "RunOptions", "Selection", "Summary", "run", "run_async"]

_HOMES = {
    "run": "batchgen.runs.api",
    "run_async": "batchgen.runs.api",
    "RunOptions": "batchgen.runs.options",
    "Summary": "batchgen.runs.summary",
    "Selection": "batchgen.state.queries",
    "OnChanged": "batchgen.state.merge",
    "Rate": "batchgen.manifest",
}


def __getattr__(name: str) -> "Any":
    """Load a public name when it is first used: `batchgen --help` needs no web client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_HOMES[name]), name)
