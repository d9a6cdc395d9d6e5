"""The pages there are, found by their files."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from catalog.errors import NotFoundError
from catalog.pages import routes
from catalog.pages.asking import Asked
from catalog.pages.shown import Moved, Shown


@dataclass(frozen=True)
class Page:
    """A page: where it stands, and what makes it.

    `is_of_sql`: it runs SQL that a stranger may have written, so it has limits of its own, may be
    off, and what it answers is not kept. `runs_a_model`: it takes as long as a model does, so it
    keeps nothing open, one is made at a time, and its answer is not kept either.
    """

    name: str
    path: str
    show: Callable[[Asked], Shown | Moved]
    is_of_sql: bool
    runs_a_model: bool

    def found(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The texts that stand in the path's places, if it is one of this page."""
        pattern = [part for part in self.path.split("/") if part]
        if len(pattern) != len(segments):
            return None
        given: dict[str, str] = {}
        for part, text in zip(pattern, segments, strict=True):
            if part.startswith("{"):
                given[part.strip("{}")] = text
            elif part != text:
                return None
        return given


@cache
def pages() -> tuple[Page, ...]:
    """All pages, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(routes.__path__))
    return tuple(_page(importlib.import_module(f"{routes.__name__}.{name}")) for name in names)


def page_at(segments: Sequence[str]) -> tuple[Page, dict[str, str]]:
    """The page of a path, and the texts in its places; fixed words go before places.

    Raises:
        NotFoundError: there is none.
    """
    found = [(page, given) for page in pages() if (given := page.found(segments)) is not None]
    if not found:
        raise NotFoundError("There is no page at this address.", "Begin at the list of models.")
    return min(found, key=lambda each: len(each[1]))


def _page(module: ModuleType) -> Page:
    name = module.__name__.rpartition(".")[2]
    is_of_sql, runs_a_model = (getattr(module, each, False) for each in ("OF_SQL", "RUNS_A_MODEL"))
    return Page(name, module.PATH, module.show, is_of_sql, runs_a_model)
