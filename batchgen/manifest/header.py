"""The header of a manifest: checked, and turned into what the other rooms read."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchgen.manifest.header_checks import (
    _mapping,
    _meaning_problems,
    _template_problems,
    read_notify,
    without,
    without_secrets,
)
from batchgen.manifest.items import warn_of_cut_prompts
from batchgen.manifest.matrix import is_variable_name
from batchgen.manifest.parsing.document import Header, read_header
from batchgen.manifest.parsing.nodes import place_of, text_of
from batchgen.manifest.policy import Output, Policy, build_output, build_policy
from batchgen.manifest.problems import Reporter
from batchgen.manifest.schema_validation import header_problems
from batchgen.manifest.scope import (
    DefaultInput,
    Defaults,
    DefaultText,
    IncludeTree,
    Part,
    SweepHead,
    data_files_of,
    patterns_in,
    read_sweeps,
)
from batchgen.manifest.stray_templates import warn_of_cut_texts
from batchgen.models.messages import shown
from batchgen.notify import NO_NOTIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Node, Place
    from batchgen.manifest.problems import ProblemLog
    from batchgen.notify import Notify


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest without its jobs, which only stream by: see `checked_jobs`.

    `parts` are its files, those that it includes first; `sweeps` are found by their items' ids.
    `env` holds the environment variables that templates may read, `patterns` what `include` says;
    rows come from `data_files`. `name_at` is the place of `output.name`. `notify` is empty where
    the manifest was read without `env`.
    """

    path: Path
    name: str
    policy: Policy
    output: Output
    parts: tuple[Part, ...] = field(repr=False)
    sweeps: Mapping[str, SweepHead] = field(repr=False, default_factory=dict)
    env: Mapping[str, str] = field(repr=False, default_factory=dict)
    patterns: tuple[tuple[Path, str], ...] = ()
    data_files: tuple[Path, ...] = ()
    rehearsal: bool = False
    name_at: Place | None = None
    notify: Notify = NO_NOTIFICATIONS


def read_manifest(
    path: Path,
    problems: ProblemLog,
    *,
    rehearsal: bool = False,
    env: Mapping[str, str] | None = None,
    withheld: Mapping[str, str] = MappingProxyType({}),
) -> Manifest | None:
    """Read all but the jobs; None where the file is too broken to look at its jobs.

    A value that is wrong is logged and replaced by its default, so that the jobs can be checked as
    well. With `rehearsal`, files may be on this machine. `env` is the environment, without secrets;
    without it nothing is asked of it, and the jobs cannot be read. `withheld` names the secrets,
    and says what each is.

    Raises MissingFileError, StorageError.
    """
    reading = _Reading(path, problems, env, withheld)
    sound = reading.read(path, Defaults(), {})
    if sound is None or not any(part.has_jobs for part in reading.parts):
        return None
    name = sound.get("name", path.stem)
    return Manifest(
        path=path,
        name=name,
        policy=build_policy(sound.get("run", {})),
        output=build_output(sound.get("output", {}), name),
        parts=tuple(reading.parts),
        sweeps=reading.sweeps,
        env=reading.env_used,
        patterns=tuple(reading.patterns),
        data_files=tuple(dict.fromkeys(reading.data_files)),
        rehearsal=rehearsal,
        name_at=reading.name_at,
        notify=reading.notify,
    )


