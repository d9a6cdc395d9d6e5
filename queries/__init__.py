"""Named queries, one `.sql` file each; adding one is adding a file.

A file begins with comments: what it answers, then its parameters, one line each:

    -- Neurons of each IO class and functional role.
    -- needs: roles
    -- :model text = null           only this model
    -- :threshold fraction = 0.5    a |cosine| beyond it counts

The default `rule` is that of the rule for functional roles. A parameter without `=` must be given;
in the SQL it stands as `$name`. `catalog.queries.parameters`
lists the types. `needs` names the stages without which there are no rows, `reads: gate` says that
neurons without a gate have none.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from catalog.errors import NotFoundError, UsageError
from catalog.queries.parameters import Parameter
from catalog.role_rule import RoleRule

if TYPE_CHECKING:
    import pyarrow as pa

if not __name__.startswith("catalog."):
    raise ImportError("Import this package as catalog.queries.")

_PARAMETER = re.compile(
    r"-- :(?P<name>\w+) (?P<type>\w+)(?: = (?P<default>\S+))?(?:\s+(?P<doc>.+))?"
)

_NEEDS: Final = "-- needs: "
_OF_A_GATE: Final = "-- reads: gate"


@dataclass(frozen=True)
class NamedQuery:
    """A question that comes with the catalog; `needs` are the stages it reads rows of.

    `of_a_gate`: it is about the gate.
    """

    name: str
    doc: str
    needs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    sql: str
    of_a_gate: bool = False

    def bound(self, settings: Sequence[str]) -> dict[str, Any]:
        """Values of all parameters, from `key=value` settings and defaults.

        Raises:
            UsageError: an unknown, repeated or missing parameter, or a value of the wrong type.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        given: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise UsageError(f"{setting!r} is not KEY=VALUE.")
            if name not in known:
                has = ", ".join(known) or "none"
                raise UsageError(f"{self.name} has no parameter {name!r}; it has: {has}.")
            if name in given:
                raise UsageError(
                    f"{name} is given more than once; {self.name} takes one value for it."
                )
            given[name] = known[name].value(text)
        values = {name: p.default for name, p in known.items() if not p.required} | given
        missing = [name for name in known if name not in values]
        if missing:
            raise UsageError(
                f"{self.name} needs {' and '.join(missing)}: "
                f"catalog query {self.name} " + " ".join(f"-p {name}=..." for name in missing)
            )
        return values


def query_names() -> list[str]:
    """Names of all named queries, in alphabetical order."""
    return sorted(
        file.name.removesuffix(".sql")
        for file in files(__name__).iterdir()
        if file.name.endswith(".sql")
    )


def named_query(name: str) -> NamedQuery:
    """Read a named query.

    Raises:
        NotFoundError: there is none of that name; the message gives the nearest.
    """
    names = query_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "List them with: catalog query"
        raise NotFoundError(f"There is no query {name!r}. {hint}")
    return _parsed(name, (files(__name__) / f"{name}.sql").read_text(encoding="utf-8"))


def listing() -> "pa.Table":
    """All named queries: name, parameters, what each answers."""
    import pyarrow as pa

    queries = [named_query(name) for name in query_names()]
    return pa.table(
        {
            "query": [query.name for query in queries],
            "parameters": [", ".join(map(_shown, query.parameters)) for query in queries],
            "answers": [query.doc for query in queries],
        }
    )


def _shown(parameter: Parameter) -> str:
    if parameter.required:
        return parameter.name
    return f"{parameter.name}={'' if parameter.default is None else parameter.default}"


def _parsed(name: str, text: str) -> NamedQuery:
    doc: list[str] = []
    needs: tuple[str, ...] = ()
    parameters: list[Parameter] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        match = _PARAMETER.fullmatch(line)
        if line == _OF_A_GATE:
            continue
        if line.startswith(_NEEDS):
            needs = tuple(line.removeprefix(_NEEDS).split(", "))
            continue
        if match is None:
            doc.append(line.removeprefix("--").strip())
            continue
        default = match["default"]
        blank = Parameter(match["name"], match["type"], default is None, None, match["doc"] or "")
        if default == "rule":
            value = getattr(RoleRule(), match["name"])
        else:
            value = None if default in (None, "null") else blank.value(default)
        parameters.append(replace(blank, default=value))
    return NamedQuery(
        name, " ".join(doc), needs, tuple(parameters), text, _OF_A_GATE in text.splitlines()
    )
