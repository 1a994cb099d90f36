"""Files and folders: disk errors, opening, publishing, fsync and safe names.

By hand: pathvalidate handles neither invisible characters nor two texts that become one name, and
the atomic writers skip the fsync of the folder, or write through a link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Literal

from batchgen.errors import BatchgenError, DiskFullError, OpenFilesError, OutputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedRandom, BufferedReader, BufferedWriter
    from pathlib import Path


TOO_MANY_OPEN = frozenset({errno.EMFILE, errno.ENFILE})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_WRITABLE = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EPERM,
        errno.EROFS,
    }
)
REMOVALS = 5
CONTINUE = "run the same command again to continue"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise DiskFullError, OutputError or StorageError in place of an OSError on `path`.

    Also OutputError for a name that the file system's encoding cannot represent.
    """
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, path) from exc
    except UnicodeEncodeError as exc:
        raise unwritable_name(str(path)) from exc


def disk_error(exc: OSError, path: Path) -> BatchgenError:
    where = str(path)
    if exc.errno in TOO_MANY_OPEN:
        return too_many_open(where)
    if exc.errno in FULL:
        return DiskFullError(
            f"the disk is full: {exc.strerror}", where=where, next_step=f"make room; {CONTINUE}"
        )
    if exc.errno == errno.ELOOP:
        return symlink_error(path)
    if exc.errno in NOT_WRITABLE:
        return OutputError(
            f"the file cannot be written: {exc.strerror}",
            where=where,
            next_step=f"make sure the folder exists and can be written to; {CONTINUE}",
        )
    return StorageError(
        f"the disk failed: {exc.strerror or exc}",
        where=where,
        next_step=f"check the disk first; then {CONTINUE}",
    )


def unwritable_name(name: str) -> OutputError:
    return OutputError(
        f"this name cannot be written: file names are in {sys.getfilesystemencoding()} here",
        where=name,
        next_step="set PYTHONUTF8=1, or LC_ALL to a UTF-8 locale such as C.UTF-8, and run again",
    )


def too_many_open(where: str) -> OpenFilesError:
    return OpenFilesError(
        f"too many files are open at once{_limit()}; nothing is wrong with the disk",
        where=where,
        next_step=f"`ulimit -n 4096`, or lower run.concurrency; {CONTINUE}",
    )


def is_out_of_descriptors() -> bool:
    """Whether this process can open no more files, which SQLite does not report."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as exc:
        return exc.errno in TOO_MANY_OPEN
    return False


def _limit() -> str:
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return ""
    return f" (limit {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"


def symlink_error(path: Path) -> OutputError:
    return OutputError(
        "there is a symbolic link where the file should go; it was not followed",
        where=str(path),
        next_step=f"remove the link; {CONTINUE}",
    )


def not_a_file(path: Path | str) -> OutputError:
    return OutputError(
        "something that is not a file is where the file should go",
        where=str(path),
        next_step=f"move it away; {CONTINUE}",
    )


NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""For os.open: refuse a symbolic link with ELOOP instead of following it."""


