"""The questions that come with the catalog."""

from typing import Final

from catalog.pages.asking import Asked
from catalog.pages.shown import Shown

PATH: Final = "/queries"


def show(asked: Asked) -> Shown:
    """All named queries: what each answers."""
    queries = asked.catalog.queries()
    return Shown("Queries", {"queries": queries}, said={"rows": queries.arrow().to_pylist()})
