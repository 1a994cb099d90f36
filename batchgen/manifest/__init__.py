"""A YAML manifest → checked jobs, as a stream.

`read_manifest` reads the header, `checked_jobs` streams the jobs; both write what is wrong into one
`ProblemLog`.
"""

from batchgen.manifest.halting import Halt, StopAt, next_moment, parse_bytes, parse_stop_at
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
from batchgen.manifest.starter import starter_manifest
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
    "starter_manifest",
]
