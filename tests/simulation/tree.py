"""The folder of a run as the simulated disk knows it: paths to files, and what a call changes."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import TYPE_CHECKING

from tests.simulation.durability import File, Folder
from tests.simulation.image import Image
from tests.simulation.roles import FOLDER, role_of

if TYPE_CHECKING:
    import random

    from tests.simulation.durability import Node


class Op(IntEnum):
    """As powerloss.c numbers them. The lower-case names are the words of labels and faults."""

    OPEN = 0
    CLOSE = 1
    WRITE = 2
    TRUNCATE = 3
    FSYNC = 4
    RENAME = 5
    UNLINK = 6
    MKDIR = 7
    RMDIR = 8
    LINK = 9
    REPLACED = 10
    CREATE = -1  # an OPEN that makes a file: the shim cannot tell


class Tree:
    """Begins with all of `image` durable."""

    def __init__(self, image: Image) -> None:
        self._root = Folder()
        for path in sorted(image.folders):
            self._enter(path, Folder())
        for path, content in image.files.items():
            self._enter(path, File(content))
        for folder in self._folders():
            folder.sync()

    def after_power_loss(self, dice: random.Random) -> Image:
        files: dict[str, bytes] = {}
        folders: set[str] = set()
        # A file with two names has one content.
        contents: dict[int, bytes] = {}
        waiting = [("", self._root)]
        while waiting:
            above, folder = waiting.pop()
            for name, node in folder.after_power_loss(dice).items():
                path = f"{above}{name}"
                if isinstance(node, Folder):
                    folders.add(path)
                    waiting.append((f"{path}/", node))
                else:
                    if id(node) not in contents:
                        contents[id(node)] = node.after_power_loss(dice)
                    files[path] = contents[id(node)]
        return Image(files, frozenset(folders))

    def find(self, path: str) -> Node | None:
        node: Node | None = self._root
        for name in path.split("/") if path else ():
            node = node.entries.get(name) if isinstance(node, Folder) else None
        return node

    def meant(self, op: int, path: str, path2: str, flags: int) -> Op | None:
        """What a call on paths will change; None: nothing, or it will fail by itself."""
        node = self.find(path)
        match op:
            case Op.OPEN if node is None:
                return Op.CREATE if flags & os.O_CREAT and self._parent(path) else None
            case Op.OPEN:
                truncates = flags & os.O_TRUNC and not flags & os.O_EXCL
                return Op.TRUNCATE if truncates and isinstance(node, File) else None
            case Op.MKDIR:
                return Op.MKDIR if node is None and self._parent(path) else None
            case Op.LINK:
                return Op.LINK if node is not None and self.find(path2) is None else None
            case _:
                return Op(op) if node is not None else None

    def change(self, op: Op, path: str, path2: str) -> None:
        node, folder, name = self.find(path), self._parent(path), _name(path)
        assert folder is not None, path
        match op:
            case Op.CREATE:
                folder.change({name: File()})
            case Op.MKDIR:
                folder.change({name: Folder()})
            case Op.TRUNCATE if isinstance(node, File):
                node.truncate(0)
            case Op.UNLINK | Op.RMDIR:
                folder.change({name: None})
            # A rename of one name of a file onto another does nothing at all.
            case Op.RENAME if node is not self.find(path2):
                folder.change({name: None, _name(path2): node})
            case Op.LINK:
                folder.change({_name(path2): node})

    def role(self, op: int, path: str, path2: str) -> str:
        """A rename or a link is named by what it makes."""
        if op in {Op.MKDIR, Op.RMDIR} or isinstance(self.find(path), Folder):
            return FOLDER
        return role_of(path2 or path)

    def _folders(self) -> list[Folder]:
        folders = [self._root]
        for folder in folders:
            folders.extend(node for node in folder.entries.values() if isinstance(node, Folder))
        return folders

    def _enter(self, path: str, node: Node) -> None:
        folder = self._parent(path)
        assert folder is not None, path
        folder.change({_name(path): node})

    def _parent(self, path: str) -> Folder | None:
        above = self.find(folder_of(path))
        return above if isinstance(above, Folder) else None


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]
