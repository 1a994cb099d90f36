"""Servers of input images on the loop's clock: the engine's port `inputs`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.downloads.probe import Picture, Probed
from batchgen.engine.ports import InputsSound, InputVerdict

PICTURE = Picture("image/png", 64, 64, 1000)


@dataclass(slots=True)
class SimulatedInputs:
    """`verdict` is of a body, `outcome` of a URL; each answer takes `takes` seconds.

    `checked` and `probed` are the loop's times with what was asked for.
    """

    verdict: Callable[[str], InputVerdict] = lambda _body: InputsSound()
    outcome: Callable[[str], Probed] = lambda _url: PICTURE
    takes: float = 0.05
    checked: list[tuple[float, str]] = field(default_factory=list)
    probed: list[tuple[float, str]] = field(default_factory=list)

    async def check(self, model: str, body: str) -> InputVerdict:
        self.checked.append((asyncio.get_running_loop().time(), body))
        await asyncio.sleep(self.takes)
        return self.verdict(body)

    async def probe(self, url: str) -> Probed:
        self.probed.append((asyncio.get_running_loop().time(), url))
        await asyncio.sleep(self.takes)
        return self.outcome(url)
