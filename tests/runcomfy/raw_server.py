"""A server controlled byte by byte, and the words for what it does with each request."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Behaviour: TypeAlias = Callable[["RawServer", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """Each request takes the next behaviour; the last one stays for all that follow."""

    behaviours: list[Behaviour]
    on_connect: Behaviour | None = None
    port: int = 0
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            if self.on_connect:
                await self.on_connect(self, writer)
            while not writer.transport.is_closing():
                self.requests.append(await read_request(reader))
                self.arrived.set()
                behaviour = self.behaviours[min(len(self.requests), len(self.behaviours)) - 1]
                await behaviour(self, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = dict(item.split(": ", 1) for item in rest)
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return Received(line, headers, body)


@asynccontextmanager
async def serving(
    *behaviours: Behaviour,
    on_connect: Behaviour | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawServer]:
    raw = RawServer(list(behaviours), on_connect)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls)
    raw.port = server.sockets[0].getsockname()[1]
    raw.scheme = "https" if tls else "http"
    try:
        yield raw
    finally:
        raw.over.set()
        for writer in raw.writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    """Write an answer with the right length, unless `Content_Length` says otherwise."""
    fields = {"Content_Type": "application/json", "Content_Length": str(len(body))} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} Word", *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def as_json(value: Any, status: int = 200, **headers: str) -> bytes:
    return http(json.dumps(value).encode(), status, **headers)


def says(data: bytes) -> Behaviour:
    """Send `data` and wait for the next request on the connection."""

    async def behave(_server: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


def says_and_closes(data: bytes) -> Behaviour:
    async def behave(_server: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


async def resets(_server: RawServer, writer: asyncio.StreamWriter) -> None:
    """Drop the connection with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def says_and_hangs(data: bytes) -> Behaviour:
    """Send `data`, then nothing until the test is over."""

    async def behave(server: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await server.over.wait()

    return behave


hangs = says_and_hangs(b"")
