"""One neuron, read out loud: the report of the command line, with links."""

from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from catalog.errors import Option
from catalog.pages.addresses import address
from catalog.pages.asking import Asked
from catalog.pages.rendering import in_words
from catalog.pages.shown import Shown
from catalog.reports import report
from catalog.reports.html import Surroundings, class_name, fragment
from catalog.rows import Rows

if TYPE_CHECKING:
    from catalog.api import NeuronRecord

PATH: Final = "/m/{model}/{layer}/{neuron}"


def show(asked: Asked) -> Shown:
    """The neuron's report, and the ways to its neighbours."""
    model, layer, number = asked.path["model"], asked.at("layer"), asked.at("neuron")
    is_canonical = asked.flag("canonical")
    corpus = asked.text("corpus")
    corpora = asked.catalog.corpora(model)
    if corpus is None and len(corpora) > 1:
        corpus = corpora[0]
    record = asked.catalog.neuron(f"{layer}.{number}", model, corpus, canonical=is_canonical)

    def here(**changed: object) -> str:
        return address("m", model, layer, number, parameters=asked.changed(**changed))

    def option(chosen: Option) -> tuple[str, str | None]:
        if chosen.name == "canonical":
            return "the canonical reading", None if is_canonical else here(canonical=1)
        return in_words(chosen), None

    def token_address(token: str) -> str:
        return address("tokens", token, parameters={"model": model})

    around = Surroundings("h1", token_address, option)
    return Shown(
        f"{record.id} of {model}",
        _tables(record.as_dict()),
        record.as_dict(),
        said={
            "model": model,
            "layer": layer,
            "neuron": number,
            "class_style": class_name(record.neuron.io_class or ""),
            "report": Markup(fragment(report(record), around)),
            "neighbours": _neighbours(asked, record),
            "is_canonical": is_canonical,
            "is_flipped": bool(record.neuron.flipped),
            "here": here,
            "corpora": corpora,
            "corpus": corpus,
        },
    )


def _neighbours(asked: Asked, record: "NeuronRecord") -> dict[str, str]:
    """Addresses of the neurons before and after, and of those above and below in other layers."""
    layer, number, model = record.id.layer, record.id.neuron, record.model
    places = {
        "previous": (layer, number - 1),
        "next": (layer, number + 1),
        "below": (layer - 1, number),
        "above": (layer + 1, number),
    }
    return {
        name: address("m", model.model, *place, parameters=asked.parameters)
        for name, place in places.items()
        if 0 <= place[0] < model.n_layers and 0 <= place[1] < model.sizes.of_layer(place[0])
    }


def _tables(record: dict[str, object]) -> dict[str, Rows]:
    """What of the record is rows: top tokens, places of cosines, sign cases, exemplars."""
    import pyarrow as pa

    cases = record["cases"]
    assert isinstance(cases, dict)
    found = {
        "tokens": record["tokens"],
        "cosines": record["places"],
        "cases": [case["statistics"] for case in cases.values()],
        "exemplars": [each for case in cases.values() for each in case["exemplars"]],
    }
    return {name: Rows(pa.Table.from_pylist(rows)) for name, rows in found.items() if rows}