class _Reading:
    """Collects the files of one manifest, an including one after those that it includes."""

    def __init__(
        self,
        top: Path,
        problems: ProblemLog,
        env: Mapping[str, str] | None,
        withheld: Mapping[str, str],
    ) -> None:
        self._problems = problems
        self._env = env
        self._withheld = withheld
        self._tree = IncludeTree(top)
        self.parts: list[Part] = []
        self.sweeps: dict[str, SweepHead] = {}
        self.env_used: dict[str, str] = {}
        self.patterns: list[tuple[Path, str]] = []
        self.data_files: list[Path] = []
        self.name_at: Place | None = None
        self.notify = NO_NOTIFICATIONS

    def read(
        self, path: Path, outer: Defaults, constants: Mapping[str, JsonValue]
    ) -> Mapping[str, Any] | None:
        """Read one file and those below it; its sound values, None where it is too broken."""
        reporter = Reporter(path, self._problems)
        header = read_header(reporter)
        if header is None:
            return None
        sound = self._sound(header, reporter)
        # Those that are refused too, so that the jobs that use them are not refused as well.
        written = _mapping(header.node.value, "vars")
        inner = {**constants, **{name: written[name] for name in filter(is_variable_name, written)}}
        inner["env"] = {**_mapping(constants, "env"), **self._environment(header, sound, reporter)}
        defaults = _build_defaults(header, sound.get("defaults", {}), path).over(outer)
        warn_of_cut_texts(header.children.get("vars"), reporter)
        if (written_defaults := header.children.get("defaults")) is not None:
            warn_of_cut_prompts(written_defaults.child("input"), reporter)
        include = header.children.get("include")
        self.patterns += [(path.parent, str(one.value)) for one in patterns_in(include)]
        for file in self._tree.below(include, reporter):
            self.read(file, defaults, inner)
        self.data_files += data_files_of(header.sweeps, path.parent)
        for head in read_sweeps(header.sweeps, path):
            self._add_sweep(head, reporter)
        # The last one to be read is the manifest itself: an output of those that it includes does
        # not count.
        self.name_at = place_of(header.node, ("output", "name"))
        has_jobs = header.jobs_at is not None
        self.parts.append(Part(path, header.stamp, defaults, inner, has_jobs=has_jobs))
        # The including file comes last: it is the one that counts.
        self.notify = self._notify(header, sound, inner, reporter)
        return sound

    def _add_sweep(self, head: SweepHead, reporter: Reporter) -> None:
        first = self.sweeps.setdefault(head.id, head)
        if first is not head:
            places = f"{first.path}:{first.place.line} and {head.path}:{head.place.line}"
            message = f"two sweeps are called {shown(head.id)}: {places}"
            reporter.at(head.place, message, "give one another id")

    def _sound(self, header: Header, reporter: Reporter) -> Mapping[str, Any]:
        value = header.node.value
        found = [without_secrets(one) for one in header_problems(value, complete=header.complete)]
        reported = {problem.path for problem in found}
        extra = None if header.sweeps or "include" in header.keys else _mapping(value, "vars")
        meant = [*_meaning_problems(value), *_template_problems(_mapping(value, "output"), extra)]
        found += [one for one in meant if one.path not in reported]
        reporter.below(header.node, found)
        if header.complete and "jobs" not in header.keys and "include" not in header.keys:
            reporter.at(header.place, "jobs is required", "list the jobs under 'jobs:'")
        sound: Mapping[str, Any] = without(value, {problem.path for problem in found})
        return sound

    def _notify(
        self,
        header: Header,
        sound: Mapping[str, Any],
        variables: Mapping[str, JsonValue],
        reporter: Reporter,
    ) -> Notify:
        node = header.children.get("notify")
        # Reading a run's status needs no apprise, and no secret of the environment.
        if node is None or self._env is None:
            return NO_NOTIFICATIONS
        return read_notify(node, sound.get("notify"), variables, reporter)

    def _environment(
        self, header: Header, sound: Mapping[str, Any], reporter: Reporter
    ) -> dict[str, JsonValue]:
        wanted: list[str] = [] if self._env is None else list(sound.get("env", ()))
        known = self._env or {}
        for name in wanted:
            place = place_of(header.node, ("env", wanted.index(name)))
            if why := self._withheld.get(name):
                what = f"{name} {why}, which no manifest is given"
                reporter.at(place, what, "remove it from this list")
            elif name not in known:
                hint = f"set it: export {name}=…"
                reporter.at(place, f"the environment variable {name} is not set", hint)
        found = {name: known[name] for name in wanted if name in known}
        self.env_used |= found
        return dict(found)


def _build_defaults(header: Header, sound: Mapping[str, Any], path: Path) -> Defaults:
    node = header.children.get("defaults")
    if node is None or not isinstance(node.value, dict):
        return Defaults()
    tags = node.child("tags") if "tags" in sound else None
    given = node.child("input") if "input" in sound else None
    model = node.child("model") if "model" in sound else None
    return Defaults(
        model=_default_text(path, model) if model else None,
        model_is_wrong="model" in node.value and "model" not in sound,
        inputs=(DefaultInput(path, given),) if given else (),
        tags=tuple(_default_text(path, tag) for tag in tags.children.values()) if tags else (),
    )


def _default_text(path: Path, node: Node) -> DefaultText:
    return DefaultText(path, node.place, text_of(node))
