"""A part of a query that says which jobs are meant."""

from __future__ import annotations

Condition = tuple[str, tuple[str | int, ...]]
"""SQL, and the values of its question marks."""
