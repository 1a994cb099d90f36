"""Commands with `--ray`, on one small cluster; and a cluster that is a command's own."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

import batchgen
from batchgen.cluster.client import open_cluster
from batchgen.engine.events import Event, FileSaved
from batchgen.errors import ClusterError, UsageError
from batchgen.pauses import PauseReason
from batchgen.runcomfy.token import TOKEN_VARIABLES
from batchgen.runs.options import RunOptions
from tests.cluster.nodes import Nodes, nodes
from tests.shell import Emulator, Shell, wait_until

JOBS = 6
TOKEN = "a-token-that-no-worker-sees"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with nodes(2) as small:
        yield small


@pytest.fixture
def ray_user(shell: Shell, emulator: Emulator, cluster: Nodes) -> Shell:
    return shell.using(emulator, TOKEN).having(**cluster.env)


def test_a_run_on_a_cluster_ends_as_any_other_and_the_other_commands_work_on_it(
    ray_user: Shell, emulator: Emulator, cluster: Nodes
) -> None:
    ray_user.manifest(JOBS, output={"dir": "out", "embed": True})
    ray = f"--ray={cluster.address}"
    done = ray_user.expect(0, "run", "m.yaml", ray)
    assert f"ray: {cluster.address}, 2 CPUs on 1 node" in done.err
    assert f"ray: {cluster.address}" in ray_user.log()
    assert ray_user.files() == [f"boat-{number:03}.png" for number in range(JOBS)]
    before = contents(ray_user.folder)
    assert "6 files verified: all sound" in ray_user.expect(0, "verify", "m.yaml", ray).out
    assert "6 files checked" in ray_user.expect(0, "check", "m.yaml", ray).out
    assert "6 new thumbnails" in ray_user.expect(0, "report", "m.yaml", ray).out
    for to, made in (("hf", 8), ("webdataset", 2)):
        done = ray_user.expect(0, "export", "m.yaml", f"sets/{to}", "--to", to, ray)
        assert f"{made} files written" in done.out
    (ray_user.folder / "out/files/boat-001.png").unlink()
    (ray_user.folder / "out/files/boat-002.png").write_bytes(b"no picture")
    assert "boat-001.png: missing" in ray_user.expect(1, "verify", "m.yaml", ray).out
    ray_user.expect(0, "repair", "m.yaml", ray)
    (ray_user.folder / "out/files/boat-002.png.damaged-1").unlink()
    assert contents(ray_user.folder) == before
    assert len(emulator.charges()) == JOBS
    assert ray_user.files() == [f"boat-{number:03}.png" for number in range(JOBS)]


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "out/files").iterdir()
    }


def test_a_lost_cluster_pauses_the_run_and_the_same_command_continues(
    ray_user: Shell, emulator: Emulator, cluster: Nodes
) -> None:
    ray_user.manifest(JOBS)
    emulator.arm("file", "hang", times=1)
    ray = f"--ray={cluster.address}"
    with ray_user.start("run", "m.yaml", ray, "--json") as running:
        wait_until(lambda: "done" in ray_user.states().values(), "a first result")
        driver_of(running.pid).kill()
        out, _ = running.communicate()
    assert running.returncode == 69
    assert '"reason": "cluster"' in out
    emulator.disarm()
    ray_user.expect(0, "run", "m.yaml", ray)
    assert len(emulator.charges()) == JOBS
    assert ray_user.files() == [f"boat-{number:03}.png" for number in range(JOBS)]


def test_a_cluster_whose_nodes_have_all_died_is_lost_until_one_joins(
    shell: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from batchgen.cluster import driver; driver.NODES_SECONDS = 4.0; driver.serve()"
    monkeypatch.setattr("batchgen.cluster.client.DRIVER", code)
    with nodes(0) as cluster:
        worker = cluster.add()
        user = shell.using(emulator, TOKEN).having(**cluster.env)
        user.manifest(JOBS)
        emulator.arm("file", "hang", times=1)
        left = [worker]

        def kill_once(event: Event) -> None:
            if isinstance(event, FileSaved) and left:
                cluster.kill(left.pop())

        with user.at_home():
            options = RunOptions(ray=cluster.address)
            summary = batchgen.run("m.yaml", options=options, on_event=kill_once)
        assert summary.pause is not None
        assert summary.pause.reason is PauseReason.CLUSTER
        assert summary.exit_code == 69
        assert "no node that can do the work for 4 s" in summary.pause.sentence
        emulator.disarm()
        cluster.add()
        user.expect(0, "run", "m.yaml", f"--ray={cluster.address}")
    assert len(emulator.charges()) == JOBS
    assert user.files() == [f"boat-{number:03}.png" for number in range(JOBS)]


def driver_of(pid: int) -> psutil.Process:
    (driver,) = (
        one
        for one in psutil.Process(pid).children()
        if "batchgen.cluster.driver" in " ".join(one.cmdline())
    )
    return driver


def test_a_worker_that_dies_costs_a_second_try_and_two_lose_the_item(cluster: Nodes) -> None:
    env = {**os.environ, **cluster.env}
    with open_cluster(cluster.address, env, TOKEN_VARIABLES) as opened:
        marks = Path(os.environ["XDG_STATE_HOME"])
        found = list(opened.map(partial(die_of_three, str(marks)), range(6), lost))
        assert found == [0, 2, 4, -3, 8, 10]
        # One of them died once only.
        assert (marks / "died").exists()


def die_of_three(marks: str, number: int) -> int:
    mark = Path(marks) / "died"
    if number == 3 or (number == 1 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def lost(number: int) -> int:
    return -number


def test_a_cluster_of_the_command_gets_no_token_and_ends_with_it_also_after_a_kill(
    shell: Shell, emulator: Emulator
) -> None:
    user = shell.using(emulator, TOKEN)
    user.manifest(JOBS)
    emulator.arm("file", "hang", times=1)
    with user.start("run", "m.yaml", "--ray") as running:
        wait_until(lambda: "done" in user.states().values(), "a first result")
        family = psutil.Process(running.pid).children(recursive=True)
        assert len(family) > 3
        for one in family:
            assert TOKEN not in "".join(one.environ().values())
            assert TOKEN not in " ".join(one.cmdline())
        running.kill()
    wait_until(lambda: not any(map(is_alive, family)), "the end of Ray's processes")
    emulator.disarm()
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == JOBS
    assert user.files() == [f"boat-{number:03}.png" for number in range(JOBS)]


def test_nothing_is_left_of_a_cluster_whose_command_is_killed_while_it_starts(
    shell: Shell, emulator: Emulator
) -> None:
    with tempfile.TemporaryDirectory(prefix="b-", dir="/tmp") as place:
        user = shell.using(emulator).having(TMPDIR=place)
        user.manifest(1)
        with user.start("run", "m.yaml", "--ray") as running:
            command = psutil.Process(running.pid)

            def has_begun() -> bool:
                return any("gcs_server" in one.name() for one in command.children(recursive=True))

            wait_until(has_begun, "the start of Ray")
            family = command.children(recursive=True)
            running.kill()
        wait_until(lambda: not any(map(is_alive, family)), "the end of Ray's processes")
        wait_until(lambda: not any(Path(place).iterdir()), "the end of what they wrote")


def is_alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_a_cluster_that_is_not_there_is_an_error_with_a_way_on() -> None:
    with pytest.raises(ClusterError) as caught, open_cluster("127.0.0.1:1", os.environ, ()):
        pass
    assert "ray start" in str(caught.value)


def test_a_local_cluster_without_room_for_its_logs_is_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchgen.cluster.client.ROOM", 10**18)
    with pytest.raises(ClusterError, match="no room"), open_cluster("local", os.environ, ()):
        pass


def test_what_answers_but_is_no_cluster_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code = "from batchgen.cluster import driver; driver.JOIN_SECONDS = 2.0; driver.serve()"
        monkeypatch.setattr("batchgen.cluster.client.DRIVER", code)
        port = other.getsockname()[1]
        with (
            pytest.raises(ClusterError, match="does not answer as Ray does"),
            open_cluster(f"127.0.0.1:{port}", os.environ, ()),
        ):
            pass


def test_without_ray_the_command_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(UsageError) as caught, open_cluster("local", os.environ, ()):
        pass
    assert "pip install 'batchgen[ray]'" in str(caught.value)
