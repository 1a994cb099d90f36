"""`/emulator/faults`: arm, list and clear faults from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from batchgen.emulator.fault_json import fault_document, parse_faults
from batchgen.emulator.refusals import refusal

if TYPE_CHECKING:
    from batchgen.emulator.faults import FaultPlan


@dataclass(frozen=True, slots=True)
class FaultControl:
    plan: FaultPlan

    async def arm(self, request: web.Request) -> web.Response:
        try:
            faults = parse_faults(json.loads(await request.read()))
        except (ValueError, RecursionError) as exc:
            return web.json_response(refusal(400, str(exc)).document, status=400)
        self.plan.arm(faults)
        return self._listed()

    async def show(self, _request: web.Request) -> web.Response:
        return self._listed()

    async def clear(self, _request: web.Request) -> web.Response:
        self.plan.clear()
        return self._listed()

    def _listed(self) -> web.Response:
        """Tell in `times` and `after` what is left of them."""
        faults = [
            {**fault_document(armed.fault), "times": armed.left, "after": armed.to_pass}
            for armed in self.plan.armed()
        ]
        return web.json_response({"faults": faults})
