"""Which nodes of a cluster get work, while some join and others die: on a Ray that is acted."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batchgen.cluster.driver import NODES_SECONDS, Done, Lost, Opened, Work, _Dispatcher, _one_line
from batchgen.cluster.nodes import HERE, OLD_SECONDS, Nodes
from batchgen.storage.stamps import SEEN


@dataclass
class Task:
    options: dict[str, Any]
    argument: Any
    ended: Future[bytes] = field(default_factory=Future)

    def future(self) -> Future[bytes]:
        return self.ended

    @property
    def nodes(self) -> set[str]:
        (names,) = self.options["label_selector"].values()
        return set(names.removeprefix("in(").removesuffix(")").split(","))


@dataclass
class ActedRay:
    """`answers` by node: a version of batchgen."""

    answers: dict[str, str] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    tasks: list[Task] = field(default_factory=list)
    cancelled: list[Task] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    exceptions = SimpleNamespace(
        LocalRayletDiedError=KeyError,
        NodeDiedError=LookupError,
        ObjectLostError=LookupError,
        TaskUnschedulableError=TimeoutError,
    )

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "Alive": name not in self.dead,
                "Resources": {"CPU": 2.0},
                "NodeManagerHostname": name,
                "NodeManagerAddress": "10.0.0.1",
            }
            for name in self.answers
        ]

    def remote(self, **_options: Any) -> Callable[[Any], Any]:
        return lambda _function: self

    def options(self, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda argument: self._start(Task(options, argument)))

    def _start(self, task: Task) -> Task:
        if isinstance(task.argument, bytes):
            self.tasks.append(task)
        return task

    def get(self, task: Task, *, timeout: float) -> dict[str, Any]:
        self.seen += [path for path in task.argument if Path(path).exists()]
        (node,) = task.nodes
        return {**HERE, "batchgen": self.answers[node], "missing": []}

    def cancel(self, task: Task, *, force: bool) -> None:
        assert force
        self.cancelled.append(task)


SAME = str(HERE["batchgen"])


class World:
    def __init__(self, shared: Path) -> None:
        self.ray = ActedRay({"one": SAME})
        self.sent: list[Any] = []
        self.nodes = Nodes(self.ray, [str(shared)], is_local=False)
        self.first = self.nodes.admit_new()
        self.dispatcher = _Dispatcher(self.ray, self.sent.append, self.nodes)

    def join(self, name: str, version: str = SAME) -> None:
        self.ray.answers[name] = version
        self.look()

    def die(self, name: str) -> None:
        self.ray.dead.add(name)
        self.look()

    def look(self) -> None:
        self.nodes.admit_new()
        self.dispatcher.nodes_changed()

    def work(self) -> Task:
        number = len(self.ray.tasks)
        self.dispatcher._start(Work(number, b"work", 1.0))
        return self.ray.tasks[-1]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_node_that_joins_is_asked_before_it_gets_work(world: World, tmp_path: Path) -> None:
    assert world.work().nodes == {"one"}
    world.ray.answers["two"] = SAME
    assert world.work().nodes == {"one"}
    world.look()
    assert world.work().nodes == {"one", "two"}
    assert world.sent == [Opened(4.0, 2)]
    assert [Path(path).parent for path in world.ray.seen] == [tmp_path, tmp_path]
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_joins_without_batchgen_gets_no_work(world: World) -> None:
    world.join("two", "")
    assert world.work().nodes == {"one"}
    assert world.sent == []


def test_the_answers_of_the_first_nodes_are_there_to_be_refused(world: World) -> None:
    assert world.first == (("one (10.0.0.1)", {**HERE, "missing": []}),)


def test_what_waits_for_nodes_that_died_goes_to_those_that_joined(world: World) -> None:
    waiting = world.work()
    world.die("one")
    assert world.ray.cancelled == []
    world.join("two")
    again = world.ray.tasks[-1]
    assert (again.nodes, again.argument) == ({"two"}, waiting.argument)
    assert world.ray.cancelled == [waiting]
    waiting.ended.set_exception(LookupError())
    again.ended.set_result(pickle.dumps(1))
    assert world.sent == [Opened(2.0, 1), Done(0, pickle.dumps(1))]


def test_work_whose_nodes_died_before_it_began_waits_and_is_not_lost(world: World) -> None:
    refused = world.work()
    world.die("one")
    refused.ended.set_exception(TimeoutError())
    assert world.sent == []
    world.join("two")
    again = world.ray.tasks[-1]
    assert (again.nodes, again.argument) == ({"two"}, refused.argument)
    assert world.ray.cancelled == []
    again.ended.set_result(pickle.dumps(1))
    assert world.sent == [Opened(2.0, 1), Done(0, pickle.dumps(1))]


def test_work_that_waits_for_a_node_can_be_cancelled(world: World) -> None:
    refused = world.work()
    refused.ended.set_exception(TimeoutError())
    world.dispatcher._cancel(0)
    assert world.sent == [Lost(0, with_node=False, reason="it was cancelled")]
    world.join("two")
    assert world.ray.tasks == [refused]


def test_work_waits_a_bounded_time_for_a_node_once_all_have_died(world: World) -> None:
    waits, work = world.dispatcher.waits_in_vain, world.work()
    assert not waits(0.0)
    world.die("one")
    assert not waits(NODES_SECONDS - 1)
    assert waits(NODES_SECONDS)
    world.join("two", "")
    assert waits(NODES_SECONDS + 1)
    world.join("three")
    assert not waits(NODES_SECONDS + 2)
    world.die("three")
    assert not waits(2 * NODES_SECONDS + 1)
    assert waits(2 * NODES_SECONDS + 2)
    assert work in world.ray.cancelled


def test_without_work_no_node_is_needed(world: World) -> None:
    world.die("one")
    assert not world.dispatcher.waits_in_vain(0.0)
    assert not world.dispatcher.waits_in_vain(10 * NODES_SECONDS)
    world.work()
    assert not world.dispatcher.waits_in_vain(11 * NODES_SECONDS - 1)
    assert world.dispatcher.waits_in_vain(11 * NODES_SECONDS)


def test_a_local_cluster_is_this_machine_and_is_asked_nothing() -> None:
    ray = ActedRay({"here": ""})
    nodes = Nodes(ray, [], is_local=True)
    assert nodes.admit_new() == ()
    assert nodes.size() == (2.0, 1)
    assert nodes.selector(nodes.admitted()) == {}


def test_the_mark_of_a_command_that_was_killed_is_removed_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / f"{SEEN}old", tmp_path / f"{SEEN}new"
    for mark in (old, new):
        mark.touch()
    before = time.time() - OLD_SECONDS - 1
    os.utime(old, (before, before))
    World(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_what_ray_says_of_other_versions_is_one_line() -> None:
    text = "Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.10.1\n"
    assert _one_line(RuntimeError(text)).endswith("with: Ray: 2.9.0 Python: 3.10.1")
    assert _one_line(ConnectionError("no answer\nat all")) == "no answer"
