"""The header of a manifest: checked, and turned into what the other rooms read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.items import warn_of_cut_prompts
from batchgen.manifest.matrix import is_variable_name
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.parsing.document import Header, read_header
from batchgen.manifest.parsing.nodes import place_of, text_of
from batchgen.manifest.policy import Output, Policy, parse_duration
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
from batchgen.manifest.settings import (
    build_output,
    build_policy,
    discreet,
    read_notify,
    refuse_address,
    without,
)
from batchgen.manifest.stop_policy import parse_stop_at
from batchgen.manifest.stray_templates import IN_HEADER, unread_templates, warn_of_cut_texts
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.catalog import catalog, named_model, nearest_model
from batchgen.models.messages import InputProblem, shown
from batchgen.notify import NOBODY
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Node, Place
    from batchgen.manifest.problems import ProblemLog
    from batchgen.notify import Notify


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest without its jobs, which only stream by: see `checked_jobs`.

    `parts` are its files, those that it includes first; `sweeps` are found by their items' ids.
    `env` holds the environment variables that templates may read, `patterns` what `include` says;
    rows come from `data_files`. `name_at` is where `output.name` stands. `notify` is empty where
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
    notify: Notify = NOBODY


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
        self.notify = NOBODY

    def read(
        self, path: Path, outer: Defaults, constants: Mapping[str, JsonValue]
    ) -> Mapping[str, Any] | None:
        """Read one file and those below it; its sound values, None where it is too broken."""
        reporter = Reporter(path, self._problems)
        header = read_header(reporter)
        if header is None:
            return None
        sound = self._sound(header, reporter)
        # Those that are refused too, so that the jobs that use them are not blamed.
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
        found = [discreet(one) for one in header_problems(value, complete=header.complete)]
        told = {problem.path for problem in found}
        extra = None if header.sweeps or "include" in header.keys else _mapping(value, "vars")
        meant = [*_meaning_problems(value), *_template_problems(_mapping(value, "output"), extra)]
        found += [one for one in meant if one.path not in told]
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
        # Who only asks how a run stands needs no apprise, and no secret of the environment.
        if node is None or self._env is None:
            return NOBODY
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


def unknown_model(path: tuple[str | int, ...], model: str, *, at_key: bool = False) -> InputProblem:
    return InputProblem(path, f"unknown model {shown(model)}", nearest_model(model), at_key=at_key)


def _meaning_problems(header: Any) -> list[InputProblem]:
    """Find what the schema file cannot know: models, their keys, templates."""
    defaults, run = _mapping(header, "defaults"), _mapping(header, "run")
    found = [
        unknown_model(("run", "models", model), model, at_key=True)
        for model in _mapping(run, "models")
        if named_model(model) is None
    ]
    found += _named_twice(_mapping(run, "models"))
    model = defaults.get("model")
    if isinstance(model, str) and is_literal(model) and named_model(model) is None:
        found.append(unknown_model(("defaults", "model"), model))
    known = {key for one in catalog().values() for key in one.keys} | _accepted_fields(run)
    for key in _mapping(defaults, "input").keys() - known:
        message, hint = f"no model has the key {shown(key)}", did_you_mean(key, known)
        found.append(InputProblem(("defaults", "input", key), message, hint, at_key=True))
    found += unread_templates(header, IN_HEADER)
    found += _folder_problems(_mapping(header, "output"))
    for key, parse in _TIMES.items():
        found += _time_problems(run, key, parse)
    return found


def _folder_problems(output: Mapping[str, Any]) -> list[InputProblem]:
    folder = output.get("dir")
    if not isinstance(folder, str):
        return []
    try:
        refuse_address(folder)
        if folder.startswith("~/") or folder == "~":
            Path(folder).expanduser()
    except InputError as exc:
        return [InputProblem(("output", "dir"), exc.what, exc.next_step)]
    except RuntimeError:
        what = "you have no home folder here, so '~' leads nowhere"
        return [InputProblem(("output", "dir"), what, "write the whole path, or set HOME")]
    return []


def _accepted_fields(run: Mapping[str, Any]) -> set[str]:
    named = [
        name
        for policy in _mapping(run, "models").values()
        if isinstance(policy, dict) and isinstance(policy.get("accept_fields"), list)
        for name in policy["accept_fields"]
    ]
    return {name for name in named if isinstance(name, str)}


def _named_twice(models: Mapping[str, Any]) -> list[InputProblem]:
    """Find a model that stands under its id and under its short name."""
    first: dict[str, str] = {}
    found = []
    for name in models:
        model = named_model(name)
        if model is not None and (other := first.setdefault(model.id, name)) != name:
            message = f"{shown(name)} and {shown(other)} are the same model"
            path = ("run", "models", name)
            found.append(InputProblem(path, message, "put both into one", at_key=True))
    return found


_TIMES: Mapping[str, Callable[[str], object]] = {
    "timeout": parse_duration,
    "max_duration": parse_duration,
    "start_at": parse_stop_at,
    "stop_at": parse_stop_at,
}


def _time_problems(
    run: Mapping[str, Any], key: str, parse: Callable[[str], object]
) -> list[InputProblem]:
    """Find a time that looks like one and is none: `0s`, a hundred days, `25:00`."""
    text = run.get(key)
    if not isinstance(text, str):
        return []
    try:
        parse(text)
    except InputError as exc:
        return [InputProblem(("run", key), exc.what, exc.next_step)]
    return []


def _template_problems(
    output: Mapping[str, Any], extra: Mapping[str, Any] | None
) -> list[InputProblem]:
    """Without sweeps, all variables are known before any job is."""
    name = output.get("name")
    if not isinstance(name, str):
        return []
    try:
        check_template(name, None if extra is None else (*extra, "env"))
    except NameTemplateError as exc:
        return [InputProblem(("output", "name"), exc.what, exc.next_step)]
    return []


def _mapping(parent: Any, key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}
