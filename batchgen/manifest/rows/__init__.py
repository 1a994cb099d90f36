"""Data files → rows, as a stream."""

from batchgen.manifest.rows.base import BadRow, Row, Rows
from batchgen.manifest.rows.filtering import Chosen, where_problems
from batchgen.manifest.rows.opening import ENDINGS, fingerprint, open_rows

__all__ = [
    "ENDINGS",
    "BadRow",
    "Chosen",
    "Row",
    "Rows",
    "fingerprint",
    "open_rows",
    "where_problems",
]