def open_new(path: Path) -> BufferedWriter:
    """Open a new file for writing, readable by its owner only.

    An existing file or link is removed, never written through. Raises OSError.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


@contextmanager
def publishing(
    path: Path, part: Path | None = None, *, durable: bool = False
) -> Iterator[BinaryIO]:
    """Write a file, readable by its owner only, that gets its name when it is complete.

    `part` is its name until then. `durable`: content and name survive a power loss.
    """
    part = part or path.with_name(f"{path.name}.part")
    with open_new(part) as file:
        yield file
        if durable:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)
    if durable:
        sync_folder(path.parent, os.fsync)


def own_part(path: Path) -> Path:
    """Return a `part` for `publishing`, for files that another process may publish too."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, also while others still put files there.

    Raises StorageError or OutputError.
    """
    with disk_errors(folder):
        for tries_left in reversed(range(REMOVALS)):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                if not folder.exists():
                    return
            except OSError as exc:
                if exc.errno != errno.ENOTEMPTY or not tries_left:
                    raise


def open_to_read(path: Path) -> BufferedReader:
    """Raises OutputError for anything but a plain file; OSError, with ELOOP for a symbolic link."""
    return open(path, "rb", opener=_open_plain)


def open_to_write(path: Path, *, keep: bool) -> BufferedRandom:
    """Open for writing and reading, emptied unless `keep`. Raises as `open_to_read` does."""
    mode: Literal["r+b", "w+b"] = "r+b" if keep else "w+b"
    return open(path, mode, opener=_open_plain)


def _open_plain(path: str, flags: int) -> int:
    # Without O_NONBLOCK opening a named pipe would block forever.
    flags |= NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise not_a_file(path)


def sync_folder(folder: Path, fsync: Callable[[int], None]) -> None:
    if os.name == "nt":  # Windows cannot fsync a folder, and does not need to
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fsync(descriptor)
    except OSError as exc:
        # Some network file systems cannot fsync a folder.
        if exc.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


PART_BYTES = 100
NAME_BYTES = 240
HASH_DIGITS = 8
SUFFIX_BYTES = HASH_DIGITS + 1

RESERVED = frozenset('<>:"\\|?*')
# Control, format (bidi, zero width), surrogate, private use, line and paragraph separator.
UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Invisible, though Unicode calls them letters or marks.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# Windows opens a device for these, whatever the extension (learn.microsoft.com, "Naming Files").
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)

# Safe unchanged, and quick to check: most names are like this.
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,98}(?<!\.)", re.ASCII)


def safe_name(text: str) -> str:
    """Turn any text into a name that every file system accepts, the same on every run.

    A relative path with `/` between folders, of at most 240 bytes, 100 per part. Idempotent. A safe
    text stays unchanged. Any other gets `-` and 8 hex digits of its SHA-256 at the end: replacing
    characters can make two texts equal, and two texts must stay two files. A text of which nothing
    is left becomes `unnamed-` and its hash.
    """
    if PLAIN.fullmatch(text) and not DEVICE.match(text):
        return text
    return _made_safe(text)


def _made_safe(text: str) -> str:
    parts = [part for part in map(_safe_part, text.split("/")) if part]
    name = "/".join(parts)
    if name and name == text and len(name.encode()) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:HASH_DIGITS]
    return f"{_room_for_suffix(parts)}-{digest}"


def name_key(name: str) -> str:
    """Return a key that is equal for names that are one file on a disk that ignores case."""
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


def file_names(stem: str, count: int) -> tuple[str, ...]:
    """Name a job's files: `stem` alone, or `stem.1` … `stem.n`.

    Not with a dash: `boat-2` is another job, such as the second of `repeat: 2`.
    """
    if count == 1:
        return (stem,)
    return tuple(f"{stem}.{number}" for number in range(1, count + 1))


def _safe_part(part: str) -> str:
    composed = unicodedata.normalize("NFC", part)
    visible = "".join("_" if _is_unsafe(character) else character for character in composed)
    trimmed = _avoid_device(visible.lstrip(" .-").rstrip(" ."))
    # Cutting may leave a device's name: "CON", many spaces, "x".
    return _avoid_device(_cut(trimmed, PART_BYTES))


def _is_unsafe(character: str) -> bool:
    return (
        character in RESERVED
        or character in INVISIBLE
        or unicodedata.category(character) in UNSAFE_CATEGORIES
    )


def _avoid_device(part: str) -> str:
    return f"_{part}" if DEVICE.match(part) else part


def _cut(text: str, limit: int) -> str:
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[:limit].decode(errors="ignore").rstrip(" .")


def _room_for_suffix(parts: list[str]) -> str:
    name = _cut("/".join(parts) or "unnamed", NAME_BYTES - SUFFIX_BYTES).rstrip(" ./")
    # The cut may have removed the last part, so only now is it known which one gets the suffix.
    *folders, last = name.split("/")
    return "/".join([*folders, _cut(last, PART_BYTES - SUFFIX_BYTES)])
