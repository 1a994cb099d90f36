"""`jobs` in a template: `{{ jobs.still.image }}` becomes a reference to another job's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.values import Openable
from batchgen.models.nearest import did_you_mean
from batchgen.references import reference_url

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["image", "video"]

_OUTPUTS: dict[str, Kind] = {
    "image": "image",
    "images": "image",
    "video": "video",
    "videos": "video",
}


class JobReferences(Openable):
    """All jobs that this one may use. `lookup` gives the id of the one that a name means.

    Whether that one makes an image or a video only all jobs together can tell.
    """

    __slots__ = ("_lookup",)

    def __init__(self, lookup: Callable[[str], str]) -> None:
        self._lookup = lookup

    def __getitem__(self, key: object) -> _Outputs:
        name = str(key)
        return _Outputs(name, self._lookup(name))

    @property
    def complaint(self) -> str:
        return "name one of the jobs and its output: jobs.NAME.image"


class _Outputs(Openable):
    """What one job makes."""

    __slots__ = ("_job_id", "_name")

    def __init__(self, name: str, job_id: str) -> None:
        self._name = name
        self._job_id = job_id

    def __getitem__(self, key: object) -> str | _Files:
        kind = _OUTPUTS.get(key) if isinstance(key, str) else None
        if kind is None:
            hint = did_you_mean(str(key), _OUTPUTS)
            raise TemplateProblem(f"{_written(self._name)} has no '{key}'", hint)
        files = _Files(self._name, self._job_id, kind)
        return files[0] if key == kind else files

    @property
    def complaint(self) -> str:
        written = _written(self._name)
        return f"{written} is a job: name its output: {written}.image"


class _Files(Openable):
    """The outputs of one job, in the vendor's order."""

    __slots__ = ("_job_id", "_kind", "_name")

    def __init__(self, name: str, job_id: str, kind: Kind) -> None:
        self._name = name
        self._job_id = job_id
        self._kind: Kind = kind

    def __getitem__(self, key: object) -> str:
        if type(key) is not int or key < 0:
            what = f"{self._written()}[{key!r}] is no output: they are counted from 0"
            raise TemplateProblem(what, f"the first is {self._written()}[0]")
        return reference_url(self._job_id, self._kind, key)

    @property
    def complaint(self) -> str:
        return f"name one of them: {self._written()}[0]"

    def _written(self) -> str:
        return f"{_written(self._name)}.{self._kind}s"


def _written(name: str) -> str:
    return f"jobs.{name}" if name.isidentifier() else f"jobs[{name!r}]"
