"""The header of a manifest: read, checked, and turned into a `Manifest`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchgen.manifest.header_checks import (
    mapping_at,
    meaning_problems,
    read_notify,
    redacted,
    template_problems,
    unknown_models,
    without,
)
from batchgen.manifest.items import warn_of_cut_prompts
from batchgen.manifest.matrix import is_variable_name
from batchgen.manifest.parsing.document import Header, read_header
from batchgen.manifest.parsing.nodes import Place, place_of, text_of
from batchgen.manifest.policy import (
    InputSettings,
    Output,
    Policy,
    build_inputs,
    build_output,
    build_policy,
)
from batchgen.manifest.problems import Reporter
from batchgen.manifest.prompts import KEY as PROMPTS
from batchgen.manifest.prompts import Prompts, folder_problem
from batchgen.manifest.schema_validation import header_problems
from batchgen.manifest.scope import (
    DefaultInput,
    Defaults,
    DefaultText,
    IncludeTree,
    Part,
    SweepHead,
    matching,
    patterns_in,
    read_sweeps,
    sources_of,
)
from batchgen.manifest.stray_templates import warn_of_cut_texts
from batchgen.models.catalog import bundled
from batchgen.models.messages import format_value
from batchgen.models.own_models import SCHEMAS, read_own, schema_path
from batchgen.notify import NO_NOTIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.problems import ProblemLog
    from batchgen.manifest.rows import RowSource
    from batchgen.models.catalog import Catalog, Model
    from batchgen.models.messages import InputProblem
    from batchgen.notify import Notify


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest without its jobs, which `checked_jobs` streams.

    `parts` are its files, the included ones first; `sweeps` maps ids of items to sweeps. `env`
    holds the environment variables that templates may read, `patterns` the values of `include`,
    each with the folder it is relative to; rows come from `sources`. `name_at` is the place of
    `output.name`. `notify` is empty if the manifest was read without `env`. Without `prompts`,
    braces in prompts are plain text. `catalog` has every model that one of its files can name: the
    bundled ones, and those in `schemas/` beside them.
    """

    path: Path
    name: str
    policy: Policy
    output: Output
    parts: tuple[Part, ...] = field(repr=False)
    sweeps: Mapping[str, SweepHead] = field(repr=False, default_factory=dict)
    env: Mapping[str, str] = field(repr=False, default_factory=dict)
    patterns: tuple[tuple[Path, str], ...] = ()
    sources: tuple[RowSource, ...] = ()
    rehearsal: bool = False
    name_at: Place | None = None
    notify: Notify = NO_NOTIFICATIONS
    prompts: Prompts | None = None
    catalog: Catalog = field(repr=False, default_factory=bundled)
    inputs: InputSettings = field(default_factory=InputSettings)

    @property
    def data_files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(one.path for one in self.sources if not one.are_files))

    @property
    def has_rows_of_files(self) -> bool:
        """Whether jobs are made of pictures, videos or sounds that a pattern or path names."""
        return any(one.are_files for one in self.sources)

    @property
    def schema_folders(self) -> tuple[Path, ...]:
        """The folders beside its files that have models of their own."""
        beside = dict.fromkeys(part.path.parent / SCHEMAS for part in self.parts)
        return tuple(folder.absolute() for folder in beside if folder.is_dir())


def read_manifest(
    path: Path,
    problems: ProblemLog,
    *,
    rehearsal: bool = False,
    env: Mapping[str, str] | None = None,
    withheld: Mapping[str, str] = MappingProxyType({}),
    jobs_follow: bool = False,
) -> Manifest | None:
    """Read everything but the jobs; None if the file is too broken to read its jobs.

    An invalid value is logged and replaced by its default, so that the jobs can be checked too.
    With `rehearsal`, files may be on this machine. `env` is the environment without secrets; if it
    is None, variables are not checked and the jobs cannot be read. `withheld` maps names of
    secrets to what they are, such as `is the token`. With `jobs_follow`, nothing is done before all
    jobs have been read: what is wrong with their YAML may be found only then.

    Raises MissingFileError, StorageError.
    """
    reading = _ManifestReader(path, problems, env, withheld, jobs_follow=jobs_follow)
    valid = reading.read(path, None)
    if valid is None or not any(part.has_jobs for part in reading.parts):
        return None
    name = valid.get("name", path.stem)
    return Manifest(
        path=path,
        name=name,
        policy=build_policy(_with_model_ids(valid.get("run", {}), reading.parts[-1].catalog)),
        output=build_output(valid.get("output", {}), name),
        parts=tuple(reading.parts),
        sweeps=reading.sweeps,
        env=reading.env_used,
        patterns=tuple(reading.patterns),
        sources=tuple(dict.fromkeys(reading.sources)),
        rehearsal=rehearsal,
        name_at=reading.name_at,
        notify=reading.notify,
        catalog=reading.catalog,
        prompts=reading.prompts,
        inputs=build_inputs(valid.get("inputs", {})),
    )


