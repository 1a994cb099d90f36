"""No test may write into the home of who runs it, nor depend on how busy the machine is."""

from __future__ import annotations

import os
import tempfile

from hypothesis import HealthCheck, settings

# At import, so that worker processes and commands that tests start have it too.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="batchgen-state-")

# Nothing asserts wall-clock time: beside a busy machine any example may take long.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
