"""The input images of the jobs that a run may begin, out of the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen import references
from batchgen.models.catalog import find_model
from batchgen.models.file_rules import image_keys
from batchgen.state.due import pending_models

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from batchgen.state.selection import Selection

MOST_URLS = 5_000
MOST_JOBS = 100_000
"""What is looked through before the first submit, a model; later ones have their look just before
their own. So a million jobs begin as soon as ten."""
NAMED_JOBS = 3


@dataclass(slots=True)
class ImageUse:
    """An image under one key of one model: the rules are theirs.

    Filled while rows are read; `jobs` are the first few ids of `count`.
    """

    url: str
    model: str
    key: str
    count: int = 0
    jobs: list[str] = field(default_factory=list)

    def note(self, job_id: str) -> None:
        self.count += 1
        if len(self.jobs) < NAMED_JOBS:
            self.jobs.append(job_id)


def images_in_use(
    db: sqlite3.Connection,
    selection: Selection,
    is_looked_at: Callable[[str], bool],
) -> list[ImageUse]:
    """Each image once a model and key, in the manifest's order, of at most MOST_URLS URLs.

    References are none: what they stand for is looked at when it is there.
    """
    uses: dict[tuple[str, str, str], ImageUse] = {}
    urls: set[str] = set()
    for model in pending_models(db, selection):
        for key in _keys(model):
            for job_id, url in _rows(db, model, key, selection):
                if url not in urls and (len(urls) == MOST_URLS or not is_looked_at(url)):
                    continue
                urls.add(url)
                uses.setdefault((model, key, url), ImageUse(url, model, key)).note(job_id)
    return list(uses.values())


def is_reference(url: str) -> bool:
    return url.startswith(f"https://{references.HOST}/")


def _keys(model_id: str) -> tuple[str, ...]:
    model = find_model(model_id)
    return () if model is None else image_keys(model)


def _rows(
    db: sqlite3.Connection, model: str, key: str, selection: Selection
) -> Iterator[tuple[str, str]]:
    condition, values = selection.where()
    # Bounded before the bodies are opened; json_each takes a single URL for a list of one.
    return db.execute(
        # The condition is the state's own text; whatever a person wrote is a parameter.
        "SELECT one.id, url.value FROM (SELECT seq, id, body FROM job"  # noqa: S608 - see above
        f" WHERE state = 'pending' AND model = ? AND listed = 1 AND {condition}"
        " ORDER BY seq LIMIT ?) AS one, json_each(one.body, ?) AS url"
        " WHERE url.type = 'text' ORDER BY one.seq, url.key",
        (model, *values, MOST_JOBS, f'$."{key}"'),
    )
