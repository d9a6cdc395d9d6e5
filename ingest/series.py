"""Checkpoints of one training run: which there are, and which become entries of a series."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Final

from catalog.errors import CheckpointError, NotFoundError, Option, UsageError
from catalog.ingest.checkpoint.source import GGUF_ENDING, hub_revisions, is_checkpoint, is_local
from catalog.ingest.names import default_alias
from catalog.ingest.paths import absolute, user_path
from catalog.ingest.request import IngestRequest, SeriesPlace

MANY: Final = 100
"""So many checkpoints are not taken without being asked for."""

_STEP: Final = re.compile(
    r"(?:(?P<before>.+?)[-_.]?)?(?:step|checkpoint)[-_]?(?P<step>\d{1,15})"
    r"(?:[-_]?tokens(?P<tokens>\d{1,15})(?P<unit>[KMBT]?))?",
    re.ASCII | re.IGNORECASE,
)
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_N_NAMED: Final = 4


@dataclass(frozen=True)
class Step:
    """A checkpoint of a training run as its name tells: `before` is what stands before the step."""

    name: str
    before: str
    step: int
    train_tokens: int | None


@dataclass(frozen=True)
class StepChoice:
    """Which steps: names that match a pattern, of these every n-th, or so many evenly in log."""

    pattern: str | None = None
    every: int | None = None
    log_spaced: int | None = None


def step_of(name: str) -> Step | None:
    """What `stage1-step1000-tokens5B` tells; None for a name without a step, such as `main`.

    A GGUF file's name may go on after a dot: `run-step-1000.Q8_0.gguf`.
    """
    stem, ending = name.removesuffix(GGUF_ENDING), ""
    found = _STEP.fullmatch(stem)
    if found is None and name.endswith(GGUF_ENDING):
        stem, _, ending = stem.rpartition(".")
        found = _STEP.fullmatch(stem)
    if found is None:
        return None
    before = "-".join(filter(None, (found["before"], ending))).lower()
    tokens = int(found["tokens"]) * _UNITS[found["unit"].upper()] if found["tokens"] else None
    if tokens is not None and tokens >= 2**63:
        return None
    return Step(name, before, int(found["step"]), tokens)


def chosen(steps: Sequence[Step], sought: StepChoice) -> list[Step]:
    """Of steps in ascending order every n-th and the last, or n evenly spaced in log; else all.

    Of the latter the first and the last are two, and step 0, which has no logarithm, the first.
    """
    if sought.every is not None:
        return [
            each for at, each in enumerate(steps) if at % sought.every == 0 or at == len(steps) - 1
        ]
    n = sought.log_spaced
    if n is None or n >= len(steps):
        return list(steps)
    taken = [len(steps) - 1, 0][:n]
    first = next(each.step for each in steps if each.step > 0)
    n_spaced = n - 1 if steps[0].step == 0 else n
    ratio = (steps[-1].step / first) ** (1 / max(1, n_spaced - 1))
    for at in range(n - len(taken)):
        wanted = math.log(first) + math.log(ratio) * (at if steps[0].step == 0 else at + 1)
        left = [place for place in range(len(steps)) if place not in taken]
        taken.append(min(left, key=lambda place: abs(math.log(steps[place].step) - wanted)))
    return [steps[place] for place in sorted(taken)]


def planned(
    requests: Sequence[IngestRequest],
    sought: StepChoice,
    step: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[IngestRequest]:
    """What to ingest: what stands alone as it is, of a series a request for each step in order.

    A series is what `sought` names a pattern for, a folder of steps, or GGUF files that differ in
    their steps alone. With `step`, the one checkpoint asked for joins a series there. The alias of
    a series is its name. `say` is told what is left out.

    Raises:
        NotFoundError: nothing that is there matches.
        UsageError: options that do not go together; two checkpoints are the same step.
        EnvironmentFault: the Hub cannot be reached, and nothing is in its cache.
    """
    narrowed = sought.every or sought.log_spaced
    if sought.every and sought.log_spaced:
        raise UsageError(
            "Steps are chosen in one way, not both.",
            "Give ",
            Option("every"),
            " or ",
            Option("log-spaced"),
            ".",
        )
    if step is not None:
        if narrowed or sought.pattern or len(requests) > 1:
            raise UsageError("", Option("step"), " goes with one checkpoint.")
        return [_at_step(requests[0], step)]
    if are_steps([each.source for each in requests]):
        paths = [absolute(user_path(each.source)) for each in requests]
        run = replace(requests[0], source=str(paths[0].parent))
        return _of_series(run, [path.name for path in paths], sought, say)
    found: list[IngestRequest] = []
    for request in requests:
        if sought.pattern is None and not is_series(request):
            if narrowed:
                raise UsageError(f"{request.source} is one checkpoint and no series.")
            found.append(request)
            continue
        if request.revision or request.file:
            raise UsageError(
                "", Option("revision"), " and ", Option("file"), " name one checkpoint."
            )
        names = (
            _held(absolute(user_path(request.source)))
            if is_local(request.source)
            else hub_revisions(request.source, say)
        )
        found += _of_series(request, names, sought, say)
    return found


def is_series(request: IngestRequest) -> bool:
    """Whether it is for a folder that is no checkpoint, and holds some whose names tell a step."""
    folder = user_path(request.source)
    if request.file is not None or not is_local(request.source) or not folder.is_dir():
        return False
    held = [] if is_checkpoint(folder) else _held(folder)
    # A GGUF file alone in a folder is what that folder stands for.
    return len(held) > 1 or any((folder / name).is_dir() for name in held)


def are_steps(sources: Sequence[str]) -> bool:
    """Whether these are several GGUF files that differ in their steps alone."""
    paths = [user_path(source) for source in sources]
    steps = [step_of(path.name) for path in paths]
    alike = {(path.parent, step and step.before) for path, step in zip(paths, steps, strict=True)}
    return (
        len(paths) > 1
        and None not in steps
        and len(alike) == 1
        and all(path.suffix == GGUF_ENDING and path.is_file() for path in paths)
    )


def _of_series(
    request: IngestRequest, names: Sequence[str], sought: StepChoice, say: Callable[[str], None]
) -> list[IngestRequest]:
    """A request for each step among the names of checkpoints; `request` is for the whole."""
    local = is_local(request.source)
    grouped: dict[str, list[Step]] = {}
    for step in _matching(request.source, names, sought.pattern, say):
        grouped.setdefault(step.before, []).append(step)
    requests = []
    for before, found in sorted(grouped.items()):
        steps = chosen(_in_order(found), sought)
        name = _series_name(request, before)
        for each in steps:
            place = SeriesPlace(name, each.step, each.train_tokens, steps[-1].step)
            path = str(absolute(user_path(request.source)) / each.name)
            source, revision = (path, None) if local else (request.source, each.name)
            requests.append(
                replace(request, source=source, revision=revision, alias=None, place=place)
            )
    return requests


def _at_step(request: IngestRequest, step: int) -> IngestRequest:
    """The request for a checkpoint whose name need not tell the step."""
    named = step_of(request.revision or Path(request.source).name)
    tokens = named.train_tokens if named and named.step == step else None
    place = SeriesPlace(_series_name(request, ""), step, tokens, step)
    return replace(request, alias=None, place=place)


def _series_name(request: IngestRequest, before: str) -> str:
    """What a series is called: as the alias says, else as its source, and the kind of weights."""
    if request.alias is not None:
        return "-".join(filter(None, (request.alias, before)))
    stem = "-".join(filter(None, (default_alias(request.source, "folded"), before)))
    return stem if request.weights == "folded" else f"{stem}-{request.weights}"


def _held(folder: Path) -> list[str]:
    """Names of the checkpoints in a folder that tell a step."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder, as a series with a folder a step would be.")
    return sorted(
        path.name
        for path in folder.iterdir()
        if step_of(path.name) and (path.is_dir() or path.suffix == GGUF_ENDING)
    )


