"""A decoder with little memory, for the tests of decoding."""

from __future__ import annotations

import resource

from batchgen.downloads import decoding


def serve() -> None:
    decoding.bound_memory()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (96 * 1024**2, hard))
    decoding.bound_memory = lambda: None
    decoding.serve()
