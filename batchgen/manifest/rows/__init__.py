"""Data files, or the user's own pictures, videos and sounds → rows, as a stream."""

from batchgen.manifest.rows.base import BadRow, Row, Rows
from batchgen.manifest.rows.filtering import FilteredRows, where_problems
from batchgen.manifest.rows.readers import ENDINGS, fingerprint, open_rows, open_source
from batchgen.manifest.rows.sources import RowSource, row_source

__all__ = [
    "ENDINGS",
    "BadRow",
    "FilteredRows",
    "Row",
    "RowSource",
    "Rows",
    "fingerprint",
    "open_rows",
    "open_source",
    "row_source",
    "where_problems",
]
