"""What the parts of the engine share in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.engine.budget import Budget
    from batchgen.engine.canary import Canary
    from batchgen.engine.control import Control
    from batchgen.engine.downloads_pool import DownloadPool
    from batchgen.engine.health import Health
    from batchgen.engine.limits import Expectations, RateLimiter
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Ports
    from batchgen.engine.reuse import Reuse
    from batchgen.engine.sharing import SharedLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContext:
    """The collaborators of a run, made once by the scheduler.

    `ports.api` is the paced one. `overall` limits the requests of all models together.
    """

    ports: Ports
    policy: EnginePolicy
    control: Control
    overall: RateLimiter
    health: Health
    budget: Budget
    expectations: Expectations
    downloads: DownloadPool
    canary: Canary
    reuse: Reuse
    shared: SharedLimits
