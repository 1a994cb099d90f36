"""A YAML manifest → checked jobs, as a stream.

`read_manifest` reads the header, `checked_jobs` streams the jobs; both write what is wrong into one
`ProblemLog`.

parsing/       YAML text → nodes that know their places
header.py      all but the jobs, with includes.py and scope.py; settings.py, policy.py, halting.py,
               notifying.py
items.py       one entry of `jobs`; sweeps.py: its cells, from matrix/ and rows/
making.py      a cell → a checked job, with recipes.py, needing.py and templates/
blame.py       where a problem of a cell is told; report.py and problems.py: how
structure.py   the manifest's own schema; editor.py: the models' part of it, for editors
starters/      what `batchgen init` writes
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchgen.manifest.header import Manifest, read_manifest
    from batchgen.manifest.policy import (
        CheckInputs,
        FullCheck,
        ModelPolicy,
        OnUnknown,
        Output,
        Policy,
        Rate,
        parse_duration,
        parse_rate,
    )
    from batchgen.manifest.problems import ProblemLog
    from batchgen.manifest.settings import refuse_address
    from batchgen.manifest.starters.manifests import starter_manifest
    from batchgen.manifest.stop_policy import (
        Halt,
        StopAt,
        next_moment,
        parse_bytes,
        parse_stop_at,
        start_moment,
    )
    from batchgen.manifest.stream import checked_jobs

__all__ = [
    "CheckInputs",
    "FullCheck",
    "Halt",
    "Manifest",
    "ModelPolicy",
    "OnUnknown",
    "Output",
    "Policy",
    "ProblemLog",
    "Rate",
    "StopAt",
    "checked_jobs",
    "next_moment",
    "parse_bytes",
    "parse_duration",
    "parse_rate",
    "parse_stop_at",
    "read_manifest",
    "refuse_address",
    "start_moment",
    "starter_manifest",
]

_HOMES = {
    "CheckInputs": "policy",
    "FullCheck": "policy",
    "Halt": "stop_policy",
    "Manifest": "header",
    "ModelPolicy": "policy",
    "OnUnknown": "policy",
    "Output": "policy",
    "Policy": "policy",
    "ProblemLog": "problems",
    "Rate": "policy",
    "StopAt": "stop_policy",
    "checked_jobs": "stream",
    "next_moment": "stop_policy",
    "parse_bytes": "stop_policy",
    "parse_duration": "policy",
    "parse_rate": "policy",
    "parse_stop_at": "stop_policy",
    "read_manifest": "header",
    "refuse_address": "settings",
    "start_moment": "stop_policy",
    "starter_manifest": "starters.manifests",
}


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: the command line wants a duration and no JSON Schema."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = resolve_name(f"{__name__}.{_HOMES[name]}:{name}")
    return found
