"""No test may write into the home of who runs it, nor depend on how busy the machine is."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

# At import, so that worker processes and commands that tests start have it too.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="batchgen-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# Nothing asserts wall-clock time: beside a busy machine any example may take long.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
