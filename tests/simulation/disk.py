"""A disk that can fail, and that knows what it would hold had the power gone just now.

The process must run with powerloss.c in front of libc (shim.py). Every change below one folder
really happens there; the disk hears of it before and after, numbers it as a crash point, and
records what of it is durable.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.simulation import shim
from tests.simulation.durability import File
from tests.simulation.image import Image, take
from tests.simulation.tree import Op, Tree, folder_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.simulation.durability import Node

AFTER = 256
PRETEND = -1
GO_ON = 0


VERBS: dict[int, str] = {op: op.name.lower() for op in Op}
BY_DESCRIPTOR = frozenset({Op.WRITE, Op.TRUNCATE, Op.FSYNC})


def _nothing(label: str) -> None:
    """Nobody asked to hear of the points."""


def _never(op: str, role: str) -> int:
    return 0


class Disk:
    """Only one watches at a time. Use `with disk.watch(root):`, or `watch` and `stop`.

    `on_point` hears a label before and after each change, such as `before fsync state.db-wal`; it
    may take images and `kill`; what it raises is only printed, since C code is its caller.
    `fail` gives the errno with which (op, role) shall fail, or 0.
    A rename or link from one folder into another is refused with EXDEV: each folder's entries
    become durable by themselves here, and a file must not be lost between two.
    """

    def __init__(self) -> None:
        self.on_point: Callable[[str], None] = _nothing
        self.fail: Callable[[str, str], int] = _never
        self.now_dead = False
        self.points = 0
        self._path = Path()
        self._tree = Tree(Image({}, frozenset()))
        self._open: dict[int, tuple[Node, str]] = {}
        # C holds no reference: this keeps the function alive.
        self._listener = shim.LISTENER(self._heard)

    def watch(self, root: Path) -> Self:
        """Take all that is in `root` as durable, and hear of every change from now on.

        Files opened before belong to an earlier life. Raises UsageError without the shim.
        """
        assert root == root.resolve(), "paths are compared by their letters: resolve the folder"
        self._path = root
        self._begin_anew()
        code = shim.load().powerloss_watch(os.fsencode(root), self._listener)
        assert code == 0, os.strerror(code)
        return self

    def stop(self) -> None:
        shim.load().powerloss_watch(None, shim.LISTENER())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kill(self) -> None:
        """The process counts as dead: what it still does is no point, never fails, and is not kept.

        Take the image first: the dying life's cleanup changes the files. Restoring an image begins
        the next life.
        """
        self.now_dead = True

    def after_death(self) -> Image:
        """Everything that was done, fsynced or not."""
        return take(self._path)

    def after_power_loss(self, dice: random.Random) -> Image:
        """What was fsynced, and of the rest what the dice leave."""
        return self._tree.after_power_loss(dice)

    def _begin_anew(self) -> None:
        # Descriptors that are still open were a dead process's: _descriptor swallows their writes.
        self._open.clear()
        self.now_dead = False
        self._tree = Tree(take(self._path))

    def _heard(self, *call: Any) -> None:
        code = self._hear(*call)
        if code != GO_ON:
            shim.load().powerloss_answer(code)

    def _hear(
        self,
        op: int,
        descriptor: int,
        flags: int,
        path: bytes | None,
        path2: bytes | None,
        data: int | None,
        length: int,
        offset: int,
    ) -> int:
        if op == Op.CLOSE:
            self._open.pop(descriptor, None)
        elif op == Op.REPLACED:
            self._begin_anew()
        elif not self.now_dead:
            first, second = os.fsdecode(path or b""), os.fsdecode(path2 or b"")
            if op & ~AFTER in BY_DESCRIPTOR:
                content = ctypes.string_at(data, length) if data and op & AFTER else None
                return self._descriptor(op, descriptor, content, offset)
            if op & AFTER:
                self._path_done(op - AFTER, first, second, flags, length)
            else:
                return self._path_asked(op, first, second, flags)
        return GO_ON

    def _descriptor(self, op: int, descriptor: int, data: bytes | None, offset: int) -> int:
        known = self._open.get(descriptor)
        if known is None:
            return PRETEND
        node, role = known
        if not op & AFTER:
            code = self._ask(op, role)
            if code and op == Op.FSYNC and isinstance(node, File):
                node.fail_sync()
            return code
        if op - AFTER == Op.FSYNC:
            node.sync()
        elif isinstance(node, File):
            if data is None:
                node.truncate(offset)
            else:
                node.write(offset, data)
        self._point(f"after {VERBS[op - AFTER]} {role}")
        return GO_ON

    def _path_asked(self, op: int, path: str, path2: str, flags: int) -> int:
        if op in {Op.RENAME, Op.LINK} and folder_of(path) != folder_of(path2):
            return errno.EXDEV
        meant = self._tree.meant(op, path, path2, flags)
        return GO_ON if meant is None else self._ask(meant, self._tree.role(meant, path, path2))

    def _path_done(self, op: int, path: str, path2: str, flags: int, descriptor: int) -> None:
        meant = self._tree.meant(op, path, path2, flags)
        role = self._tree.role(op, path, path2)
        if meant is not None:
            self._tree.change(meant, path, path2)
        if op == Op.OPEN:
            node = self._tree.find(path)
            assert node is not None, f"{path} was opened, and nobody made it"
            self._open[descriptor] = (node, role)
        if meant is not None:
            self._point(f"after {VERBS[meant]} {role}")

    def _ask(self, op: int, role: str) -> int:
        verb = VERBS[op]
        self._point(f"before {verb} {role}")
        # Whoever was killed at this point does not do it any more, and its cleanup must not fail.
        return GO_ON if self.now_dead else self.fail(verb, role)

    def _point(self, label: str) -> None:
        self.points += 1
        self.on_point(label)
