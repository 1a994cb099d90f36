"""batchgen: a YAML manifest of generation jobs becomes verified files on disk, none paid twice."""

from batchgen.runs.api import run, run_async
from batchgen.runs.options import RunOptions
from batchgen.runs.summary import Summary

__all__ = ["RunOptions", "Summary", "run", "run_async"]
