"""Data files → rows, as a stream."""

from batchgen.manifest.rows.base import BadRow, Row, Rows
from batchgen.manifest.rows.filtering import FilteredRows, where_problems
from batchgen.manifest.rows.readers import ENDINGS, fingerprint, open_rows

__all__ = [
    "ENDINGS",
    "BadRow",
    "FilteredRows",
    "Row",
    "Rows",
    "fingerprint",
    "open_rows",
    "where_problems",
]
