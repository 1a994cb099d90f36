"""Shorter limits for runs of this process: a row waits no longer than it must."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from batchgen.engine.policy import EnginePolicy
from batchgen.runcomfy import client
from batchgen.runcomfy.limits import Limits
from batchgen.runs import execute, ports
from batchgen.runs.options import engine_policy

T = TypeVar("T")

IN_A_HURRY = """
import signal, sys
from batchgen import concurrency
concurrency.DRAIN_SECONDS[signal.SIGTERM] = 0.5
for name, module in [*sys.modules.items()]:
    if name.startswith("batchgen.") and hasattr(module, "TERMINATION_SECONDS"):
        module.TERMINATION_SECONDS = 2.0
"""
"""For a process that is asked to end: it waits a second where another waits five."""


def impatient(patch: pytest.MonkeyPatch, **policy: Any) -> None:
    """Let runs of this process have a shorter EnginePolicy, e.g. `submit_deadline=0.3`."""

    def shortened(*asked: Any) -> EnginePolicy:
        return replace(engine_policy(*asked), **policy)

    patch.setattr(execute, "engine_policy", shortened)


def limited(patch: pytest.MonkeyPatch, **limits: Any) -> None:
    """Let runs of this process have other Limits of the API's client, e.g. `connect=0.2`."""

    def shortened(*asked: Any, **named: Any) -> AbstractAsyncContextManager[client.RunComfy]:
        return client.connect(*asked, **{**named, "limits": Limits(**limits)})

    patch.setattr(ports, "connect", shortened)


def only(items: Sequence[T]) -> T:
    (item,) = items
    return item
