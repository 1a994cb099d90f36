"""What a file is to a run: labels name roles, so that points of many seeds can be counted."""

from __future__ import annotations

import re

FOLDER = "folder"
PICTURE = "picture"

_PATTERNS = (
    (re.compile(r"\.part\.json$"), "*.part.json"),
    (re.compile(r"\.part$"), "*.part"),
    (re.compile(r"\.reused$"), "*.reused"),
    (re.compile(r"(^|/)\.writable$"), "probe"),
    (re.compile(r"(^|/)files/"), PICTURE),
    # In the user's own folder, named by a hash of the manifest's place.
    (re.compile(r"(^|/)user/runs/"), "last run"),
    # The journal of a commit over two databases; SQLite gives it a random name.
    (re.compile(r"\.db-mj[0-9A-F]+$"), "super-journal"),
)


def role_of(path: str) -> str:
    """Give the role of a file by its path below the run's folder; one of no role is its name."""
    for pattern, role in _PATTERNS:
        if pattern.search(path):
            return role
    return path.rpartition("/")[2]
