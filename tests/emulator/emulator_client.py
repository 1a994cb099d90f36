"""A plain HTTP client for the emulator, independent of batchgen's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from batchgen.emulator import Emulator, EmulatorSettings, running_emulator

TEXT_TO_IMAGE = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
IMAGE_TO_VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"
PICTURE = (
    "https://playgrounds-storage-public.runcomfy.net/tools/7013/media-files/usecase2-2-input.jpeg"
)
AUTHORIZATION = {"Authorization": "Bearer rehearsal"}
A_LONG_TIME = 3600.0
UNFINISHED = ("in_queue", "in_progress")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    emulator: Emulator
    session: aiohttp.ClientSession

    async def call(self, method: str, url: str, **options: Any) -> Reply:
        options.setdefault("headers", AUTHORIZATION)
        options.setdefault("allow_redirects", False)
        where = url if url.startswith("http") else self.emulator.base_url + url
        async with self.session.request(method, where, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, url: str, **options: Any) -> Reply:
        return await self.call("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Reply:
        return await self.call("POST", url, **options)

    async def submit(self, model: str = TEXT_TO_IMAGE, **job_input: Any) -> Reply:
        return await self.post(f"/models/{model}", json=job_input or {"prompt": "a boat"})

    async def accepted(self, model: str = TEXT_TO_IMAGE, **job_input: Any) -> dict[str, str]:
        reply = await self.submit(model, **job_input)
        assert reply.status == 200, reply.body
        receipt: dict[str, str] = reply.document
        return receipt

    async def finished(self, receipt: Mapping[str, str]) -> dict[str, Any]:
        while True:
            document: dict[str, Any] = (await self.get(receipt["result_url"])).document
            if document["status"] not in UNFINISHED:
                return document

    async def made(self, model: str = TEXT_TO_IMAGE, **job_input: Any) -> str:
        """Submit, wait and return the URL of the only file."""
        result = await self.finished(await self.accepted(model, **job_input))
        (url,) = result["output"].values()
        return str(url)

    async def file(self, url: str, **headers: str) -> Reply:
        return await self.get(url, headers={k.replace("_", "-"): v for k, v in headers.items()})

    async def ledger(self) -> Any:
        return (await self.get(f"{self.emulator.origin}/emulator/ledger", headers={})).document


@asynccontextmanager
async def emulating(settings: EmulatorSettings | None = None) -> AsyncIterator[Client]:
    chosen = settings or EmulatorSettings(latency=0)
    async with running_emulator(chosen) as emulator, aiohttp.ClientSession() as session:
        yield Client(emulator, session)
