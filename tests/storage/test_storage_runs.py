"""Whole runs whose results go to a bucket: a real S3 server, and the emulator over HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from tests.shell import T2I, Emulator, Shell, wait_until
from tests.storage.s3_server import S3Server
from tests.uploads.test_uploads_bucket_runs import SECRETS, secrets_in

HAS_KILL = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
PREFIX = "night/7"


@dataclass
class Bucket:
    """A user whose results go to `s3://NAME/night/7`, and what is there."""

    user: Shell
    emulator: Emulator
    s3: S3Server
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{PREFIX}"

    def manifest(self, count: int = 4, **output: Any) -> None:
        jobs = [{"id": f"job-{n}", "input": {"prompt": f"{n}"}} for n in range(count)]
        output = {"dir": self.url, "state": "out", **output}
        self.user.manifest(jobs, defaults={"model": T2I}, output=output)

    def keys(self) -> list[str]:
        return [key.removeprefix(f"{PREFIX}/") for key in self.s3.keys(self.name)]

    def read(self, path: str) -> bytes:
        found = self.s3.client().get_object(Bucket=self.name, Key=f"{PREFIX}/{path}")
        content: bytes = found["Body"].read()
        return content

    def results(self) -> list[str]:
        return [key for key in self.keys() if key.startswith("files/")]

    def check(self, count: int) -> None:
        """Every job is done and paid once, and every object has the bytes that were served."""
        charges = self.emulator.charges()
        assert [one["status"] for one in charges] == ["succeeded"] * count
        assert set(self.user.states().values()) == {"done"}
        rows = [json.loads(line) for line in self.read("metadata.jsonl").splitlines()]
        assert sorted(row["file_name"] for row in rows) == self.results()
        assert len({row["id"] for row in rows}) == count
        for row in rows:
            content = self.read(row["file_name"])
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
        left = [path.name for path in (self.user.folder / "out/files").rglob("*") if path.is_file()]
        assert left == []
        assert secrets_in(self.user.folder) == []


@pytest.fixture
def world(shell: Shell, emulator: Emulator, s3: S3Server, bucket: str) -> Bucket:
    user = shell.using(emulator).having(**s3.env)
    return Bucket(user, emulator, s3, bucket)


def test_results_are_in_the_bucket_and_nowhere_else(world: Bucket) -> None:
    world.manifest()
    world.user.expect(0, "run", "m.yaml")
    world.check(4)
    assert world.results() == [f"files/job-{number}.png" for number in range(4)]
    claim = json.loads(world.read("run.json"))
    assert set(claim) == {"run", "name"}
    s3 = world.s3.client()
    head = s3.head_object(Bucket=world.name, Key=f"{PREFIX}/files/job-0.png")
    assert head["ContentType"] == "image/png"
    assert head["Metadata"]["request"] == world.emulator.charges()[0]["request_id"]
    # The same command again has nothing to do.
    world.user.expect(0, "run", "m.yaml")
    world.check(4)


@HAS_KILL
def test_a_kill_in_the_middle_of_uploads_pays_and_fetches_nothing_twice(world: Bucket) -> None:
    world.manifest(6)
    go_on, count = threading.Event(), iter(range(1000))

    def hold(method: str, path: str) -> None:
        if method == "PUT" and path.endswith(".png") and next(count) >= 2:
            go_on.wait(30)

    world.s3.refuse = hold
    with world.user.start("run", "m.yaml") as going:
        states = world.user.states
        wait_until(lambda: list(states().values()).count("done") == 2, "two jobs are done")
        wait_until(lambda: list(states().values()).count("fetching") >= 1, "one is being stored")
        os.kill(going.pid, signal.SIGKILL)
        going.wait()
    go_on.set()
    world.user.expect(0, "run", "m.yaml")
    world.check(6)


def is_result(method: str, path: str) -> bool:
    return method in {"PUT", "POST"} and "/files/" in path


def test_a_lost_answer_of_the_bucket_costs_nothing(world: Bucket) -> None:
    world.manifest(3)
    left = ["job-0", "job-1", "job-2"]
    world.s3.lose = lambda method, path: is_result(method, path) and bool(left) and bool(left.pop())
    world.user.expect(0, "run", "m.yaml")
    world.check(3)
    assert not left


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_bucket_that_is_overloaded_for_a_while_is_tried_again_without_a_second_download(
    world: Bucket, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    world.manifest(4)
    world.emulator.arm("file", "status", status=410, after=4, times=None)
    left = list(range(8))

    def refuse(method: str, path: str) -> int | None:
        return status if is_result(method, path) and left and left.pop() >= 0 else None

    world.s3.refuse = refuse
    world.user.expect(0, "run", "m.yaml")
    world.check(4)


def test_a_bucket_that_stays_away_pauses_the_run_and_nothing_is_lost(
    world: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    monkeypatch.setattr("batchgen.engine.fetch_decisions.FETCH_PATIENCE", 0.5)
    monkeypatch.setattr("batchgen.engine.result_hosts.WARNED_AFTER", 0.0)
    world.manifest(5)
    world.s3.refuse = lambda method, path: 503 if is_result(method, path) else None
    done = world.user.expect(69, "run", "m.yaml")
    assert "results cannot be stored" in done.said
    assert "HTTP 503" in done.said
    assert "results wait for the bucket" in done.said
    assert "fetching" in world.user.states().values()
    assert "done" not in world.user.states().values()
    paid = len(world.emulator.charges())
    world.s3.refuse = lambda _method, _path: None
    world.user.expect(0, "run", "m.yaml")
    world.check(5)
    assert paid <= 5


def test_credentials_that_end_in_the_night_pause_the_run(world: Bucket) -> None:
    world.manifest(5)
    count = iter(range(1000))

    def refuse(method: str, path: str) -> int | None:
        return 403 if is_result(method, path) and next(count) >= 2 else None

    world.s3.refuse = refuse
    done = world.user.expect(69, "run", "m.yaml")
    assert f"results cannot be stored: {world.url}: it refuses uploads (HTTP 403)" in done.said
    assert "aws sso login" in done.said
    assert not any(secret in done.said for secret in SECRETS)
    states = list(world.user.states().values())
    assert states.count("done") == 2
    assert "failed" not in states
    world.s3.refuse = lambda _method, _path: None
    world.user.expect(0, "run", "m.yaml")
    world.check(5)


@pytest.mark.parametrize("status", [403, 503])
def test_a_bucket_that_cannot_be_used_ends_the_run_before_any_submit(
    world: Bucket, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    world.manifest(2)
    world.s3.refuse = lambda method, _path: status if method == "PUT" else None
    done = world.user.expect(65 if status == 403 else 69, "run", "m.yaml")
    assert f"HTTP {status}" in done.said
    assert world.emulator.charges() == []
    world.s3.refuse = lambda _method, _path: None
    world.user.expect(0, "run", "m.yaml")
    world.check(2)


def test_a_foreign_object_is_not_overwritten_and_named(world: Bucket) -> None:
    world.manifest(2)
    s3 = world.s3.client()
    s3.put_object(Bucket=world.name, Key=f"{PREFIX}/files/job-0.png", Body=b"not ours")
    done = world.user.expect(65, "run", "m.yaml")
    assert f"the results in {world.url}/files" in done.said
    assert "with another output.dir" in done.said
    assert world.emulator.charges() == []
    s3.delete_object(Bucket=world.name, Key=f"{PREFIX}/files/job-0.png")
    # It comes while the run goes on.
    world.user.expect(0, "run", "m.yaml", "--limit", "1")
    s3.put_object(Bucket=world.name, Key=f"{PREFIX}/files/job-1.png", Body=b"not ours")
    done = world.user.expect(75, "run", "m.yaml")
    assert "another object has the name of this result" in done.said
    assert world.read("files/job-1.png") == b"not ours"
    s3.delete_object(Bucket=world.name, Key=f"{PREFIX}/files/job-1.png")
    world.user.expect(0, "run", "m.yaml")
    world.check(2)


def test_another_run_may_not_store_its_results_there(world: Bucket) -> None:
    world.manifest(1)
    world.s3.client().put_object(
        Bucket=world.name, Key=f"{PREFIX}/run.json", Body=b'{"run": "abc", "name": "boats"}'
    )
    done = world.user.expect(65, "run", "m.yaml")
    assert "another run (boats) stores its results there; nothing was sent" in done.said
    assert world.emulator.charges() == []
    world.user.expect(0, "run", "m.yaml", "--take-over")
    world.check(1)


def test_a_lost_state_is_noticed_by_what_is_in_the_bucket(world: Bucket) -> None:
    world.manifest(2)
    world.user.expect(0, "run", "m.yaml")
    (world.user.folder / "out").rename(world.user.folder / "gone")
    # As on another machine, which remembers no run.
    elsewhere = Bucket(
        world.user.having(XDG_STATE_HOME=str(world.user.folder / "other")),
        world.emulator,
        world.s3,
        world.name,
    )
    done = elsewhere.user.expect(65, "run", "m.yaml")
    assert f"the results in {world.url}/files" in done.said
    done = elsewhere.user.expect(65, "run", "m.yaml", "--start-over")
    assert "another run" in done.said
    assert len(world.emulator.charges()) == 2
    shutil.rmtree(world.user.folder / "out")
    (world.user.folder / "gone").rename(world.user.folder / "out")
    world.user.expect(0, "run", "m.yaml")
    world.check(2)


def test_a_large_file_goes_in_parts(world: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.storage.buckets.MOST_AT_ONCE", 1)
    world.manifest(2)
    world.user.expect(0, "run", "m.yaml")
    world.check(2)
    posts = [path for method, path in world.s3.calls if method == "POST" and "/files/" in path]
    assert len(posts) == 4, "begun and completed"


def test_what_was_asked_for_is_embedded_before_it_is_stored(world: Bucket) -> None:
    world.manifest(2, embed=True)
    world.user.expect(0, "run", "m.yaml")
    world.check(2)
    assert b"urn:batchgen:1" in world.read("files/job-0.png")


def test_a_rehearsal_keeps_everything_on_this_machine(world: Bucket) -> None:
    world.manifest(2)
    world.user.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    assert world.s3.calls == []
    kept = sorted(path.name for path in (world.user.folder / "out/files").iterdir())
    assert kept == ["job-0.png", "job-1.png"]
