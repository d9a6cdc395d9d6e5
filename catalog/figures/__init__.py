"""The paper's figures, drawn from a catalog alone.

Every module of `catalog.figures.kinds` is a figure of that name: its docstring says what it is, its
function `draw` takes the data and, by keyword, the options that its `OPTIONS` declare: kind and
meaning by name, as a literal. Adding a figure is adding such a module.
"""

import ast
import difflib
import importlib
import inspect
import io
import pkgutil
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from catalog.errors import HintPart, NotFoundError, Option, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from catalog.figures.data import FigureData

# Without dates, the same catalog gives the same file.
_METADATA: Final[dict[str, dict[str, Any]]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
FILE_FORMATS: Final = tuple(_METADATA)


class FigureOption(NamedTuple):
    """An option and the figures that have it.

    `kind`: a 'fraction' lies between 0 and 1, 'layers' may be given several times, a 'flag' is on
    or off, a 'metric' is one of METRICS, a 'neuron' is written layer.neuron, a 'corpus' is a name,
    a 'step' is one of a training series.
    """

    name: str
    kind: str
    help: str


def figure_options() -> list[FigureOption]:
    """The options of all figures, in the order of figures and their options."""
    found: dict[str, FigureOption] = {}
    for figure in figure_names():
        for name, (kind, meaning) in _declared(figure).items():
            said = f"{figure}: {meaning}"
            if name in found:
                said = f"{found[name].help} {said}"
            found[name] = FigureOption(name, kind, said)
    return list(found.values())


def figure_docs() -> dict[str, str]:
    """What each figure is, by its name."""
    docs = {name: ast.get_docstring(_source(name)) or "" for name in figure_names()}
    return {name: doc.splitlines()[0].rstrip(".") for name, doc in docs.items()}


def figure_names() -> list[str]:
    """Names of all figures, in alphabetical order; matplotlib is not imported for it."""
    from catalog.figures import kinds

    return sorted(module.name for module in pkgutil.iter_modules(kinds.__path__))


def render(name: str, data: "FigureData", file_format: str, **options: Any) -> bytes:
    """The figure as the bytes of a file.

    Args:
        name: one of `figure_names()`.
        data: the models it shows.
        file_format: one of `FILE_FORMATS`.
        options: what the figure's `draw` takes besides the data.

    Raises:
        NotFoundError: no such figure or model, or nothing to draw.
        UsageError: an option that this figure does not have.
    """
    draw = _drawing(name)
    _check_options(name, draw, options)
    data.check_names()
    from matplotlib import rc_context

    from catalog.figures.style import STYLE

    file = io.BytesIO()
    with rc_context(STYLE):
        draw(data, **options).savefig(file, format=file_format, metadata=_METADATA[file_format])
    return file.getvalue()


def _drawing(name: str) -> "Callable[..., Figure]":
    names = figure_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There is: {', '.join(names)}."
        raise NotFoundError(f"There is no figure {name!r}. {hint}")
    draw: Callable[..., Figure] = importlib.import_module(f"catalog.figures.kinds.{name}").draw
    return draw


def _source(name: str) -> ast.Module:
    """A figure's module as it is written: to import it takes matplotlib, which no help needs."""
    text = (files("catalog.figures.kinds") / f"{name}.py").read_text(encoding="utf-8")
    return ast.parse(text)


def _declared(name: str) -> dict[str, tuple[str, str]]:
    """The figure's `OPTIONS`: kind and meaning by name."""
    for statement in _source(name).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id="OPTIONS"), value=ast.expr() as value):
                declared: dict[str, tuple[str, str]] = ast.literal_eval(value)
                return declared
    return {}


def _check_options(name: str, draw: "Callable[..., Figure]", options: dict[str, Any]) -> None:
    known = inspect.signature(draw).parameters
    unknown = [option for option in options if option not in known]
    if unknown:
        named: list[HintPart] = [part for each in unknown for part in (" or ", Option(each))]
        raise UsageError("", f"The figure {name} has no option ", *named[1:], ".")
