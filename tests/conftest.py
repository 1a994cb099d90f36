"""No test may write into the home of who runs it, nor read what is there."""

from __future__ import annotations

import os
import tempfile

# At import, so that worker processes and commands that tests start have it too.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="batchgen-state-")
