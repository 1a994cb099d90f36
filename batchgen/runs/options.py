"""What may be asked of a run besides the manifest; the command line wins over the manifest."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchgen.errors import UsageError
from batchgen.manifest import Rate
from batchgen.state.merge import OnChanged
from batchgen.state.queries import Selection


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

    def __post_init__(self) -> None:
        for name in ("limit", "concurrency"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise UsageError(f"{name} is {number}; it must be 1 or more")
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise UsageError("rate is a batchgen.Rate, e.g. Rate(60, 60.0) for 60 a minute")
        if not isinstance(self.on_changed, OnChanged):
            raise UsageError("on_changed is one of batchgen.OnChanged's values")
