"""One SELECT of the reader's own, which stands in the address."""

from typing import Final

from catalog.errors import NotFoundError
from catalog.pages.asking import Asked
from catalog.pages.listing import listed, sorted_rows
from catalog.pages.shown import Shown
from catalog.rows import Rows

PATH: Final = "/sql"
OF_SQL: Final = True

_EXAMPLE: Final = """select io_class, count(*) as neurons
from neurons
group by io_class
order by neurons desc"""


def show(asked: Asked) -> Shown:
    """The rows of the question, and the views it may ask."""
    if not asked.settings.allow_sql:
        raise NotFoundError("Whoever serves this catalog has left out the page that runs SQL.")
    question = asked.text("q")
    limits, most = asked.settings.sql_limits, asked.settings.max_rows
    said = {
        "question": question or _EXAMPLE,
        "views": asked.catalog.columns(),
        "limits": limits,
        "most": most,
        "listing": None,
        "is_cut": False,
    }
    if question is None:
        return Shown("SQL", said=said)
    found = asked.catalog.sql(question, max_rows=most + 1)
    rows = sorted_rows(asked, Rows(found.arrow().slice(0, most), found.notes))
    said |= {"listing": listed(asked, rows, ("sql",)), "is_cut": len(found) > most}
    return Shown("SQL", {"rows": rows}, said=said)
