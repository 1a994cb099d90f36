"""No test may write into the home of who runs it, nor depend on how busy the machine is."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from batchgen.downloads import decoding
from batchgen.engine import polling
from batchgen.engine.backoff import delay
from batchgen.processes import ProcessPool
from tests.shell import QUICK, Emulator, Shell, emulating

if TYPE_CHECKING:
    from tests.storage.s3_server import S3Server
    from tests.storage.stored import Stored

WITH_PROCESSES = {"test_processes", "test_downloads_decoding", "test_watch_files"}

# What tests write needs no disk: a state waits for its disk at each change, and a test with it.
MEMORY = Path("/dev/shm")
ROOM = 2 << 30
if (
    "TMPDIR" not in os.environ
    and os.access(MEMORY, os.W_OK)
    and shutil.disk_usage(MEMORY).free > ROOM
):
    tempfile.tempdir = os.environ["TMPDIR"] = str(MEMORY)

# At import, so that worker processes and commands that tests start have it too.
for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
    os.environ[variable] = tempfile.mkdtemp(prefix="batchgen-")
    atexit.register(shutil.rmtree, os.environ[variable], ignore_errors=True)

# A shell's background job ignores Ctrl-C, and one under nohup a closed terminal: so would every
# command that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Nothing asserts wall-clock time: beside a busy machine any example may take long.
# `--hypothesis-profile=long` tries many times more, as one who changes a parser would.
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", ANY_MACHINE, max_examples=50)
settings.register_profile("long", ANY_MACHINE, max_examples=2000)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _files_are_worked_on_here(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start no process for pictures, except where the processes are what is tested."""
    if request.module.__name__.rpartition(".")[2] not in WITH_PROCESSES:
        monkeypatch.setattr(ProcessPool, "call", lambda _, work, item: work(item))
        # A bound of memory is for a worker process: here it would end the threads of later tests.
        monkeypatch.setattr(decoding, "limit_memory", lambda _max_bytes: None)


@pytest.fixture(autouse=True)
def _waits_are_short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of an emulator ends soon. On the engine's virtual clock no time is lost."""
    if request.path.parent.name != "engine":
        monkeypatch.setattr(polling, "SHORTEST", QUICK)
        # Seconds before the second try; it is the default of an argument.
        monkeypatch.setitem(delay.__kwdefaults__ or {}, "first", 0.1)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A command line in a fresh folder, without a token and without a way to any API."""
    return Shell(tmp_path)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulating() as emulator:
        yield emulator


@pytest.fixture
def slow_emulator() -> Iterator[Emulator]:
    """Its requests take a minute: longer than any test."""
    with emulating(latency=60) as emulator:
        yield emulator


@pytest.fixture
def user(shell: Shell, emulator: Emulator) -> Shell:
    return shell.using(emulator)


@pytest.fixture
def slow_user(shell: Shell, slow_emulator: Emulator) -> Shell:
    return shell.using(slow_emulator)


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """What is in a cycle stays, as between two collections of a run, which are far apart."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def only_s3() -> Iterator[S3Server]:
    """One for each worker: it takes a second to import, which most tests do not need."""
    from tests.storage.s3_server import s3_server  # noqa: PLC0415 - see above

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(only_s3: S3Server) -> S3Server:
    """An S3 server on this machine."""
    only_s3.calls.clear()
    only_s3.refuse = lambda _method, _path: None
    only_s3.lose = lambda _method, _path: False
    return only_s3


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """The name of an empty bucket of its own."""
    name = f"pictures-{uuid4().hex[:12]}"
    s3.make_bucket(name)
    s3.calls.clear()
    return name


@pytest.fixture(params=["folder", "bucket"])
def stored(request: pytest.FixtureRequest) -> Callable[[Shell], Stored]:
    """Leave the results of a finished run where they are, or move them into a bucket."""
    from tests.storage.stored import in_folder, moved_to_bucket  # noqa: PLC0415 - loads boto3

    if request.param == "folder":
        return in_folder
    s3, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
    return lambda shell: moved_to_bucket(shell, s3, bucket)
