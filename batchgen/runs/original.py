"""Is this the state file that did the work, or a copy of it? A copy does not know what came since.

The state remembers the number of its own file on the disk (inode). A rename keeps it, also of the
whole folder; a copy and a backup written to a new file have another one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors
from batchgen.errors import CopiedStateError
from batchgen.state.queries import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3

    from batchgen.runs.folder import RunFolder

_INODE = "inode"
_HOST = "host"


def refuse_copy(db: sqlite3.Connection, folder: RunFolder) -> None:
    """Raise CopiedStateError where requests may have been made that this file does not know.

    A state without an attempt has nothing to lose, and one of before has no inode to compare.
    """
    known = get_meta(db, _INODE)
    (attempts,) = db.execute("SELECT count(*) FROM (SELECT 1 FROM attempt LIMIT 1)").fetchone()
    if known is None or known == _inode(folder) or not attempts:
        return
    raise CopiedStateError(
        f"this state file is a copy or a restored backup of one on {get_meta(db, _HOST)}:"
        " requests made since with the other one are not known here, so jobs could be paid twice;"
        " nothing was sent",
        where=str(folder.state),
        next_step="go on with the original; or, where it is gone or was moved to another disk and"
        " nothing ran since, say so once: batchgen run MANIFEST --accept-copy",
    )


def claim_file(db: sqlite3.Connection, folder: RunFolder, *, accept_copy: bool) -> None:
    """Make the file the state's own from now on. Raises CopiedStateError unless it is accepted."""
    if not accept_copy:
        refuse_copy(db, folder)
    set_meta(db, _INODE, _inode(folder))
    set_meta(db, _HOST, socket.gethostname())


def _inode(folder: RunFolder) -> str:
    with disk_errors(folder.state):
        return str(folder.state.stat().st_ino)