def _with_model_ids(run: Mapping[str, Any], catalog: Catalog) -> Mapping[str, Any]:
    """Replace the short names under `run.models` by ids."""
    named = ((catalog.named(name), part) for name, part in run.get("models", {}).items())
    return {**run, "models": {model.id: part for model, part in named if model is not None}}


class _ManifestReader:
    """Collects the files of one manifest, included ones first."""

    def __init__(
        self,
        top: Path,
        problems: ProblemLog,
        env: Mapping[str, str] | None,
        withheld: Mapping[str, str],
        *,
        jobs_follow: bool,
    ) -> None:
        self._jobs_follow = jobs_follow
        self._problems = problems
        self._env = env
        self._withheld = withheld
        self._tree = IncludeTree(top)
        self.parts: list[Part] = []
        self.sweeps: dict[str, SweepHead] = {}
        self.env_used: dict[str, str] = {}
        self.patterns: list[tuple[Path, str]] = []
        self.sources: list[RowSource] = []
        self.name_at: Place | None = None
        self.notify = NO_NOTIFICATIONS
        self.catalog = bundled()
        self._own_models: dict[Path, list[Model]] = {}
        self._has_bad_schema = False
        self.prompts: Prompts | None = None

    def read(self, path: Path, outer: Part | None) -> Mapping[str, Any] | None:
        """Read one file and the ones it includes. Return its valid values; None if too broken.

        `outer` is the file that includes it.
        """
        reporter = Reporter(path, self._problems)
        header = read_header(reporter, jobs_follow=self._jobs_follow)
        if header is None:
            return None
        include = header.children.get("include")
        patterns = [str(one.value) for one in patterns_in(include)]
        catalog = self._catalog_of(path, patterns, outer.catalog if outer else bundled())
        valid = self._valid_values(header, catalog, reporter)
        part = self._part(header, valid, catalog, outer, reporter)
        warn_of_cut_texts(header.children.get("vars"), reporter)
        if (written_defaults := header.children.get("defaults")) is not None:
            warn_of_cut_prompts(written_defaults.child("input"), catalog, reporter)
        self.patterns += [(path.parent, pattern) for pattern in patterns]
        for file in self._tree.below(include, reporter):
            self.read(file, part)
        self.sources += sources_of(header.sweeps, path.parent)
        for head in read_sweeps(header.sweeps, path):
            self._add_sweep(head, reporter)
        # The manifest itself is read last: `output` of an included file does not count.
        self.name_at = place_of(header.node, ("output", "name"))
        self.parts.append(part)
        # As above: `prompts` and `notify` of an included file do not count.
        self.prompts = self._prompts(header, valid, reporter)
        self.notify = self._notify(header, valid, part.constants, reporter)
        return valid

    def _part(
        self,
        header: Header,
        valid: Mapping[str, Any],
        catalog: Catalog,
        outer: Part | None,
        reporter: Reporter,
    ) -> Part:
        """What the file provides for its jobs, with what it inherits from `outer`."""
        path = reporter.path
        constants, written_in = (outer.constants, outer.written_in) if outer else ({}, {})
        written = mapping_at(header.node.value, "vars")
        # Refused variables too, so that jobs that use them are not refused because of them.
        own = {name: written[name] for name in filter(is_variable_name, written)}
        env = {**mapping_at(constants, "env"), **self._environment(header, valid, reporter)}
        return Part(
            path,
            header.stamp,
            _build_defaults(header, valid.get("defaults", {}), path).over(
                outer.defaults if outer else Defaults()
            ),
            {**constants, **own, "env": env},
            catalog,
            has_jobs=header.jobs_at is not None,
            written_in={**written_in, **dict.fromkeys(own, path)},
        )

    def _add_sweep(self, head: SweepHead, reporter: Reporter) -> None:
        first = self.sweeps.setdefault(head.id, head)
        if first is not head:
            places = f"{first.path}:{first.place.line} and {head.path}:{head.place.line}"
            message = f"two sweeps are called {format_value(head.id)}: {places}"
            reporter.at(head.place, message, "give one of them another id")

    def _catalog_of(self, path: Path, patterns: list[str], outer: Catalog) -> Catalog:
        """The models that a file can name: its own, the includer's, and those of what it includes.

        The last ones for `run.models`, which only the outermost file has.
        """
        included = [one.parent for pattern in patterns for one in matching(pattern, path.parent)]
        folders = dict.fromkeys([path.parent, *included])
        found = outer
        for folder in folders:
            found = found.with_models(self._models_in(folder / SCHEMAS))
        return found

    def _models_in(self, folder: Path) -> list[Model]:
        """Read a `schemas` folder once, and report what is wrong with it."""
        if folder in self._own_models:
            return self._own_models[folder]
        models, faults = read_own(folder)
        for fault in faults:
            self._has_bad_schema = True
            # Without `env` no jobs are read: a status needs no schema.
            if self._env is not None:
                Reporter(fault.path, self._problems).at(Place(0, 0), fault.message, fault.hint)
        for model in models:
            known = self.catalog.find(model.id)
            if known is not None and (known.schema, known.about) != (model.schema, model.about):
                place = Reporter(schema_path(folder, model.id), self._problems)
                message = f"{model.id} is in two schemas folders of this manifest, and they differ"
                place.at(Place(0, 0), message, "keep one of them, or copy it over the other")
        self.catalog = self.catalog.with_models(models)
        return self._own_models.setdefault(folder, models)

    def _valid_values(
        self, header: Header, catalog: Catalog, reporter: Reporter
    ) -> Mapping[str, Any]:
        value = header.node.value
        found = [redacted(one) for one in header_problems(value, complete=header.complete)]
        reported = {problem.path for problem in found}
        extra = None if header.sweeps or "include" in header.keys else mapping_at(value, "vars")
        unknown = unknown_models(value, catalog)
        self._problems.unknown_models.update(str(_value_at(value, one)) for one in unknown)
        meant = [
            *unknown,
            *meaning_problems(value, catalog),
            *template_problems(mapping_at(value, "output"), extra),
        ]
        found += [one for one in meant if one.path not in reported]
        if self._env is None and self._has_bad_schema:
            reporter.below(header.node, [one for one in found if not _names_a_model(one)])
        else:
            reporter.below(header.node, found)
        if header.complete and "jobs" not in header.keys and "include" not in header.keys:
            reporter.at(header.place, "jobs is required", "list the jobs under 'jobs:'")
        valid: Mapping[str, Any] = without(value, {problem.path for problem in found})
        return valid

    def _notify(
        self,
        header: Header,
        valid: Mapping[str, Any],
        variables: Mapping[str, JsonValue],
        reporter: Reporter,
    ) -> Notify:
        node = header.children.get("notify")
        # Without `env`, as for the status of a run, neither apprise nor secrets are needed.
        if node is None or self._env is None:
            return NO_NOTIFICATIONS
        return read_notify(node, valid.get("notify"), variables, reporter)

    def _prompts(
        self, header: Header, valid: Mapping[str, Any], reporter: Reporter
    ) -> Prompts | None:
        written = mapping_at(valid, PROMPTS)
        if not written:
            return None
        folder = None
        if "wildcards" in written:
            folder = reporter.path.parent / written["wildcards"]
        # Without `env` no jobs are read: a status needs no wildcards.
        if folder is not None and self._env is not None and (wrong := folder_problem(folder)):
            reporter.at(place_of(header.node, (PROMPTS, "wildcards")), *wrong)
        return Prompts(written.get("seed", 0), folder)

    def _environment(
        self, header: Header, valid: Mapping[str, Any], reporter: Reporter
    ) -> dict[str, JsonValue]:
        wanted: list[str] = [] if self._env is None else list(valid.get("env", ()))
        known = self._env or {}
        for name in wanted:
            place = place_of(header.node, ("env", wanted.index(name)))
            if secret := self._withheld.get(name):
                what = f"{name} {secret}, which no manifest may read"
                reporter.at(place, what, "remove it from this list")
            elif name not in known:
                hint = f"set it: export {name}=…"
                reporter.at(place, f"the environment variable {name} is not set", hint)
        found = {name: known[name] for name in wanted if name in known}
        self.env_used |= found
        return dict(found)


def _names_a_model(problem: InputProblem) -> bool:
    """Whether a model that cannot be read may be the only cause of the problem."""
    path = problem.path
    return path == ("defaults", "model") or path[:2] in {("run", "models"), ("defaults", "input")}


def _value_at(value: Any, problem: InputProblem) -> Any:
    """The key or value that a problem is about."""
    if problem.at_key:
        return problem.path[-1]
    for step in problem.path:
        value = value[step]
    return value


def _build_defaults(header: Header, valid: Mapping[str, Any], path: Path) -> Defaults:
    node = header.children.get("defaults")
    if node is None or not isinstance(node.value, dict):
        return Defaults()
    tags = node.child("tags") if "tags" in valid else None
    given = node.child("input") if "input" in valid else None
    model = node.child("model") if "model" in valid else None
    return Defaults(
        model=_default_text(path, model) if model else None,
        model_is_wrong="model" in node.value and "model" not in valid,
        inputs=(DefaultInput(path, given),) if given else (),
        tags=tuple(_default_text(path, tag) for tag in tags.children.values()) if tags else (),
    )


def _default_text(path: Path, node: Node) -> DefaultText:
    return DefaultText(path, node.place, text_of(node))