def _matching(
    source: str, names: Sequence[str], pattern: str | None, say: Callable[[str], None]
) -> list[Step]:
    """The names that match and tell a step."""
    matching = [name for name in names if pattern is None or fnmatchcase(name, pattern)]
    if not matching:
        there = f"There is: {_some(names)}." if names else "There is no checkpoint."
        raise NotFoundError(f"Nothing in {source} is named like {pattern or 'step-N'}. {there}")
    steps = {name: step_of(name) for name in matching}
    without = [name for name, step in steps.items() if step is None]
    if len(without) == len(matching):
        raise NotFoundError(
            f"{_some(without)} of {source} tell no step, as step-1000 would.",
            "One checkpoint at a time joins a series with ",
            Option("step", "N"),
            ".",
        )
    if without:
        say(f"{source}: {_some(without)} left out, for no step is in the name")
    return [step for step in steps.values() if step is not None]


def _in_order(steps: Sequence[Step]) -> list[Step]:
    ordered = sorted(steps, key=lambda each: (each.step, each.name))
    for one, other in pairwise(ordered):
        if one.step == other.step:
            raise UsageError(
                f"{one.name} and {other.name} are both step {one.step}.",
                "Name one of them with ",
                Option("revisions", "GLOB"),
                ".",
            )
    return ordered


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_N_NAMED])
    return shown if len(names) <= _N_NAMED else f"{shown} and {len(names) - _N_NAMED} more"
