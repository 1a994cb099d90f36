"""What of `--ray` needs no cluster: addresses, answers of nodes, groups, second tries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from batchgen.cli import with_addresses
from batchgen.cluster.address import parse_address
from batchgen.cluster.client import LARGEST_GROUP, Cluster, WorkerLostError, group_size
from batchgen.cluster.downloads import ClusterDownloads, Download
from batchgen.cluster.nodes import HERE, refusal
from batchgen.downloads.allowed_hosts import AllowedHosts
from batchgen.downloads.outcomes import (
    Corrupt,
    DownloadSettings,
    Fetched,
    FetchOutcome,
    Interrupted,
    Target,
    TooHeavy,
    VerifiedFile,
)
from batchgen.errors import UsageError
from batchgen.runs.options import RunOptions

URL = "https://x.runcomfy.net/a"
SOUND = {**HERE, "missing": []}
BOAT = Fetched(VerifiedFile("files/boat.png", 3, "00", "image/png", 1, 1, None, 1))
KILLED = WorkerLostError("WorkerCrashedError", with_node=False)
NODE_GONE = WorkerLostError("NodeDiedError", with_node=True)


@pytest.mark.parametrize("text", ["local", "10.0.0.5:6379", "head-1.example:6379", "[::1]:6379"])
def test_an_address_is_taken_as_it_is(text: str) -> None:
    assert parse_address(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ray://head:10001", "ray start"),
        ("m.yaml", "--ray alone"),
        ("head:99999", "HOST:PORT"),
        ("head", "HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused_with_a_way_on(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert hint in str(caught.value)
    with pytest.raises(UsageError):
        RunOptions(ray=text)


def test_the_option_without_an_address_leaves_the_next_word_alone() -> None:
    assert with_addresses(["--ray", "m.yaml"]) == ["--ray=local", "m.yaml"]
    assert with_addresses(["m.yaml", "--ray"]) == ["m.yaml", "--ray=local"]
    assert with_addresses(["--ray", "head:6379", "m.yaml"]) == ["--ray", "head:6379", "m.yaml"]


def test_the_command_that_continues_names_the_cluster() -> None:
    assert RunOptions(ray="head:6379").command(Path("m.yaml")).endswith("--ray=head:6379")


def test_a_node_that_can_do_the_work_is_not_refused() -> None:
    assert refusal("gpu-1", SOUND) is None


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({**SOUND, "batchgen": "0.0.9"}, "the node gpu-1 has batchgen 0.0.9"),
        ({**SOUND, "batchgen": ""}, "the node gpu-1 has no batchgen"),
        ({**SOUND, "python": "2.7"}, "the node gpu-1 has python 2.7"),
        ({**SOUND, "missing": ["/data/out/files/.seen-1"]}, "/data/out/files: the node gpu-1 does"),
        ("WorkerCrashedError", "the node gpu-1 of the cluster does no work"),
    ],
)
def test_a_node_that_cannot_is_named_with_the_reason(answer: Any, what: str) -> None:
    assert str(refusal("gpu-1", answer)).startswith(what)


def test_quick_work_goes_in_groups_that_take_a_tenth_of_a_second() -> None:
    assert group_size(1, 0.001) == 2
    assert group_size(200, 0.01) == LARGEST_GROUP
    assert group_size(8, 0.4) == 2
    assert group_size(1, 30.0) == 1


class InlineCluster(Cluster):
    """Works on the spot. `deaths` says, by item, of what its workers die, one after another."""

    cpus = 1

    def __init__(self, deaths: dict[int, list[WorkerLostError]]) -> None:
        self.deaths = deaths
        self.groups: list[int] = []

    def submit(self, work: Callable[..., Any], item: Any, *, cpus: float = 1.0) -> Future[Any]:
        future: Future[Any] = Future()
        group = item if isinstance(item, list) else [item]
        self.groups.append(len(group))
        for one in group:
            if self.deaths.get(one):
                future.set_exception(self.deaths[one].pop(0))
                return future
        future.set_result(work(item))
        return future

    def cancel(self, future: Future[Any]) -> None:
        """Nothing is on its way."""


def double(number: int) -> int:
    if number == 90:
        raise UsageError("90")
    return 2 * number


def test_small_items_go_in_groups_and_come_in_order() -> None:
    cluster = InlineCluster({})
    found = list(cluster.map(double, range(90), double, at_once=4))
    assert found == list(range(0, 180, 2))
    assert len(cluster.groups) < 20


def test_only_the_item_that_kills_its_worker_twice_is_lost_from_a_group() -> None:
    cluster = InlineCluster({33: [KILLED, KILLED], 50: [KILLED]})
    found = list(cluster.map(double, range(60), lambda item: -item, at_once=4))
    assert found == [-33 if one == 33 else 2 * one for one in range(60)]


def test_no_item_of_a_group_is_lost_because_nodes_die() -> None:
    cluster = InlineCluster({7: [NODE_GONE] * 3})
    assert list(cluster.map(double, range(9), lambda item: -item)) == list(range(0, 18, 2))
    cluster = InlineCluster({7: [NODE_GONE] * 9})
    assert list(cluster.map(double, range(9), lambda item: -item))[7] == -7


def test_what_came_before_an_error_in_its_group_is_yielded() -> None:
    found: list[int] = []
    with pytest.raises(UsageError):
        found.extend(InlineCluster({}).map(double, range(100), double, at_once=4))
    assert found == list(range(0, 180, 2))


class FakeCluster:
    """Gives each try its outcome, or its end."""

    cpus = 2

    def __init__(self, *ends: FetchOutcome | WorkerLostError | None) -> None:
        self.ends = list(ends)
        self.tried: list[Download] = []
        self.cancelled: list[Future[Any]] = []

    def submit(self, _work: Callable[..., Any], item: Download, *, cpus: float) -> Future[Any]:
        self.tried.append(item)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        end = self.ends.pop(0)
        if isinstance(end, WorkerLostError):
            future.set_exception(end)
        elif end is not None:
            future.set_result(end)
        return future

    def cancel(self, future: Future[Any]) -> None:
        self.cancelled.append(future)

    @property
    def stems(self) -> list[Path | None]:
        return [one.target.stem for one in self.tried]


def downloads_on(cluster: FakeCluster) -> ClusterDownloads:
    settings = DownloadSettings(AllowedHosts.of())
    return ClusterDownloads(cast("Cluster", cluster), settings, Path("/out/files/.parts/one"))


async def fetched(downloads: ClusterDownloads, url: str = URL) -> FetchOutcome:
    return await downloads.fetch(url, Target(Path("/out/files"), "sea/boat"))


async def test_a_worker_that_dies_costs_a_second_try_with_a_part_of_its_own() -> None:
    cluster = FakeCluster(KILLED, BOAT)
    assert await fetched(downloads_on(cluster)) == BOAT
    first, second = cluster.stems
    assert first != second
    assert [one.target.is_new for one in cluster.tried] == [True, True]


async def test_a_file_that_kills_two_workers_is_too_heavy() -> None:
    assert isinstance(await fetched(downloads_on(FakeCluster(KILLED, KILLED))), TooHeavy)


async def test_a_file_is_not_blamed_for_nodes_that_die() -> None:
    outcome = await fetched(downloads_on(FakeCluster(KILLED, NODE_GONE)))
    assert isinstance(outcome, Interrupted)


async def test_a_download_that_broke_off_is_continued_from_its_part() -> None:
    cluster = FakeCluster(Interrupted("slow"), BOAT)
    downloads = downloads_on(cluster)
    assert isinstance(await fetched(downloads), Interrupted)
    assert await fetched(downloads) == BOAT
    first, second = cluster.stems
    assert first == second
    assert [one.target.is_new for one in cluster.tried] == [True, False]


async def test_content_that_came_inside_an_answer_goes_as_bytes() -> None:
    cluster = FakeCluster(BOAT)
    downloads = downloads_on(cluster)
    await fetched(downloads, "data:image/png;base64,aGVs")
    assert cluster.tried[0].source == b"hel"
    assert isinstance(await fetched(downloads, "data:;base64,a"), Corrupt)


async def test_a_cancelled_download_ends_its_worker() -> None:
    cluster = FakeCluster(None)
    task = asyncio.create_task(fetched(downloads_on(cluster)), name="download")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(cluster.cancelled) == 1


async def test_as_many_downloads_are_under_way_as_keep_all_workers_busy() -> None:
    assert downloads_on(FakeCluster()).at_once == 6
