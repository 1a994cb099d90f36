"""The simulated disk. Its scenarios need a process with the shim: one is started for all."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from batchgen.errors import OutputError, UsageError
from tests.simulation import disk_scenarios, shim

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the shim stands in front of Linux's C library"
)

MEMORY = "/dev/shm"
FAST = {"TMPDIR": MEMORY} if os.access(MEMORY, os.W_OK) else {}
"""SQLite judges thousands of images: their fsyncs need not wait for a real disk."""

SCENARIOS = [
    name for name, _ in inspect.getmembers(disk_scenarios, inspect.isfunction) if "test_" in name
]


@pytest.fixture(scope="module")
def report() -> str:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-vv", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(Path(disk_scenarios.__file__))],
        env={**shim.with_shim(os.environ), **FAST},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_disk_in_a_process_of_its_own(name: str, report: str) -> None:
    lines = [line for line in report.splitlines() if f"::{name} " in line or f"::{name}[" in line]
    results = [line for line in lines if "%]" in line]
    assert results, report
    assert all(" PASSED " in line for line in results), report


def test_a_process_without_the_shim_says_so() -> None:
    if shim.is_loaded():
        pytest.skip("this one has it")
    with pytest.raises(UsageError, match="without the simulated disk"):
        shim.load()


def test_a_program_is_started_again_with_the_shim() -> None:
    code = (
        "from tests.simulation import shim; import sys;"
        " print('loaded' if shim.is_loaded() else 'not yet', flush=True);"
        " shim.run_again_with_shim(['-c', sys.argv[1], sys.argv[1]]); shim.load()"
    )
    environment = {key: text for key, text in os.environ.items() if key != shim.PRELOAD}
    done = subprocess.run(
        [sys.executable, "-c", code, code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("not yet\nloaded\n", "")


def test_a_process_that_ends_while_it_is_watched_ends_well(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.simulation.disk import Disk;"
        " disk = Disk().watch(Path(sys.argv[1])); left_open = open(sys.argv[1] + '/a', 'wb', 0);"
        " left_open.write(b'content'); print(disk.points)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path.resolve())],
        env=shim.with_shim(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "4\n", "")


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="gcc is not there"):
        shim.build()


def test_a_cache_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"batchgen-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(OutputError, match="not ours alone"):
        shim.build()


def test_the_shim_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    library = shim.build()
    first = library.stat()
    assert shim.build() == library
    assert library.stat().st_mtime_ns == first.st_mtime_ns
    assert library.parent.stat().st_mode & 0o777 == 0o700
