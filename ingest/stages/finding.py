"""Finds the class of a stage in the file of its name."""

from collections.abc import Sequence
from importlib import import_module

from catalog.ingest.stages.stage import Stage
from catalog.stages import STAGES, stage_named


def stage_class(name: str) -> type[Stage]:
    """The class in `ingest/stages/<name>.py` that computes the stage of that name."""
    members = vars(import_module(f"{__package__}.{name}")).values()
    found = [each for each in members if isinstance(each, type) and issubclass(each, Stage)]
    return next(each for each in found if getattr(each, "name", None) == name)


def dependents(name: str) -> list[str]:
    """The stages that read what this one computes."""
    return [stage.name for stage in STAGES if name in stage.needs]


def with_needed(stages: Sequence[str]) -> list[str]:
    """The stages asked for and those whose rows they read, in the order in which to run them."""
    wanted = set(stages).union(*(stage_named(name).needs for name in stages))
    return [stage.name for stage in STAGES if stage.name in wanted]
