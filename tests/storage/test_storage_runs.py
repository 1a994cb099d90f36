"""Whole runs whose results go to a bucket: a real S3 server, and the emulator over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import batchgen
from tests.shell import T2I, Shell, emulating, wait_until
from tests.storage.bucket_world import HAS_KILL, MANY, PREFIX, Bucket, is_result
from tests.storage.s3_server import S3Server
from tests.uploads.test_uploads_bucket_runs import SECRETS, secrets_in


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
    left = list(range(4))

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


def test_results_of_another_run_are_no_sign_of_a_lost_state(world: Bucket) -> None:
    another_run(world, 1)
    world.manifest(1, state="mine")
    done = world.user.expect(65, "run", "m.yaml")
    assert "the run another has stored its results there; nothing was sent" in done.said
    assert "set another output.dir" in done.said
    assert len(world.emulator.charges()) == 1


@pytest.mark.parametrize("inner", ["files", "files/more/files"])
def test_no_run_stores_its_results_among_those_of_another(world: Bucket, inner: str) -> None:
    another_run(world, 1)
    world.manifest(1, dir=f"{world.url}/{inner}", state="inner")
    done = world.user.expect(65, "run", "m.yaml")
    assert f"another run stores its results in {world.url}; nothing was sent" in done.said
    assert len(world.emulator.charges()) == 1


def test_no_run_stores_its_results_around_those_of_another(world: Bucket) -> None:
    another_run(world, 1, dir=f"{world.url}/files", state="inner")
    world.s3.client().delete_object(Bucket=world.name, Key=f"{PREFIX}/files/files/job-0.png")
    world.manifest(1)
    done = world.user.expect(65, "run", "m.yaml")
    assert f"another run stores its results in {world.url}/files; nothing was sent" in done.said
    assert len(world.emulator.charges()) == 1


def another_run(world: Bucket, count: int, **output: Any) -> None:
    """Run another manifest to its end."""
    world.manifest(count, **output)
    (world.user.folder / "m.yaml").rename(world.user.folder / "another.yaml")
    world.user.expect(0, "run", "another.yaml")


@pytest.mark.parametrize("option", ["--recover", "--start-over"])
def test_only_the_same_run_gets_its_prefix_back(world: Bucket, option: str) -> None:
    world.manifest(1)
    claim = b'{"run": "abc", "name": "boats"}'
    s3 = world.s3.client()
    s3.put_object(Bucket=world.name, Key=f"{PREFIX}/run.json", Body=claim)
    world.user.expect(65, "run", "m.yaml", option)
    assert world.read("run.json") == claim
    assert world.emulator.charges() == []


def test_a_run_that_starts_over_needs_another_prefix(world: Bucket) -> None:
    world.manifest(2)
    world.user.expect(0, "run", "m.yaml")
    (world.user.folder / "out/state.db").unlink()
    world.s3.client().delete_object(Bucket=world.name, Key=f"{PREFIX}/run.json")
    for options in (["--start-over"], ["--start-over", "--take-over"]):
        done = world.user.expect(65, "run", "m.yaml", *options)
        assert "results of the earlier run are there" in done.said
        assert "set another output.dir to start over" in done.said
    assert (world.user.folder / "out/run.log").exists(), "nothing was moved"
    assert len(world.emulator.charges()) == 2


def test_a_plan_refuses_another_place_for_the_results_as_the_run_does(world: Bucket) -> None:
    world.manifest(2)
    world.user.expect(0, "run", "m.yaml", "--limit", "1")
    world.manifest(2, dir=f"s3://{world.name}/another")
    for command in (["plan", "m.yaml", "--offline"], ["run", "m.yaml"]):
        done = world.user.expect(73, *command)
        assert f"the results of this run are in {world.url}" in done.said


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
    assert "results of the earlier run are there" in done.said
    assert len(world.emulator.charges()) == 2
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


def test_the_end_of_a_run_and_status_say_where_the_results_are(world: Bucket) -> None:
    world.manifest(1)
    on_done = 'echo "$BATCHGEN_FOLDER $BATCHGEN_RESULTS" > told.txt'
    done = world.user.expect(0, "run", "m.yaml", "--on-done", on_done)
    assert f"results: {world.url}" in done.out
    done = world.user.expect(0, "run", "m.yaml", "--json")
    assert done.document["results"] == world.url
    folder = world.user.folder / "out"
    assert (world.user.folder / "told.txt").read_text() == f"{folder} {world.url}\n"
    status = world.user.expect(0, "status", "m.yaml", "--json").document
    assert status["results"] == world.url
    path = f"{world.url}/files/job-0.png"
    assert status["jobs"][0]["files"][0]["path"] == path
    assert f"results: {world.url}" in world.user.expect(0, "status", "m.yaml").out
    assert path in world.user.expect(0, "show", "m.yaml", "job-0").out
    plan = world.user.expect(0, "plan", "m.yaml", "--json", "--offline").document
    assert plan["results"] == world.url
    with world.user.at_home():
        ((file,),) = [job.files for job in batchgen.results("m.yaml")]
    assert file.location == path


def test_a_plan_of_a_rehearsal_says_that_the_bucket_is_not_used(world: Bucket) -> None:
    world.manifest(1)
    valid = world.user.expect(0, "validate", "m.yaml")
    assert f"results: {world.url}; of a rehearsal: out" in valid.out
    plan = world.user.expect(0, "plan", "m.yaml", "--emulator", "--offline")
    assert "as this is a rehearsal" in " ".join(plan.out.split())
    done = world.user.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    assert f"a rehearsal: results stay in out, and {world.url} is not used" in done.err
    assert world.s3.calls == []


@HAS_KILL
def test_half_uploads_of_a_run_that_died_are_removed_and_others_stay(world: Bucket) -> None:
    world.manifest(1)
    s3 = world.s3.client()
    ours, other = f"{PREFIX}/files/job-0.png", "elsewhere/files/job-0.png"
    for key in (ours, other):
        s3.create_multipart_upload(Bucket=world.name, Key=key)
    time.sleep(1.1)  # an upload's time has whole seconds
    world.user.expect(0, "run", "m.yaml")
    left = s3.list_multipart_uploads(Bucket=world.name)["Uploads"]
    assert [upload["Key"] for upload in left] == [other]
    s3.create_multipart_upload(Bucket=world.name, Key=ours)
    time.sleep(1.1)
    world.user.expect(0, "repair", "m.yaml")
    left = s3.list_multipart_uploads(Bucket=world.name)["Uploads"]
    assert [upload["Key"] for upload in left] == [other]


def test_what_may_not_be_listed_is_left_and_keeps_no_run_from_its_end(world: Bucket) -> None:
    world.manifest(2)
    world.user.expect(0, "run", "m.yaml", "--limit", "1")
    world.s3.refuse = lambda method, path: (
        403 if method == "GET" and path.endswith(world.name) else None
    )
    world.user.expect(0, "run", "m.yaml")
    world.s3.refuse = lambda _method, _path: None
    world.check(2)
    assert "half uploads cannot be looked for (403)" in world.user.log()


@HAS_KILL
def test_what_was_verified_before_a_kill_is_stored_without_a_second_download(
    world: Bucket,
) -> None:
    world.manifest(3)
    world.emulator.arm("file", "status", status=410, after=3, times=None)
    go_on = threading.Event()

    def hold(method: str, path: str) -> int | None:
        if is_result(method, path):
            go_on.wait(30)
            return 503
        return None

    world.s3.refuse = hold
    with world.user.start("run", "m.yaml") as going:
        notes = world.user.folder / "out/files"
        wait_until(lambda: len([*notes.glob("*.part.json")]) == 3, "all are verified")
        wait_until(lambda: sum(is_result(*one) for one in world.s3.calls) == 3, "all are sent")
        os.kill(going.pid, signal.SIGKILL)
        going.wait()
    go_on.set()
    world.s3.refuse = lambda _method, _path: None
    world.user.expect(0, "run", "m.yaml")
    world.check(3)


def test_repair_puts_a_missing_and_a_damaged_object_back(world: Bucket) -> None:
    world.manifest(3)
    world.user.expect(0, "run", "m.yaml")
    before = {key: world.read(key) for key in world.results()}
    s3 = world.s3.client()
    s3.delete_object(Bucket=world.name, Key=f"{PREFIX}/files/job-0.png")
    s3.put_object(Bucket=world.name, Key=f"{PREFIX}/files/job-1.png", Body=b"damaged")
    world.user.expect(1, "verify", "m.yaml")
    world.user.expect(0, "repair", "m.yaml")
    assert world.read("files/job-1.png.damaged-1") == b"damaged"
    s3.delete_object(Bucket=world.name, Key=f"{PREFIX}/files/job-1.png.damaged-1")
    assert {key: world.read(key) for key in world.results()} == before
    world.check(3)


def test_a_file_inside_the_answer_is_stored_without_a_second_answer(world: Bucket) -> None:
    world.emulator.arm("submit", "data_uri", times=1)
    world.manifest(1)
    left = [503, 503, 503, 503, 503]
    world.s3.refuse = lambda method, path: left.pop() if left and is_result(method, path) else None
    world.user.expect(0, "run", "m.yaml")
    world.check(1)
    assert not left


def test_several_files_of_a_job(shell: Shell, s3: S3Server, bucket: str) -> None:
    schemas = shell.folder / "schemas"
    shutil.copytree(Path(__file__).parents[2] / "manifests/models/schemas", schemas)
    with emulating(schemas=(schemas,)) as emulator:
        world = Bucket(shell.using(emulator).having(**s3.env), emulator, s3, bucket)
        jobs = [{"id": "job-0", "model": MANY, "input": {"prompt": "two", "num_images": 2}}]
        world.user.manifest(jobs, defaults={}, output={"dir": world.url, "state": "out"})
        world.user.expect(0, "run", "m.yaml")
        world.check(1)
        assert world.results() == ["files/job-0.1.jpg", "files/job-0.2.jpg"]


@pytest.mark.parametrize("source", ["folder", "bucket"])
@pytest.mark.parametrize("target", ["folder", "bucket"])
def test_results_are_reused_from_wherever_they_are(
    world: Bucket, source: str, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Other tests have an index of their own.
    home = tmp_path_factory.mktemp("home")
    world.user = world.user.having(XDG_STATE_HOME=str(home))

    def write(where: str, name: str) -> None:
        output = {"dir": name}
        if where == "bucket":
            output = {"dir": f"s3://{world.name}/{name}", "state": name}
        world.user.manifest(2, output=output)
        (world.user.folder / "m.yaml").rename(world.user.folder / f"{name}.yaml")

    write(source, "first")
    world.user.expect(0, "run", "first.yaml")
    write(target, "second")
    done = world.user.expect(0, "run", "second.yaml", "--reuse")
    assert "2 jobs reused results of other runs" in done.said
    assert len(world.emulator.charges()) == 2
    world.user.expect(0, "verify", "second.yaml")
    assert secrets_in(world.user.folder) == []


def test_a_login_that_ended_does_not_make_reused_results_be_paid_for(
    world: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    world.user = world.user.having(XDG_STATE_HOME=str(home))
    another_run(world, 2, dir=f"s3://{world.name}/first", state="first")
    world.user.manifest(
        [{"id": f"job-{n}", "input": {"prompt": f"{n}"}} for n in range(2)],
        defaults={"model": T2I},
        output={"dir": "second"},
    )
    world.s3.refuse = lambda method, path: (
        403 if method == "GET" and path.endswith(".png") else None
    )
    done = world.user.expect(69, "run", "m.yaml", "--reuse")
    assert "it refuses downloads (HTTP 403)" in done.said
    assert len(world.emulator.charges()) == 2
    world.s3.refuse = lambda _method, _path: None
    world.user.expect(0, "run", "m.yaml", "--reuse")
    assert len(world.emulator.charges()) == 2


def test_sizes_are_compared_with_what_the_bucket_lists(
    world: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.storage.buckets.PAGE", 2)
    world.manifest(5)
    world.user.expect(0, "run", "m.yaml")
    s3 = world.s3.client()
    s3.delete_object(Bucket=world.name, Key=f"{PREFIX}/files/job-1.png")
    s3.put_object(Bucket=world.name, Key=f"{PREFIX}/files/job-3.png", Body=b"short")
    world.s3.calls.clear()
    done = world.user.expect(1, "verify", "m.yaml", "--quick")
    assert "2 of 5" in done.said or "missing" in done.said
    # Only what seems to be wrong is looked at again.
    looks = [path for method, path in world.s3.calls if method == "HEAD"]
    assert sorted(path[-9:] for path in looks) == ["job-1.png", "job-3.png"]


def test_metadata_is_copied_while_the_run_goes_on(
    world: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.runs.result_bucket.EVERY", 0.05)
    world.manifest(3)
    world.user.expect(0, "run", "m.yaml")
    world.check(3)
    assert world.s3.uploads(world.name).count(f"{PREFIX}/metadata.jsonl") >= 2


@HAS_KILL
def test_a_bucket_that_hangs_holds_no_stopped_run(world: Bucket) -> None:
    world.manifest(2)
    go_on = threading.Event()
    world.s3.refuse = lambda method, path: (
        503 if is_result(method, path) and go_on.wait(60) else None
    )
    with world.user.start("run", "m.yaml") as going:
        wait_until(lambda: any(is_result(*one) for one in world.s3.calls), "one is being stored")
        began = time.monotonic()
        going.terminate()
        assert going.wait() == 143
        assert time.monotonic() - began < 25, "a SIGKILL may follow after 15 seconds"
    go_on.set()
    world.s3.refuse = lambda _method, _path: None
    world.user.expect(0, "run", "m.yaml")
    world.check(2)
