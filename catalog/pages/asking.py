"""What a page is asked: the texts in its path, its parameters, and the catalog open for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from catalog.api import Catalog
from catalog.errors import UsageError
from catalog.pages.models import LoadedModel
from catalog.pages.settings import Settings

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Asked:
    """A request for a page; `parameters` as they came, in order.

    Forms send empty fields too: an empty parameter is one that was not given.
    """

    catalog: Catalog
    settings: Settings
    path: Mapping[str, str]
    parameters: Sequence[tuple[str, str]]
    ending: str | None = None
    loaded: LoadedModel = field(default_factory=LoadedModel)

    def once(
        self, ask: Callable[_Given, _Answer], *given: _Given.args, **named: _Given.kwargs
    ) -> _Answer:
        """What a method of the catalog says, asked once as long as the catalog holds the same."""
        question = f"{ask.__name__} {given!r} {sorted(named.items())!r}"
        return self.catalog.handle.once(question, lambda: ask(*given, **named))

    def models(self) -> list[str]:
        """The aliases of all entries."""
        return [row["model"] for row in self.once(self.catalog.models).arrow().to_pylist()]

    def text(self, name: str, default: str | None = None) -> str | None:
        """A parameter as it came."""
        given = [value for key, value in self.parameters if key == name and value != ""]
        return given[-1] if given else default

    def texts(self, name: str) -> list[str]:
        """A parameter that may be given several times, each once."""
        given = [value for key, value in self.parameters if key == name and value != ""]
        return list(dict.fromkeys(given))

    def integer(self, name: str, default: int | None = None) -> int | None:
        """A whole number from 0.

        Raises:
            UsageError: it is none.
        """
        return whole_number(name, text) if (text := self.text(name)) else default

    def flag(self, name: str) -> bool:
        """Whether a box is ticked."""
        return self.text(name) not in (None, "0", "false")

    def at(self, name: str) -> int:
        """A whole number in the path.

        Raises:
            UsageError: it is none.
        """
        return whole_number(name, self.path[name])

    def changed(self, **parameters: object) -> list[tuple[str, object]]:
        """The parameters with some of them set anew, a list several times; None takes one away."""
        kept: list[tuple[str, object]] = [
            pair for pair in self.parameters if pair[0] not in parameters
        ]
        for name, value in parameters.items():
            kept += [(name, each) for each in (value if isinstance(value, list) else [value])]
        return kept


def whole_number(name: str, text: str) -> int:
    """A text as a whole number from 0.

    Raises:
        UsageError: it is none, or larger than any count in a catalog.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UsageError(f"{name} is {text!r}; it must be a whole number from 0.")
    return int(text)
