"""Data files → rows, as a stream."""

from batchgen.manifest.rows.choice import Chosen, where_problems
from batchgen.manifest.rows.opening import ENDINGS, fingerprint, open_rows
from batchgen.manifest.rows.row import BadRow, Row, Rows

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
