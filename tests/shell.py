"""What a test of the whole needs: a user with a folder and a command line, and an emulator.

A start of Python costs more than most tests themselves, so commands and the emulator run in this
process, with real HTTP between them. `Shell.start` gives a process of its own to a test that sends
signals, kills, or needs real streams: a fork of one that has imported the program.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from batchgen.cli import main
from batchgen.emulator import EmulatorSettings, running_emulator
from batchgen.errors import MissingFileError, SchemaVersionError
from batchgen.state.database import reading
from batchgen.state.queries import job_statuses
from tests.forks import ForkedProcess

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"
PICTURE = "https://pictures.example.com/boat.png"
PATIENCE = 60.0
SECONDS_TO_END = 5.0
"""After SIGTERM, before SIGKILL, for a command of a test that failed."""
LOOK_EVERY = 0.05
QUICK = 0.02
"""Seconds that a request takes, unless a test needs them to be more."""
KEPT = ("PATH", "PYTHONPATH", "TMPDIR")
"""The only variables of this machine that a command sees."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What `--json` printed: exactly one document, and nothing else."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}"


class Started(ForkedProcess):
    """A command; the end of its block is the end of it, also where a test fails inside."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.end()
        # Else it ends by itself, but no test waits for ever.
        late = threading.Timer(PATIENCE, self.kill)
        late.start()
        try:
            super().__exit__(kind, value, traceback)
        finally:
            late.cancel()

    def end(self) -> None:
        self.terminate()
        try:
            self.communicate(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(frozen=True)
class Shell:
    """Runs `batchgen` in `folder`, in an environment with nothing but what a test puts there.

    `apart`: each command in a process of its own. `fresh`: in a new interpreter, for what only that
    shows.
    """

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    fresh: bool = False

    def having(self, **env: str) -> Self:
        return replace(self, env={**self.env, **env})

    def using(self, emulator: Emulator, token: str = "any-token") -> Self:
        """The same shell, with the emulator in the vendor's place."""
        return self.having(RUNCOMFY_MODEL_API_BASE=emulator.base, RUNCOMFY_TOKEN=token)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {**kept, "HOME": str(self.folder), **self.env}

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Stand in this folder with this environment, as `batchgen.runs` needs it."""
        with chdir(self.folder), patch.dict(os.environ, self.environment, clear=True):
            yield

    def run(self, *words: str) -> Done:
        if self.apart or self.fresh:
            with self.start(*words) as process:
                return ended(process)
        streams = [io.BytesIO(), io.BytesIO()]
        out, err = (io.TextIOWrapper(stream, "utf-8", newline="") for stream in streams)
        with self.at_home(), redirect_stdout(out), redirect_stderr(err):
            try:
                code = main(words)
            except SystemExit as exc:
                # As the interpreter would: click ends so after a script of completion.
                code = int(exc.code or 0)
        for text in (out, err):
            text.flush()
        return Done(code, *(stream.getvalue().decode() for stream in streams))

    def start(self, *words: str, **options: Any) -> Started:
        """In a process of its own."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return Started(
            words,
            fresh=self.fresh,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            **{**streams, **options},
        )

    def expect(self, code: int, *words: str) -> Done:
        done = self.run(*words)
        assert done.code == code, f"{words} ended with {done.code}:\n{done.said}"
        return done

    def status(self, manifest: str = "m.yaml") -> Any:
        return self.expect(0, "status", manifest, "--json").document

    def states(self) -> dict[str, str]:
        """Each job's state; tests wait for it. Empty before the first run."""
        try:
            with reading(self.folder / "out/state.db") as db:
                return {one.id: one.state.value for one in job_statuses(db)}
        except (MissingFileError, SchemaVersionError):
            # There is a moment in which the file exists and has no schema yet.
            return {}

    def files(self) -> list[str]:
        """Every name below the folder of results, `.part` files too."""
        folder = self.folder / "out/files"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    def log(self) -> str:
        return (self.folder / "out/run.log").read_text("utf-8")

    def write(self, text: str, name: str = "m.yaml") -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name

    def manifest(self, jobs: Sequence[Mapping[str, Any]] | int, **header: Any) -> str:
        """Write m.yaml; a number of jobs makes so many boats of 1024 x 1024."""
        rows = [boat(number) for number in range(jobs)] if isinstance(jobs, int) else list(jobs)
        document = {
            "version": 1,
            "defaults": {"model": T2I, "input": {"size": "1024x1024"}},
            "output": {"dir": "out"},
            **header,
            "jobs": rows,
        }
        # JSON is YAML.
        return self.write(json.dumps(document, indent=1))


def boat(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"boat-{number:03}", "input": {"prompt": f"boat number {number}"}, **more}


def ended(process: subprocess.Popen[str]) -> Done:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Done(process.returncode, out or "", err or "")


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read stderr up to a line with the text: a slow machine has lines of progress before it."""
    assert process.stderr is not None
    while text not in (line := process.stderr.readline()):
        assert line, f"the process ended without a line with {text!r}"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that nothing announces to this process."""
    never = threading.Event()
    for _ in range(int(PATIENCE / LOOK_EVERY)):
        if condition():
            return
        never.wait(LOOK_EVERY)
    raise AssertionError(f"waited in vain: {what}")


@dataclass(frozen=True)
class Emulator:
    """An emulator, asked over HTTP: the judge of what was charged."""

    base: str

    @property
    def origin(self) -> str:
        return self.base.removesuffix("/v1")

    def ledger(self) -> Any:
        with urllib.request.urlopen(f"{self.origin}/emulator/ledger", timeout=PATIENCE) as answer:
            return json.load(answer)

    def charges(self) -> list[dict[str, Any]]:
        charges: list[dict[str, Any]] = self.ledger()["charges"]
        return charges

    def arm(self, on: str, kind: str, **fields: Any) -> None:
        body = json.dumps({"faults": [{"on": on, "kind": kind, **fields}]}).encode()
        request = urllib.request.Request(
            f"{self.origin}/emulator/faults", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status < 300

    def hold(self, model: str = "*") -> None:
        """Let no request end before `disarm`: a run stays where it is, however slow a test is."""
        self.arm("result", "state_backwards", model=model, times=None)

    def disarm(self) -> None:
        """Take back the faults that nobody met."""
        request = urllib.request.Request(f"{self.origin}/emulator/faults", method="DELETE")
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass

    def charged(self, count: int) -> None:
        """Wait until so many submits were accepted."""
        wait_until(lambda: len(self.charges()) >= count, f"{count} charges")


@contextmanager
def emulating(**settings: Any) -> Iterator[Emulator]:
    """An emulator in a thread, as EmulatorSettings say; its ledger is empty unless `state` has one.

    Its start takes four milliseconds, so each test may have its own.
    """
    opened: Future[tuple[str, Callable[[], object]]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        close = partial(asyncio.get_running_loop().call_soon_threadsafe, over.set)
        async with running_emulator(EmulatorSettings(**{"latency": QUICK, **settings})) as emulator:
            opened.set_result((emulator.base_url, close))
            await over.wait()

    with ThreadPoolExecutor(1, "emulator") as pool:
        served = pool.submit(asyncio.run, serve())
        either: list[Future[Any]] = [opened, served]
        wait(either, return_when=FIRST_COMPLETED)
        if not opened.done():
            served.result()
        base, close = opened.result()
        try:
            yield Emulator(base)
        finally:
            close()
            served.result()
