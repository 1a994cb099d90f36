"""What may be asked of a run besides the manifest; the command line wins over the manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.state.merge import OnChanged
from batchgen.state.queries import Selection

if TYPE_CHECKING:
    from batchgen.manifest import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`limit` is how many jobs at most are begun; `emulator` rehearses without token and money.

    `emulator_latency` is the seconds a rehearsed request takes; None: as the emulator thinks fit.
    """

    emulator: bool = False
    emulator_latency: float | None = None
    concurrency: int | None = None
    rate: Rate | None = None
    retry_failed: bool = False
    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    on_changed: OnChanged = OnChanged.REFUSE
