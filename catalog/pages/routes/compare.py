"""Two neurons side by side."""

from typing import Any, Final

from markupsafe import Markup

from catalog.errors import Option
from catalog.neuron_id import NamedNeuron
from catalog.pages.addresses import address, neuron_address
from catalog.pages.asking import Asked
from catalog.pages.rendering import in_words
from catalog.pages.shown import Shown
from catalog.reports import report
from catalog.reports.html import Surroundings, class_name, fragment

PATH: Final = "/compare"


def show(asked: Asked) -> Shown:
    """What `a` and `b` have in common and what not, each `layer.neuron` or `model:layer.neuron`."""
    first, second, model = asked.text("a"), asked.text("b"), asked.text("model")
    said: dict[str, Any] = {
        "first": first,
        "second": second,
        "model": model,
        "rows": [],
        "beside": [],
    }
    if first is None or second is None:
        return Shown("Compare", said=said)
    compared = asked.catalog.compare(first, second, model)
    table = compared.arrow()
    beside = []
    for text in (first, second):
        named = NamedNeuron.parse(text)
        of = model if named.model is None else named.model
        corpora = asked.catalog.corpora(of) if of else []
        record = asked.catalog.neuron(str(named.id), of, corpora[0] if len(corpora) > 1 else None)

        def token_address(token: str, of: str = record.model.model) -> str:
            return address("tokens", token, parameters={"model": of})

        def other_address(neuron_id: str, of: str = record.model.model) -> str:
            return neuron_address(of, neuron_id)

        def option(chosen: Option, this: str = str(record.id)) -> tuple[str, str | None]:
            if chosen.name == "canonical":
                canonical = f"{other_address(this)}?canonical=1"
                return "the canonical reading", canonical
            return in_words(chosen), None

        around = Surroundings("h2", token_address, other_address, option)
        beside.append(
            {
                "id": str(record.id),
                "model": record.model.model,
                "style": class_name(record.neuron.io_class or ""),
                "report": Markup(fragment(report(record), around)),
            }
        )
    said |= {
        "names": table.column_names[1:3],
        "rows": table.to_pylist(),
        "beside": beside,
        "notes": compared.notes,
    }
    return Shown("Compare", {"attributes": compared}, said=said)
