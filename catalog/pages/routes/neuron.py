"""One neuron, read out loud: the report of the command line, with links."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from catalog.errors import Option
from catalog.neuron_id import NamedNeuron
from catalog.pages.addresses import address, neuron_address
from catalog.pages.asking import Asked
from catalog.pages.charts import histogram
from catalog.pages.rendering import in_words
from catalog.pages.shown import Shown
from catalog.reports import report
from catalog.reports.html import Surroundings, class_name, fragment
from catalog.rows import Rows

if TYPE_CHECKING:
    from catalog.api import NeuronRecord

PATH: Final = "/m/{model}/{layer}/{neuron}"

_MOST_SEEN: Final = 12
"""So many neurons that were looked at before are carried along in the address."""


def show(asked: Asked) -> Shown:
    """The neuron's report, and the ways to its neighbours."""
    model, layer, number = asked.path["model"], asked.at("layer"), asked.at("neuron")
    is_canonical = asked.flag("canonical")
    corpus = asked.text("corpus")
    corpora = asked.once(asked.catalog.corpora, model)
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

    seen = [str(NamedNeuron.parse(each)) for each in asked.texts("seen")]
    this = f"{model}:{record.id}"
    seen = [each for each in seen if each != this][-_MOST_SEEN + 1 :]

    def other_address(neuron_id: str) -> str:
        of, _, number = neuron_id.rpartition(".")
        kept = asked.changed(seen=[*seen, this])
        return address("m", model, of, number, parameters=kept)

    around = Surroundings("h1", token_address, other_address, option)
    samples = _samples(asked, record, corpus or (corpora[0] if corpora else None))
    written = record.as_dict()
    return Shown(
        f"{record.name} of {model}",
        _tables(written) | ({"samples": samples} if samples else {}),
        written,
        said={
            "model": model,
            "layer": layer,
            "neuron": number,
            "class_style": class_name(record.neuron.io_class or ""),
            "report": Markup(fragment(report(record), around)),
            "neighbours": _neighbours(record, other_address),
            "seen": [_seen(each) for each in seen],
            "seen_address": address("find", parameters=[("in", each) for each in [*seen, this]]),
            "histogram": _drawn(samples, f"post of {record.name} at sampled positions"),
            "has_tokens": bool(record.tokens),
            "n_samples": len(samples) if samples else 0,
            "is_canonical": is_canonical,
            "is_flipped": bool(record.neuron.flipped),
            "here": here,
            "corpora": corpora,
            "corpus": corpus,
        },
    )


def _seen(named: str) -> tuple[str, str]:
    """A neuron that was looked at before, and its page."""
    model, _, neuron_id = named.rpartition(":")
    return named, neuron_address(model, neuron_id)


def _samples(asked: Asked, record: "NeuronRecord", corpus: str | None) -> Rows | None:
    if record.corpus is None or corpus is None:
        return None
    found = asked.catalog.samples(str(record.id), record.model.model, corpus)
    return found if len(found) else None


def _drawn(samples: Rows | None, label: str) -> Markup | None:
    posts = samples.arrow().column("post").drop_null().to_pylist() if samples else []
    finite = [post for post in posts if math.isfinite(post)]
    return histogram(finite, label) if finite else None


def _neighbours(record: "NeuronRecord", leads: Callable[[str], str]) -> dict[str, str]:
    """Addresses of the neurons before and after, and of those above and below in other layers."""
    layer, number, model = record.id.layer, record.id.neuron, record.model
    places = {
        "previous": (layer, number - 1),
        "next": (layer, number + 1),
        "below": (layer - 1, number),
        "above": (layer + 1, number),
    }
    return {
        name: leads(f"{place[0]}.{place[1]}")
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
