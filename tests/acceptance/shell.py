"""What a person has: a folder, a shell, a clean environment, and an emulator of its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from batchgen.errors import MissingFileError, SchemaVersionError
from batchgen.state.database import open_for_reading
from batchgen.state.queries import job_statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"
PICTURE = "https://pictures.example.com/boat.png"
PATIENCE = 60.0
SECONDS_TO_END = 5.0
"""After SIGTERM, before SIGKILL, for a command of a test that failed."""
LOOK_EVERY = 0.05


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


class Started(subprocess.Popen[str]):
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
    """Runs `batchgen` in `folder`, with no variable of the machine but the way to Python."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def having(self, **env: str) -> Shell:
        return replace(self, env={**self.env, **env})

    def start(self, *words: str, **options: Any) -> Started:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return Started(
            [sys.executable, "-m", "batchgen", *words],
            cwd=self.folder,
            env={**kept, "HOME": str(self.folder), **self.env},
            stdin=subprocess.DEVNULL,
            text=True,
            **{**streams, **options},
        )

    def run(self, *words: str) -> Done:
        with self.start(*words) as process:
            return ended(process)

    def expect(self, code: int, *words: str) -> Done:
        done = self.run(*words)
        assert done.code == code, f"{words} ended with {done.code}:\n{done.said}"
        return done

    def status(self, manifest: str = "m.yaml") -> Any:
        return self.expect(0, "status", manifest, "--json").document

    def states(self) -> dict[str, str]:
        """Each job's state, read in this process: tests wait for it. Empty before the first run."""
        try:
            with closing(open_for_reading(self.folder / "out/state.db")) as db:
                return {job.id: job.state.value for job in job_statuses(db)}
        except (MissingFileError, SchemaVersionError):
            # There is a moment in which the file exists and has no schema yet.
            return {}

    def write(self, text: str, name: str = "m.yaml") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
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
    """An emulator in a process of its own: the judge of what was charged."""

    base: str

    @property
    def origin(self) -> str:
        return self.base.removesuffix("/v1")

    def ledger(self) -> Any:
        with urllib.request.urlopen(f"{self.origin}/emulator/ledger", timeout=10) as answer:
            return json.load(answer)

    def charges(self) -> list[dict[str, Any]]:
        charges: list[dict[str, Any]] = self.ledger()["charges"]
        return charges

    def arm(self, on: str, kind: str, **fields: Any) -> None:
        body = json.dumps({"faults": [{"on": on, "kind": kind, **fields}]}).encode()
        request = urllib.request.Request(
            f"{self.origin}/emulator/faults", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status < 300

    def disarm(self) -> None:
        """Take back the faults that nobody met."""
        request = urllib.request.Request(f"{self.origin}/emulator/faults", method="DELETE")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def charged(self, count: int) -> None:
        """Wait until so many submits were accepted."""
        wait_until(lambda: len(self.charges()) >= count, f"{count} charges")


@contextmanager
def emulating(shell: Shell, *options: str, latency: float = 0.05) -> Iterator[Emulator]:
    words = ("emulator", "--state", "emulator.db", "--latency", str(latency), *options)
    with shell.start(*words, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first.startswith("listening on http://127.0.0.1:")
            yield Emulator(first.split()[-1])
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


def aimed(shell: Shell, emulator: Emulator, token: str = "any-token") -> Shell:
    """The same shell, with the emulator in the vendor's place."""
    return shell.having(RUNCOMFY_MODEL_API_BASE=emulator.base, RUNCOMFY_TOKEN=token)
